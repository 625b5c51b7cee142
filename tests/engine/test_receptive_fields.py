"""Receptive fields against the support of gradients, on networks of every shape, and by hand at borders."""

import pytest
import torch
from torch import nn
from torch.nn import functional

import pellucid as pl
from engine.convolutional_networks import DenseNet, MobileNetV2, UNet
from engine.networks import ResNet, seeded
from pellucid.core.errors import UsageError
from pellucid.engine.receptive_fields import receptive_fields


class Smooth(nn.Module):
    """Lets a gradient through everywhere, in the place of rectifiers."""

    def forward(self, values):
        return functional.softplus(values)


class Mixed(nn.Module):
    """Strides, dilations, groups, one-sided padding, functional pooling, slices and one activation for everything."""

    def __init__(self):
        super().__init__()
        self.wide, self.thin = nn.Conv2d(3, 8, (5, 3), (2, 1), (0, 2)), nn.Conv2d(8, 8, 3, dilation=2, groups=4)
        self.depth, self.up = nn.Conv2d(8, 8, 2, padding=1, groups=8), nn.ConvTranspose2d(8, 6, 3, 2, 1, 1, groups=2)
        self.act, self.last = Smooth(), nn.Conv2d(6, 4, 1)
        self.joined, self.shifted = nn.Identity(), nn.Identity()

    def forward(self, pixels):
        found = self.act(self.wide(functional.pad(pixels, (1, 0, 2, 0))))
        found = functional.avg_pool2d(found, (2, 3), (2, 1), (1, 0), ceil_mode=True)
        branches = torch.cat([self.act(self.thin(found))[:, :4], found[:, 2:6, 2:-2, 2:-2]], 1)
        found = self.act(self.depth(self.joined(branches)))
        found = self.act(self.up(found))
        moved = self.shifted(torch.roll(found, 1, 3).flip(2))
        moved[:, 0] = found[:, 1] * 2
        return self.last(moved + found).mean((2, 3))


class Pooled(nn.Module):
    """Every pooling that has a gradient everywhere, and what it has in common with the maximum."""

    def __init__(self, kind):
        super().__init__()
        self.first, self.kind = nn.Conv2d(3, 4, 3), kind
        self.pool = {"average": nn.AvgPool2d, "maximum": nn.MaxPool2d}[kind](3, 2, 1)
        self.second, self.adaptive = nn.Conv2d(4, 4, 2), nn.Identity()

    def forward(self, pixels):
        found = self.second(self.pool(self.first(pixels)))
        pooled = {"average": functional.adaptive_avg_pool2d, "maximum": functional.adaptive_max_pool2d}[self.kind]
        return self.adaptive(pooled(found, (2, 3))).flatten(1)


def smoothed(network):
    """With every rectifier, batch norm's zero variance and maximum replaced by something that has a gradient."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU | nn.ReLU6):
                setattr(module, name, Smooth())
            elif isinstance(child, nn.MaxPool2d):
                setattr(module, name, nn.AvgPool2d(child.kernel_size, child.stride, child.padding))
    return network


def support(subject, point, layer, place):
    """The box of what a unit's gradient is not zero at; zeros where there is none."""
    inputs = subject.prepare(point)
    given = point.clone().requires_grad_()
    run = subject.run(inputs.at(given), capture=(layer,), differentiable=True)
    (gradient,) = torch.autograd.grad(run.activations[layer][(0, *place)], given, allow_unused=True)
    if gradient is None or not bool(gradient.any()):
        return (0, 0, 0, 0)
    rows, columns = (gradient[0].abs().sum((0, axis)).nonzero().flatten() for axis in (2, 1))
    return (int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)


NETWORKS = {
    "residual": (lambda: smoothed(ResNet()), (3, 25, 28)),
    "dense": (lambda: smoothed(DenseNet()), (3, 20, 18)),
    "inverted-bottlenecks": (lambda: smoothed(MobileNetV2()), (3, 49, 40)),
    "mixed": (Mixed, (3, 33, 30)),
    "u": (lambda: smoothed(UNet(mode="bilinear")), (3, 48, 40)),
    "pooled": (lambda: Pooled("average"), (3, 21, 24)),
}
_EACH = 40


@pytest.fixture
def no_dead_units(monkeypatch):
    """Functional rectifiers and maxima that let a gradient through everywhere."""
    for name in ("relu", "relu6"):
        monkeypatch.setattr(functional, name, lambda values, inplace=False: functional.softplus(values))
    monkeypatch.setattr(functional, "max_pool2d", functional.avg_pool2d)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_field_is_the_support_of_the_gradient(name, no_dead_units):
    build, shape = NETWORKS[name]
    subject = pl.wrap(seeded(build).to(torch.float64), pl.tasks.TensorTask(shape=shape))
    source = torch.Generator().manual_seed(0)
    point = torch.randn(1, *shape, generator=source, dtype=torch.float64)
    inputs = subject.prepare(point)
    layers = [layer for layer in subject.layers(inputs) if layer.shape and layer.calls == 1]
    fields = {layer.name: receptive_fields(subject, inputs, layer.name) for layer in layers}
    partial = 0
    for _ in range(_EACH):
        layer = layers[int(torch.randint(len(layers), (), generator=source))]
        place = tuple(int(torch.randint(side, (), generator=source)) for side in layer.shape)
        box = fields[layer.name].box(place)
        assert box == support(subject, point, layer.name, place), (layer, place)
        partial += not fields[layer.name].whole(place)
    assert partial >= _EACH // 3


def test_a_maximum_has_the_windows_of_an_average():
    point = torch.randn(1, 3, 21, 24)
    for layer in ("pool", "second", "adaptive"):
        average, maximum = (
            receptive_fields(subject, subject.prepare(point), layer)
            for subject in (pl.wrap(seeded(lambda kind=kind: Pooled(kind))) for kind in ("average", "maximum"))
        )
        assert torch.equal(average.first, maximum.first)
        assert torch.equal(average.stop, maximum.stop)


def test_kernels_strides_and_borders_by_hand():
    network = nn.Sequential(nn.Conv2d(1, 1, 3, 2, 1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(9, 2))
    subject = pl.wrap(network)
    inputs = subject.prepare(torch.zeros(1, 1, 12, 12))
    first, pooled = (receptive_fields(subject, inputs, layer) for layer in ("1", "2"))
    assert first.box((0, 0, 0)) == (0, 0, 2, 2)
    assert first.box((0, 2, 5)) == (3, 9, 6, 12)
    assert pooled.box((0, 0, 0)) == (0, 0, 4, 4)
    assert pooled.box((0, 1, 2)) == (3, 7, 8, 12)
    assert not pooled.whole((0, 1, 2))


def test_what_looks_everywhere_sees_the_whole_input():
    class Everywhere(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.pool, self.linear = nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Linear(8 * 36, 4)
            self.attention = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)

        def forward(self, pixels):
            found = self.conv(pixels)
            tokens = self.attention(found.flatten(2).transpose(1, 2))
            return self.linear(found.flatten(1)) + self.pool(found)[:, :4, 0, 0] + tokens.mean(1)[:, :4]

    subject = pl.wrap(seeded(Everywhere))
    inputs = subject.prepare(torch.randn(1, 3, 8, 8))
    for layer, place in (("pool", (1, 0, 0)), ("linear", (2,)), ("attention", (5, 3))):
        assert receptive_fields(subject, inputs, layer).whole(place)
    assert not receptive_fields(subject, inputs, "conv").whole((0, 3, 3))


def test_a_reused_module_has_a_field_for_every_call():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.blind = nn.Conv1d(2, 2, 3, padding=1), nn.Identity()

        def forward(self, series):
            found = self.conv(self.conv(series).relu_())
            return found.mean(2) + self.blind(torch.ones(1, 2))

    subject = pl.wrap(seeded(Twice))
    inputs = subject.prepare(torch.randn(1, 2, 9))
    assert [receptive_fields(subject, inputs, layer).box((0, 4)) for layer in ("conv", "conv#1")] == [(3, 6), (2, 7)]
    with pytest.raises(UsageError, match="no layer 'convs' was called; did you mean 'conv'"):
        receptive_fields(subject, inputs, "convs")
    with pytest.raises(UsageError, match="'blind' returns no tensor that is computed from the input"):
        receptive_fields(subject, inputs, "blind")


def test_tokens_see_themselves_before_an_attention_and_no_more():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.project, self.norm = nn.Linear(4, 8), nn.LayerNorm(8)

        def forward(self, words):
            return self.norm(self.project(words).relu()).mean(1)

    subject = pl.wrap(seeded(Tokens), pl.tasks.Sequence(channels=("a", "b", "c", "d")))
    fields = receptive_fields(subject, subject.prepare(torch.randn(1, 7, 4)), "norm")
    assert [fields.box((place, 0)) for place in (0, 3)] == [(0, 1), (3, 4)]
