"""The toolbox's recipes against a loop written out step by step; which picture of the way is kept; what is refused."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d
from torch import nn

import pellucid as pl
from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.engine.canvases import drawn
from pellucid.engine.drawing_units import seeds_of
from pellucid.engine.spectra import power
from pellucid.methods.features.toolbox_image import FIRST, RECIPES, ToolboxImage

SIDES = 12
MEAN, DEVIATION = torch.tensor([0.5, 0.45, 0.4]), torch.tensor([0.25, 0.2, 0.3])


@pytest.fixture
def subject():
    torch.manual_seed(1)
    parts = [
        nn.Conv2d(3, 4, 3, padding=1),
        nn.Softplus(),
        nn.Conv2d(4, 5, 3, stride=2),
        nn.Flatten(),
        nn.Linear(125, 3),
    ]
    task = pl.tasks.Image(SIDES, tuple(MEAN.tolist()), tuple(DEVIATION.tolist()), labels=("a", "b", "c"))
    return pl.wrap(nn.Sequential(*parts), task, name="small")


def gradient_of(subject, levels, target):
    """The logit and its gradient with respect to levels, by a pass of the module itself."""
    leaf = levels.clone().requires_grad_()
    value = subject.module(leaf / 255 / DEVIATION.view(3, 1, 1))[:, target]
    return value.detach(), torch.autograd.grad(value.sum(), leaf)[0]


def by_hand(subject, start, recipe, steps, target):
    """The picture after so many steps, and the values before each."""
    mean = 255 * MEAN.view(3, 1, 1)
    x, values = start.clamp(-mean, 255 - mean), []
    for step in range(steps):
        x = torch.maximum(torch.minimum(x, 255 - mean), -mean)
        value, gradient = gradient_of(subject, x, target)
        values.append(value)
        rate = recipe.rate
        if recipe.policy == "progress":
            rate = min(recipe.rate, recipe.progress / float(gradient.square().sum()))
        x = (x + rate * gradient) * (1 - recipe.decay)
        if recipe.radius and step % 4 == 0:
            for axis in (2, 3):
                x = torch.from_numpy(gaussian_filter1d(x.numpy(), recipe.radius, axis, mode="nearest", truncate=3.0))
        if recipe.norms:
            norms = x.norm(dim=1, keepdim=True)
            x = x * (norms >= np.percentile(norms, recipe.norms))
        if recipe.contributions:
            contribution = (-x * gradient).sum(1, keepdim=True).abs()
            x = x * (contribution >= np.percentile(contribution, recipe.contributions))
    return torch.maximum(torch.minimum(x, 255 - mean), -mean), torch.cat(values)


@pytest.mark.parametrize("recipe", [1, 2, 3, 4])
def test_each_recipe_takes_the_steps_of_the_toolbox_in_its_order(subject, recipe):
    result = ToolboxImage(recipe=recipe, steps=9, starts=1, keep="last")(subject, pl.Unit(target=1))
    start = 10 * drawn(seeds_of(0, "class 1 (b)", 1), (3, SIDES, SIDES))
    expected, values = by_hand(subject, start, RECIPES[recipe], 9, 1)
    levels = result.images * 255 * DEVIATION.view(3, 1, 1)
    assert torch.allclose(levels, expected, atol=0.05)
    assert torch.allclose(result.trace[0], values, atol=1e-4)
    assert not torch.allclose(levels, start, atol=1)
    assert result.notes[-1] == "Zero in the recipe is 128, 115, 102 of 255."
    assert (result.low, result.high) == (None, None)


def test_a_field_takes_the_place_of_the_recipe_s(subject):
    ask = lambda **named: ToolboxImage(steps=5, starts=1, keep="last", **named)(subject, pl.Unit(target=0)).images  # noqa: E731
    assert not torch.equal(ask(recipe=3), ask(recipe=3, decay=0.5))
    assert torch.equal(ask(recipe=3, decay=0.3, radius=0.0, norms=20.0), ask(recipe=2))
    assert torch.equal(ask(recipe=2, every=1), ask(recipe=2))
    assert not torch.equal(ask(recipe=3, every=1), ask(recipe=3))
    for clip in ("values", "signed"):
        zeros = (ask(recipe=3, radius=0.0, **{clip: 60.0}) == 0).float().mean()
        assert 0.55 <= float(zeros) <= 0.65


def test_by_progress_a_linear_unit_rises_evenly():
    linear = pl.wrap(nn.Sequential(nn.Flatten(), nn.Linear(64, 2)), pl.tasks.Image(8, (0.5,), (1.0,)), name="linear")
    asked = {"radius": 0.0, "norms": 0.0, "starts": 2, "steps": 6, "progress": 0.01, "rate": 1e9}
    rising = ToolboxImage(recipe=1, **asked)(linear, pl.Unit(target=0)).trace
    assert torch.allclose(rising.diff(dim=1), torch.full((2, 5), 0.01), atol=1e-5)
    late = ToolboxImage(recipe=1, policy="progress01", late=0.1, **(asked | {"progress": 1.0}))
    probability = late(linear, pl.Unit(target=0))
    assert (probability.trace >= 0).all()
    assert (probability.trace.diff(dim=1) > 0).all()
    assert (probability.activations <= 1).all()


def test_what_is_kept_is_the_best_the_last_or_the_first_at_which_the_unit_leads(subject):
    found = {
        keep: ToolboxImage(recipe=4, steps=15, starts=2, keep=keep)(subject, pl.Unit(target=2))
        for keep in ("best", "last", "first")
    }
    run = lambda result: subject.scores(subject.prepare(result.images))  # noqa: E731
    for result in found.values():
        assert torch.allclose(run(result)[:, 2].double(), result.activations, atol=1e-5)
    traces = found["best"].trace
    way = torch.cat([traces, found["last"].activations[:, None]], 1)
    assert torch.allclose(found["best"].activations, way.amax(1).double())
    first = found["first"]
    for row, step in enumerate(first.evidence[FIRST].tolist()):
        if step == step:
            assert run(first)[row].argmax() == 2
            assert first.activations[row] == pytest.approx(float(traces[row, int(step)]), abs=1e-5)
            assert first.captions[row] == f"start {row + 1}"
        else:
            assert first.captions[row] == f"start {row + 1}, last, as never the strongest"
    assert not first.evidence[FIRST].isnan().all()


@pytest.mark.parametrize("index", [2, (2, 0, 0), (2, 1, 3)])
def test_units_of_maps_lead_among_channels_or_among_all_elements(subject, index):
    result = ToolboxImage(steps=20, starts=2, keep="first", recipe=4)(subject, pl.Unit("2", index))
    maps = subject.run(subject.prepare(result.images), capture=("2",)).activations["2"]
    for row, step in enumerate(result.evidence[FIRST].tolist()):
        strongest = maps[row, :, 2, 2].argmax() == 2 if index == 2 else maps[row].argmax() == maps[row, 2].argmax() + 50
        assert strongest == (step == step)
    assert any("corner" in note for note in result.notes) is (index == (2, 0, 0))


def test_batches_do_not_change_a_picture(subject):
    whole = ToolboxImage(steps=6, starts=3, keep="first")(subject, pl.Unit(target=0))
    with pl.byte_budget(1):
        parts = ToolboxImage(steps=6, starts=3, keep="first")(subject, pl.Unit(target=0))
    assert torch.allclose(whole.images, parts.images, atol=1e-5)
    assert torch.equal(whole.evidence[FIRST].nan_to_num(-1), parts.evidence[FIRST].nan_to_num(-1))


def test_the_third_recipe_leaves_less_than_a_third_of_the_fine_power_of_none():
    subject = pl.load("digits-cnn")

    def fine(**named):
        images = ToolboxImage(recipe=3, steps=60, starts=3, **named)(subject, pl.Unit(target=3)).images
        found, frequency = power(images)
        return found[:, frequency > 0.25].sum(1)

    assert (fine() < fine(decay=0.0, radius=0.0) / 3).all()


def test_what_has_no_levels_or_no_gradient_is_refused(subject):
    vectors = pl.wrap(nn.Sequential(nn.Linear(4, 2)), pl.tasks.TensorTask(shape=(4,)), name="vectors")
    with pytest.raises(NotAnswerable, match="pictures|image"):
        ToolboxImage()(vectors, pl.Unit(target=0))
    with pytest.raises(UsageError, match="progress01' is for probabilities"):
        ToolboxImage(policy="progress01")(subject, pl.Unit("2", 0))
    with torch.no_grad():
        subject.module[2].weight[1] = 0
    with pytest.raises(NotAnswerable, match="its gradient is zero"):
        ToolboxImage(steps=2)(subject, pl.Unit("2", 1))
    with pytest.raises(UsageError):
        ToolboxImage(recipe=5)
