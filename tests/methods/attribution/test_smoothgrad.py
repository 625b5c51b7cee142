"""SmoothGrad: the mean, the squares and the variance over noisy copies, with intervals that hold."""

import math

import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.core.seeds import generator
from pellucid.methods import GradCam, Gradient, InputXGradient, IntegratedGradients, Lime, Occlusion, SmoothGrad


class Function(nn.Module):
    """A module that computes what it is given, in float64."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.precision = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self, rows):
        return self.function(rows)


def summed(power):
    """The sum of a power of the elements: its gradient is known everywhere."""
    return pl.wrap(Function(lambda rows: (rows**power).sum(1, keepdim=True)), pl.tasks.TensorTask(output="value"))


def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3)).double().eval()


ROW = torch.tensor([[-1.0, 0.5, 0.0, 2.0, 1.5]], dtype=torch.float64)
WIDTH = 0.1 * 3.0


def noise(samples, row=ROW[0], seed=0, width=WIDTH):
    """The noise as the method draws it for one example."""
    source = generator(seed, "smoothgrad", row)
    return torch.stack([width * torch.randn(row.shape, generator=source, dtype=row.dtype) for _ in range(samples)])


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("mean", lambda gradients: gradients.mean(0)),
        ("squared", lambda gradients: gradients.square().mean(0)),
        ("variance", lambda gradients: gradients.var(0)),
    ],
)
def test_scores_are_what_is_taken_over_the_gradients_at_the_drawn_copies(kind, expected):
    answer = SmoothGrad(kind=kind, samples=7, seed=3)(summed(3), pl.Decision(ROW))
    gradients = 3 * (ROW + noise(7, seed=3)).square()
    torch.testing.assert_close(answer.scores[0], expected(gradients), rtol=1e-12, atol=1e-14)
    assert float(answer.value) == pytest.approx(float((ROW**3).sum()))
    assert float(answer.quality["noise"]) == pytest.approx(WIDTH)


@pytest.mark.parametrize(
    ("kind", "truth"),
    [
        ("mean", 3 * (ROW[0].square() + WIDTH**2)),
        ("squared", 9 * (ROW[0] ** 4 + 6 * ROW[0].square() * WIDTH**2 + 3 * WIDTH**4)),
        ("variance", 9 * (4 * ROW[0].square() * WIDTH**2 + 2 * WIDTH**4)),
    ],
)
def test_intervals_hold_what_unlimited_copies_would_score(kind, truth):
    subject, inside = summed(3), torch.zeros(5)
    for seed in range(60):
        answer = SmoothGrad(kind=kind, samples=60, seed=seed)(subject, pl.Decision(ROW))
        ((low,), (high,)) = answer.interval
        inside += (low <= truth) & (truth <= high)
    # The third element is 0: there gradients are squares of the noise, far from normal.
    assert float(inside[[0, 1, 3, 4]].mean()) / 60 >= 0.88
    assert float(inside[2]) / 60 >= 0.75


def test_the_gradient_of_a_linear_score_does_not_depend_on_noise():
    net = nn.Linear(5, 3).double()
    answers = {kind: SmoothGrad(kind=kind)(pl.wrap(net), pl.Decision(ROW, target=1)) for kind in ("mean", "variance")}
    torch.testing.assert_close(answers["mean"].scores[0], net.weight[1].detach(), rtol=1e-12, atol=1e-14)
    assert float(answers["variance"].scores.abs().max()) <= 1e-28
    for low, high in zip(*answers["mean"].interval, strict=True):
        torch.testing.assert_close(low, high, rtol=0, atol=1e-12)


def test_noise_is_at_the_input_also_where_a_layer_is_read():
    net = network()
    answer = SmoothGrad(samples=4)(pl.wrap(net), pl.Decision(ROW, target=2, at="0"))
    hidden = net[0](ROW + noise(4)).detach()
    expected = (1 - hidden.tanh().square()) * net[2].weight[2].detach()
    torch.testing.assert_close(answer.scores[0], expected.mean(0), rtol=1e-12, atol=1e-14)
    assert answer.features.counts() == (8,)


@pytest.mark.parametrize(
    "inner", [InputXGradient(), IntegratedGradients(tolerance=1e-3), Occlusion(), Lime(samples=30)]
)
@pytest.mark.parametrize(
    "asked", [{"target": 2, "foil": 0}, {"of": "probability"}, {"of": pl.Unit(layer="1", index=3)}]
)
def test_any_method_can_be_asked_about_the_copies(inner, asked):
    subject = pl.wrap(network())
    answer = SmoothGrad(inner=inner, samples=3)(subject, pl.Decision(ROW, **asked))
    alone = inner(subject, pl.Decision(ROW, **asked))
    known = asked if "of" not in asked or asked["of"] != "probability" else {**asked, "target": int(alone.target)}
    copies = inner(subject, pl.Decision(ROW + noise(3), **known))
    torch.testing.assert_close(answer.scores[0], copies.scores.mean(0), rtol=1e-10, atol=1e-12)
    assert torch.equal(answer.value, alone.value)
    assert answer.features.kind == alone.features.kind
    assert answer.residual is None
    assert answer.provenance.fields["inner"]["method"] == inner.spec.id


def test_an_inner_method_knows_that_there_is_a_foil():
    # Grad-CAM cuts negative evidence off, but not where the question is a contrast.
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(144, 3)).double().eval()
    pictures = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    decision = pl.Decision(pictures, target=0, foil=[2])
    answer = SmoothGrad(inner=GradCam(), samples=3)(pl.wrap(net, pl.tasks.Image(8)), decision)
    assert bool((answer.scores < 0).any())


def test_the_predicted_class_is_that_of_the_input_not_of_its_copies():
    net = nn.Linear(2, 2).double()
    net.weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    net.bias.data = torch.zeros(2, dtype=torch.float64)
    row = torch.tensor([[1.0, 1.01]], dtype=torch.float64)
    answer = SmoothGrad(spread=100.0)(pl.wrap(net), pl.Decision(row))
    assert answer.target.tolist() == [1]
    assert answer.scores[0].tolist() == [0, 1]


def test_an_inner_method_that_does_not_converge_on_a_copy_is_told():
    subject, decision = pl.wrap(network()), pl.Decision(torch.cat([ROW, -ROW]), target=0)
    lazy = IntegratedGradients(tolerance=1e-9, max_steps=2)
    assert SmoothGrad(inner=lazy, samples=2)(subject, decision).converged.tolist() == [False, False]
    assert SmoothGrad(inner=IntegratedGradients(), samples=2)(subject, decision).converged.tolist() == [True, True]
    assert SmoothGrad(samples=2)(subject, decision).converged is None


@pytest.mark.parametrize("budget", [1, 10**9])
def test_examples_are_explained_as_alone_whatever_the_batch(budget):
    subject, rows = pl.wrap(network()), torch.cat([ROW, 2 * ROW, ROW + 1])
    with pl.byte_budget(budget):
        together = SmoothGrad(kind="variance")(subject, pl.Decision(rows, target=[0, 1, 2]))
    for row in range(3):
        alone = SmoothGrad(kind="variance")(subject, pl.Decision(rows[row : row + 1], target=row))
        torch.testing.assert_close(alone.scores[0], together.scores[row], rtol=1e-9, atol=1e-14)
    assert together.evaluations == {"F": 3, "B": 3 * 21}


def test_noise_is_a_share_of_the_example_without_its_padding():
    subject = pl.load("char-lstm")
    answer = SmoothGrad(samples=2)(subject, pl.Decision(["The king", "a"], target=0))
    assert answer.quality["noise"].tolist() == pytest.approx([0.1, 0.1])
    assert not answer.scores[1, 1:].any()
    assert bool(answer.scores[1, 0].any())
    assert bool(answer.scores[0].any(1).all())


def test_an_input_without_a_range_gets_no_noise_and_the_answer_says_so():
    answer = SmoothGrad(kind="variance")(summed(3), pl.Decision(torch.cat([ROW, torch.full_like(ROW, 2.0)])))
    assert bool(answer.scores[0].all())
    assert not answer.scores[1].any()
    assert any("no range" in note for note in answer.notes)
    assert not any("no range" in note for note in SmoothGrad()(summed(3), pl.Decision(ROW)).notes)


def test_two_copies_do_not_bound_a_variance():
    answer = SmoothGrad(kind="variance", samples=2)(summed(3), pl.Decision(ROW))
    ((low,), (high,)) = answer.interval
    assert low.tolist() == [-math.inf] * 5
    assert high.tolist() == [math.inf] * 5


def test_features_are_those_of_the_input_without_noise():
    picture = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(392, 2))
    subject = pl.wrap(net, pl.tasks.Image(16))
    method = Lime(samples=30, segments=6)
    answer = SmoothGrad(inner=method, samples=2)(subject, pl.Decision(picture, target=0))
    plain = method(subject, pl.Decision(picture, target=0))
    assert torch.equal(answer.features.segments, plain.features.segments)
    assert [len(side) for side in answer.interval[0]] == list(plain.features.counts())


def test_what_the_inner_method_cannot_answer_is_refused():
    subject = pl.wrap(network())
    with pytest.raises(NotAnswerable, match="occlusion on .* answers at the input only"):
        SmoothGrad(inner=Occlusion())(subject, pl.Decision(ROW, target=0, at="0"))
    closed = pl.wrap(lambda rows: rows, name="closed")
    with pytest.raises(NotAnswerable, match="smoothgrad on closed: smoothgrad needs gradients"):
        SmoothGrad()(closed, pl.Decision(ROW.float(), target=0))
    assert SmoothGrad(inner=Occlusion(), samples=2)(closed, pl.Decision(ROW.float(), target=0)).scores.shape == (1, 5)
    with pytest.raises(UsageError, match="inner"):
        SmoothGrad(inner=Gradient)
