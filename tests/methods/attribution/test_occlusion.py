"""Occlusion: published vectors, the definition in full for awkward windows, and every kind of position."""

import itertools

import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.core.errors import UsageError
from pellucid.methods import Occlusion


class Function(nn.Module):
    """A module that computes what it is given, in the precision of its one parameter."""

    def __init__(self, function, dtype=torch.float64):
        super().__init__()
        self.function = function
        self.precision = nn.Parameter(torch.zeros((), dtype=dtype))

    def forward(self, *points, **named):
        return self.function(*points, **named)


def one_convolution():
    """A convolution of ones with large negative biases, then a linear map of ones and minus ones."""
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 4, bias=False), nn.ReLU())
    net[0].weight.data.fill_(1)
    net[0].bias.data = torch.tensor([-50.0, -75.0])
    net[3].weight.data = torch.cat([torch.ones(4, 5), -torch.ones(4, 3)], 1)
    return net.double()


def by_definition(function, point, cover, window, stride):
    """The mean fall over the windows that cover each pixel, with plain loops over ``[channels, height, width]``."""
    _, height, width = point.shape
    total, covers = torch.zeros(height, width, dtype=point.dtype), torch.zeros(height, width, dtype=point.dtype)
    starts = []
    for size, side, step in ((height, window[0], stride[0]), (width, window[1], stride[1])):
        along = [0]
        while along[-1] + side < size:
            along.append(along[-1] + step)
        starts.append(along)
    plain = function(point[None])[0]
    for top, left in itertools.product(*starts):
        hidden = point.clone()
        hidden[:, top : top + window[0], left : left + window[1]] = cover[
            :, top : top + window[0], left : left + window[1]
        ]
        total[top : top + window[0], left : left + window[1]] += plain - function(hidden[None])[0]
        covers[top : top + window[0], left : left + window[1]] += 1
    assert bool((covers > 0).all())
    return total / covers


def test_one_convolution_gives_the_published_map():
    subject = pl.wrap(one_convolution(), pl.tasks.Image(4, (0.0,), (1.0,)))
    inputs = torch.arange(16, dtype=torch.float64).view(1, 1, 4, 4)
    answer = Occlusion(window=2, stride=1, baseline=0.0)(subject, pl.Decision(inputs, target=0))
    expected = [7, 8, 6.5, 4, 15.5, 20.75, 22.25, 18.5, 30, 39.25, 44.25, 40, 36, 45, 50.5, 47]
    assert float(answer.value) == 54
    assert answer.scores.flatten().tolist() == pytest.approx(expected, abs=1e-7)


WINDOWS = [(1, 1), (2, 3), (3, 3), (5, 2), (7, 9), (20, 20)]
STRIDES = [(1, 1), (2, 3), (3, 2), (4, 4)]


@pytest.mark.parametrize(
    ("window", "stride"),
    [(w, s) for w, s in itertools.product(WINDOWS, STRIDES) if s[0] <= w[0] and s[1] <= w[1]],
)
def test_every_window_and_stride_follows_the_definition(window, stride):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(3 * 5 * 7, 2)).double()
        inputs, cover = torch.randn(2, 2, 7, 9).double(), torch.randn(2, 7, 9).double()
    answer = Occlusion(window=window, stride=stride, baseline=cover)(wrapped(net), pl.Decision(inputs, target=1))
    for scores, point in zip(answer.scores, inputs, strict=True):
        expected = by_definition(lambda points: net(points)[:, 1].detach(), point, cover, window, stride)
        assert torch.allclose(scores, expected.expand(2, -1, -1), atol=1e-12)


def wrapped(net):
    return pl.wrap(net, pl.tasks.TensorTask(shape=(2, 7, 9)))


def test_a_network_that_reads_one_box_falls_inside_it_only():
    """The map is 0 outside the box widened by the window, and largest where a window hides all that the network reads."""
    square = torch.zeros(1, 1, 32, 32, dtype=torch.float64)
    square[:, :, 12:20, 8:16] = 1
    point = 0.5 + torch.rand(1, 1, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    network = Function(lambda pixels: (pixels * square).sum((1, 2, 3))[:, None])
    scores = Occlusion(window=4, stride=2, baseline="zero")(pl.wrap(network), pl.Decision(point, 0)).scores[0, 0]
    outside = torch.ones(32, 32, dtype=torch.bool)
    outside[9:23, 5:19] = False
    assert float(scores[outside].abs().max()) == 0
    row, column = divmod(int(scores.argmax()), 32)
    assert 12 <= row < 20
    assert 8 <= column < 16


def test_windows_that_leave_gaps_are_refused():
    with pytest.raises(UsageError, match="stride"):
        Occlusion(window=2, stride=3)(wrapped(nn.Flatten()), pl.Decision(torch.ones(1, 2, 7, 9).double()))


def test_a_window_over_everything_falls_to_the_baseline_score():
    net = one_convolution()
    inputs = torch.arange(16, dtype=torch.float64).view(1, 1, 4, 4)
    answer = Occlusion(window=99)(pl.wrap(net), pl.Decision(inputs, target=0))
    fall = float((net(inputs) - net(torch.zeros_like(inputs))).detach()[0, 0])
    assert answer.scores.flatten().tolist() == [pytest.approx(fall)] * 16
    assert answer.evaluations["F"] == 3


def test_single_columns_of_a_linear_model_score_their_contribution():
    weights = torch.tensor([2.0, -1.0, 0.5])
    subject = pl.wrap(
        Function(lambda row: (row * weights).sum(1, keepdim=True), torch.float32),
        pl.tasks.Tabular(["a", "b", "c"], output="value", means=[1.0, 1.0, 1.0], deviations=[1.0, 2.0, 1.0]),
    )
    answer = Occlusion()(subject, pl.Decision([{"a": 2, "b": 5, "c": 1}]))
    assert answer.scores[0].tolist() == pytest.approx([2, -2, 0])


def test_positions_of_a_padded_sequence_are_covered_one_by_one():
    weights = torch.arange(1.0, 4.0)
    subject = pl.wrap(
        Function(lambda sequence: (sequence * weights).sum((1, 2))[:, None], torch.float32),
        pl.tasks.Sequence("abc", output="value", labels=("sum",)),
    )
    answer = Occlusion()(subject, pl.Decision(["cab", "b"]))
    assert [vector.tolist() for vector in answer.by_feature()] == [[3, 1, 2], [2]]
    assert not answer.scores[1, 1:].any()


def test_a_contrast_falls_by_the_difference():
    subject = wrapped(nn.Sequential(nn.Flatten(), nn.Linear(126, 3)).double())
    inputs = torch.randn(1, 2, 7, 9, generator=torch.Generator().manual_seed(0)).double()
    method = Occlusion(window=3, stride=2)
    first, second = (method(subject, pl.Decision(inputs, target=target)).scores for target in (0, 1))
    contrast = method(subject, pl.Decision(inputs, target=0, foil=1))
    assert torch.allclose(contrast.scores, first - second, atol=1e-12)


def test_the_batch_size_and_neighbours_do_not_matter():
    subject = wrapped(nn.Sequential(nn.Conv2d(2, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(105, 2)).double())
    inputs = torch.randn(3, 2, 7, 9, generator=torch.Generator().manual_seed(0)).double()
    method = Occlusion(window=3, stride=2, baseline="mean")
    whole = method(subject, pl.Decision(inputs, target=0)).scores
    with pl.byte_budget(1):
        assert torch.allclose(method(subject, pl.Decision(inputs, target=0)).scores, whole, atol=1e-12)
    alone = method(subject, pl.Decision(inputs[2:], target=0)).scores
    assert torch.allclose(alone[0], whole[2], atol=1e-12)


def trained_on_a_corner(pixels):
    """Falls are large in the upper left, small elsewhere, and nowhere zero."""
    _, height, width = pixels.shape[1:]
    rows, columns = torch.arange(height).double()[:, None], torch.arange(width).double()[None]
    return (pixels * torch.exp(-(rows**2 + columns**2) / 40)).sum((1, 2, 3))[:, None] ** 2


def test_from_coarse_to_fine_looks_closely_where_changes_are_largest():
    subject = pl.wrap(Function(trained_on_a_corner), pl.tasks.TensorTask(shape=(1, 24, 24)))
    decision = pl.Decision(torch.ones(1, 1, 24, 24).double(), target=0)
    exact = Occlusion(window=4, stride=1, baseline=0.0)(subject, decision)
    refined = Occlusion(window=4, stride=1, baseline=0.0, refine=4)(subject, decision)
    # 36 of 441 windows, and the others that are nearest to 9 of them: each has at most 4 × 4 of those.
    assert 36 / 441 < float(refined.quality["windows"]) <= (36 + 9 * 15) / 441
    assert refined.evaluations["F"] < 0.5 * exact.evaluations["F"]
    assert torch.allclose(refined.scores[..., :8, :8], exact.scores[..., :8, :8])
    assert not torch.allclose(refined.scores, exact.scores)
    assert any("approximation" in note for note in refined.notes)
    assert not exact.notes
    assert float(exact.quality["windows"]) == 1.0


def test_each_example_is_looked_at_closely_where_its_own_changes_are_largest():
    subject = wrapped(nn.Sequential(nn.Conv2d(2, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(105, 2)).double())
    inputs = torch.randn(3, 2, 7, 9, generator=torch.Generator().manual_seed(0)).double()
    method = Occlusion(window=2, stride=1, baseline="mean", refine=2)
    together = method(subject, pl.Decision(inputs, target=0))
    for number in range(3):
        alone = method(subject, pl.Decision(inputs[number : number + 1], target=0))
        assert torch.allclose(alone.scores[0], together.scores[number], atol=1e-12)
        assert float(alone.quality["windows"]) == float(together.quality["windows"][number])


@pytest.mark.parametrize(("stride", "refine"), [(2, 3), (1, 4), (2, 1), (1, (2, 2, 2))])
def test_a_coarse_step_that_does_not_fit_is_refused(stride, refine):
    with pytest.raises(UsageError, match="refine"):
        Occlusion(window=3, stride=stride, refine=refine)(
            wrapped(nn.Flatten()), pl.Decision(torch.ones(1, 2, 7, 9).double())
        )


def test_the_share_that_was_computed_is_told():
    net = nn.Sequential(nn.Conv2d(2, 8, 3), nn.Tanh(), nn.Conv2d(8, 2, 3, 2)).double()
    subject = pl.wrap(Function(lambda pixels: net(pixels).mean((2, 3))), pl.tasks.TensorTask(shape=(2, 24, 24)))
    inputs = torch.randn(2, 2, 24, 24, generator=torch.Generator().manual_seed(0)).double()
    answer = Occlusion(window=3, stride=2, baseline=0.0)(subject, pl.Decision(inputs, target=1))
    # The window reaches 5 × 5 of 22 × 22 places of the first convolution, and at most 4 × 4 of 10 × 10 of the second.
    first, second = 22 * 22 * 8 * 18, 10 * 10 * 2 * 72
    share = (5 * 5 * 8 * 18 + 4 * 4 * 2 * 72) / (first + second)
    assert answer.quality["multiply-adds"].tolist() == pytest.approx([share] * 2)
    for scores, point in zip(answer.scores, inputs, strict=True):
        expected = by_definition(
            lambda points: net(points).mean((2, 3))[:, 1].detach(), point, torch.zeros(2, 24, 24), (3, 3), (2, 2)
        )
        assert torch.allclose(scores, expected.expand(2, -1, -1), atol=1e-12)


@pytest.mark.parametrize("fields", [{"window": (2,)}, {"window": 0}, {"stride": (1, 1, 1)}, {"stride": -1}])
def test_extents_that_do_not_fit_are_refused(fields):
    with pytest.raises(UsageError, match="occlusion"):
        Occlusion(**fields)(wrapped(nn.Flatten()), pl.Decision(torch.ones(1, 2, 7, 9).double()))
