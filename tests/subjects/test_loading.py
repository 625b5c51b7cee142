"""A name opens one subject or is refused, and no code runs but that of a named module."""

import os
import pickle
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import pellucid as pl
from pellucid.core.errors import BadInput, SubjectFailed, UsageError
from pellucid.subjects.loading import KINDS
from pellucid.subjects.zoo import ZOO

MODULE = """
import torch
from torch import nn
import pellucid as pl
from pellucid.tasks import TensorTask

ready = nn.Linear(3, 2)
subject = pl.wrap(ready, name="ready")
number = 7

def build(width=3, outputs=2):
    return nn.Linear(width, outputs, bias=False)

def build_any(**options):
    return nn.Linear(options["width"], 2)

def build_subject():
    return pl.wrap(build(), labels=["x", "y"])

def build_function():
    return lambda batch: batch

def score(batch):
    return batch

def fails():
    raise ValueError("no\\nluck")
"""


@pytest.fixture
def module(tmp_path, monkeypatch, request):
    """The name of a module in the current directory, which no other test has imported."""
    name = f"models_of_{request.node.name.partition('[')[0]}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    yield name
    sys.modules.pop(name, None)


def test_a_factory_gets_its_options_and_its_answer_is_wrapped(module):
    subject = pl.load(f"{module}:build", width=4, labels=["no", "yes"], name="mine")
    assert subject.module.in_features == 4
    assert (subject.task.labels, subject.name) == (("no", "yes"), "mine")


def test_a_file_is_a_module_too(module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path.parent)
    assert pl.load(f"{tmp_path / module}.py:build").module.in_features == 3


def test_files_of_one_name_in_two_folders_are_two_modules(tmp_path):
    for width in (2, 5):
        folder = tmp_path / str(width)
        folder.mkdir()
        (folder / "net.py").write_text(f"from torch import nn\ndef build(): return nn.Linear({width}, 1)\n")
    widths = [pl.load(f"{tmp_path / str(width) / 'net.py'}:build").module.in_features for width in (2, 5)]
    assert widths == [2, 5]


def test_ready_models_and_subjects_are_taken_as_they_are(module):
    assert pl.load(f"{module}:subject").name == "ready"
    assert pl.load(f"{module}:ready", labels=["a", "b"]).task.labels == ("a", "b")
    assert pl.load(f"{module}:build_subject").task.labels == ("x", "y")
    assert pl.load(f"{module}:build_function").scores(torch.ones(1, 2)).tolist() == [[1.0, 1.0]]


def test_a_factory_with_free_options_gets_those_that_wrap_does_not(module):
    subject = pl.load(f"{module}:build_any", width=6, name="free")
    assert (subject.module.in_features, subject.name) == (6, "free")


def test_the_search_path_is_left_as_it_was(module):
    before = list(sys.path)
    pl.load(f"{module}:build")
    with pytest.raises(SubjectFailed):
        pl.load(f"{module}:fails")
    assert sys.path == before


@pytest.mark.parametrize(
    ("place", "options", "error", "message"),
    [
        ("{}:build", {"widths": 4}, UsageError, "no option 'widths'; it takes width, outputs, task"),
        ("{}:ready", {"width": 4}, UsageError, "no option 'width'; it takes task"),
        ("{}:build_subject", {"labels": ["a", "b"]}, UsageError, "knows its own labels"),
        ("{}:biuld", {}, UsageError, "did you mean 'build'"),
        ("{}:score", {}, UsageError, "cannot be called: missing a required argument: 'batch'; a factory returns"),
        ("{}:number", {}, UsageError, "cannot wrap a int"),
        ("{}:fails", {}, SubjectFailed, "fails failed: ValueError: no$"),
        ("nowhere.{}:build", {}, UsageError, "there is no module 'nowhere"),
        ("nowhere/{}.py:build", {}, UsageError, "there is no file"),
    ],
)
def test_what_does_not_fit_is_said(module, place, options, error, message):
    with pytest.raises(error, match=message):
        pl.load(place.format(module), **options)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("import no_such_package", "ModuleNotFoundError|No module named 'no_such_package'; install"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def (", "SyntaxError"),
    ],
)
@pytest.mark.parametrize("suffix", ["", ".py"])
def test_a_module_that_cannot_be_imported_is_said_in_one_line(tmp_path, monkeypatch, line, message, suffix):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken_model.py").write_text(line)
    with pytest.raises(SubjectFailed, match=f"importing broken_model.* failed.*({message})") as caught:
        pl.load(f"broken_model{suffix}:build")
    assert "\n" not in str(caught.value)
    assert "broken_model" not in sys.modules


@pytest.mark.parametrize("suffix", ["safetensors", "pt", "pth"])
def test_weights_are_those_of_the_file(module, tmp_path, suffix):
    expected = torch.arange(6.0).view(2, 3)
    path = tmp_path / f"weights.{suffix}"
    (save_file if suffix == "safetensors" else torch.save)({"weight": expected}, path)
    subject = pl.load(f"{module}:build", weights=str(path))
    assert torch.equal(subject.scores(torch.eye(3)), expected.T)


class Attack:
    """What a hostile pickle holds: reading it as one makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


@pytest.mark.parametrize("write", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))])
def test_a_pickle_with_code_is_refused_before_anything_runs(tmp_path, monkeypatch, write):
    monkeypatch.chdir(tmp_path)
    proof, imported = tmp_path / "executed", tmp_path / "imported"
    (tmp_path / "innocent.py").write_text(f"import os; os.mkdir({str(imported)!r})")
    write({"weight": Attack(proof)}, tmp_path / "weights.pt")
    with pytest.raises(BadInput, match=r"could run code.*safetensors.*torch\.save\(model\.state_dict\(\)\)"):
        pl.load("innocent:build", weights="weights.pt")
    assert not proof.exists()
    assert not imported.exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("weights.bin", b"", "not a weight file by its name"),
        ("weights.safetensors", b"damaged", "is damaged"),
        ("weights.pt", b"", "is damaged"),
        ("weights.pt", b"PK\x03\x04 cut off", "is damaged"),
        ("weights.pt", b"no pickle at all", "could run code|is damaged"),
    ],
)
def test_other_files_are_no_weights(module, tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=message) as caught:
        pl.load(f"{module}:build", weights=name)
    assert "\n" not in str(caught.value)


def test_weights_of_another_model_or_of_none_are_refused(module, tmp_path):
    torch.save({"bias": torch.zeros(3)}, tmp_path / "other.pt")
    with pytest.raises(BadInput, match=r"does not fit what .*build returns.*weight") as caught:
        pl.load(f"{module}:build", weights="other.pt")
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="takes no weights"):
        pl.load(f"{module}:build_function", weights="other.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(BadInput, match="holds a list"):
        pl.load(f"{module}:build", weights="list.pt")
    with pytest.raises(BadInput, match="there is no file"):
        pl.load(f"{module}:build", weights="absent.pt")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("efficientnet-lite", "did you mean 'efficientnet-lite"),
        ("wine", "did you mean 'wine-mlp'"),
        ("Digits-CNN", "did you mean 'digits-cnn'"),
        ("net.onnx", "onnx:file.onnx"),
        ("onnx:", "onnx:file.onnx"),
        (":build", "module:factory"),
        ("", "known: efficientnet-lite0"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest_and_the_kinds(name, message):
    with pytest.raises(UsageError, match=message) as caught:
        pl.load(name)
    assert all(form in str(caught.value) for form, _, _ in KINDS.values())


@pytest.mark.parametrize("name", [*ZOO, "hf:model", "onnx:net.onnx", "http://127.0.0.1/", "https://127.0.0.1/"])
def test_an_option_of_another_kind_is_refused_before_anything_is_opened(name):
    with pytest.raises(UsageError, match=r"takes no option 'depth'; it takes [a-z, ]+$"):
        pl.load(name, depth=3)


def test_a_model_is_not_a_name():
    with pytest.raises(UsageError, match="wrap"):
        pl.load(nn.Linear(2, 2))


def test_an_unknown_name_is_refused_without_torch():
    program = (
        "import sys, pellucid as pl\n"
        "try:\n    pl.load('efficientnet')\n"
        "except pl.UsageError as error:\n    print(error)\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    answer, loaded = done.stdout.splitlines()
    assert "did you mean 'efficientnet-lite" in answer
    assert loaded == "False"
