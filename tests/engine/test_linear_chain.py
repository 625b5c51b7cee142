"""A chain of linear layers is recognised by what it does, and what is no chain is refused."""

import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.engine.linear_chain import linear_chain


def chain(module, layer, shape=(6,)):
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    subject = pl.wrap(module, pl.tasks.TensorTask(output="value", shape=shape))
    return linear_chain(subject, subject.prepare(torch.zeros(1, *shape)), layer)


def plain():
    return nn.Sequential(
        nn.Flatten(), nn.Linear(6, 5), nn.Sigmoid(), nn.Dropout(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 2)
    )


@pytest.mark.parametrize(
    ("layer", "names"), [("1", ("1",)), ("4", ("1", "4")), ("5", ("1", "4")), ("6", ("1", "4", "6"))]
)
def test_linear_layers_up_to_the_one_asked_about(layer, names):
    module = plain()
    found = chain(module, layer, (1, 2, 3))
    assert found.names == names
    for name, weights in zip(names, found.weights, strict=True):
        assert torch.equal(weights, module.get_submodule(name).weight)


class Around(nn.Module):
    """What the second layer reads is also added to what it returns, or its units are normalised together."""

    def __init__(self, kind):
        super().__init__()
        self.kind, self.first, self.second, self.third = kind, nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 2)

    def forward(self, x):
        hidden = self.first(x).relu()
        match self.kind:
            case "sum":
                return self.third(hidden + self.second(hidden).relu())
            case "normalised":
                return self.third(self.second(hidden).softmax(1))
            case "negative":
                return self.third(-self.second(hidden).relu())
            case "again":
                return self.third(self.second(self.second(hidden)))
        return self.third(self.second(hidden.roll(1, 1)))


@pytest.mark.parametrize("kind", ["sum", "normalised", "negative", "rolled", "again"])
def test_what_goes_around_or_across_is_refused(kind):
    with pytest.raises(NotAnswerable, match="unit by unit|more than once"):
        chain(Around(kind), "third")


def test_convolutions_and_unknown_layers_are_refused():
    module = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Flatten(), nn.Linear(18, 2))
    with pytest.raises(NotAnswerable, match="does not read the input alone"):
        chain(module, "2", (1, 3, 3))
    with pytest.raises(NotAnswerable, match="the units of a linear layer"):
        chain(module, "0", (1, 3, 3))
    with pytest.raises(UsageError, match="no layer 'x'"):
        chain(module, "x", (1, 3, 3))
