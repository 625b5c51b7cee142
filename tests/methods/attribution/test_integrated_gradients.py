"""Integrated gradients: analytic path integrals, completeness or its honest absence, layers, texts and batches."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

import pellucid as pl
from pellucid.core.errors import UsageError
from pellucid.methods import IntegratedGradients
from pellucid.metrics import RegionPerturbation


class Function(nn.Module):
    """A module that computes what it is given, in the precision of its one parameter."""

    def __init__(self, function, dtype=torch.float64):
        super().__init__()
        self.function = function
        self.precision = nn.Parameter(torch.zeros((), dtype=dtype))

    def forward(self, *points, **named):
        return self.function(*points, **named)


def asked(function, rows, **fields):
    """The answer about a scalar function of rows, in float64."""
    subject = pl.wrap(Function(function), pl.tasks.TensorTask(output="value"))
    return IntegratedGradients(**fields)(subject, pl.Decision(torch.tensor(rows, dtype=torch.float64)))


def network(activation, seed=0, scale=2.0, classes=3):
    """A random fully connected network with strong kinks, in float64."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = nn.Sequential(
            nn.Linear(6, 24), activation(), nn.Linear(24, 24), activation(), nn.Linear(24, classes)
        ).double()
        for module in net:
            if isinstance(module, nn.Linear):
                module.weight.data *= scale
                module.bias.data.normal_()
    return net.eval()


def rows(number, width=6, seed=1):
    return torch.randn(number, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def dense(net, start, end, target=0, steps=4000):
    """The path integral by the midpoint rule in many steps."""
    total = torch.zeros_like(end)
    for example in range(len(end)):
        places = (torch.arange(steps, dtype=end.dtype) + 0.5).div(steps)[:, None]
        points = (start[example] + places * (end[example] - start[example])).requires_grad_()
        (gradient,) = torch.autograd.grad(net(points)[:, target].sum(), points)
        total[example] = gradient.mean(0) * (end[example] - start[example])
    return total


def test_a_quadratic_splits_evenly_between_its_factors():
    answer = asked(lambda row: (row[:, 0] * row[:, 1])[:, None], [[3.0, 5.0]], tolerance=1e-10)
    assert answer.scores.tolist()[0] == pytest.approx([7.5, 7.5], abs=1e-12)
    squares = asked(lambda row: row.square().sum(1, keepdim=True), [[3.0, -2.0]], tolerance=1e-10)
    assert squares.scores.tolist()[0] == pytest.approx([9, 4], abs=1e-12)


def test_a_softplus_of_a_sum_is_integrated_exactly():
    weights = torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64)
    row = torch.tensor([1.0, 3.0, -2.0], dtype=torch.float64)
    answer = asked(lambda point: functional.softplus(point @ weights)[:, None], [row.tolist()], tolerance=1e-10)
    total = float(row @ weights)
    expected = row * weights * (math.log1p(math.exp(total)) - math.log(2)) / total
    assert torch.allclose(answer.scores[0], expected, atol=1e-10, rtol=0)
    assert bool(answer.converged)


def test_the_path_starts_at_the_named_number_or_tensor_baseline():
    product = lambda row: (row[:, 0] * row[:, 1])[:, None]  # noqa: E731
    # From (1, 1) to (3, 5): ∫ (1 + 4a) · 2 da = 6 and ∫ (1 + 2a) · 4 da = 8.
    for baseline in (1.0, torch.tensor([1.0, 1.0])):
        assert asked(product, [[3.0, 5.0]], baseline=baseline).scores.tolist()[0] == pytest.approx([6, 8])
    # The mean of the row is 4: ∫ (4 + a) · (−1) da and ∫ (4 − a) · 1 da.
    assert asked(product, [[3.0, 5.0]], baseline="mean").scores.tolist()[0] == pytest.approx([-4.5, 3.5])


@settings(deadline=None, max_examples=25)
@given(st.sampled_from([nn.ReLU, nn.GELU, nn.Tanh]), st.integers(0, 10**6), st.sampled_from([1e-1, 1e-2, 1e-3]))
def test_scores_add_up_within_the_tolerance_or_the_answer_says_that_they_do_not(activation, seed, tolerance):
    subject = pl.wrap(network(activation, seed))
    answer = IntegratedGradients(tolerance=tolerance)(subject, pl.Decision(rows(3, seed=seed), target=1))
    rise = answer.value - answer.quality["baseline"]
    residual = (rise - answer.scores.sum(1)).abs()
    assert torch.allclose(residual, answer.residual.abs(), atol=1e-12)
    within = residual <= tolerance * rise.abs() * (1 + 1e-9)
    assert bool((within | ~answer.converged).all())
    assert bool(((answer.quality["steps"] == 256) | answer.converged).all())
    if tolerance >= 1e-2:
        assert bool(answer.converged.any())


@pytest.mark.parametrize("activation", [nn.ReLU, nn.GELU])
def test_scores_equal_a_reference_of_four_thousand_steps(activation):
    net, inputs = network(activation), rows(4)
    answer = IntegratedGradients(tolerance=1e-4, max_steps=1000)(pl.wrap(net), pl.Decision(inputs, target=0))
    expected = dense(net, torch.zeros_like(inputs), inputs)
    assert bool(answer.converged.all())
    scale = torch.maximum((answer.value - answer.quality["baseline"]).abs(), expected.abs().amax(1))[:, None]
    assert bool(((answer.scores - expected).abs() <= 1e-3 * scale).all())


def test_the_interval_holds_the_reference_about_as_often_as_it_says():
    inside, total = 0, 0
    for seed in range(8):
        net, inputs = network(nn.ReLU, seed), rows(4, seed=seed)
        answer = IntegratedGradients()(pl.wrap(net), pl.Decision(inputs, target=0))
        expected = dense(net, torch.zeros_like(inputs), inputs, steps=1000)
        for low, high, truth in zip(*answer.interval, expected, strict=True):
            inside += int(((low <= truth) & (truth <= high)).sum())
            total += len(truth)
    assert inside / total >= 0.88


def test_smooth_networks_take_few_steps_and_kinked_ones_more():
    steps = {
        kind: IntegratedGradients()(pl.wrap(network(kind)), pl.Decision(rows(8), target=0)).quality["steps"]
        for kind in (nn.Softplus, nn.GELU, nn.ReLU)
    }
    assert int(steps[nn.Softplus].max()) == 5
    assert int(steps[nn.GELU].max()) <= 17
    assert int(steps[nn.ReLU].max()) > 17


@pytest.mark.parametrize("max_steps", [2, 5, 9, 20])
def test_no_more_gradients_are_taken_than_allowed_and_the_residual_stays_open(max_steps):
    subject = pl.wrap(network(nn.ReLU))
    answer = IntegratedGradients(tolerance=1e-9, max_steps=max_steps)(subject, pl.Decision(rows(3), target=0))
    assert answer.quality["steps"].tolist() == [max_steps] * 3
    assert answer.evaluations == {"F": 3, "B": 3 * max_steps}
    assert not bool(answer.converged.any())
    assert bool((answer.residual.abs() > 1e-6).all())


def test_an_input_that_equals_its_baseline_scores_zero():
    answer = IntegratedGradients()(pl.wrap(network(nn.ReLU)), pl.Decision(torch.zeros(1, 6).double(), target=0))
    assert not answer.scores.any()
    assert bool(answer.converged)
    assert float(answer.residual) == pytest.approx(0, abs=1e-15)


def test_every_example_goes_its_own_way_whatever_its_neighbours_and_the_batch_size():
    subject, inputs = pl.wrap(network(nn.ReLU)), rows(5)
    method = IntegratedGradients()
    together = method(subject, pl.Decision(inputs, target=0))
    backwards = method(subject, pl.Decision(inputs.flip(0), target=0))
    with pl.byte_budget(1):
        small = method(subject, pl.Decision(inputs, target=0))
    assert torch.allclose(backwards.scores.flip(0), together.scores, atol=1e-12)
    assert torch.allclose(small.scores, together.scores, atol=1e-12)
    for row in range(5):
        alone = method(subject, pl.Decision(inputs[row : row + 1], target=0))
        assert torch.allclose(alone.scores[0], together.scores[row], atol=1e-12)
        assert alone.quality["steps"] == together.quality["steps"][row]


def test_a_target_per_example_is_a_question_per_example():
    subject, inputs = pl.wrap(network(nn.ReLU)), rows(3)
    together = IntegratedGradients()(subject, pl.Decision(inputs, target=[2, 0, 1]))
    for row, target in enumerate([2, 0, 1]):
        alone = IntegratedGradients()(subject, pl.Decision(inputs[row : row + 1], target=target))
        assert torch.allclose(alone.scores[0], together.scores[row], atol=1e-12)


def test_a_contrast_integrates_the_difference_of_two_scores():
    subject, inputs = pl.wrap(network(nn.GELU)), rows(3)
    method = IntegratedGradients(tolerance=1e-6)
    answers = [method(subject, pl.Decision(inputs, target=target)).scores for target in (0, 2)]
    contrast = method(subject, pl.Decision(inputs, target=0, foil=2))
    assert torch.allclose(contrast.scores, answers[0] - answers[1], atol=1e-5)


@pytest.mark.parametrize("of", ["probability", "log-probability", "loss", pl.Unit(layer="2", index=5)])
def test_any_quantity_of_a_decision_can_be_integrated(of):
    subject = pl.wrap(network(nn.GELU, scale=1.0))
    unit = isinstance(of, pl.Unit)
    query = pl.Decision(rows(2), target=None if unit else 1, of=of)
    answer = IntegratedGradients(tolerance=1e-3)(subject, query)
    rise = answer.value - answer.quality["baseline"]
    assert bool(answer.converged.all())
    assert torch.allclose(answer.scores.sum(1), rise, atol=2e-3 * float(rise.abs().max()))


def test_at_a_layer_the_path_runs_between_its_activations():
    net, inputs = network(nn.ReLU), rows(3)
    answer = IntegratedGradients(tolerance=1e-3, max_steps=1000)(
        pl.wrap(net), pl.Decision(inputs, target=0, foil=1, at="1")
    )
    start, end = net[:2](torch.zeros_like(inputs)).detach(), net[:2](inputs).detach()
    expected = dense(net[2:], start, end, 0) - dense(net[2:], start, end, 1)
    rise = (net[2:](end) - net[2:](start))[:, [0, 1]].diff(dim=1)[:, 0].abs().detach()
    assert answer.scores.shape == end.shape
    assert torch.allclose(answer.scores, expected, atol=1e-2 * float(rise.max()))
    assert bool((answer.residual.abs() <= 1e-3 * rise).all())


def test_a_layer_that_a_branch_goes_around_keeps_the_branch_at_the_input():
    class Branched(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(2, 2, bias=False).double()
            nn.init.eye_(self.inner.weight)

        def forward(self, row):
            return (self.inner(row) * row).sum(1, keepdim=True)

    subject = pl.wrap(Branched(), pl.tasks.TensorTask(output="value"))
    answer = IntegratedGradients()(subject, pl.Decision(torch.tensor([[3.0, 5.0]]).double(), at="inner"))
    assert answer.scores.tolist()[0] == pytest.approx([9, 25])


def test_further_named_inputs_stay_where_they_are():
    subject = pl.wrap(
        Function(lambda rows, gain: (rows * gain).sum(1, keepdim=True)), pl.tasks.TensorTask(output="value")
    )
    named = {"rows": torch.tensor([[1.0, 2.0]]).double(), "gain": torch.tensor([[3.0, 4.0]]).double()}
    assert IntegratedGradients()(subject, pl.Decision(named)).scores.tolist()[0] == pytest.approx([3, 8])


def test_padding_scores_exactly_zero_and_does_not_disturb_the_sum():
    weights = torch.arange(1.0, 4.0)
    subject = pl.wrap(
        Function(lambda sequence: (sequence * weights).sum((1, 2))[:, None].square(), torch.float32),
        pl.tasks.Sequence("abc", output="value", labels=("sum",)),
    )
    answer = IntegratedGradients(baseline=0.5)(subject, pl.Decision(["cab", "a"]))
    assert not answer.scores[1, 1:].any()
    assert torch.allclose(answer.scores.sum((1, 2)), answer.value - answer.quality["baseline"], rtol=1e-4)


class Words:
    """A tokenizer of words between spaces; token 0 opens a text, 1 is padding, 2 the mask."""

    mask_token_id = 2

    def __len__(self):
        return 100

    def __call__(self, texts, padding, return_offsets_mapping, return_special_tokens_mask):
        encoded = [[(word, text.index(word)) for word in text.split()] for text in texts]
        longest = max(map(len, encoded))
        rows = [
            (
                [0, *(3 + len(word) for word, _ in words), *[1] * (longest - len(words))],
                [1, *[1] * len(words), *[0] * (longest - len(words))],
                [(0, 0), *((at, at + len(word)) for word, at in words), *[(0, 0)] * (longest - len(words))],
                [1, *[0] * len(words), *[1] * (longest - len(words))],
            )
            for words in encoded
        ]
        names = ("input_ids", "attention_mask", "offset_mapping", "special_tokens_mask")
        return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))


def test_texts_start_at_the_mask_token_and_special_tokens_stay():
    table = nn.Embedding(100, 4)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        nn.init.normal_(table.weight)

    def score(embeddings, attention_mask):
        mean = (embeddings * attention_mask[:, :, None]).sum(1) / attention_mask.sum(1, keepdim=True)
        return mean.tanh().sum(1, keepdim=True)

    subject = pl.wrap(Function(score, torch.float32), pl.tasks.Text(Words(), table, output="value", labels=("v",)))
    answer = IntegratedGradients(tolerance=1e-3)(subject, pl.Decision(["a good film", "dreadful"]))
    assert answer.features.labels == (("a", "good", "film"), ("dreadful",))
    assert not answer.scores[:, 0].any()
    assert not answer.scores[1, 2:].any()
    inputs = subject.prepare(["a good film", "dreadful"])
    masked = subject.scores(inputs.at(subject.task.baseline(inputs, "mask")))[:, 0]
    assert torch.allclose(answer.quality["baseline"], masked, atol=1e-5)
    assert torch.allclose(answer.scores.sum((1, 2)), answer.value - masked, atol=2e-3)


@pytest.mark.parametrize("fields", [{"tolerance": 0.0}, {"max_steps": 1}, {"baseline": "no such baseline"}])
def test_fields_that_make_no_sense_are_refused(fields):
    with pytest.raises(UsageError):
        asked(lambda row: row.sum(1, keepdim=True), [[1.0, 2.0]], **fields)


def test_the_answer_can_be_judged():
    subject = pl.wrap(network(nn.ReLU))
    answer = IntegratedGradients()(subject, pl.Decision(rows(1), target=0))
    assert RegionPerturbation(draws=4)(subject, pl.Judgement([answer])).names == ("integrated-gradients",)
