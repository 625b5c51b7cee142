"""Faithfulness correlation: exact for linear models, free for further maps, and defined where nothing varies."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import pellucid as pl
from metrics.plain_rows import linear, made, rows, wrapped
from pellucid.core.errors import UsageError
from pellucid.metrics import FaithfulnessCorrelation


@pytest.mark.parametrize("baseline", ["zero", 0.7])
def test_contributions_of_a_linear_model_correlate_perfectly(baseline):
    subject, weights = linear()
    inputs = rows(3, 30)
    decision = pl.Decision(inputs)
    contributions = (inputs - (0 if baseline == "zero" else baseline)) * weights
    answers = [made(decision, scores) for scores in (contributions, -2 * contributions)]
    found = FaithfulnessCorrelation(size=4, cover=baseline)(subject, pl.Judgement(answers))
    assert torch.allclose(found.per_example, torch.tensor([[1.0], [-1.0]], dtype=torch.float64), atol=1e-12)
    assert found.higher_is_better


def test_it_is_the_correlation_over_all_sets_where_these_are_few():
    subject = wrapped(lambda point: point[:, :1] * point[:, 1:2] + point[:, 2:].tanh().sum(1, keepdim=True))
    inputs, scores = rows(1, 6), rows(1, 6, seed=2)
    found = FaithfulnessCorrelation(size=2)(subject, pl.Judgement([made(pl.Decision(inputs), scores)]))
    sets = torch.combinations(torch.arange(6), 2)
    erased = torch.stack([inputs[0].index_fill(0, chosen, 0) for chosen in sets])
    falls = (subject.scores(inputs) - subject.scores(erased))[:, 0]
    expected = torch.corrcoef(torch.stack([scores[0][sets].sum(1), falls]))[0, 1]
    assert float(found.value) == pytest.approx(float(expected), abs=1e-12)


def test_maps_share_the_calls_and_the_number_of_sets_is_what_they_cost():
    subject, _ = linear()
    decision = pl.Decision(rows(1, 30), target=0)
    answers = [made(decision, rows(1, 30, seed)) for seed in range(8)]
    costs = [
        FaithfulnessCorrelation(size=5, subsets=40)(subject, pl.Judgement(some)).evaluations["F"]
        for some in (answers, answers[:1])
    ]
    assert costs[0] == costs[1] <= 40 + 3


def test_what_does_not_vary_has_no_correlation():
    subject, _ = linear()
    decision = pl.Decision(rows(2, 30))
    constant = made(decision, torch.full((2, 30), 0.1, dtype=torch.float64))
    found = FaithfulnessCorrelation(size=3)(subject, pl.Judgement([constant]))
    assert found.value.tolist() == [0]
    assert found.control["constant"].tolist() == [0, 0, 0]
    blind = wrapped(lambda point: 0 * point.sum(1, keepdim=True) + 3)
    assert FaithfulnessCorrelation()(blind, pl.Judgement([made(decision, rows(2, 30))])).value.tolist() == [0]
    single = pl.Decision(rows(2, 1))
    alone = FaithfulnessCorrelation()(linear(1)[0], pl.Judgement([made(single, rows(2, 1))]))
    assert alone.value.tolist() == [0]


def test_random_maps_lie_around_zero_within_their_interval():
    subject, weights = linear()
    inputs = rows(1, 30)
    found = FaithfulnessCorrelation(size=5, subsets=300, random_maps=40)(
        subject, pl.Judgement([made(pl.Decision(inputs), inputs * weights)])
    )
    value, low, high = found.control["random"].tolist()
    assert low < 0 < high
    assert abs(value) < 0.15
    assert found.beats("answer", "random")


@settings(deadline=None, max_examples=20)
@given(st.floats(1e-6, 1e6), st.integers(0, 1000))
def test_the_scale_of_a_map_does_not_matter(factor, seed):
    subject, _ = linear(8)
    decision = pl.Decision(rows(2, 8, seed))
    scores = rows(2, 8, seed + 1)
    found = FaithfulnessCorrelation(size=3, subsets=20)(
        subject, pl.Judgement([made(decision, scores), made(decision, scores * factor)])
    )
    assert torch.allclose(found.per_example[0], found.per_example[1], atol=1e-9)
    assert bool((found.per_example.abs() <= 1).all())


def test_draws_depend_on_the_seed_and_the_example_alone():
    subject, _ = linear()
    inputs, scores = rows(3, 30), rows(3, 30, seed=4)
    subject.module.function = lambda point: point.prod(1, keepdim=True) + point.tanh().sum(1, keepdim=True) ** 2
    metric = FaithfulnessCorrelation(size=5, subsets=30)
    together = metric(subject, pl.Judgement([made(pl.Decision(inputs), scores)])).per_example[0]
    for row in range(3):
        part = slice(row, row + 1)
        alone = metric(subject, pl.Judgement([made(pl.Decision(inputs[part]), scores[part])])).per_example[0]
        assert float(alone) == pytest.approx(float(together[row]), abs=1e-12)
    other = FaithfulnessCorrelation(size=5, subsets=30, seed=1)(
        subject, pl.Judgement([made(pl.Decision(inputs), scores)])
    )
    assert not torch.equal(other.per_example[0], together)


def test_different_examples_lose_different_sets():
    seen = []
    subject = wrapped(lambda point: (seen.append(point.clone()), point.sum(1, keepdim=True))[1])
    inputs = torch.tensor([1.0, 2]).double()[:, None].expand(2, 30).clone()
    FaithfulnessCorrelation(size=5, subsets=20)(
        subject, pl.Judgement([made(pl.Decision(inputs, target=0), rows(2, 30))])
    )
    points = torch.cat(seen)
    one, other = ((points[points.amax(1) == level] == 0).unique(dim=0) for level in (1, 2))
    assert len(one) == len(other) == 21
    assert not torch.equal(one, other)


def test_fields_out_of_bounds_are_refused():
    for fields in ({"size": 0}, {"subsets": 1}, {"size": 1.5}):
        with pytest.raises(UsageError, match="faithfulness-correlation"):
            FaithfulnessCorrelation(**fields)
