"""Expected gradients: closed forms over finite and random references, even draws, and intervals that hold."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import pellucid as pl
from pellucid.core.errors import BadInput, UsageError
from pellucid.methods import ExpectedGradients, IntegratedGradients


class Function(nn.Module):
    """A module that computes what it is given, in float64."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.precision = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self, rows):
        return self.function(rows)


def valued(function):
    return pl.wrap(Function(lambda rows: function(rows)[:, None]), pl.tasks.TensorTask(output="value"))


def network(activation=nn.Tanh, width=4):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(width, 9), activation(), nn.Linear(9, 3)).double().eval()


def rows(number, width=4, seed=1):
    return torch.randn(number, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


ROW = torch.tensor([[3.0, 5.0, -1.0, 0.5]], dtype=torch.float64)


def test_a_linear_score_is_split_exactly_whatever_is_drawn():
    weights = torch.tensor([2.0, -1.0, 0.5, 3.0], dtype=torch.float64)
    reference = rows(7)
    answer = ExpectedGradients(samples=21, reference=reference)(valued(lambda row: row @ weights), pl.Decision(ROW))
    torch.testing.assert_close(answer.scores, weights * (ROW - reference.mean(0)), rtol=1e-12, atol=1e-12)
    assert float(answer.residual) == pytest.approx(0, abs=1e-12)
    assert float(answer.quality["baseline"]) == pytest.approx(float(reference.mean(0) @ weights))


def test_a_product_is_split_as_its_path_integrals_are_on_average():
    reference = rows(5)
    product = valued(lambda row: row[:, 0] * row[:, 1])
    answer = ExpectedGradients(samples=4000, reference=reference)(product, pl.Decision(ROW))
    # From (p, q) to (x, y): ∫ (q + a (y − q)) (x − p) da = (x − p) (y + q) / 2.
    first = ((3 - reference[:, 0]) * (5 + reference[:, 1]) / 2).mean()
    second = ((5 - reference[:, 1]) * (3 + reference[:, 0]) / 2).mean()
    assert answer.scores[0].tolist() == pytest.approx([float(first), float(second), 0, 0], rel=1e-3)
    assert bool(answer.converged)


@pytest.mark.parametrize("reference", ["zero", torch.full((1, 4), 0.7, dtype=torch.float64)], ids=["name", "row"])
def test_with_one_baseline_it_is_integrated_gradients(reference):
    subject, decision = pl.wrap(network()), pl.Decision(torch.cat([ROW, -ROW]), target=1, foil=0)
    exact = IntegratedGradients(tolerance=1e-9, baseline=reference)(subject, decision)
    answer = ExpectedGradients(samples=800, reference=reference)(subject, decision)
    torch.testing.assert_close(answer.scores, exact.scores, rtol=0, atol=2e-4 * float(exact.scores.abs().max()))
    torch.testing.assert_close(answer.quality["baseline"], exact.quality["baseline"])


@pytest.mark.parametrize(("of", "unit"), [("log-probability", None), ("loss", None), (None, pl.Unit("1", 4))])
def test_many_samples_come_near_the_mean_of_integrated_gradients(of, unit):
    subject, reference = pl.wrap(network()), rows(6)
    asked = {"target": 2, "of": of} if unit is None else {"of": unit}
    answer = ExpectedGradients(samples=1200, reference=reference)(subject, pl.Decision(ROW, **asked))
    exact = [
        IntegratedGradients(tolerance=1e-9, baseline=row)(subject, pl.Decision(ROW, **asked)).scores
        for row in reference
    ]
    expected = torch.stack(exact).mean(0)
    torch.testing.assert_close(answer.scores, expected, rtol=0, atol=1e-3 * float(expected.abs().max()))


def test_at_a_layer_the_ways_run_between_its_activations():
    net, reference = network(), rows(6)
    answer = ExpectedGradients(samples=600, reference=reference)(pl.wrap(net), pl.Decision(ROW, target=2, at="1"))
    # From the layer on the network is linear, so every draw is exact.
    with torch.no_grad():
        rise = net[:2](ROW) - net[:2](reference).mean(0)
    torch.testing.assert_close(answer.scores, net[2].weight[2].detach() * rise, rtol=1e-12, atol=1e-12)
    assert answer.features.counts() == (9,)
    assert float(answer.residual) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("samples", [4, 7, 10, 23])
def test_gradients_are_taken_at_one_place_of_each_part_of_the_way(samples):
    net, points = network(), []
    net[0].register_forward_hook(lambda module, given, output: points.append(given[0].detach().clone()))
    reference = torch.tensor([[1.0] * 4, [2.0] * 4], dtype=torch.float64)
    answer = ExpectedGradients(samples=samples, reference=reference)(pl.wrap(net), pl.Decision(0 * reference[:1]))
    taken = torch.cat(points)[-samples:, 0]
    # The point is (1 − place) · baseline, of either baseline.
    fits = [
        any(number <= (1 - point / baseline) * samples < number + 1 for baseline in (1, 2))
        for number, point in enumerate(taken.tolist())
    ]
    assert all(fits)
    assert answer.evaluations["B"] == samples


def test_every_row_of_the_reference_comes_again_only_after_all_others():
    method = ExpectedGradients(samples=23, reference="zero")
    inputs = pl.wrap(network()).prepare(ROW)
    places, numbers = method._drawn(inputs, 0, 7)
    for turn in numbers.split(7):
        assert len(turn.unique()) == len(turn)
    assert bool(((places * 23).floor() == torch.arange(23)).all())


def test_the_mean_over_seeds_is_without_bias_and_intervals_hold_it():
    subject, reference = pl.wrap(network(nn.ReLU)), rows(5)
    truth = ExpectedGradients(samples=20_000, reference=reference)(subject, pl.Decision(ROW, target=0)).scores[0]
    inside, found = 0, []
    for seed in range(60):
        answer = ExpectedGradients(samples=24, reference=reference, seed=seed)(subject, pl.Decision(ROW, target=0))
        ((low,), (high,)) = answer.interval
        inside += int(((low <= truth) & (truth <= high)).sum())
        found.append(answer.scores[0])
    assert inside / 240 >= 0.95
    mean, error = torch.stack(found).mean(0), torch.stack(found).std(0) / 60**0.5
    assert bool(((mean - truth).abs() <= 3.5 * error + 1e-3).all())


def test_an_answer_that_is_not_within_the_tolerance_says_so():
    subject, decision = pl.wrap(network(nn.ReLU)), pl.Decision(ROW, target=0)
    fields = {"reference": rows(5), "samples": 60}
    loose, tight = (ExpectedGradients(tolerance=t, **fields)(subject, decision) for t in (1.0, 1e-6))
    assert torch.equal(loose.scores, tight.scores)
    assert (loose.converged.tolist(), tight.converged.tolist()) == ([True], [False])
    rise = loose.value - loose.quality["baseline"]
    torch.testing.assert_close(loose.scores.sum(1) + loose.residual, rise)


@pytest.mark.parametrize("budget", [1, 10**9])
def test_examples_are_explained_as_alone_whatever_the_batch(budget):
    subject, inputs = pl.wrap(network()), rows(3)
    method = ExpectedGradients(samples=11, reference=rows(4, seed=5))
    with pl.byte_budget(budget):
        together = method(subject, pl.Decision(inputs, target=[0, 1, 2]))
    for row in range(3):
        alone = method(subject, pl.Decision(inputs[row : row + 1], target=row))
        torch.testing.assert_close(alone.scores[0], together.scores[row], rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(alone.residual[0], together.residual[row], rtol=1e-8, atol=1e-12)
    assert together.evaluations["B"] == 33


def test_of_more_reference_rows_than_samples_the_drawn_ones_count():
    answer = ExpectedGradients(samples=10, reference=rows(50))(pl.wrap(network()), pl.Decision(ROW, target=0))
    assert answer.evaluations == {"F": 1 + 10 + 1, "B": 10}
    every = ExpectedGradients(samples=60, reference=rows(50))(pl.wrap(network()), pl.Decision(ROW, target=0))
    assert every.evaluations == {"F": 1 + 50 + 1, "B": 60}
    with torch.no_grad():
        assert float(every.quality["baseline"]) == pytest.approx(float(network()(rows(50))[:, 0].mean()))


def test_a_table_is_compared_with_its_own_reference_rows():
    subject = pl.load("wine-mlp")
    row = subject.task.row(subject.task.reference[3])
    own = ExpectedGradients(samples=20)(subject, pl.Decision(row, target=0))
    named = ExpectedGradients(samples=20, reference=subject.task.reference)(subject, pl.Decision(row, target=0))
    assert torch.equal(own.scores, named.scores)
    raw = [list(subject.task.row(example).values()) for example in subject.task.reference]
    as_rows = ExpectedGradients(samples=20, reference=raw)(subject, pl.Decision(row, target=0))
    torch.testing.assert_close(as_rows.scores, own.scores, rtol=1e-3, atol=1e-3)


def test_a_random_baseline_is_drawn_anew_for_every_sample():
    weights = torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    answer = ExpectedGradients(samples=300)(valued(lambda row: row @ weights), pl.Decision(ROW))
    # Uniform between the lowest and the highest element of the row: -1 … 5.
    assert float(answer.quality["baseline"]) == pytest.approx(2, abs=4 * 6 / 12**0.5 / 300**0.5)
    assert float(answer.residual) == pytest.approx(0, abs=1e-10)


def test_pictures_can_be_the_reference(tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 2)).eval()
    subject = pl.wrap(net, pl.tasks.Image(8))
    draws = np.random.default_rng(0)
    pictures = [Image.fromarray(draws.integers(0, 256, (8, 8, 3), dtype=np.uint8)) for _ in range(4)]
    answer = ExpectedGradients(samples=40, reference=tuple(pictures[1:]))(subject, pl.Decision(pictures[0], target=0))
    prepared = subject.prepare(pictures[1:]).value
    same = ExpectedGradients(samples=40, reference=prepared)(subject, pl.Decision(pictures[0], target=0))
    assert torch.equal(answer.scores, same.scores)
    loaded = pl.Result.load(answer.save(tmp_path / "answer.pellucid"))
    assert loaded.provenance.fields["reference"].startswith("data with the digest ")


def test_padding_scores_zero_and_does_not_enter_the_draws():
    subject, method = pl.load("char-lstm"), ExpectedGradients(samples=3)
    together = method(subject, pl.Decision(["The king", "a"], target=0))
    alone = method(subject, pl.Decision("a", target=0))
    assert not together.scores[1, 1:].any()
    torch.testing.assert_close(together.scores[1, :1], alone.scores[0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("reference", "error", "said"),
    [
        ("nothing", UsageError, "no baseline 'nothing'"),
        (torch.zeros(3, 5).double(), BadInput, "does not fit"),
        (torch.full((2, 4), float("nan")).double(), BadInput, "NaN"),
        ([], BadInput, "empty"),
        (3, UsageError, "it takes"),
    ],
    ids=["name", "shape", "nan", "empty", "kind"],
)
def test_what_cannot_be_a_reference_is_refused(reference, error, said):
    with pytest.raises(error, match=said):
        ExpectedGradients(reference=reference)(pl.wrap(network()), pl.Decision(ROW, target=0))
