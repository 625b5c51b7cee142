"""Layers whose weights are read in both directions, and stacks of them: what deep belief nets and autoencoders share."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn

from pellucid.core.errors import BadInput, UsageError

Visible = Literal["binary", "gaussian"]


@dataclass(frozen=True, kw_only=True)
class Training:
    """What every way of training a layer is told: passes over the data, rows at a time, and where draws start."""

    epochs: int = 30
    batch: int = 50
    seed: int = 0


T = TypeVar("T", bound=Training)


class TiedLayer(nn.Module):
    """Hidden probabilities σ(c + vᵀW) up, and the mean of the visible units given hidden ones down, by the same W.

    ``weights`` are ``[visible, hidden]``. Visible units are ``binary``, with the mean σ(b + Wh), or ``gaussian`` with unit
    variance around b + Wh. As a network the layer answers with its hidden probabilities ``[batch, hidden]`` to
    ``[batch, …]``; ``linear`` returns their pre-activations, and ``sigmoid`` the probabilities.
    """

    def __init__(self, weights: Tensor, visible_bias: Tensor, hidden_bias: Tensor, visible: Visible = "binary") -> None:
        super().__init__()
        if weights.ndim != 2 or visible_bias.shape != weights.shape[:1] or hidden_bias.shape != weights.shape[1:]:
            raise UsageError(
                f"weights are [visible, hidden], with a bias for each; got {tuple(weights.shape)}, "
                f"{tuple(visible_bias.shape)} and {tuple(hidden_bias.shape)}"
            )
        if visible not in ("binary", "gaussian"):
            raise UsageError(f"visible units are 'binary' or 'gaussian', not {visible!r}")
        self.visible = visible
        self.linear = nn.Linear(weights.shape[0], weights.shape[1], dtype=weights.dtype)
        self.linear.weight = nn.Parameter(weights.detach().T.clone(memory_format=torch.contiguous_format))
        self.linear.bias = nn.Parameter(hidden_bias.detach().clone())
        self.visible_bias = nn.Parameter(visible_bias.detach().clone())
        self.sigmoid = nn.Sigmoid()

    @property
    def weights(self) -> Tensor:
        """``[visible, hidden]``."""
        return self.linear.weight.T

    @property
    def hidden_bias(self) -> Tensor:
        """``[hidden]``."""
        return self.linear.bias

    def forward(self, visible: Tensor) -> Tensor:
        probabilities: Tensor = self.sigmoid(self.linear(visible.flatten(1)))
        return probabilities

    def visible_mean(self, hidden: Tensor) -> Tensor:
        """The mean of the visible units ``[…, visible]`` given hidden ones ``[…, hidden]``."""
        field = self.visible_bias + hidden @ self.linear.weight
        return field.sigmoid() if self.visible == "binary" else field

    def extra_repr(self) -> str:
        return f"visible={self.visible}"


class TiedStack(nn.Module):
    """Layers on top of each other, each fed with the probabilities of the one below, ``layers.0`` with the input.

    It answers with the hidden probabilities of the last. The pre-activations of the units of layer k are
    ``layers.k.linear``.
    """

    def __init__(self, layers: Sequence[TiedLayer]) -> None:
        super().__init__()
        if not layers:
            raise UsageError("a stack needs at least one layer")
        for number, (below, above) in enumerate(pairwise(layers)):
            if below.linear.out_features != above.linear.in_features or above.visible != "binary":
                raise UsageError(
                    f"layer {number + 1} must have {below.linear.out_features} binary visible units, the hidden ones of "
                    f"the layer below; it has {above.linear.in_features} {above.visible} ones"
                )
        self.layers = nn.ModuleList(layers)

    def forward(self, visible: Tensor) -> Tensor:
        for layer in self.layers:
            visible = layer(visible)
        return visible


def training_rows(data: Tensor, visible: Visible) -> Tensor:
    """Data as rows ``[examples, visible]``; ``BadInput`` where visible units could not take such values."""
    rows = data.detach().flatten(1)
    if len(rows) == 0 or not bool(rows.isfinite().all()):
        raise BadInput(f"training data must be finite rows, and at least one; got {tuple(data.shape)}")
    if visible == "binary" and not bool(((rows >= 0) & (rows <= 1)).all()):
        raise BadInput(
            f"binary visible units take values from 0 to 1; these lie from {float(rows.min()):.3g} to "
            f"{float(rows.max()):.3g}: scale them, or use visible='gaussian'"
        )
    return rows


def initial_parameters(
    rows: Tensor, hidden: int, visible: Visible, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Small random weights, a visible bias that gives each unit its mean over the data, and hidden biases of zero."""
    mean = rows.mean(0)
    bias = mean.clamp(0.01, 0.99).logit() if visible == "binary" else mean
    weights = 0.01 * torch.randn(rows.shape[1], hidden, generator=generator, dtype=rows.dtype)
    return weights, bias, torch.zeros(hidden, dtype=rows.dtype)


def one_each(training: T | Sequence[T], layers: int) -> list[T]:
    """The training of each layer; of a single one for all, with another seed in each."""
    if not isinstance(training, Sequence):
        return [replace(training, seed=training.seed + number) for number in range(layers)]
    if len(training) != layers:
        raise UsageError(f"{layers} layers and {len(training)} trainings; give one for all or one for each")
    return list(training)
