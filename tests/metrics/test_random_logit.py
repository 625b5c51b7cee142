"""Random logit: what copies the picture is the same for every output, and closed forms on linear models."""

import pytest
import torch
from scipy.stats import spearmanr
from sklearn.datasets import load_digits

import pellucid as pl
from metrics.reasked import CopiedEdges, judge, linear, network, rows
from pellucid.core.errors import NotAnswerable
from pellucid.methods import LRP, Gradient, InputXGradient
from pellucid.metrics import RandomLogit


@pytest.mark.parametrize("similarity", ["spearman", "ssim"])
def test_a_map_that_copies_edges_is_caught_and_gradients_are_not(similarity):
    decision = pl.Decision(torch.tensor(load_digits().images[:20] / 16, dtype=torch.float32)[:, None])
    found = judge(RandomLogit(similarity=similarity), pl.load("digits-cnn"), decision, Gradient(), LRP(), CopiedEdges())
    assert float(found.value[2]) == 1
    assert found.control["edge"].tolist() == [1, 1, 1]
    assert not found.beats("test-copied-edges", "edge")
    assert found.beats("gradient", "edge")
    assert found.beats("lrp", "edge")
    assert bool((found.value[:2] < 0.4).all())
    assert abs(float(found.control["random"][0])) < 0.05


def test_two_outputs_of_a_linear_model_are_compared_by_their_weights():
    weights = rows(2, 30)
    found = judge(RandomLogit(), linear(weights), pl.Decision(rows(1, 30), target=0), Gradient())
    assert float(found.value) == pytest.approx(spearmanr(*weights).statistic)
    absolute = judge(RandomLogit(absolute=True), linear(weights), pl.Decision(rows(1, 30), target=1), Gradient())
    assert float(absolute.value) == pytest.approx(spearmanr(*weights.abs()).statistic)


def test_opposite_outputs_have_opposite_maps():
    weights = rows(1, 30)
    found = judge(RandomLogit(), linear(torch.cat([weights, -weights])), pl.Decision(rows(3, 30), target=0), Gradient())
    assert found.per_example[0].tolist() == pytest.approx([-1, -1, -1])


def test_equal_outputs_have_equal_maps():
    weights = rows(1, 30).expand(4, -1)
    found = judge(RandomLogit(), linear(weights), pl.Decision(rows(3, 30), target=0), InputXGradient())
    assert found.per_example[0].tolist() == [1, 1, 1]


def test_the_other_output_is_neither_the_target_nor_the_foil():
    weights = torch.cat([rows(1, 30).expand(2, -1), rows(1, 30, seed=9)])
    decision = pl.Decision(rows(8, 30), target=0, foil=1)
    found = judge(RandomLogit(), linear(weights), decision, InputXGradient())
    # Target and foil are the same function: their difference has a map of zeros, which only output 2 can change.
    assert found.per_example[0].tolist() == [0] * 8


def test_of_two_outputs_target_and_foil_change_places():
    decision = pl.Decision(rows(3, 30), target=0, foil=1)
    found = judge(RandomLogit(), linear(rows(2, 30)), decision, InputXGradient())
    assert found.per_example[0].tolist() == pytest.approx([-1, -1, -1])


def test_the_choice_depends_on_the_example_and_the_seed_only():
    subject, points = network(outputs=9), rows(6)
    together = judge(RandomLogit(), subject, pl.Decision(points, target=0), Gradient(), InputXGradient())
    alone = judge(RandomLogit(), subject, pl.Decision(points[3:4], target=0), InputXGradient())
    assert float(together.per_example[1, 3]) == pytest.approx(float(alone.value))
    other = judge(RandomLogit(seed=1), subject, pl.Decision(points, target=0), Gradient())
    assert not torch.equal(other.per_example[0], together.per_example[0])


def test_a_single_output_and_a_unit_have_no_other():
    with pytest.raises(NotAnswerable, match="no other of its 1 outputs"):
        judge(RandomLogit(), linear(rows(1, 4)), pl.Decision(rows(1, 4)), Gradient())
    unit = pl.Decision(rows(1), of=pl.Unit("0", 2))
    with pytest.raises(NotAnswerable, match="name a target"):
        judge(RandomLogit(), network(), unit, Gradient())
