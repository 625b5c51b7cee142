"""Which layer is read where none is named, what counts as a map, and how maps come to another extent."""

import pytest
import torch
from torch import nn
from torch.nn import functional

import pellucid as pl
from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.core.query import Decision, Unit
from pellucid.engine.class_activation import Layout, Layouts, interpolated, read, read_gradient, strongest
from pellucid.tasks import TensorTask


class Block(nn.Module):
    """Two convolutions and a sum, with one ReLU for both: the sum is the output of no module but the block."""

    def __init__(self, width):
        super().__init__()
        self.first, self.second = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
        self.norm, self.relu = nn.BatchNorm2d(width), nn.ReLU()

    def forward(self, maps):
        return self.relu(maps + self.norm(self.second(self.relu(self.first(maps)))))


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.layers = nn.Conv2d(3, 4, 3, stride=2), nn.Sequential(Block(4), Block(4))
        self.pool, self.head = nn.AdaptiveAvgPool2d(1), nn.Linear(4, 2)

    def forward(self, pixels):
        return self.head(self.pool(self.layers(self.stem(pixels))).flatten(1))


class Functional(nn.Module):
    """Everything but the convolutions and one dropout after pooling is a function."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.drop = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1), nn.Dropout()
        self.head = nn.Linear(16, 2)

    def forward(self, pixels):
        maps = functional.max_pool2d(self.first(pixels).relu(), 2)
        return self.head(self.drop(functional.max_pool2d(self.second(maps).relu(), 2)).flatten(1))


class Dense(nn.Module):
    """A convolution whose few maps are put beside those before it, and a norm of all of them."""

    def __init__(self):
        super().__init__()
        self.stem, self.grow, self.norm = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 3, padding=1), nn.BatchNorm2d(6)
        self.head = nn.Linear(6, 2)

    def forward(self, pixels):
        maps = self.stem(pixels)
        return self.head(self.norm(torch.cat([maps, self.grow(maps)], 1)).relu().mean((2, 3)))


class Squeezed(nn.Module):
    """The last convolutions see one position only, and scale the maps before them."""

    def __init__(self):
        super().__init__()
        self.features, self.scale = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1)
        self.scaled, self.head = nn.Identity(), nn.Linear(4, 2)

    def forward(self, pixels):
        maps = self.features(pixels)
        return self.head(self.scaled(maps * self.scale(maps.mean((2, 3), keepdim=True)).sigmoid()).mean((2, 3)))


def sequential(*layers):
    return nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(2))


NETWORKS = {
    "the sum of the last block": (Residual, "layers"),
    "a convolution before functional pooling": (Functional, "second"),
    "the norm of maps that were put together": (Dense, "norm"),
    "what follows a squeeze": (Squeezed, "scaled"),
    "an activation before pooling": (lambda: sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2)), "1"),
    "class maps before their average": (lambda: sequential(nn.Conv2d(3, 2, 1), nn.AvgPool2d(8)), "0"),
    "the last of several": (
        lambda: sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.Conv2d(4, 2, 2), nn.GELU()),
        "3",
    ),
}


def reading(net, pixels, wanted=None, **query):
    subject = net if isinstance(net, pl.Subject) else pl.wrap(net)
    return read(subject, Decision(pixels, **query), wanted)


def made(build, *shape):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net, point = build(), torch.randn(*shape)
        net(point)
    return net.eval(), point


@pytest.mark.parametrize("name", NETWORKS)
def test_the_last_maps_are_those_with_the_extent_of_the_last_convolution(name):
    build, expected = NETWORKS[name]
    net, pixels = made(build, 2, 3, 8, 8)
    found = reading(net, pixels)
    assert found.name == expected
    torch.testing.assert_close(found.activation, captured(net, expected, pixels))


def captured(net, layer, pixels):
    seen = []
    handle = net.get_submodule(layer).register_forward_hook(lambda module, given, output: seen.append(output.detach()))
    with torch.no_grad():
        net(pixels)
    handle.remove()
    return seen[-1]


def test_for_a_unit_only_what_lies_before_its_layer_counts():
    net, pixels = made(Residual, 1, 3, 8, 8)
    assert reading(net, pixels, of=Unit("layers.1", 0)).name == "layers.0"
    assert reading(net, pixels, of=Unit("head", 0)).name == "layers"
    with pytest.raises(NotAnswerable, match="no convolution of Residual"):
        reading(net, pixels, of=Unit("stem", 0))


def test_the_second_call_of_a_layer_is_read_by_its_number():
    net, pixels = made(Residual, 1, 3, 8, 8)
    first, second = (reading(net, pixels, name).activation for name in ("layers.0.relu", "layers.0.relu#1"))
    torch.testing.assert_close(second, captured(net, "layers.0", pixels))
    assert not torch.allclose(first, second)


def test_a_picture_of_another_size_has_other_maps():
    net, _ = made(Residual, 1, 3, 8, 8)
    subject = pl.wrap(net, pl.tasks.Image(8, labels=("a", "b")))
    assert reading(subject, torch.randn(1, 3, 8, 12)).layout == Layout((4, 3, 5), (3, 5))


class Segmentation(nn.Module):
    """Scores for every pixel, which a convolution makes."""

    def __init__(self):
        super().__init__()
        self.features, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 2, 1)

    def forward(self, pixels):
        return self.head(self.features(pixels)).permute(0, 2, 3, 1)


@pytest.mark.parametrize("reader", [read, read_gradient])
def test_of_answers_at_positions_a_layer_must_be_named(reader):
    net, pixels = made(Segmentation, 1, 3, 8, 8)
    question = Decision(pixels, target=(2, 3, 1))
    with pytest.raises(NotAnswerable, match="answers at positions.*name a layer"):
        reader(pl.wrap(net), question, None)
    found = reader(pl.wrap(net), question, "features")
    torch.testing.assert_close(found.values, net(pixels).detach()[:, 2, 3, 1])
    assert reader(pl.wrap(net), Decision(pixels, of=Unit("head", 1)), None).name == "features"


class ChannelsLast(nn.Module):
    """Positions first, as in some transformers: rows, columns, channels; and a grid flattened to tokens."""

    def __init__(self):
        super().__init__()
        self.embed, self.mix, self.tokens, self.head = (
            nn.Conv2d(3, 4, 4, 4),
            nn.Linear(4, 5),
            nn.Linear(5, 6),
            nn.Linear(6, 2),
        )

    def forward(self, pixels):
        return self.head(self.tokens(self.mix(self.embed(pixels).permute(0, 2, 3, 1)).flatten(1, 2)).mean(1))


@pytest.mark.parametrize("layer", ["mix", "tokens", "head"])
def test_what_is_not_seen_to_be_a_map_is_refused(layer):
    net, pixels = made(ChannelsLast, 1, 3, 16, 8)
    with pytest.raises(NotAnswerable, match=f"layer '{layer}' gives .* which is no map of its positions"):
        reading(net, pixels, layer)
    assert reading(net, pixels, "embed").layout.extent == (4, 2)


def test_what_follows_functional_pooling_has_no_witness_and_is_refused():
    net, pixels = made(Functional, 1, 3, 8, 8)
    with pytest.raises(NotAnswerable, match="name a convolution"):
        reading(net, pixels, "drop")


class Electrodes(nn.Module):
    """A series as a picture of one row per channel, whose second convolution mixes all rows into one."""

    def __init__(self):
        super().__init__()
        self.time, self.space, self.head = nn.Conv2d(1, 4, (1, 3)), nn.Conv2d(4, 2, (3, 1)), nn.Linear(12, 2)

    def forward(self, series):
        return self.head(self.space(self.time(series.transpose(1, 2)[:, None])).flatten(1))


def test_an_axis_that_was_mixed_away_is_none_of_the_positions():
    net, series = made(Electrodes, 2, 8, 3)
    subject = pl.wrap(net, pl.tasks.Sequence(channels=("a", "b", "c"), labels=("no", "yes")))
    found = reading(subject, series)
    assert (found.name, found.layout) == ("space", Layout((2, 1, 6), (6,)))
    assert found.activation.shape == (2, 2, 6)
    with pytest.raises(NotAnswerable, match="no map"):
        reading(subject, series, "time")


def test_an_unknown_layer_is_refused_by_name():
    net, pixels = made(Residual, 1, 3, 8, 8)
    with pytest.raises(UsageError, match="no layer 'layer.0'; did you mean 'layers.0'"):
        reading(net, pixels, "layer.0")
    with pytest.raises(UsageError, match="the unit's layer 'layer' is not called"):
        reading(net, pixels, of=Unit("layer", 0))


@pytest.mark.parametrize(
    "layout", [Layout((2, 3, 4), (3, 4)), Layout((5, 2), (5,), True), Layout((2, 1, 6), (6,)), Layout((7,), (7,))]
)
def test_maps_and_layers_turn_into_each_other(layout):
    layer = torch.arange(2.0 * torch.Size(layout.shape).numel()).view(2, *layout.shape)
    maps = layout.maps(layer)
    assert maps.shape[2:] == layout.extent
    assert torch.equal(layout.layer(maps), layer)
    one = torch.randn(2, *layout.extent)
    torch.testing.assert_close(layout.maps(layout.evenly(one)).sum(1), one)
    torch.testing.assert_close(layout.maps(layout.over_channels(one)).mean(1), one)


def test_the_layout_of_the_input_follows_its_task():
    net, pixels = made(Residual, 1, 3, 8, 8)
    subject = pl.wrap(net, TensorTask(shape=(3, 8, 8)))
    assert Layouts(subject, subject.prepare(pixels)).input == Layout((3, 8, 8), (8, 8))


@pytest.mark.parametrize(("extent", "larger"), [((3,), (7,)), ((2, 3), (5, 6)), ((2, 2, 3), (4, 3, 6))])
def test_interpolation_is_linear_along_each_axis(extent, larger):
    maps = torch.randn(2, *extent, dtype=torch.float64)
    expected = maps
    for axis, (few, many) in enumerate(zip(extent, larger, strict=True), 1):
        places = ((torch.arange(many, dtype=torch.float64) + 0.5) * few / many - 0.5).clamp(0, few - 1)
        low = places.floor().long()
        high, share = (low + 1).clamp(max=few - 1), places - low
        shape = [-1 if number == axis else 1 for number in range(expected.ndim)]
        expected = torch.lerp(expected.index_select(axis, low), expected.index_select(axis, high), share.view(shape))
    torch.testing.assert_close(interpolated(maps, larger), expected)
    assert interpolated(maps, extent) is maps


def test_the_strongest_channels_are_chosen_by_index_where_they_are_equal():
    chosen, notes = strongest(torch.tensor([[1.0, 3, 3, 2], [5, 0, 0, 0]]), 2)
    assert [rows.tolist() for rows in chosen] == [[1, 2], [0, 1]]
    assert notes[0].startswith("Only 2 of 4 channels")
    assert strongest(torch.ones(1, 3), 3)[1] == ()
