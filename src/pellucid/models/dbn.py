"""Deep belief nets: restricted Boltzmann machines on top of each other, trained one after the other from below."""

from collections.abc import Sequence

import torch
from torch import Tensor

from pellucid.models.rbm import RBM, ContrastiveDivergence
from pellucid.models.tied_layers import TiedStack, Visible, one_each


class DBN(TiedStack):
    """A stack of restricted Boltzmann machines (hinton2006fast): the last is a joint distribution, those below are read
    downwards."""

    def __init__(self, layers: Sequence[RBM]) -> None:
        super().__init__(layers)

    def machine(self, number: int) -> RBM:
        """The machine between the inputs and the hidden units of layer ``number``."""
        layer = self.layers[number]
        assert isinstance(layer, RBM)
        return layer

    def descended(self, values: Tensor, below: int, generator: torch.Generator) -> Tensor:
        """The mean of the visible units ``[…, visible]`` given the inputs ``[…]`` of layer ``below``.

        Layers between are sampled on the way down, and only the last step is a mean.
        """
        for number in reversed(range(below)):
            layer = self.machine(number)
            values = layer.sampled_visible(values, generator) if number else layer.visible_mean(values)
        return values

    @classmethod
    @torch.no_grad()
    def fit(
        cls,
        data: Tensor,
        hidden: Sequence[int],
        training: ContrastiveDivergence | Sequence[ContrastiveDivergence] | None = None,
        visible: Visible = "binary",
    ) -> "DBN":
        """A stack with these numbers of hidden units, from below, trained greedily on ``[examples, …]``.

        Each layer learns from the probabilities of the one below. One ``training`` holds for all layers, with other draws
        in each.
        """
        layers, values, kind = [], data, visible
        for size, how in zip(hidden, one_each(training or ContrastiveDivergence(), len(hidden)), strict=True):
            layers.append(RBM.fit(values, size, how, kind))
            values, kind = layers[-1](values), "binary"
        return cls(layers)
