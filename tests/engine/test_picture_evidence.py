"""The evidence beside synthetic pictures against direct calculations."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.core.errors import NotComparable
from pellucid.engine.picture_evidence import agreement, evidence
from pellucid.engine.units import objective_of
from pellucid.results import feature_images as named


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def subject_of(channels=1, side=8, classes=3, seed=0):
    torch.manual_seed(seed)
    parts = [nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, classes)]
    task = pl.tasks.Image(side, (0.5,) * channels, (0.25,) * channels, labels=("a", "b", "c")[:classes])
    return pl.wrap(nn.Sequential(*parts), task, name=f"network {seed}")


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 15, 12), (2, 9, 14)])
def test_copies_that_are_shifted_agree(shape):
    picture = noise(1, *shape)
    images = torch.cat([picture, picture.roll((3, -2), (2, 3)), 5 * picture.roll(7, 3) + 2])
    assert (agreement(images, ["same"] * 3) >= 0.99).all()
    assert (agreement(torch.cat([noise(1, *shape, seed=1), images[:1]]), ["same"] * 2) < 0.5).all()


def test_agreement_is_the_mean_over_the_others_of_the_unit_and_of_no_other():
    rows = noise(4, 10)
    found = agreement(rows, ["x", "y", "x", "x"])
    cosines = np.corrcoef(rows.double().numpy())
    assert found[0] == pytest.approx((cosines[0, 2] + cosines[0, 3]) / 2, abs=1e-6)
    assert found[3] == pytest.approx((cosines[3, 0] + cosines[3, 2]) / 2, abs=1e-6)
    assert math.isnan(found[1])


def test_a_common_colour_is_no_agreement():
    images = 0.3 * noise(3, 3, 32, 32) + torch.tensor([1.0, -0.5, -1.0]).view(3, 1, 1)
    assert (agreement(images, ["x"] * 3) < 0.15).all()


def test_a_flat_picture_agrees_with_nothing_and_gives_a_number():
    found = agreement(torch.cat([torch.ones(1, 1, 4, 4), noise(1, 1, 4, 4)]), ["x", "x"])
    assert found.tolist() == [0, 0]


def test_what_data_do_to_each_unit_is_measured_once_per_unit():
    subject = subject_of()
    images, data = subject.prepare(noise(3, 1, 8, 8)), subject.prepare(noise(50, 1, 8, 8, seed=1))
    objective, _ = objective_of(subject, images, pl.Unit("0", 2))
    found = evidence(subject, images, objective, ["u", "u", "u"], data)
    values = subject.run(data, capture=("0",)).activations["0"][:, 2].mean((1, 2)).double()
    assert found[named.MAXIMUM].tolist() == pytest.approx([float(values.max())] * 3, abs=1e-6)
    assert found[named.PERCENTILE].tolist() == pytest.approx([float(np.quantile(values, 0.999))] * 3, abs=1e-6)
    assert set(found) == {
        *(named.MAXIMUM, named.PERCENTILE, named.FINE, named.AGREEMENT),
        *(named.DISTANCE, named.NEAREST),
    }
    with pl.byte_budget(1):
        again = evidence(subject, images, objective, ["u", "u", "u"], data)
    assert all(torch.allclose(again[name], found[name], atol=1e-5) for name in found)


def test_the_nearest_example_is_found_at_the_picture_s_size_in_shares_of_the_range():
    subject = subject_of()
    low, high = (bound.flatten()[0] for bound in subject.task.bounds(subject.prepare(noise(1, 1, 8, 8))))
    grey = lambda share, side: torch.full((1, 1, side, side), float(low + share * (high - low)))  # noqa: E731
    data = subject.prepare(torch.cat([grey(0.1, 8), grey(0.6, 8), grey(1.0, 8)]))
    images = subject.prepare(torch.cat([grey(0.5, 12), grey(0.0, 12)]))
    objective, _ = objective_of(subject, images, pl.Unit("0", 0))
    found = evidence(subject, images, objective, ["x", "y"], data)
    assert found[named.NEAREST].tolist() == [1, 0]
    assert found[named.DISTANCE].tolist() == pytest.approx([0.1, 0.1], abs=1e-5)


def test_a_class_has_its_probability_here_and_there_at_the_other_network_s_size():
    subject, second = subject_of(seed=0), subject_of(side=12, seed=3)
    images = subject.prepare(noise(2, 1, 8, 8))
    objective, _ = objective_of(subject, images, pl.Unit(target=1))
    found = evidence(subject, images, objective, ["x", "y"], None, second)
    here = subject.scores(images).softmax(1)
    larger = nn.functional.interpolate(images.value, (12, 12), mode="bilinear", antialias=True)
    there = second.scores(second.prepare(larger)).softmax(1)
    assert torch.allclose(found[named.PROBABILITY], here[:, 1].double())
    assert torch.allclose(found[named.TRANSFER], there[:, 1].double())
    ranks = there.argsort(descending=True).argsort()[:, 1] + 1
    assert torch.equal(found[named.RANK], ranks.double())


def test_a_second_network_can_be_asked_of_classes_it_has_and_of_no_units():
    subject = subject_of()
    images = subject.prepare(noise(1, 1, 8, 8))
    unit, _ = objective_of(subject, images, pl.Unit("0", 0))
    with pytest.raises(NotComparable, match="no unit that is known to be the same"):
        evidence(subject, images, unit, ["x"], None, subject_of(seed=1))
    last, _ = objective_of(subject, images, pl.Unit(target=2))
    with pytest.raises(NotComparable, match="without the class"):
        evidence(subject, images, last, ["x"], None, subject_of(classes=2))


def test_vectors_have_no_fine_power():
    subject = pl.wrap(nn.Sequential(nn.Linear(4, 2)), pl.tasks.TensorTask(shape=(4,)), name="vectors")
    images = subject.prepare(noise(1, 4))
    objective, _ = objective_of(subject, images, pl.Unit("0", 1))
    assert dict(evidence(subject, images, objective, ["x"])) == {}
