"""Norms over the elements of one example: layer, group, instance and root-mean-square norm.

Their scale is a fact of the example: held fixed, the norm is a linear map, whose shift absorbs its share (ali2022xai,
achtibat2024attnlrp). Centring is part of the map.
"""

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pellucid.engine.memory import Value
from pellucid.engine.relevance_operations import NORM_SHIFT, Operation, register_operation, unanswerable
from pellucid.engine.relevance_products import BatchNorm
from pellucid.engine.rules import NormLayer

if TYPE_CHECKING:
    from pellucid.engine.relevance import Propagation
    from pellucid.engine.tape import Call


class ExampleNorm(Operation):
    """y = (x − mean) · factor + shift, with mean and factor held fixed; under ``NormLayer("identity")`` relevance passes."""

    parametric = True
    families = frozenset({"norm"})

    def distribute(self, call: "Call", relevance: Tensor, propagation: "Propagation") -> None:
        source = call.args[0]
        if any(value.depends for value in call.values[1:]):
            raise unanswerable(call, "its parameters depend on the input")
        rule = propagation.special(call, NormLayer)
        if rule.kind == "identity" or propagation.disproportionate(call):
            propagation.give(source, relevance)
            return
        values = propagation.tensor(source)
        grouped, groups, weight, shift = self.parts(call, values, propagation)
        output = propagation.output(call)
        share = propagation.share(call, relevance, output, rule.stabilizer)
        passed = (share if weight is None else share * weight).reshape(grouped.shape)
        axes = tuple(range(groups, grouped.ndim))
        centred = passed - passed.mean(axes, keepdim=True) if self.centres else passed
        scale = self.scale(call, grouped, axes)
        propagation.give(source, (grouped * centred * scale).reshape(values.shape))
        if shift is not None:
            propagation.absorb(NORM_SHIFT, share * shift, call.outputs[0])

    centres = True

    def parts(
        self, call: "Call", values: Tensor, propagation: "Propagation"
    ) -> tuple[Tensor, int, Tensor | None, Tensor | None]:
        """The values with the normalised axes last, the number of axes before them, and weight and shift that broadcast
        to the output."""
        raise NotImplementedError

    def scale(self, call: "Call", grouped: Tensor, axes: tuple[int, ...]) -> Tensor:
        """One over the standard deviation of each group."""
        return (grouped.var(axes, keepdim=True, unbiased=False) + self.epsilon(call)).rsqrt()

    def epsilon(self, call: "Call") -> float:
        """What is added to the variance."""
        return float(call.args[-1])

    def output_axis(self, call: "Call", source: Value, axis: int) -> int | None:
        return axis if source is call.args[0] and axis < self.separate(call) else None

    def separate(self, call: "Call") -> int:
        """How many leading axes are not normalised over."""
        return 1


class LayerNorm(ExampleNorm):
    """Over the last axes: ``native_layer_norm(x, shape, weight, bias, eps)``."""

    def parts(
        self, call: "Call", values: Tensor, propagation: "Propagation"
    ) -> tuple[Tensor, int, Tensor | None, Tensor | None]:
        weight, shift = (None if value is None else propagation.tensor(value) for value in call.args[2:4])
        return values, self.separate(call), weight, shift

    def separate(self, call: "Call") -> int:
        return len(call.args[0].size) - len(call.args[1])


class RootMeanSquareNorm(LayerNorm):
    """Over the last axes without centring: ``_fused_rms_norm(x, shape, weight, eps)``."""

    centres = False

    def parts(
        self, call: "Call", values: Tensor, propagation: "Propagation"
    ) -> tuple[Tensor, int, Tensor | None, Tensor | None]:
        weight = None if call.args[2] is None else propagation.tensor(call.args[2])
        return values, self.separate(call), weight, None

    def scale(self, call: "Call", grouped: Tensor, axes: tuple[int, ...]) -> Tensor:
        given = call.args[3] if len(call.args) > 3 else None
        epsilon = torch.finfo(call.args[0].live.dtype).eps if given is None else given
        return (grouped.square().mean(axes, keepdim=True) + epsilon).rsqrt()


class GroupNorm(ExampleNorm):
    """Over groups of channels and all positions: ``native_group_norm(x, weight, bias, N, C, positions, groups, eps)``."""

    def parts(
        self, call: "Call", values: Tensor, propagation: "Propagation"
    ) -> tuple[Tensor, int, Tensor | None, Tensor | None]:
        shape = (1, -1, *[1] * (values.ndim - 2))
        weight, shift = (
            None if value is None else propagation.tensor(value).reshape(shape) for value in call.args[1:3]
        )
        return values.reshape(len(values), call.args[6], -1), 2, weight, shift


class ChannelNorm(ExampleNorm):
    """A batch norm in training mode over a batch of one: every channel over its own positions, as instance norm does."""

    def parts(
        self, call: "Call", values: Tensor, propagation: "Propagation"
    ) -> tuple[Tensor, int, Tensor | None, Tensor | None]:
        shape = (1, -1, *[1] * (values.ndim - 2))
        weight, shift = (
            None if value is None else propagation.tensor(value).reshape(shape) for value in call.args[1:3]
        )
        return values, 2, weight, shift

    def separate(self, call: "Call") -> int:
        return 2


class AnyBatchNorm(BatchNorm):
    """A batch norm: by its own statistics, or by those of the single example that it sees."""

    _channels = ChannelNorm()

    def distribute(self, call: "Call", relevance: Tensor, propagation: "Propagation") -> None:
        source, training = call.args[0], call.args[5]
        if training and source.size[0] == 1 and math.prod(source.size[2:]) > 1:
            self._channels.distribute(call, relevance, propagation)
        else:
            super().distribute(call, relevance, propagation)


register_operation("aten.native_layer_norm", LayerNorm())
register_operation("aten._fused_rms_norm", RootMeanSquareNorm())
register_operation("aten.native_group_norm", GroupNorm())
for _name in ("native_batch_norm", "cudnn_batch_norm", "miopen_batch_norm"):
    register_operation(f"aten.{_name}", AnyBatchNorm())
