"""The two sides of the pages for people from other libraries give the same answers, where the pages say so."""

import sys
import types
import warnings

import numpy as np
import pytest
import torch

from guide.test_coming_from import blocks

pytestmark = [pytest.mark.reference, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

_STAND_INS = {
    "torchvision": (),
    "torchvision.models": (),
    "torchvision.models.resnet": ("Bottleneck", "BasicBlock"),
    "torchvision.transforms": ("Compose", "Normalize", "ToTensor"),
    "torchvision.transforms.functional": ("resize",),
}


@pytest.fixture(autouse=True)
def stand_in(monkeypatch):
    """zennit and grad-cam import torchvision for models and transforms that are not used here."""
    for name, parts in _STAND_INS.items():
        module = types.ModuleType(name)
        for part in parts:
            setattr(module, part, type(part, (), {}))
        monkeypatch.setitem(sys.modules, name, module)


def ran(name, peer):
    """The names that a page's code leaves behind, theirs and the first of ours."""
    names = {}
    for piece in (*blocks(name, "both"), *blocks(name, peer), blocks(name, "Pellucid")[0]):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(compile(piece, f"{name}.md", "exec"), names)
    return names


def test_zennit_gives_the_same_relevance_and_of_one_instead_of_the_score_its_quotient():
    names = ran("zennit", "zennit")
    why, relevance = names["why"], names["relevance"]
    torch.testing.assert_close(why.scores, relevance, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(why.value.float(), names["output"][:, 3].detach())
    with names["Gradient"](names["net"], names["EpsilonPlus"]()) as attributor:
        _, of_one = attributor(names["x"], torch.eye(10)[[3]])
    torch.testing.assert_close((why.scores / why.value).float(), of_one, rtol=1e-4, atol=1e-6)


def test_shap_gives_the_same_values_and_expected_value():
    names = ran("shap", "shap")
    why = names["why"]
    torch.testing.assert_close(why.scores.double(), torch.from_numpy(names["values"]), rtol=0, atol=1e-6)
    base = float(why.value[0] - why.scores[0].sum())
    assert base == pytest.approx(float(names["explainer"].expected_value), abs=1e-6)


def test_lime_gives_coefficients_within_the_intervals():
    names = ran("lime", "lime")
    (low,), (high,) = names["why"].interval
    theirs = dict(names["explained"].as_map()[1])
    spread = (high - low).tolist()
    for column, coefficient in theirs.items():
        # Both are draws of 5,000 rows: theirs may be as far from the truth as ours.
        assert float(low[column]) - spread[column] < coefficient < float(high[column]) + spread[column]
    assert np.sign(theirs[0]) == np.sign(float(names["why"].scores[0, 0]))


def test_grad_cam_gives_the_same_stretched_maps():
    names = ran("grad-cam", "grad-cam")
    torch.testing.assert_close(names["stretched"], torch.from_numpy(names["maps"]), rtol=0, atol=1e-4)
