"""Result files: everything comes back as it was, and nothing that is damaged or hostile comes back at all."""

import contextlib
import dataclasses
import json
import math
import os
import struct

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save, save_file

from pellucid.core import files
from pellucid.core.content import digest
from pellucid.core.errors import BadInput, CannotWrite
from pellucid.core.record import RECORDS
from pellucid.core.result import Result
from pellucid.core.spec import Scope
from pellucid.core.subject import Features
from pellucid.results.attribution import Attribution
from pellucid.results.evaluation import Evaluation

PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(),
    st.sampled_from(Scope),
    st.text(min_size=5000, max_size=5005),
)
VALUES = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def attribution(**changes):
    fields = {
        "scores": torch.arange(6.0, dtype=torch.float64).view(2, 3),
        "value": torch.tensor([1.5, 2.5], dtype=torch.float64),
        "features": Features("column", torch.arange(3).expand(2, -1), (("a", "b", "c"),) * 2),
        "target": torch.tensor([1, 0]),
        "labels": ("no", "yes"),
        "absorbed": {"bias": torch.tensor([0.25, 0.5])},
        "quality": {"r2": torch.tensor([math.nan, 1.0])},
        "notes": ("a note", "x" * 9000),
    }
    return Attribution(**{**fields, **changes})


@pytest.fixture
def saved(tmp_path):
    return attribution().save(tmp_path / "a.pellucid")


def header(path):
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length])["__metadata__"]["pellucid"]


def rewritten(path, change):
    """The same file with its document changed by ``change``, or replaced by what it returns."""
    document = json.loads(header(path))
    document = change(document) or document
    text = document if isinstance(document, str) else json.dumps(document)
    save_file({f"t{n}": torch.zeros(2, 3) for n in range(12)}, path, metadata={"pellucid": text})
    return path


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(value=VALUES)
def test_every_plain_value_comes_back_as_it_was(tmp_path, value):
    path = files.write(tmp_path / "x.pellucid", "Thing", {"value": value})
    kind, found = files.read(path)
    assert kind == "Thing"
    assert digest(found["value"]) == digest(value)


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.bool]
)
@pytest.mark.parametrize("shape", [(2, 3), (0, 4), ()])
def test_tensors_come_back_with_bits_shape_and_type(tmp_path, dtype, shape):
    tensor = torch.ones(shape).to(dtype)
    _, found = files.read(files.write(tmp_path / "x.pellucid", "Thing", {"value": tensor}))
    assert found["value"].dtype == dtype
    assert found["value"].shape == tensor.shape
    assert torch.equal(found["value"], tensor)


def test_views_are_stored_as_what_they_show(tmp_path):
    base = torch.arange(12.0).view(3, 4)
    fields = {"slice": base[:, 1], "turned": base.T, "again": base[:, 1], "wide": base[:1].expand(5, -1)}
    _, found = files.read(files.write(tmp_path / "x.pellucid", "Thing", fields))
    assert all(torch.equal(found[name], tensor) for name, tensor in fields.items())


def test_gradients_are_not_stored(tmp_path):
    tensor = torch.ones(2, requires_grad=True)
    _, found = files.read(files.write(tmp_path / "x.pellucid", "Thing", {"value": tensor * 2}))
    assert not found["value"].requires_grad


def test_a_result_comes_back_with_everything_but_its_query(saved):
    loaded = Result.load(saved)
    assert isinstance(loaded, Attribution)
    assert digest(loaded) == digest(attribution())
    assert loaded.query is None


def test_results_inside_results_come_back(tmp_path):
    inner = Evaluation(
        metric="m",
        names=("a",),
        value=torch.tensor([1.0]),
        interval=torch.tensor([[0.5, 1.5]]),
        per_example=torch.ones(1, 4),
    )
    _, found = files.read(files.write(tmp_path / "x.pellucid", "Thing", {"inner": (inner, {"again": inner})}))
    assert digest(found["inner"][0]) == digest(inner)
    assert isinstance(found["inner"][1]["again"], Evaluation)


@pytest.mark.parametrize(
    ("value", "named"),
    [
        pytest.param(object(), "object", id="an object"),
        ({1: "one"}, "1"),
        (print, "builtin"),
        (complex(1, 2), "complex"),
        ({"a": {1, 2}}, "set"),
    ],
    ids=str,
)
def test_what_a_file_cannot_hold_is_named_and_nothing_is_written(tmp_path, value, named):
    with pytest.raises(TypeError, match=named):
        files.write(tmp_path / "x.pellucid", "Thing", {"value": value})
    assert list(tmp_path.iterdir()) == []


def test_a_second_save_replaces_the_first_and_leaves_nothing_beside_it(tmp_path):
    path = attribution().save(tmp_path / "deep" / "a.pellucid")
    attribution(notes=("changed",)).save(path)
    assert Result.load(path).notes == ("changed",)
    assert [entry.name for entry in path.parent.iterdir()] == ["a.pellucid"]


def test_a_file_can_be_read_by_others(saved):
    assert saved.stat().st_mode & 0o777 == 0o644


def test_an_unwritable_place_is_refused_in_one_line(tmp_path):
    (tmp_path / "taken").write_text("a file, not a folder")
    with pytest.raises(CannotWrite, match="choose another folder") as refusal:
        attribution().save(tmp_path / "taken" / "a.pellucid")
    assert "\n" not in str(refusal.value)
    with pytest.raises(CannotWrite):
        files.write_bytes(tmp_path, b"a folder is in the way")
    assert [entry.name for entry in tmp_path.iterdir()] == ["taken"]


def test_a_failed_write_keeps_the_old_file(saved, monkeypatch):
    before = saved.read_bytes()

    def fail(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(CannotWrite, match="No space left"):
        attribution(notes=()).save(saved)
    assert saved.read_bytes() == before
    assert len(list(saved.parent.iterdir())) == 1


@pytest.mark.parametrize("length", [0, 3, 8, 20, 200, -1])
def test_a_truncated_file_is_refused(saved, length):
    content = saved.read_bytes()
    saved.write_bytes(content[:length])
    with pytest.raises(BadInput) as refusal:
        Result.load(saved)
    assert str(saved) in str(refusal.value)
    assert "\n" not in str(refusal.value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80, deadline=None)
@given(data=st.data())
def test_a_damaged_file_is_refused_or_still_a_result(saved, data):
    content = bytearray(attribution().save(saved).read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    saved.write_bytes(content)
    with contextlib.suppress(BadInput):
        assert isinstance(Result.load(saved), Result)


@pytest.mark.parametrize("length", [2**63, 2**40, 33 * 1024 * 1024])
def test_a_header_that_claims_too_much_is_refused_before_it_is_read(saved, length):
    saved.write_bytes(struct.pack("<Q", length) + saved.read_bytes()[8:])
    with pytest.raises(BadInput, match="claims"):
        Result.load(saved)


def test_a_newer_format_is_refused_by_name(saved):
    with pytest.raises(BadInput, match=rf"format {files.FORMAT + 1}, newer .* upgrade"):
        Result.load(rewritten(saved, lambda document: document.update(format=files.FORMAT + 1)))


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.update(format="1"),
        lambda document: document.update(kind=7),
        lambda document: document.update(fields=[]),
        lambda document: document.pop("kind") and None,
        lambda document: "[]",
        lambda document: "not json {",
        lambda document: "null",
        lambda document: document["fields"].update(scores={"$tensor": "t99"}),
        lambda document: document["fields"].update(scores={"$tensor": ["t0"]}),
        lambda document: document["fields"].update(scores={"$call": "os.system"}),
        lambda document: document["fields"].update(scores={"$tensor": "t0", "$text": "t1"}),
        lambda document: document["fields"].update(scores={"$enum": ["Popen", "id"]}),
        lambda document: document["fields"].update(scores={"$enum": ["Scope", "nothing"]}),
        lambda document: document["fields"].update(scores={"$float": "1.5"}),
        lambda document: document["fields"].update(scores={"$record": ["subprocess.Popen", {"args": "id"}]}),
        lambda document: document["fields"].update(scores={"$record": ["Features", {"kind": "x"}]}),
        lambda document: document["fields"].update(scores={"$result": ["Attribution", {}]}),
        lambda document: document["fields"].update(surprise=1),
        lambda document: document["fields"].pop("scores") and None,
        lambda document: document["fields"].update(value={"$tensor": "t0"}, scores={"$text": "t0"}),
        lambda document: document["fields"].update(features=None),
        lambda document: document["fields"].update(scores=3),
        lambda document: document["fields"].update(labels=5),
        lambda document: document["fields"].update(labels=[1, 2]),
        lambda document: document["fields"].update(notes=[["nested"]]),
        lambda document: document["fields"].update(absorbed={"$map": {"bias": "much"}}),
        lambda document: document["fields"].update(at=None),
    ],
)
def test_a_file_with_other_contents_is_refused_in_one_line(saved, change):
    with pytest.raises(BadInput) as refusal:
        Result.load(rewritten(saved, change))
    assert str(saved) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_deeply_nested_data_is_refused(saved):
    deep = "[" * 100_000 + "]" * 100_000
    text = '{"kind": "Attribution", "format": 1, "fields": {"scores": ' + deep + "}}"
    with pytest.raises(BadInput):
        Result.load(rewritten(saved, lambda document: text))


def test_contradicting_shapes_are_refused(saved):
    def change(document):
        document["fields"]["target"] = {"$tensor": "t0"}
        document["fields"]["scores"] = {"$tensor": "t1"}
        document["fields"]["value"] = {"$tensor": "t2"}
        document["fields"]["features"]["$record"][1]["segments"] = {"$tensor": "missing"}

    with pytest.raises(BadInput, match="contradict"):
        Result.load(rewritten(saved, change))


def test_an_unknown_kind_is_refused_by_name(saved):
    with pytest.raises(BadInput, match=r"'Oracle'.*upgrade"):
        Result.load(rewritten(saved, lambda document: document.update(kind="Oracle")))


def test_a_record_that_is_no_result_is_not_loaded_as_one(saved):
    with pytest.raises(BadInput, match="unknown kind"):
        Result.load(rewritten(saved, lambda document: document.update(kind="Features")))


def test_another_kind_than_the_one_asked_for_is_refused(saved):
    with pytest.raises(BadInput, match="kind Attribution, not Evaluation"):
        Evaluation.load(saved)


def test_a_safetensors_file_of_others_is_refused(tmp_path):
    save_file({"weight": torch.ones(2)}, tmp_path / "x.pellucid")
    with pytest.raises(BadInput, match="not a result of Pellucid"):
        Result.load(tmp_path / "x.pellucid")


def test_a_pickle_is_refused(tmp_path):
    torch.save({"weight": torch.ones(2)}, tmp_path / "x.pellucid")
    with pytest.raises(BadInput, match="damaged or not a result file"):
        Result.load(tmp_path / "x.pellucid")


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "none.pellucid", tmp_path):
        with pytest.raises(BadInput, match=r"cannot read"):
            Result.load(path)


def test_saving_does_not_depend_on_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    attribution().save("a.pellucid")
    assert os.listdir(tmp_path) == ["a.pellucid"]


def test_every_record_is_a_dataclass_that_names_itself():
    assert {name for name, cls in RECORDS.items() if cls.__name__ != name or not dataclasses.is_dataclass(cls)} == set()
    assert save({}) is not None
