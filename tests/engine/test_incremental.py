"""Incremental inference gives what whole passes give, on every network; and computes less where a window reaches less."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import data
from torch import nn
from torch.nn import functional

import pellucid as pl
from engine.convolutional_networks import VGG, DenseNet, Inception, MobileNetV2, MobileNetV3, UNet
from engine.networks import ResNet, seeded
from engine.sequence_networks import ViT
from pellucid.core.meter import metered, reporting
from pellucid.engine.batching import deterministic
from pellucid.engine.covered import Windows, incremental
from pellucid.engine.targets import resolve
from pellucid.engine.windows import with_windows

TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-10}


def pixels(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def windows_of(sizes, window, stride):
    """Windows every ``stride`` elements; the last may be cut off at the edge."""
    along = [range(0, max(size - side, 0) + step, step) for size, side, step in zip(sizes, window, stride, strict=True)]
    return Windows(torch.tensor([*itertools.product(*along)]), window, tuple(range(2, len(sizes) + 2)))


def whole_passes(network, point, cover, windows):
    """The scores of the network itself, one window at a time."""
    rows = []
    for start in windows.starts.tolist():
        index = (slice(None), slice(None), *(slice(a, a + b) for a, b in zip(start, windows.size, strict=True)))
        covered = point.clone()
        covered[index] = cover[index]
        with torch.no_grad():
            rows.append(network(covered))
    return torch.cat(rows)


def both(network, point, window, stride, cover=None):
    """The scores of all windows found incrementally, and those of whole passes; and the share that was computed."""
    cover = torch.zeros_like(point) if cover is None else cover
    subject = pl.wrap(network, pl.tasks.TensorTask(shape=tuple(point.shape[1:])))
    windows = windows_of(point.shape[2:], window, stride)
    fast = incremental(subject, subject.prepare(point), cover, windows, largest_share=2.0)
    assert fast is not None
    return fast.scores(torch.arange(len(windows))), whole_passes(network, point, cover, windows), fast.share


def agree(found, expected, dtype):
    return float((found - expected).abs().max()) <= TOLERANCE[dtype] * float(expected.abs().max())


NETWORKS = {
    "VGG": (VGG, 0.4),
    "ResNet": (lambda: ResNet(stem=3), 0.85),
    "DenseNet": (DenseNet, 0.6),
    "MobileNetV2": (MobileNetV2, 0.75),
    "Inception": (Inception, 0.6),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_architecture_answers_the_same_and_computes_less(name, dtype):
    make, most = NETWORKS[name]
    network = seeded(make, dtype=dtype)
    point, cover = pixels(1, 3, 48, 40, dtype=dtype), pixels(1, 3, 48, 40, seed=1, dtype=dtype)
    found, expected, share = both(network, point, (6, 5), (5, 4), cover)
    assert expected.std(0).min() > 0
    assert agree(found, expected, dtype)
    assert share < most


@st.composite
def layers(draw):
    """A convolution, a pooling and another convolution, of any extents that fit pictures of 17 × 19 pixels."""
    pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
    dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    parts = [
        nn.Conv2d(4, 4, draw(pairs), draw(pairs), draw(st.tuples(st.integers(0, 2), st.integers(0, 2))), dilation,
                  groups=draw(st.sampled_from([1, 2, 4]))),
        draw(st.sampled_from([nn.ReLU(inplace=True), nn.Tanh(), nn.PReLU(4), nn.Hardswish()])),
    ]  # fmt: skip
    kernel, ceil = draw(st.integers(1, 3)), draw(st.booleans())
    padding, stride = draw(st.integers(0, kernel // 2)), draw(st.integers(1, 3))
    pool = draw(st.sampled_from(["max", "average", "none"]))
    if pool == "max":
        parts.append(nn.MaxPool2d(kernel, stride, padding, dilation=draw(st.integers(1, 2)), ceil_mode=ceil))
    elif pool == "average":
        parts.append(nn.AvgPool2d(kernel, stride, padding, ceil, draw(st.booleans())))
    if draw(st.booleans()):
        parts.append(nn.ZeroPad2d(draw(st.tuples(*[st.integers(0, 2)] * 4))))
    second = draw(st.integers(1, 3))
    parts += [nn.Conv2d(4, 3, second, padding=second // 2), nn.BatchNorm2d(3)]
    return nn.Sequential(*parts)


class Summed(nn.Module):
    """The mean of every channel, and one pixel, so that a mistake anywhere is seen."""

    def __init__(self, parts, weights):
        super().__init__()
        self.parts, self.weights = parts, nn.Parameter(weights)

    def forward(self, given):
        found = self.parts(given)
        return torch.cat([found.mean((2, 3)) @ self.weights, found.sin().flatten(2).amax(2)], 1)


@settings(deadline=None, max_examples=60)
@given(layers(), st.tuples(st.integers(1, 17), st.integers(1, 19)), st.tuples(st.integers(1, 9), st.integers(1, 9)))
def test_any_extents_of_layers_and_windows(parts, window, stride):
    torch.manual_seed(0)
    network = seeded(lambda: Summed(parts, torch.randn(3, 2)))
    stride = tuple(min(step, side) for step, side in zip(stride, window, strict=True))
    point, cover = pixels(1, 4, 17, 19), pixels(1, 4, 17, 19, seed=1)
    found, expected, _ = both(network, point, window, stride, cover)
    assert agree(found, expected, torch.float64)


class Extremes(nn.Module):
    """Scores that hang on the largest and smallest of everything, in all rows."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(1, 2, 3)

    def forward(self, given):
        low, high = torch.aminmax(given.abs())
        found = self.convolution(given)
        return found.mean((2, 3)) * (high - low) * (found.max() - 2 * found.min() + (given > 2.5).any() * 1.0)


@pytest.mark.parametrize("together", [1, 2, 30])
def test_the_extremes_of_all_rows_are_those_of_whole_passes(together):
    network, cover = seeded(Extremes), torch.zeros(1, 1, 9, 9).double()
    point, windows = pixels(1, 1, 9, 9), windows_of((9, 9), (4, 4), (1, 1))
    point[0, 0, 4, 4] = 3.0  # in the middle of many windows
    subject = pl.wrap(network, pl.tasks.TensorTask(shape=(1, 9, 9)))
    fast = incremental(subject, subject.prepare(point), cover, windows, largest_share=2.0)
    assert fast is not None
    for numbers in torch.arange(len(windows)).split(together):
        with torch.no_grad():
            expected = network(windows.covered(point, cover, numbers.tolist()))
        assert torch.allclose(fast.scores(numbers), expected, atol=1e-12)


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 4), st.integers(1, 3), st.integers(0, 3), st.integers(1, 9), st.integers(1, 9))
def test_sequences_of_channels_have_boxes_of_one_axis(kernel, stride, padding, window, step):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv1d(3, 4, kernel, stride, padding), nn.ReLU(), nn.Conv1d(4, 3, 1)).double()
    network = Mean(network, 2)
    found, expected, _ = both(network, pixels(1, 3, 23), (window,), (min(step, window),))
    assert agree(found, expected, torch.float64)


class Mean(nn.Module):
    """The mean of a network's answers over axes."""

    def __init__(self, network, *axes):
        super().__init__()
        self.network, self.axes = network, axes

    def forward(self, given):
        return self.network(given).mean(self.axes)


class Function(nn.Module):
    """A function of a picture, between two convolutions and a mean."""

    def __init__(self, function, **layers):
        super().__init__()
        self.first, self.last, self.function = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 3, 3), function
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, given):
        return self.last(self.function(self, self.first(given))).mean((2, 3))


def written_slice(net, found):
    found = found.clone()
    found[:, :2] = found[:, 2:].relu()
    return found


def read_after_a_write(net, found):
    seen = found.view(len(found), 4, -1)
    found.relu_()
    return found + seen.view_as(found).tanh()


def decided(net, found):
    return found.sigmoid() if bool(found.abs().max() < 3.0) else found * 2


def attended(net, found):
    tokens = found.flatten(2).mT
    return functional.scaled_dot_product_attention(tokens, tokens, tokens).mT.unflatten(2, found.shape[2:])


def through_time(net, found):
    return net.recurrent(found.mean(3).mT)[0].mT.unsqueeze(3).expand_as(found)


def scripted():
    return torch.jit.script(nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU()))


AWKWARD = {
    "functional relu": (lambda net, found: functional.relu(found), {}),
    "in place": (lambda net, found: functional.relu(found, inplace=True).mul_(2).add_(1), {}),
    "a module used twice": (lambda net, found: net.again(net.again(found).relu()), {"again": nn.Conv2d(4, 4, 3, 1, 1)}),
    "a slice that is written": (written_slice, {}),
    "memory read after it was written": (read_after_a_write, {}),
    "a decision": (decided, {}),
    "a number taken out": (lambda net, found: found * float(found.sum().tanh()), {}),
    "attention over positions": (attended, {}),
    "a recurrence over positions": (through_time, {"recurrent": nn.LSTM(4, 4, batch_first=True)}),
    "upsampling": (lambda net, found: functional.interpolate(found, scale_factor=2, mode="bilinear"), {}),
    "transposed": (lambda net, found: net.up(found), {"up": nn.ConvTranspose2d(4, 4, 3, 2, 1)}),
    "circular padding": (lambda net, found: net.around(found), {"around": nn.Conv2d(4, 4, 3, 1, 1, padding_mode="circular")}),
    "reflected padding": (lambda net, found: net.around(found), {"around": nn.Conv2d(4, 4, 5, 1, 2, padding_mode="reflect")}),
    "norm over positions": (lambda net, found: functional.layer_norm(found, found.shape[1:]), {}),
    "norm over groups": (lambda net, found: net.norm(found), {"norm": nn.GroupNorm(2, 4)}),
    "norm of each map": (lambda net, found: net.norm(found), {"norm": nn.InstanceNorm2d(4)}),
    "shuffled channels": (lambda net, found: functional.channel_shuffle(found, 2), {}),
    "shifted by a position map": (lambda net, found: found * net.map, {"map": nn.Parameter(torch.rand(4, 24, 22))}),
    "an axis turned": (lambda net, found: found.transpose(2, 3), {}),
    "halves swapped": (lambda net, found: torch.cat(found.chunk(2, 1)[::-1], 1), {}),
    "channels gated": (lambda net, found: found * found.mean((2, 3), keepdim=True).sigmoid(), {}),
    "joined side by side": (lambda net, found: torch.cat([found, found], 3), {}),
    "cropped": (lambda net, found: functional.pad(found, (-2, 1, -1, -3)), {}),
    "scripted": (lambda net, found: net.inner(found), {"inner": scripted}),
    "a detour through numpy": (lambda net, found: torch.from_numpy(found.detach().numpy() ** 2), {}),
    "rows counted": (lambda net, found: torch.cat([found, found.new_ones(len(found), 4, *found.shape[2:])], 1)[:, 2:6], {}),
}  # fmt: skip


# By whole passes: what a list of operations does not tell, and where nearly all products are past the first layer.
DENSE = {
    *("a slice that is written", "memory read after it was written", "a number taken out", "a detour through numpy"),
    *("circular padding", "attention over positions", "a recurrence over positions", "transposed"),
}


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
@pytest.mark.parametrize("name", AWKWARD)
def test_whatever_a_network_does_the_answer_is_that_of_whole_passes(name):
    function, parts = AWKWARD[name]
    torch.manual_seed(0)
    parts = {key: part() if callable(part) and not isinstance(part, nn.Module) else part for key, part in parts.items()}
    network = seeded(lambda: Function(function, **parts))
    point, cover = pixels(1, 3, 24, 22), pixels(1, 3, 24, 22, seed=1)
    subject, windows = pl.wrap(network, pl.tasks.TensorTask(shape=(3, 24, 22))), windows_of((24, 22), (4, 4), (2, 3))
    inputs = subject.prepare(point)
    target = resolve(subject, inputs, pl.Decision(inputs, target=1))
    found, share = with_windows(subject, inputs, target, cover, windows)
    expected = whole_passes(network, point, cover, windows)[:, 1]
    assert (share < 1.0) == (name not in DENSE)
    assert expected.std() > 0
    assert torch.allclose(found, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("make", [MobileNetV3, UNet, ViT])
def test_networks_that_mix_all_positions_are_answered_densely_or_in_part(make):
    side = 8 if make is ViT else 16
    network = seeded(make)
    point = pixels(1, 3, side, side)
    shape = tuple(network(point).shape[1:])
    target = (1, *[size // 2 for size in shape[1:]]) if len(shape) > 1 else 1
    subject, windows = (
        pl.wrap(network, pl.tasks.TensorTask(shape=(3, side, side))),
        windows_of((side, side), (3, 3), (1, 1) if side == 8 else (2, 1)),
    )
    inputs = subject.prepare(point)
    question = resolve(subject, inputs, pl.Decision(inputs, target=target))
    found, _ = with_windows(subject, inputs, question, torch.zeros_like(point), windows)
    expected = whole_passes(network, point, torch.zeros_like(point), windows)
    expected = expected[(slice(None), *target)] if isinstance(target, tuple) else expected[:, target]
    assert torch.allclose(found, expected, rtol=1e-9, atol=1e-10)


class Decides(nn.Module):
    """Goes another way where a pixel is large: what was heard on one way says nothing about the other."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 3, 3)

    def forward(self, given):
        found = self.convolution(given)
        return (found.sigmoid() if bool((given < 50).all()) else found.square()).mean((2, 3))


def test_windows_that_change_a_decision_are_answered_by_whole_passes():
    network, point, cover = seeded(Decides), pixels(1, 3, 16, 16), torch.zeros(1, 3, 16, 16).double()
    cover[0, 0, 6, 5] = 60.0
    subject, windows = pl.wrap(network, pl.tasks.TensorTask(shape=(3, 16, 16))), windows_of((16, 16), (2, 2), (2, 2))
    inputs = subject.prepare(point)
    with pl.byte_budget(100_000):  # batches of a few windows
        found, share = with_windows(subject, inputs, one_class(subject, inputs), cover, windows)
        network_in_part = incremental(subject, inputs, cover, windows)
    assert network_in_part is not None
    assert share < 0.5
    assert network_in_part.scores(torch.arange(len(windows))) is None
    expected = whole_passes(network, point, cover, windows)[:, 1]
    same = (found - expected).abs() < 1e-10
    assert same[(windows.starts == torch.tensor([6, 4])).all(1)].all()
    assert 0.5 < same.double().mean() < 1  # The network sends all that come with it the same way.


def one_class(subject, inputs):
    return resolve(subject, inputs, pl.Decision(inputs, target=1))


def asked(budget=2**29, backwards=False):
    """Windows on a small VGG: what was found, the share computed, the passes counted, and how many windows."""
    network = seeded(VGG)
    subject, windows = pl.wrap(network, pl.tasks.TensorTask(shape=(3, 32, 32))), windows_of((32, 32), (4, 4), (3, 3))
    inputs = subject.prepare(pixels(1, 3, 32, 32))
    target = one_class(subject, inputs)
    if backwards:
        windows = windows.some(torch.arange(len(windows)).flip(0))
    with metered() as meter, pl.byte_budget(budget):
        found, share = with_windows(subject, inputs, target, torch.zeros_like(inputs.value), windows)
    return found, share, meter.forward, len(windows)


def test_every_window_counts_as_a_pass_and_so_does_what_it_takes_to_find_out():
    _, share, passes, windows = asked()
    assert share < 0.5
    # A first pass, one that is heard, three windows that are heard, the plain pass, and the three windows again.
    assert passes == windows + 1 + 1 + 3 + 1 + 3


def test_batches_respect_the_byte_budget_and_do_not_change_the_answer():
    found, share, *_ = asked()
    few, few_share, *_ = asked(budget=1_000_000)
    none, dense_share, *_ = asked(budget=10_000)
    assert share == pytest.approx(few_share)
    assert share < dense_share == 1.0
    assert torch.allclose(found, few, atol=1e-12)
    assert torch.allclose(found, none, atol=1e-12)


def test_equal_bits_on_request_whatever_comes_with_a_window():
    with deterministic():
        forwards, share, *_ = asked(budget=1_000_000)
        backwards, *_ = asked(budget=1_000_000, backwards=True)
    assert share < 1
    assert torch.equal(forwards, backwards.flip(0))


def test_progress_goes_up_to_the_number_of_windows():
    network = seeded(VGG)
    subject, windows = pl.wrap(network, pl.tasks.TensorTask(shape=(3, 32, 32))), windows_of((32, 32), (4, 4), (3, 3))
    inputs, seen = subject.prepare(pixels(1, 3, 32, 32)), []
    target = one_class(subject, inputs)
    with reporting(lambda done, total, what: seen.append((done, total, what))), pl.byte_budget(1_000_000):
        with_windows(subject, inputs, target, torch.zeros_like(inputs.value), windows, "covering")
    assert [done for done, *_ in seen] == sorted({done for done, *_ in seen})
    assert len(seen) > 1
    assert seen[-1] == (len(windows), len(windows), "covering")


def test_a_black_box_shows_no_operations():
    task = pl.tasks.TensorTask(shape=(1, 8, 8), output="value", labels=("sum",))
    subject = pl.wrap(lambda batch: torch.as_tensor(batch).sum((1, 2, 3))[:, None], task)
    inputs = subject.prepare(pixels(1, 1, 8, 8, dtype=torch.float32))
    assert incremental(subject, inputs, torch.zeros_like(inputs.value), windows_of((8, 8), (2, 2), (1, 1))) is None


class Gated(nn.Module):
    """Reads a picture and a second picture that gates what was seen, and a number of every example."""

    def __init__(self):
        super().__init__()
        self.convolution, self.other, self.last = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3), nn.Conv2d(4, 3, 3, 2)

    def forward(self, picture, gate, scale):
        seen = self.convolution(picture).relu() * self.other(gate).sigmoid()
        return self.last(seen * scale[:, None, None, None]).mean((2, 3))


def test_other_inputs_are_the_same_for_all_windows():
    network, point, gate, scale = seeded(Gated), pixels(1, 3, 20, 20), pixels(1, 3, 20, 20, seed=1), pixels(1, seed=2)
    tensors = {"picture": point, "gate": gate, "scale": scale}
    subject, windows = pl.wrap(network, pl.tasks.TensorTask()), windows_of((20, 20), (3, 3), (2, 2))
    inputs = pl.Inputs(tensors, "picture")
    found, share = with_windows(subject, inputs, one_class(subject, inputs), torch.zeros_like(point), windows)
    expected = whole_passes(lambda covered: network(covered, gate, scale), point, torch.zeros_like(point), windows)
    assert share < 0.5
    assert torch.allclose(found, expected[:, 1], atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("window", [16, 40])
def test_efficientnet_lite0_answers_the_same(window):
    subject = pl.load("efficientnet-lite0")
    inputs = subject.prepare(Image.fromarray(data.chelsea()))
    windows, cover = windows_of((224, 224), (window, window), (25, 25)), torch.zeros_like(inputs.value)
    fast = incremental(subject, inputs, cover, windows)
    assert fast is not None
    assert fast.share < 0.8
    found = torch.cat([fast.scores(part) for part in torch.arange(len(windows)).split(8)])
    expected = whole_passes(subject.module, inputs.value, cover, windows)
    assert agree(found, expected, torch.float32)
