"""Layers that every path crosses, against an enumeration of all paths, on graphs of every shape that a module can make."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import pellucid as pl
from engine.networks import ResNet, seeded
from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.engine.crossings import crossings
from pellucid.engine.tape import Tape


def found(module, point, names=None):
    with Tape(point, module) as tape:
        scores = module(point)
    return crossings(tape, scores, names)


def names_of(module, point, names=None):
    return [layer.name for layer in found(module, point, names)]


class Graph(nn.Module):
    """Node ``i`` is a linear map of the sum of the nodes in ``sources[i]``; -1 is the input, the last node the scores."""

    def __init__(self, sources):
        super().__init__()
        self.sources = sources
        self.nodes = nn.ModuleList(nn.Linear(3, 3).double() for _ in sources)

    def forward(self, rows):
        values = [rows]
        for node, sources in zip(self.nodes, self.sources, strict=True):
            values.append(node(sum((values[source + 1] for source in sources), torch.zeros_like(rows))))
        return values[-1]


@st.composite
def graphs(draw):
    size = draw(st.integers(2, 6))
    return [draw(st.sets(st.integers(-1, node - 1), min_size=1, max_size=3)) for node in range(size)]


def paths_to(sources, node):
    if node == -1:
        return [()]
    return [(*path, node) for source in sources[node] for path in paths_to(sources, source)]


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_a_layer_is_crossed_where_it_lies_on_every_path(sources):
    module = seeded(lambda: Graph(sources))
    every = paths_to(sources, len(sources) - 1)
    inner = range(len(sources) - 1)
    reached = [node for node in inner if any(node in path for path in every)]
    if not reached:
        return
    layers = found(module, torch.randn(2, 3).double(), [f"nodes.{node}" for node in reached])
    expected = {f"nodes.{node}": all(node in path for path in every) for node in reached}
    assert {layer.name: layer.crossed for layer in layers} == expected


def test_of_a_residual_network_the_blocks_are_crossed_and_nothing_inside_them():
    module = seeded(lambda: ResNet(width=4, stages=3))
    layers = found(module, torch.randn(1, 3, 32, 32).double())
    assert [layer.name for layer in layers] == ["bn1", *(f"layers.{number}" for number in range(6))]
    assert [layer.channels for layer in layers] == [4, 4, 4, 8, 8, 16, 16]
    (inside,) = found(module, torch.randn(1, 3, 32, 32).double(), ["layers.0.conv1"])
    assert not inside.crossed


class Stacks(nn.Module):
    """A convolution, batch norm, activation and pooling, twice, then two linear maps."""

    def __init__(self):
        super().__init__()
        self.conv1, self.norm1, self.conv2, self.norm2 = nn.Conv2d(2, 5, 3), nn.BatchNorm2d(5), nn.Conv2d(5, 6, 3), None
        self.relu, self.pool, self.flatten = nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Flatten()
        self.hidden, self.drop, self.head = nn.Linear(6, 7), nn.Dropout(), nn.Linear(7, 3)

    def forward(self, pixels):
        features = self.pool(self.relu(self.norm1(self.conv1(pixels))))
        features = self.flatten(self.pool(self.relu(self.conv2(features))))
        return self.head(self.drop(self.relu(self.hidden(features))))


def test_one_activation_is_taken_between_any_two_maps_with_weights():
    module = seeded(Stacks)
    layers = found(module, torch.randn(1, 2, 10, 10).double())
    assert [(layer.name, layer.kind) for layer in layers] == [("relu", "ReLU"), ("relu#1", "ReLU"), ("relu#2", "ReLU")]
    assert [(layer.shape, layer.axis) for layer in layers] == [((5, 8, 8), 0), ((6, 2, 2), 0), ((7,), 0)]
    assert all(layer.crossed for layer in layers)


class Tokens(nn.Module):
    """Rows of features, mixed over positions by attention beside a shortcut, then averaged."""

    def __init__(self):
        super().__init__()
        self.embed, self.activation = nn.Linear(4, 6), nn.GELU()
        self.query, self.key, self.value = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 6)
        self.norm, self.head = nn.LayerNorm(6), nn.Linear(6, 3)

    def forward(self, rows):
        hidden = self.activation(self.embed(rows))
        mixing = (self.query(hidden) @ self.key(hidden).mT).softmax(-1)
        return self.head(self.norm(hidden + mixing @ self.value(hidden)).mean(1))


def test_the_channels_of_tokens_are_the_last_axis():
    layers = found(seeded(Tokens), torch.randn(1, 6, 4).double())
    assert [(layer.name, layer.shape, layer.axis) for layer in layers] == [
        ("activation", (6, 6), 1),
        ("norm", (6, 6), 1),
    ]


class Halves(nn.Module):
    """Writes the second half of a layer's output over, so that only the first half still comes from it."""

    def __init__(self, into):
        super().__init__()
        self.first, self.other, self.last, self.into = nn.Linear(4, 4), nn.Linear(4, 2), nn.Linear(4, 3), into

    def forward(self, rows):
        hidden = self.first(rows)
        if self.into:
            torch.mul(self.other(rows), 2, out=hidden[:, 2:])
        else:
            hidden[:, 2:] = self.other(rows)
        return self.last(hidden)


@pytest.mark.parametrize("into", [False, True])
def test_what_is_overwritten_in_part_still_counts_as_a_path(into):
    layers = found(seeded(lambda: Halves(into)), torch.randn(2, 4).double(), ["first", "other"])
    assert [(layer.name, layer.crossed) for layer in layers] == [("first", False), ("other", False)]


def test_names_are_refused_with_the_way_out():
    module, rows = seeded(Stacks), torch.randn(1, 2, 10, 10).double()
    for names, reason in (
        ([], "one or more"),
        (["relu", "relu"], "each once"),
        (["rely"], "did you mean 'relu'"),
        (["head"], "the scores themselves"),
    ):
        with pytest.raises(UsageError, match=reason):
            found(module, rows, names)
    assert names_of(module, rows, ["relu#1", "conv1"]) == ["conv1", "relu#1"]


def test_a_network_without_a_layer_between_its_weights_is_refused():
    with pytest.raises(NotAnswerable, match="name layers=, or ask lrp or occlusion"):
        found(nn.Linear(3, 2), torch.randn(1, 3))
    forked = seeded(lambda: Graph([{-1}, {-1}, {0, 1}]))
    with pytest.raises(NotAnswerable, match="every path crosses"):
        found(forked, torch.randn(1, 3).double())
    assert pl.NotAnswerable is NotAnswerable
