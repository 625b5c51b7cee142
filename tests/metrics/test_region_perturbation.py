"""Region perturbation: closed forms on additive models, paired noise, control rows, and what it refuses to judge."""

import dataclasses
import itertools
import math

import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.core.errors import BadInput, UsageError
from pellucid.core.subject import Features
from pellucid.methods import Gradient, InputXGradient, Occlusion
from pellucid.metrics import RegionPerturbation


class Function(nn.Module):
    """A module that computes what it is given, in the precision of its one parameter."""

    def __init__(self, function, dtype=torch.float64):
        super().__init__()
        self.function = function
        self.precision = nn.Parameter(torch.zeros((), dtype=dtype))

    def forward(self, point):
        return self.function(point)


def additive(side=12, seed=0, seen=None):
    """A picture model ``f = w · x`` with one output, and its weights; ``seen`` collects what it is asked."""
    weights = torch.randn(1, side, side, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)

    def function(point):
        if seen is not None:
            seen.append(point.detach().clone())
        return (point * weights).flatten(1).sum(1, keepdim=True)

    task = pl.tasks.Image(side, (0.5,), (0.25,), output="value")
    return pl.wrap(Function(function), task, name="additive"), weights


def pictures(number, side=12, seed=1):
    draws = torch.rand(number, 1, side, side, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return draws * 4 - 2


def made(decision, scores, features=None):
    """An answer with given scores, by default of pixels."""
    if features is None:
        every = torch.arange(scores[0, :1].numel()).view(1, 1, *scores.shape[2:])
        features = Features("pixel", every.expand(len(scores), -1, -1, -1))
    return pl.Attribution(scores=scores, value=torch.zeros(len(scores)), features=features, query=decision)


def squares(picture, side):
    """Sums over the non-overlapping squares of ``[height, width]``, row by row."""
    return picture.unfold(0, side, side).unfold(1, side, side).sum((2, 3)).flatten()


def area(losses, order, steps):
    """AOPC of an additive model, by its definition."""
    falls = [sum(float(losses[region]) for region in order[:step]) for step in range(steps + 1)]
    return sum(falls) / (steps + 1)


@pytest.mark.parametrize("steps", [1, 4, 9])
@pytest.mark.parametrize("replacement", ["zero", "mean"])
def test_an_additive_model_gives_the_area_in_closed_form(replacement, steps):
    subject, weights = additive()
    inputs = pictures(1)
    cover = torch.zeros(()) if replacement == "zero" else inputs.mean()
    decision = pl.Decision(inputs)
    maps = {"contribution": (inputs - cover) * weights, "backwards": -(inputs - cover) * weights}
    metric = RegionPerturbation(region=3, steps=steps, draws=1, replacement=replacement)
    found = metric(subject, pl.Judgement([made(decision, scores) for scores in maps.values()]))
    losses = squares(((inputs - cover) * weights)[0, 0], 3)
    for row, scores in enumerate(maps.values()):
        order = squares(scores[0, 0], 3).argsort(descending=True).tolist()
        assert float(found.value[row]) == pytest.approx(area(losses, order, steps), abs=1e-12)
    raster = list(range(len(losses)))
    assert float(found.control["constant"][0]) == pytest.approx(area(losses, raster, steps), abs=1e-12)
    assert torch.equal(found.interval[:, 0], found.value)


def test_the_curve_is_the_score_after_each_replaced_region():
    subject, weights = additive()
    inputs = pictures(1)
    contribution = inputs * weights
    found = RegionPerturbation(region=3, steps=16, draws=1, replacement="zero")(
        subject, pl.Judgement([made(pl.Decision(inputs), contribution)])
    )
    losses = squares(contribution[0, 0], 3).sort(descending=True).values
    expected = contribution.sum() - torch.cat([torch.zeros(1), losses.cumsum(0)])
    assert torch.allclose(found.curve[0], expected, atol=1e-12)
    assert found.curve.shape == (1 + len(found.control), 17)


def test_whole_squares_lie_in_the_middle_and_the_border_is_never_replaced():
    seen = []
    subject, _ = additive(14, seen=seen)
    inputs = pictures(1, 14)
    RegionPerturbation(region=3, steps=16, draws=1, replacement="zero")(
        subject, pl.Judgement([made(pl.Decision(inputs), inputs)])
    )
    touched = (torch.cat(seen) != inputs).any(0)[0]
    expected = torch.zeros(14, 14, dtype=torch.bool)
    expected[1:13, 1:13] = True
    assert torch.equal(touched, expected)


def test_the_random_row_holds_the_expectation_of_a_random_order():
    subject, weights = additive()
    inputs = pictures(1)
    losses = squares((inputs * weights)[0, 0], 3)  # uniform pixels have mean zero between the bounds -2 and 2
    expected = float(losses.mean()) * 10 / 2
    noise = made(pl.Decision(inputs), torch.randn(inputs.shape, generator=torch.Generator().manual_seed(3)))
    found = RegionPerturbation(region=3, steps=10, draws=20, random_maps=60)(subject, pl.Judgement([noise]))
    value, low, high = found.control["random"].tolist()
    assert low < expected < high
    # The mean of 60 random orders is far nearer to the expectation than one random map would be.
    assert abs(value - expected) < (high - low) / 2 / math.sqrt(60) * 1.5


def planted():
    """A picture model that reads one patch only, and the map that knows it."""
    oracle = torch.zeros(1, 1, 24, 24, dtype=torch.float64)
    oracle[:, :, 6:12, 12:18] = 1
    module = Function(lambda point: 3 * ((point * oracle).flatten(1).sum(1, keepdim=True) / 20).tanh())
    subject = pl.wrap(module, pl.tasks.Image(24, (0.5,), (0.5,), output="value"))
    return subject, oracle


def test_a_map_that_knows_the_planted_patch_beats_every_control():
    subject, oracle = planted()
    inputs = torch.full((1, 1, 24, 24), 0.9, dtype=torch.float64)
    found = RegionPerturbation(region=3, steps=8)(subject, pl.Judgement([made(pl.Decision(inputs), oracle)]))
    assert all(found.beats("answer", control) for control in ("random", "edge", "constant"))
    turned = made(pl.Decision(inputs), -oracle)
    worse = RegionPerturbation(region=3, steps=8)(subject, pl.Judgement([turned]))
    assert not any(worse.beats("answer", control) for control in worse.control)


@pytest.mark.parametrize("budget", [1, 10**9])
def test_the_noise_is_the_same_for_every_answer_batch_size_and_neighbour(budget):
    seen = []
    subject, _ = additive(seen=seen)
    inputs = pictures(3)
    metric = RegionPerturbation(region=3, steps=16, draws=3)

    def noise(asked, scores):
        seen.clear()
        with pl.byte_budget(budget):
            metric(subject, pl.Judgement([made(pl.Decision(asked), scores)]))
        points = torch.cat(seen)
        # Where all regions are gone no pixel of any example is left: these points are the draws of the noise.
        gone = points.ne(0).flatten(1).all(1) & (points[:, None] != inputs).flatten(2).all(2).all(1)
        return {tuple(point.flatten().tolist()) for point in points[gone]}

    alone = noise(inputs[-1:], inputs[-1:])
    assert len(alone) == 3
    assert noise(inputs[-1:], -inputs[-1:].square()) == alone
    assert noise(inputs, inputs) >= alone


def test_values_do_not_depend_on_other_answers_or_examples():
    subject, weights = additive()
    inputs = pictures(3)
    metric = RegionPerturbation(region=3, steps=5, draws=4)
    scores = inputs * weights
    together = metric(subject, pl.Judgement([made(pl.Decision(inputs), s) for s in (scores, -scores)]))
    alone = metric(subject, pl.Judgement([made(pl.Decision(inputs[1:2]), -scores[1:2])]))
    assert float(together.per_example[1, 1]) == pytest.approx(float(alone.per_example[0, 0]), abs=1e-12)
    assert torch.allclose(together.value, together.per_example.mean(1))


def test_equal_points_are_asked_once():
    subject, weights = additive()
    decision = pl.Decision(pictures(1))
    answer = made(decision, decision.inputs * weights)
    metric = RegionPerturbation(region=3, steps=6, draws=2)
    once = metric(subject, pl.Judgement([answer]))
    twice = metric(subject, pl.Judgement([answer, answer]))
    assert once.evaluations == twice.evaluations
    assert once.evaluations["F"] <= metric.passes(1)
    assert torch.equal(twice.value, once.value.expand(2))
    fixed = dataclasses.replace(metric, replacement="zero")(subject, pl.Judgement([answer]))
    assert fixed.evaluations["F"] < once.evaluations["F"]


def test_seeds_of_the_method_and_of_the_judgement_change_the_noise():
    subject, weights = additive()
    decision = pl.Decision(pictures(1))
    answer = made(decision, decision.inputs * weights)
    metric = RegionPerturbation(region=3, steps=6, draws=2)
    values = {
        float(metric(subject, pl.Judgement([answer])).value),
        float(metric(subject, pl.Judgement([answer], seed=1)).value),
        float(dataclasses.replace(metric, seed=1)(subject, pl.Judgement([answer])).value),
    }
    assert len(values) == 3
    assert float(metric(subject, pl.Judgement([answer])).value) in values


@pytest.mark.parametrize("answers", [1, 4])
@pytest.mark.parametrize("budget", [30, 100, 1000, 5000, 10**6])
def test_a_budget_is_kept_and_spent_on_draws_steps_and_random_maps(budget, answers):
    metric = RegionPerturbation().within(budget, answers)
    assert metric.passes(answers) <= budget
    assert metric.draws >= 2
    assert metric.region**2 * metric.steps == pytest.approx(81 * 100, rel=0.2)
    if budget == 1000:
        assert (metric.draws, metric.steps) >= (5, 10)
        assert metric.random_maps >= 13
    if budget == 10**6:
        assert metric == RegionPerturbation()


def test_the_random_row_is_the_range_of_single_random_maps():
    subject, picture = additive()[0], pictures(1)
    decision = pl.Decision(picture, target=0)
    answer = made(decision, torch.ones(1, 1, 12, 12))
    metric = RegionPerturbation(region=3, steps=4, draws=2, replacement="zero", random_maps=60)
    found = metric(subject, pl.Judgement([answer]))
    _, low, high = found.control["random"].tolist()
    others = [
        float(
            dataclasses.replace(metric, seed=seed, random_maps=1, draws=1)(subject, pl.Judgement([answer])).control[
                "random"
            ][0]
        )
        for seed in range(1, 101)
    ]
    assert 0.85 <= sum(low <= value <= high for value in others) / 100 <= 1


def test_a_budget_for_less_than_a_step_of_two_draws_is_refused():
    with pytest.raises(UsageError, match="16 passes"):
        RegionPerturbation().within(15, 4)
    assert RegionPerturbation().within(16, 4).steps == 1


def test_a_judgement_keeps_within_its_budget():
    subject, weights = additive(24)
    decision = pl.Decision(pictures(1, 24))
    metric = RegionPerturbation(region=3).within(200, 2)
    found = metric(subject, pl.Judgement([made(decision, s) for s in (weights[None], -weights[None])]))
    assert found.evaluations["F"] <= 200
    assert f"{metric.draws} draws" in found.protocol


def test_one_example_speaks_for_itself_and_several_are_resampled():
    subject, weights = additive()
    metric = RegionPerturbation(region=3, steps=5, draws=4)
    one, many = pictures(1), pictures(12)
    single = metric(subject, pl.Judgement([made(pl.Decision(one), one * weights)]))
    several = metric(subject, pl.Judgement([made(pl.Decision(many), many * weights)]))
    assert "this one example only" in single.notes[0]
    assert "bootstrap over 12 examples" in several.notes[0]
    low, high = several.interval[0].tolist()
    error = float(several.per_example[0].std()) / math.sqrt(12)
    assert low < float(several.value) < high
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.25)
    assert set(several.control) == {"random", "edge", "constant"}


def test_one_draw_of_noise_for_one_example_has_no_interval_and_says_so():
    subject, _ = additive()
    inputs = pictures(2)
    metric = RegionPerturbation(region=3, steps=2, draws=1)
    one = metric(subject, pl.Judgement([made(pl.Decision(inputs[:1]), inputs[:1])]))
    assert one.interval.unique().tolist() == one.value.tolist()
    assert "no interval" in one.notes[0]
    both = metric(subject, pl.Judgement([made(pl.Decision(inputs), inputs)]))
    assert float(both.interval[0, 0]) < float(both.interval[0, 1])


def test_the_edge_row_finds_the_border_of_a_square():
    subject, _ = additive(24)
    inputs = torch.zeros(1, 1, 24, 24, dtype=torch.float64)
    inputs[:, :, 6:12, 6:12] = 1
    weights = torch.zeros(1, 24, 24, dtype=torch.float64)
    weights[:, 3:15, 3:15] = 1
    subject.module.function = lambda point: (point * weights).flatten(1).sum(1, keepdim=True)
    found = RegionPerturbation(region=6, steps=1, draws=1, replacement="zero")(
        subject, pl.Judgement([made(pl.Decision(inputs), -inputs)])
    )
    assert float(found.control["edge"][0]) == pytest.approx(36 / 2)
    assert float(found.control["constant"][0]) == 0


def test_rows_of_a_table_lose_columns():
    weights = torch.tensor([1.0, -2.0, 3.0, 0.5])
    subject = pl.wrap(
        Function(lambda row: (row * weights).sum(1, keepdim=True), torch.float32),
        pl.tasks.Tabular(["a", "b", "c", "d"], output="value"),
    )
    decision = pl.Decision([{"a": 1, "b": 1, "c": 1, "d": 4}])
    answer = InputXGradient()(subject, decision)
    found = RegionPerturbation(draws=1)(subject, pl.Judgement([answer]))
    losses = [1, -2, 3, 2]
    assert float(found.value) == pytest.approx(area(losses, [2, 3, 0, 1], 4), abs=1e-5)
    assert set(found.control) == {"random", "constant"}
    assert float(found.control["constant"][0]) == pytest.approx(area(losses, [0, 1, 2, 3], 4), abs=1e-5)
    assert "4 columns" in found.protocol
    assert "'mean'" in found.protocol


def test_texts_of_different_length_each_lose_their_own_words():
    letters = "abcdef"
    weights = torch.arange(6.0)
    subject = pl.wrap(
        Function(lambda sequence: (sequence * weights).sum((1, 2))[:, None], torch.float32),
        pl.tasks.Sequence(letters, output="value", labels=("sum",)),
    )
    decision = pl.Decision(["fade", "be"])
    answer = InputXGradient()(subject, decision)
    found = RegionPerturbation(draws=1)(subject, pl.Judgement([answer]))
    expected = [area([5, 0, 3, 4], [0, 3, 2, 1], 4), area([1, 4], [1, 0], 2)]
    assert found.per_example[0].tolist() == pytest.approx(expected)
    alone = RegionPerturbation(draws=1)(subject, pl.Judgement([InputXGradient()(subject, pl.Decision(["be"]))]))
    assert float(alone.value) == pytest.approx(expected[1])


def test_shared_groups_of_the_answers_are_the_regions():
    weights = torch.tensor([1.0, 2, 3, 4, 5, 6], dtype=torch.float64)
    subject = pl.wrap(Function(lambda row: (row * weights).sum(1, keepdim=True)), pl.tasks.TensorTask(output="value"))
    decision = pl.Decision(torch.ones(1, 6, dtype=torch.float64))
    groups = Features("groups", torch.tensor([[0, 0, 1, 1, 2, 2]]))
    answer = made(decision, weights[None], groups)
    found = RegionPerturbation(draws=1)(subject, pl.Judgement([answer]))
    assert float(found.value) == pytest.approx(area([3, 7, 11], [2, 1, 0], 3))
    assert "3 groups" in found.protocol


def test_a_contrast_is_judged_by_its_own_difference():
    weights = torch.tensor([[1.0, 0, 0], [0, 2, 0]], dtype=torch.float64)
    subject = pl.wrap(Function(lambda row: row @ weights.T))
    inputs = torch.ones(1, 3, dtype=torch.float64)
    answer = InputXGradient()(subject, pl.Decision(inputs, target=0, foil=1))
    found = RegionPerturbation(draws=1)(subject, pl.Judgement([answer]))
    assert float(found.value) == pytest.approx(area([1, -2, 0], [0, 2, 1], 3))


def test_answers_are_told_apart_by_the_fields_in_which_they_differ():
    subject, _ = additive()
    decision = pl.Decision(pictures(1))
    answers = [
        Occlusion(window=3)(subject, decision),
        Occlusion(window=4)(subject, decision),
        Gradient()(subject, decision),
        Gradient()(subject, decision),
    ]
    found = RegionPerturbation(region=3, steps=1, draws=2)(subject, pl.Judgement(answers))
    assert found.names == ("occlusion (window=3)", "occlusion (window=4)", "gradient", "gradient #2")


def test_what_cannot_be_judged_is_refused(tmp_path):
    subject, _ = additive()
    decision = pl.Decision(pictures(1))
    metric = RegionPerturbation(region=3, steps=1, draws=2)
    answer = Gradient()(subject, decision)
    loaded = pl.Result.load(answer.save(tmp_path / "answer"))
    changed = dataclasses.replace(answer, scores=torch.full_like(answer.scores, math.nan))
    other = Gradient()(subject, pl.Decision(pictures(1, seed=2)))
    for results, kind, words in (
        ([], UsageError, "nothing to judge"),
        (["gradient"], UsageError, "a str"),
        ([loaded], BadInput, r"result\.asked\(decision\)"),
        ([answer, other], UsageError, "different decisions"),
        ([changed], BadInput, "NaN"),
        ([made(decision, answer.scores[:, :, :6])], BadInput, "shape"),
        ([dataclasses.replace(answer, target=torch.tensor([3]))], BadInput, "another target"),
    ):
        with pytest.raises(kind, match=words):
            metric(subject, pl.Judgement(results))
    assert metric(subject, pl.Judgement([loaded.asked(decision)])).value.isfinite().all()


def test_an_answer_about_another_model_or_a_layer_is_refused():
    subject, _ = additive()
    stranger, _ = additive(seed=5)
    torch.nn.init.ones_(stranger.module.precision)
    decision = pl.Decision(pictures(1))
    with pytest.raises(BadInput, match="ask its method again"):
        RegionPerturbation(region=3)(subject, pl.Judgement([Gradient()(stranger, decision)]))
    network = pl.wrap(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)))
    inner = Gradient()(network, pl.Decision(torch.ones(1, 3), at="1"))
    with pytest.raises(UsageError, match="lies at '1'"):
        RegionPerturbation()(network, pl.Judgement([inner]))


def test_the_least_relevant_regions_can_go_first_and_the_gap_between_both_is_their_difference():
    subject, weights = additive()
    inputs = pictures(1)
    asked = pl.Judgement([made(pl.Decision(inputs), inputs * weights)])
    metrics = {
        order: RegionPerturbation(region=3, steps=16, draws=2, replacement="zero", order=order)
        for order in ("most", "least", "between")
    }
    found = {order: metric(subject, asked) for order, metric in metrics.items()}
    losses = squares((inputs * weights)[0, 0], 3)
    assert float(found["least"].value) == pytest.approx(area(losses, losses.argsort().tolist(), 16))
    assert float(found["between"].value) == pytest.approx(float(found["most"].value) - float(found["least"].value))
    assert float(found["between"].control["constant"][0]) == 0
    assert [found[order].higher_is_better for order in found] == [True, False, True]
    assert found["between"].evaluations["F"] <= metrics["between"].passes(1)


def test_a_budget_for_both_directions_is_kept():
    metric = RegionPerturbation(order="between").within(1000, 2)
    assert metric.passes(2) <= 1000
    assert metric.order == "between"
    with pytest.raises(UsageError, match="30 passes"):
        RegionPerturbation(order="between").within(29, 4)


def test_as_quantus_counts_squares_tile_the_picture_and_falls_add_up():
    subject, weights = additive(14)
    inputs = pictures(1, 14)
    found = RegionPerturbation(region=5, steps=6, compat="quantus")(
        subject, pl.Judgement([made(pl.Decision(inputs), inputs * weights)])
    )
    border = [0, 5, 10, 14]  # one pixel is missing, at the end
    parts = [
        (slice(top, bottom), slice(left, right))
        for top, bottom in itertools.pairwise(border)
        for left, right in itertools.pairwise(border)
    ]
    losses = [float(((inputs - inputs.min()) * weights)[0, 0][part].sum()) for part in parts]
    relevance = [float((inputs * weights)[0, 0][part].sum()) for part in parts]
    falls = list(itertools.accumulate(losses[part] for part in sorted(range(9), key=lambda p: -relevance[p])))[:6]
    assert float(found.value) == pytest.approx(sum(falls) - (falls[0] + falls[-1]) / 2)
