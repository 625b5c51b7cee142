"""The layer before a sigmoid or a hyperbolic tangent is found however the network is written."""

import pytest
import torch
from torch import nn

import pellucid as pl
from models.machines import small_machine
from pellucid.engine.pre_activations import pre_activation
from pellucid.models import DBN


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.seen, self.rectified = nn.Linear(4, 3), nn.Linear(3, 3), nn.Identity(), nn.ReLU()

    def forward(self, x):
        hidden = self.seen(torch.tanh(self.first(x)))
        return self.rectified(self.second(hidden))


def asked(module, layer):
    subject = pl.wrap(module, pl.tasks.TensorTask(output="value"))
    rows = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    return pre_activation(subject, subject.prepare(rows), layer)


@pytest.mark.parametrize("layer", ["layers.0", "layers.0.sigmoid", "layers.0.linear"])
def test_the_units_of_a_deep_belief_net_are_asked_before_the_sigmoid(layer):
    assert asked(DBN([small_machine()]), layer) == "layers.0.linear"


def test_functions_without_a_module_of_their_own_are_found_and_other_ones_are_not_touched():
    torch.manual_seed(0)
    module = Functional()
    assert asked(module, "seen") == "first"
    assert asked(module, "rectified") == "rectified"
    assert asked(module, "second") == "second"
    assert asked(module, "missing") == "missing"
