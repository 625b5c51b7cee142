"""What all metrics that follow an order have in common: closed forms, optimal orders, chance, and no call twice."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import pellucid as pl
from metrics.additive_models import (
    heights,
    judgement,
    letters_model,
    mean_height,
    picture_model,
    pictures,
    row_model,
)
from pellucid.engine.erasing import shared_calls
from pellucid.engine.targets import resolve
from pellucid.methods import InputXGradient
from pellucid.metrics.deletion import Deletion
from pellucid.metrics.insertion import Insertion
from pellucid.metrics.irof import Irof
from pellucid.metrics.monotonicity import Monotonicity
from pellucid.metrics.pixel_flipping import PixelFlipping
from pellucid.metrics.selectivity import Selectivity

FALLING = {
    "deletion": Deletion(cover="zero"),
    "pixel-flipping": PixelFlipping(cover="zero"),
    "selectivity": Selectivity(cover="zero"),
}
RANKED = FALLING | {"insertion": Insertion(cover="zero"), "irof": Irof(cover="zero")}
WALKS = RANKED | {"monotonicity": Monotonicity(cover="zero", measure="steps")}
ROW = torch.tensor([[1.0, 2.0, -1.0, 0.5, 3.0]], dtype=torch.float64)
WEIGHTS = [2.0, -1.0, 1.0, 4.0, 0.5]
LOSSES = [2.0, -2.0, -1.0, 2.0, 1.5]


@pytest.mark.parametrize("metric", FALLING.values(), ids=FALLING)
def test_an_additive_score_falls_by_what_each_feature_gave(metric):
    scores = torch.tensor([[3.0, 5.0, 1.0, 2.0, 4.0]])
    found = metric(row_model(WEIGHTS), judgement(ROW, scores))
    curve = heights(LOSSES, [1, 4, 0, 3, 2], sum(LOSSES))
    assert found.curve[0].tolist() == pytest.approx(curve)
    assert float(found.value) == pytest.approx(mean_height(curve))
    assert not found.higher_is_better


def test_an_additive_score_rises_by_what_each_feature_gives():
    scores = torch.tensor([[3.0, 5.0, 1.0, 2.0, 4.0]])
    found = Insertion()(row_model(WEIGHTS), judgement(ROW, scores))
    curve = heights([-loss for loss in LOSSES], [1, 4, 0, 3, 2], 0.0)
    assert found.curve[0].tolist() == pytest.approx(curve)
    assert float(found.value) == pytest.approx(mean_height(curve))
    assert found.higher_is_better


def test_what_remains_of_an_additive_score_is_a_ratio():
    scores = torch.tensor([[3.0, 5.0, 1.0, 2.0, 4.0]])
    found = Irof()(row_model(WEIGHTS), judgement(ROW, scores))
    curve = [height / sum(LOSSES) for height in heights(LOSSES, [1, 4, 0, 3, 2], sum(LOSSES))]
    assert float(found.value) == pytest.approx(1 - mean_height(curve))


@pytest.mark.parametrize("metric", RANKED.values(), ids=RANKED)
def test_no_order_is_better_than_that_of_the_contributions(metric):
    point, losses = ROW[:, :4], torch.tensor([LOSSES[:4]], dtype=torch.float64)
    maps = [torch.tensor([order], dtype=torch.float64) for order in itertools.permutations(range(4))]
    found = metric(row_model(WEIGHTS[:4]), judgement(point, losses, *maps))
    best, others = float(found.value[0]), found.value[1:]
    assert len(others) == math.factorial(4)
    assert best == pytest.approx(float(others.max() if found.higher_is_better else others.min()))
    assert others.max() - others.min() > 0.1


@pytest.mark.parametrize("metric", WALKS.values(), ids=WALKS)
@settings(deadline=None, max_examples=20)
@given(
    scores=st.lists(st.integers(-8, 8), min_size=5, max_size=5),
    transform=st.sampled_from([lambda s: 3 * s - 7, torch.exp, lambda s: s**3, torch.atan]),
)
def test_only_the_order_of_scores_counts(metric, scores, transform):
    scores = torch.tensor([scores], dtype=torch.float64)
    one, other = metric(row_model(WEIGHTS), judgement(ROW, scores, transform(scores))).value.tolist()
    assert one == other


@pytest.mark.parametrize("metric", WALKS.values(), ids=WALKS)
def test_a_constant_map_goes_from_the_first_feature_to_the_last(metric):
    rank = torch.arange(5.0)[None] * (1 if metric.spec.id == "monotonicity" else -1)  # which begins at the lowest
    found = metric(row_model(WEIGHTS), judgement(ROW, torch.ones(1, 5), rank))
    assert float(found.value[0]) == float(found.value[1]) == float(found.control["constant"][0])


@pytest.mark.parametrize("metric", [*FALLING.values(), Insertion(cover="zero")], ids=[*FALLING, "insertion"])
def test_the_random_row_holds_what_is_expected_of_a_random_order(metric):
    subject, weights = picture_model(6)
    point = pictures(40, 6)
    metric = type(metric)(cover="zero", random_maps=20)
    found = metric(subject, judgement(point, point * weights))
    # Whatever the order, each feature is gone for half of the way on average.
    expected = float((point * weights).sum((1, 2, 3)).mean()) / 2
    _, low, high = found.control["random"].tolist()
    per_example = found.control_per_example[-1] - (point * weights).sum((1, 2, 3)) / 2
    assert abs(float(per_example.mean())) < 4 * float(per_example.std()) / math.sqrt(40)
    assert low < expected < high


@pytest.mark.parametrize("metric", WALKS.values(), ids=WALKS)
def test_nothing_is_asked_twice_whatever_the_number_of_maps_and_examples(metric):
    seen = []
    subject = row_model([1.0, 2.0, 3.0, 4.0, 5.0], seen=seen)
    # The second row has a feature that is the same erased as shown.
    rows = torch.tensor([[1.0, 2, 1, 1, 3], [2.0, 0, 4, 5, 7]], dtype=torch.float64)
    maps = [torch.tensor([[1.0, 2, 3, 4, 5]] * 2), torch.tensor([[5.0, 4, 3, 2, 1]] * 2), torch.ones(2, 5)]
    asked = judgement(rows, *maps, target=0)
    metric(subject, asked)  # a subject measures its model once
    seen.clear()
    resolve(subject, subject.prepare(rows), asked.results[0].query)
    resolving = sum(map(len, seen))
    seen.clear()
    found = metric(subject, asked)
    points = torch.cat(seen)
    assert found.evaluations["F"] == len(points)
    walked = points[resolving:]
    assert len(walked.unique(dim=0)) == len(walked) - 1 > 10  # with everything erased both rows look the same


def test_metrics_with_the_same_cover_share_their_calls():
    subject = row_model(WEIGHTS)
    asked = judgement(ROW, torch.tensor([[3.0, 5.0, 1.0, 2.0, 4.0]]))
    alone = FALLING["deletion"](subject, asked)
    with shared_calls():
        first = FALLING["deletion"](subject, asked)
        second = FALLING["pixel-flipping"](subject, asked)
    assert second.evaluations["F"] < first.evaluations["F"] == alone.evaluations["F"]
    assert torch.equal(first.value, alone.value)
    assert float(second.value) == float(first.value)


@pytest.mark.parametrize("metric", WALKS.values(), ids=WALKS)
@pytest.mark.parametrize("budget", [1, 10**9])
def test_values_do_not_depend_on_neighbours_or_batches(metric, budget):
    subject, point = row_model(WEIGHTS, link=torch.exp), torch.cat([ROW, ROW.flip(1), ROW.square()])
    scores = torch.tensor([[3.0, 5.0, 1.0, 2.0, 4.0]] * 3)
    with pl.byte_budget(budget):
        together = metric(subject, judgement(point, scores, -scores))
    for row in range(3):
        part = slice(row, row + 1)
        alone = metric(subject, judgement(point[part], scores[part], -scores[part]))
        assert torch.allclose(together.per_example[:, part], alone.per_example, atol=1e-12)
        assert torch.allclose(together.control_per_example[:, part], alone.control_per_example, atol=1e-12)


@pytest.mark.parametrize("metric", WALKS.values(), ids=WALKS)
def test_texts_of_different_length_lose_their_own_letters(metric):
    subject = letters_model()
    both = pl.Decision(["fade", "bed"])
    together = metric(subject, pl.Judgement([InputXGradient()(subject, both)]))
    for row, text in enumerate(["fade", "bed"]):
        alone = metric(subject, pl.Judgement([InputXGradient()(subject, pl.Decision([text]))]))
        assert float(together.per_example[0, row]) == pytest.approx(float(alone.value))
    if metric.spec.id == "deletion":
        curve = heights([5, 0, 3, 4], [0, 3, 2, 1], 12.0)
        assert float(together.per_example[0, 0]) == pytest.approx(mean_height(curve))


def test_a_saved_answer_is_judged_like_a_fresh_one(tmp_path):
    subject, point = row_model(WEIGHTS), ROW
    asked = judgement(point, torch.tensor([[3.0, 5.0, 1.0, 2.0, 4.0]]))
    asked.results[0].save(tmp_path / "answer.npz")
    saved = pl.Result.load(tmp_path / "answer.npz").asked(pl.Decision(point))
    assert torch.equal(Deletion()(subject, pl.Judgement([saved])).value, Deletion()(subject, asked).value)
