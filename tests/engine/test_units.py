"""Units of layers of any shape: where their channels are, how strongly they respond, and which there are."""

import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.core.subject import Run
from pellucid.engine.units import UnitLayer, Units, layer_at, layers_at, objective_of

MAPS = UnitLayer("maps", "Conv2d", (4, 3, 5), 0)
TOKENS = UnitLayer("tokens", "Linear", (6, 4), 1)
VECTOR = UnitLayer("vector", "Linear", (4,), 0)


def noise(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def subject():
    torch.manual_seed(0)
    parts = [nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 15, 3)]
    return pl.wrap(nn.Sequential(*parts), pl.tasks.TensorTask(("cat", "dog", "cow"), shape=(2, 5, 7)), name="network")


@pytest.mark.parametrize("layer", [MAPS, TOKENS, VECTOR], ids=lambda layer: layer.name)
def test_a_channel_is_taken_together_over_its_own_places(layer):
    activation = noise(3, *layer.shape)
    channels = activation.movedim(layer.axis + 1, 1).reshape(3, 4, -1)
    assert layer.channels == 4
    assert torch.equal(layer.places(activation), channels)
    for index in range(4):
        assert torch.allclose(layer.values(activation, index), channels[:, index].mean(1))
        assert torch.equal(layer.values(activation, index, "max"), channels[:, index].amax(1))
        assert torch.allclose(layer.values(activation, index, "sum"), channels[:, index].sum(1))
    middle = {"maps": 1 * 5 + 2, "tokens": 3, "vector": 0}[layer.name]
    assert torch.equal(layer.values(activation, 2, "centre"), channels[:, 2, middle])
    for over in ("mean", "max", "sum", "centre"):
        each = torch.stack([layer.values(activation, index, over) for index in range(4)], 1)
        assert torch.allclose(layer.every(activation, over), each)


def test_units_may_differ_from_row_to_row_and_be_single_elements():
    activation = noise(3, *MAPS.shape)
    found = MAPS.each(activation, [(1, 2, 4), 3, (0,)], "max")
    assert found.tolist() == [activation[0, 1, 2, 4], activation[1, 3].max(), activation[2, 0].max()]
    assert MAPS.each(activation, [2, 0, 1]).tolist() == pytest.approx(
        [float(activation[row, index].mean()) for row, index in enumerate((2, 0, 1))]
    )
    tokens = noise(1, *TOKENS.shape)
    assert TOKENS.values(tokens, (5, 2)).tolist() == [tokens[0, 5, 2]]


@pytest.mark.parametrize("index", [4, -1, (0, 3, 0), (0, 0, 0, 0), (4,)])
def test_a_unit_that_is_not_there_is_answered_with_the_range(index):
    with pytest.raises(UsageError, match=r"has (channels 0 to 3|an output of \(4, 3, 5\)), and no unit"):
        MAPS.check(index)


def test_units_are_named_as_on_the_command_line():
    assert MAPS.named(3) == "maps/3"
    assert MAPS.named((3, 1, 2)) == "maps/3,1,2"
    assert MAPS.chosen(None) == (0, 1, 2, 3)
    assert MAPS.chosen(2) == (2,)


def test_rows_of_units_are_chosen_and_repeated():
    units = Units(MAPS, (0, 1, 2, 3), "max")
    assert units.rows(slice(1, 3)).indices == (1, 2)
    assert units.rows(torch.tensor([3, 3, 0])).indices == (3, 3, 0)
    assert units.rows(slice(0, 1)).over == "max"
    assert units.capture == ("maps",)


def test_the_strongest_of_a_layer_is_told_among_channels_or_among_all_elements():
    activation = torch.zeros(3, *MAPS.shape)
    activation[:, 2] = 1.0
    activation[:, 1, 0, 0] = 5.0
    run = Run(torch.empty(3, 0), {"maps": activation})
    assert Units(MAPS, (2, 1, 0), "mean").strongest(run).tolist() == [True, False, False]
    assert Units(MAPS, (2, 1, 0), "max").strongest(run).tolist() == [False, True, False]
    assert Units(MAPS, ((1, 0, 0), (2, 0, 0), 2), "mean").strongest(run).tolist() == [True, False, True]


class Swapped(nn.Module):
    """Tokens of words whose channels are last, and maps whose channels are first."""

    def __init__(self):
        super().__init__()
        self.tokens, self.convolution, self.norm = nn.Linear(3, 6), nn.Conv1d(6, 4, 3), nn.LayerNorm(4)

    def forward(self, rows):
        return self.norm(self.convolution(self.tokens(rows).transpose(1, 2)).transpose(1, 2)).mean(1)


def test_channels_are_found_by_what_a_layer_does():
    subject = pl.wrap(Swapped(), pl.tasks.TensorTask(shape=(7, 3)), name="swapped")
    found = layers_at(subject, subject.task.example(), ["tokens", "convolution", "norm"])
    assert [(layer.axis, layer.channels, layer.extent) for layer in found] == [(1, 6, (7,)), (0, 4, (5,)), (1, 4, (5,))]


def test_a_layer_is_known_by_name_with_its_shape_for_the_inputs(subject):
    layer = layer_at(subject, subject.task.example(), "0")
    assert (layer.name, layer.kind, layer.shape, layer.axis) == ("0", "Conv2d", (4, 3, 5), 0)
    with pytest.raises(UsageError, match="network has no layer '7'"):
        layer_at(subject, subject.task.example(), "7")


class Parts(nn.Module):
    """A module that returns a pair, and one that returns a number per example."""

    def __init__(self):
        super().__init__()
        self.pair, self.number, self.out = nn.LSTM(3, 4, batch_first=True), nn.Linear(4, 1), nn.Linear(4, 2)
        self.last = nn.Flatten(0)

    def forward(self, rows):
        hidden = self.pair(rows)[0][:, -1]
        return self.out(hidden) + self.last(self.number(hidden))[:, None]


def test_layers_without_channels_are_refused():
    subject = pl.wrap(Parts(), pl.tasks.TensorTask(shape=(5, 3)), name="parts")
    with pytest.raises(NotAnswerable, match="layer 'last' returns one number per example"):
        layer_at(subject, subject.task.example(), "last")


def test_a_query_names_a_unit_or_a_class(subject):
    inputs = subject.prepare(noise(2, 2, 5, 7))
    objective, name = objective_of(subject, inputs, pl.Unit("0", 3))
    run = subject.run(inputs, capture=objective.capture)
    assert name == "0/3"
    assert torch.allclose(objective(run), run.activations["0"][:, 3].mean((1, 2)))
    objective, name = objective_of(subject, inputs, pl.Unit(target="dog"))
    assert name == "class 1 (dog)"
    assert torch.allclose(objective(subject.run(inputs)), subject.scores(inputs)[:, 1])
    for query, match in (
        (pl.Unit("0", 3, target=1), "either a class"),
        (pl.Unit("0"), "name a unit"),
        (pl.Unit(), "name a unit"),
        (pl.Unit("0", 4), "channels 0 to 3"),
        (pl.Unit(target="cot"), "did you mean"),
    ):
        with pytest.raises(UsageError, match=match):
            objective_of(subject, inputs, query)
