"""Depth ablation: layers that do nothing, layers that do all, and a network of digits that loses more and more."""

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import pellucid as pl
from pellucid.core.errors import UsageError
from pellucid.methods import DepthAblation


class Residual(nn.Module):
    """``x + f(x)``, several times over, then a linear map."""

    def __init__(self, blocks, width=16, inputs=64, classes=10):
        super().__init__()
        self.stem = nn.Linear(inputs, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(blocks))
        self.head = nn.Linear(width, classes)

    def forward(self, rows):
        found = self.stem(rows.flatten(1))
        for block in self.blocks:
            found = block(found)
        return self.head(found)


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.up, self.down = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, found):
        return found + self.down(torch.relu(self.up(found)))


def made(blocks=3, **more):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Residual(blocks, **more)


@pytest.fixture(scope="module")
def trained():
    """A residual network that reads the digits, and digits it was not trained on."""
    table = load_digits()
    rows, classes = torch.tensor(table.data / 16).float(), torch.tensor(table.target)
    network = made(4, width=24)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        optimiser = torch.optim.Adam(network.parameters(), 3e-3)
        for _ in range(250):
            picked = torch.randint(1200, (128,))
            loss = nn.functional.cross_entropy(network(rows[picked]), classes[picked])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return network, rows[1200:], classes[1200:]


def curve(profile, quantity=""):
    panel = next(panel for panel in profile.panels if panel.quantity.startswith(quantity))
    return dict(zip(panel.places, panel.lines[0].mean.tolist(), strict=True))


def test_digits_lose_ever_more_as_ever_more_layers_are_left_out(trained):
    network, rows, classes = trained
    found = DepthAblation(outcomes=classes)(pl.wrap(network), pl.Population(rows))
    accuracy = curve(found, "accuracy")
    cumulative = [accuracy["nothing"], accuracy["blocks.3"], accuracy["blocks.2+blocks.3"]]
    cumulative += [accuracy["blocks.1 … blocks.3 (3 layers)"], accuracy["blocks.0 … blocks.3 (4 layers)"]]
    assert cumulative[0] > 0.9
    assert cumulative == sorted(cumulative, reverse=True)
    assert cumulative[-1] < cumulative[0] - 0.1
    assert accuracy["nothing"] == pytest.approx(float((network(rows).argmax(1) == classes).float().mean()))
    assert found.findings[-1].startswith("Without blocks.0 … blocks.3")


def test_a_skipped_block_hands_on_what_it_reads(trained):
    network, rows, classes = trained
    found = DepthAblation(layers="blocks.1, blocks.0+blocks.2", outcomes=classes)(pl.wrap(network), pl.Population(rows))
    for place, kept in (("blocks.1", (0, 2, 3)), ("blocks.0+blocks.2", (1, 3))):
        hidden = network.stem(rows)
        for number in kept:
            hidden = network.blocks[number](hidden)
        scores = network.head(hidden).detach()
        right = float((scores.argmax(1) == classes).float().mean())
        assert curve(found, "accuracy")[place] == pytest.approx(right)
        of_true = float(scores[torch.arange(len(classes)), classes].double().mean())
        assert curve(found, "score")[place] == pytest.approx(of_true, rel=1e-5)


def test_a_layer_that_changes_the_shape_returns_its_mean_or_zeros(trained):
    network, rows, _ = trained
    subject, query = pl.wrap(network), pl.Population(rows, target=3)
    hidden = network.stem(rows).detach()
    for removal, constant in (("auto", hidden.mean(0)), ("mean", hidden.mean(0)), ("zero", torch.zeros(24))):
        found = DepthAblation(layers="stem", removal=removal)(subject, query)
        after = constant[None]
        for block in network.blocks:
            after = block(after)
        assert curve(found, "score")["stem"] == pytest.approx(float(network.head(after)[0, 3].detach()), rel=1e-4)
        assert any("made to return their mean: stem" in note for note in found.notes) is (removal != "zero")
    with pytest.raises(UsageError, match="'stem' changes the shape of what it reads and cannot be skipped"):
        DepthAblation(layers="stem", removal="skip")(subject, query)


def test_without_true_classes_the_network_is_compared_with_itself():
    found = DepthAblation()(
        pl.wrap(made()), pl.Population(torch.randn(30, 64, generator=torch.Generator().manual_seed(1)))
    )
    same = curve(found, "share whose class is the same")
    assert same["nothing"] == 1
    assert min(same.values()) < 1
    assert set(list(same)[1:4]) == {"blocks.0", "blocks.1", "blocks.2"}


def test_a_network_without_blocks_loses_its_single_layers_and_says_that_nothing_gets_past():
    network = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 6), nn.ReLU(), nn.Linear(6, 3))
    rows = torch.randn(20, 5, generator=torch.Generator().manual_seed(1))
    found = DepthAblation()(pl.wrap(network), pl.Population(rows))
    assert found.panels[0].places == ("nothing", "0", "2", "0+2")
    assert any("return their mean: 0, 2" in note for note in found.notes)


def test_the_column_of_a_table_that_holds_what_is_true():
    network = made(2, inputs=2, classes=2)
    task = pl.tasks.Tabular(["height", "weight"], ["no", "yes"], [0.0, 0.0], [1.0, 1.0])
    rows = [{"height": float(i), "weight": float(-i), "ill": "yes" if i % 2 else "no"} for i in range(6)]
    found = DepthAblation()(pl.wrap(network, task), pl.Population(rows, outcome="ill"))
    scores = network(torch.tensor([[float(i), float(-i)] for i in range(6)]))
    right = float((scores.argmax(1) == torch.tensor([0, 1, 0, 1, 0, 1])).float().mean())
    assert curve(found, "accuracy")["nothing"] == pytest.approx(right)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"layers": "block.1"}, "did you mean 'blocks.1'"),
        ({"layers": "blocks.1+blocks.1.up"}, "lie inside one another"),
        ({"outcomes": [0, 1]}, "2 outcomes for 4 examples"),
    ],
)
def test_what_cannot_be_left_out_is_refused(fields, said):
    with pytest.raises(UsageError, match=said):
        DepthAblation(**fields)(pl.wrap(made()), pl.Population(torch.zeros(4, 64)))


def test_the_network_is_left_as_it_was():
    network = made()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    DepthAblation()(pl.wrap(network), pl.Population(torch.randn(4, 64, generator=torch.Generator().manual_seed(1))))
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())
    assert isinstance(network.blocks[0], Block)
