"""Metrics that follow an order give quantus' values, where it does what it says, and where it departs from the papers."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import pellucid as pl
from metrics.additive_models import judgement
from pellucid.engine.quantus import mean_value
from pellucid.methods import Gradient
from pellucid.metrics.irof import Irof
from pellucid.metrics.monotonicity import Monotonicity
from pellucid.metrics.pixel_flipping import PixelFlipping
from pellucid.metrics.region_perturbation import RegionPerturbation
from pellucid.metrics.road import Road
from pellucid.metrics.selectivity import Selectivity
from reference.quantus_again import QUIET, Doubled, network, pictures, subject_of
from reference.quantus_differences import Difference
from reference.quantus_package import quantus

pytestmark = pytest.mark.reference

DIFFERENCES = (
    Difference(
        "PixelFlipping, Selectivity: the area",
        "leaves the unchanged input out of the curve and adds up trapezia of width one, so that the area grows with the "
        "number of steps; compat='quantus' does the same",
        "the mean height of the curve from the unchanged input on, in the unit of the score",
        "a score that is 1 whatever is erased, 36 steps",
        35.0,
        1.0,
    ),
    Difference(
        "RegionPerturbation",
        "gives the fall after each step and declares that low values are good; compat='quantus' adds them up as its own area "
        "does, and says that high values are good",
        "the mean fall from k = 0 on (AOPC), high is good (samek2017evaluating)",
        "two falls of 1, by the two halves of a picture",
        1.5,
        1.0,
    ),
    Difference(
        "Monotonicity",
        "restores features by the same black that it started with, so that the input never changes and every map of every "
        "model passes",
        "the score must not fall when features are restored in ascending order (arya2019one)",
        "score −Σx of bright pixels, which falls at every step",
        1.0,
        0.0,
    ),
    Difference(
        "IROF: the area",
        "takes the number of superpixels minus an area that leaves the unchanged picture out; compat='quantus' does the same",
        "the area over f(xₖ)/f(x₀) from k = 0 on: 0 where nothing changes (rieger2020irof)",
        "a score that is the same whatever is erased",
        1.0,
        0.0,
    ),
    Difference(
        "IROF: neighbours",
        "fills the curves of pictures with fewer superpixels than the largest of their batch up with zeros before it takes "
        "the area",
        "a picture's value depends on that picture",
        "a score that is the same whatever is erased, of pictures with 2 and 4 superpixels (felzenszwalb) in one batch",
        0.75,
        1.0,
    ),
    Difference(
        "IROF: the mean",
        "erases to the mean of the picture as far as it is erased already, which drifts",
        "the same mean for all superpixels (rieger2020irof); compat='quantus' takes that of the unchanged picture",
        "what the last superpixel is erased to, in a picture whose columns are the cubes of 0 … 1, the brightest first",
        0.1244,
        0.2667,
    ),
    Difference(
        "IROF, ROAD: colour",
        "raise an AssertionError (IROF) and an IndexError (ROAD) for pictures of more than one channel",
        "superpixels and pixels are erased in all channels",
        "any picture in colour (quantus: no number)",
        math.nan,
        math.nan,
    ),
    Difference(
        "ROAD",
        "averages over the examples of the first batch and drops all others",
        "accuracy over all examples (rong2022consistent)",
        "accuracy when half of the pixels are gone: 8 pictures in batches of 4, of which only the first 4 are recognised",
        1.0,
        0.5,
    ),
)


@pytest.fixture(autouse=True)
def trapezia(monkeypatch):
    """quantus' areas need a function that NumPy 2.4 has removed: without this stand-in IROF and all areas fail."""
    monkeypatch.setattr(np, "trapz", np.trapezoid, raising=False)


def measured(name):
    return next(entry for entry in DIFFERENCES if entry.name == name)


def theirs(metric, subject, points, targets, maps, **asked):
    """What a metric of quantus says of maps, by class probability."""
    return metric(
        model=subject.module,
        x_batch=points.numpy().copy(),
        y_batch=np.asarray(targets),
        a_batch=maps.double().numpy().copy(),
        channel_first=True,
        **({"softmax": True} | asked),
    )


def areas(falls):
    return np.trapezoid(np.asarray(falls, dtype=float), axis=1)


def question(channels=1, side=6, number=4):
    """A network, pictures, real gradient maps, which have no ties, and the judgement of these."""
    subject, points = network(channels=channels, side=side), pictures(number, channels, side)
    targets = [row % 4 for row in range(number)]
    scores = Gradient()(subject, pl.Decision(points, target=targets)).scores
    return subject, points, targets, scores, judgement(points, scores, target=targets, of="probability")


def same(ours, numbers, row=0):
    np.testing.assert_allclose(ours.per_example[row].numpy(), np.asarray(numbers, dtype=float), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("together", [1, 4])
def test_pixel_flipping_gives_the_same_areas_and_curves(channels, together):
    subject, points, targets, scores, asked = question(channels)
    steps = points[0].numel() // together
    curves = theirs(quantus.PixelFlipping(features_in_step=together, **QUIET), subject, points, targets, scores)
    ours = PixelFlipping(steps=steps, compat="quantus")(subject, asked)
    same(ours, areas(curves))
    np.testing.assert_allclose(ours.curve[0, 1:].numpy(), np.mean(curves, 0), rtol=1e-6)
    own = quantus.PixelFlipping(features_in_step=together, return_auc_per_sample=True, **QUIET)
    same(ours, theirs(own, subject, points, targets, scores))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("side", "region", "steps"), [(6, 2, 9), (6, 2, 4), (7, 3, 9), (9, 2, 20)])
@pytest.mark.parametrize(("order", "name"), [("most", "morf"), ("least", "lerf")])
def test_region_perturbation_gives_the_same_falls(channels, side, region, steps, order, name):
    subject, points, targets, scores, asked = question(channels, side)
    metric = quantus.RegionPerturbation(patch_size=region, regions_evaluation=steps, order=name, **QUIET)
    falls = theirs(metric, subject, points, targets, scores)
    ours = RegionPerturbation(region=region, steps=steps, order=order, compat="quantus")(subject, asked)
    same(ours, areas(falls))
    np.testing.assert_allclose((ours.curve[0, :1] - ours.curve[0, 1:]).numpy(), np.mean(falls, 0), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("side", "patch"), [(6, 2), (8, 3), (20, 8)])
def test_selectivity_gives_the_same_areas(channels, side, patch):
    subject, points, targets, scores, asked = question(channels, side)
    curves = theirs(quantus.Selectivity(patch_size=patch, **QUIET), subject, points, targets, scores)
    same(Selectivity(patch=patch, compat="quantus")(subject, asked), areas(curves))
    if patch == 8:
        same(Selectivity(compat="quantus")(subject, asked), areas(curves))


@pytest.mark.parametrize("side", [6, 16])
def test_irof_gives_the_same_area_for_a_cover_that_does_not_drift(side):
    subject, points, targets, scores, asked = question(side=side)
    ours = Irof(cover=0.3, compat="quantus")(subject, asked)
    metric = quantus.IROF(perturb_baseline=0.3, **QUIET)
    parts = [slice(row, row + 1) for row in range(len(points))]
    same(ours, [theirs(metric, subject, points[part], targets[part], scores[part])[0] for part in parts])


@pytest.mark.parametrize("side", [8, 12])
def test_road_recognises_the_same_pictures(side):
    subject, points, _, _, _ = question(side=side, number=24)
    targets = subject.scores(points).argmax(1).tolist()
    scores = Gradient()(subject, pl.Decision(points, target=targets)).scores
    percentages = tuple(range(5, 100, 10))
    theirs_at = theirs(
        quantus.ROAD(percentages=list(percentages), noise=0.0, **QUIET), subject, points, targets, scores
    )
    ours = Road(percentages=percentages, noise=0.0)(subject, judgement(points, scores, target=targets))
    assert ours.curve[0, 1:].tolist() == pytest.approx(list(theirs_at.values()))
    assert 0 < float(ours.value) < 1


def same_whatever(side=6):
    """A classifier that gives its second class always."""
    module = Doubled(nn.Flatten(), nn.Linear(side * side, 2)).eval()
    nn.init.zeros_(module.net[1].weight)
    module.net[1].bias.data = torch.tensor([-100.0, 100.0], dtype=torch.float64)
    return subject_of(module, side)


def test_areas_of_quantus_grow_with_the_number_of_steps():
    subject, points, entry = same_whatever(), pictures(1), measured("PixelFlipping, Selectivity: the area")
    asked = judgement(points, points, target=1, of="probability")
    for metric, own in (
        (quantus.PixelFlipping(**QUIET), PixelFlipping),
        (quantus.Selectivity(patch_size=1, **QUIET), None),
    ):
        assert areas(theirs(metric, subject, points, [1], points))[0] == pytest.approx(entry.quantus)
        ours = own or Selectivity
        fields = {"steps": 36} if own else {"patch": 1}
        assert float(ours(compat="quantus", **fields)(subject, asked).value) == pytest.approx(entry.quantus)
        assert float(ours(**fields)(subject, asked).value) == pytest.approx(entry.defined)


def bright(weight, side=4):
    """A score that adds up all pixels, times a weight, and pictures of ones on black."""
    module = Doubled(nn.Flatten(), nn.Linear(side * side, 1, bias=False)).eval()
    nn.init.constant_(module.net[1].weight, weight)
    return pl.wrap(module, pl.tasks.Image(side, (0.0,), (1.0,), output="value"), name="bright")


def test_falls_of_quantus_count_otherwise_and_point_the_wrong_way():
    entry, subject = measured("RegionPerturbation"), bright(1 / 4)
    points = torch.zeros(1, 1, 4, 4)
    points[..., 1:3, 1:3] = 1  # in each of the four squares one pixel is bright
    points[..., 2:, :] *= 0
    points[..., 1, 1:3] = 4  # and now in two
    scores = points + torch.arange(16.0).view(1, 1, 4, 4) / 100
    metric = quantus.RegionPerturbation(patch_size=2, regions_evaluation=2, **QUIET)
    falls = theirs(metric, subject, points, [0], scores, softmax=False)
    assert np.asarray(falls).tolist() == [[1, 2]]
    assert metric.score_direction.value == "lower"
    asked = judgement(points, scores)
    found = RegionPerturbation(region=2, steps=2, compat="quantus")(subject, asked)
    assert float(found.value) == entry.quantus == areas(falls)[0]
    assert found.higher_is_better
    fields = {"region": 2, "steps": 2, "draws": 1, "replacement": "black"}
    assert float(RegionPerturbation(**(fields | {"region": 1}))(subject, asked).value) == pytest.approx(entry.defined)


def test_every_map_is_monotone_for_quantus():
    entry, subject, points = measured("Monotonicity"), bright(-1.0), pictures(1, side=4)
    found = theirs(quantus.Monotonicity(**QUIET), subject, points, [0], points, softmax=False)
    assert [float(value) for value in found] == [entry.quantus]
    assert float(Monotonicity(cover="black")(subject, judgement(points, points)).value) == entry.defined


def test_irof_of_quantus_gives_one_where_nothing_changes():
    entry, subject, points = measured("IROF: the area"), same_whatever(16), pictures(1, side=16)
    assert theirs(quantus.IROF(**QUIET), subject, points, [1], points)[0] == pytest.approx(entry.quantus)
    asked = judgement(points, points, target=1, of="probability")
    assert float(Irof(compat="quantus")(subject, asked).value) == pytest.approx(entry.quantus)
    assert float(Irof()(subject, asked).value) == pytest.approx(entry.defined)


@pytest.mark.filterwarnings("ignore:The settings for perturbing input")
def test_irof_of_quantus_depends_on_the_other_pictures():
    entry, subject = measured("IROF: neighbours"), same_whatever(16)
    halves = torch.zeros(16, 16)
    halves[:, :8] = 1
    quarters = torch.where(torch.arange(16)[:, None] < 8, halves, 0.5 * halves + 0.2)
    both = torch.stack([halves, quarters])[:, None]
    fields = {"segmentation_method": "felzenszwalb", **QUIET}
    alone = [theirs(quantus.IROF(**fields), subject, point[None], [1], point[None])[0] for point in both]
    together = np.mean(theirs(quantus.IROF(**fields), subject, both, [1, 1], both))
    assert np.mean(alone) == pytest.approx(entry.defined)
    assert together == pytest.approx(entry.quantus)
    ours = Irof(compat="quantus")(subject, judgement(both, both, target=1, of="probability"))
    assert ours.per_example[0].tolist() == pytest.approx([entry.defined] * 2)


def test_the_mean_of_quantus_drifts_as_the_picture_is_erased():
    entry, subject = measured("IROF: the mean"), bright(1 / 256, 16)
    points = torch.linspace(0, 1, 16).pow(3).expand(1, 1, 16, 16)
    seen = []
    metric = quantus.IROF(**QUIET)
    perturb = metric.perturb_func
    metric.perturb_func = lambda arr, mask: seen.append(float(arr.mean())) or perturb(arr=arr, mask=mask)
    theirs(metric, subject, points, [0], points, softmax=False)
    assert seen[-1] == pytest.approx(entry.quantus, abs=5e-5)
    assert float(mean_value(subject.prepare(points)).mean()) == pytest.approx(entry.defined, abs=5e-5)
    assert seen[0] == pytest.approx(entry.defined, abs=5e-5)


@pytest.mark.parametrize(("metric", "error"), [(quantus.IROF, AssertionError), (quantus.ROAD, IndexError)])
def test_quantus_has_no_superpixels_and_no_imputation_in_colour(metric, error):
    subject, points, targets, scores, asked = question(channels=3, side=16)
    assert math.isnan(measured("IROF, ROAD: colour").quantus)
    with pytest.raises(error):
        theirs(metric(**QUIET), subject, points, targets, scores[:, :1])
    own = Irof() if metric is quantus.IROF else Road()
    assert bool(own(subject, asked).value.isfinite().all())


def test_road_of_quantus_drops_all_batches_but_the_first():
    entry = measured("ROAD")
    module = Doubled(nn.Flatten(), nn.Linear(64, 2)).eval()
    nn.init.zeros_(module.net[1].bias)
    module.net[1].weight.data = torch.stack([-torch.ones(64), torch.ones(64)]).double()
    subject, points = subject_of(module, 8), pictures(8, side=8)
    targets = [1] * 4 + [0] * 4
    metric = quantus.ROAD(percentages=[50], noise=0.0, **QUIET)
    assert theirs(metric, subject, points, targets, points, batch_size=4)[50] == entry.quantus
    ours = Road(percentages=(50,), noise=0.0)(subject, judgement(points, points, target=targets))
    assert float(ours.value) == entry.defined
