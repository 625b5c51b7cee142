"""Stacked denoising autoencoders: each layer learns to restore what was hidden of the probabilities below it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from pellucid.core.meter import report
from pellucid.models.tied_layers import (
    TiedLayer,
    TiedStack,
    Training,
    Visible,
    initial_parameters,
    one_each,
    training_rows,
)


class DenoisingAutoencoder(TiedLayer):
    """A code σ(c + vᵀW), and the input restored from it by the same weights (vincent2008extracting)."""

    def restored(self, visible: Tensor) -> Tensor:
        """The input ``[batch, visible]`` as its code tells it."""
        return self.visible_mean(self(visible))


class StackedAutoencoder(TiedStack):
    """Denoising autoencoders on top of each other (vincent2010stacked); it answers with the code of the last."""

    def __init__(self, layers: Sequence[DenoisingAutoencoder]) -> None:
        super().__init__(layers)

    def restored(self, visible: Tensor) -> Tensor:
        """The input ``[batch, visible]`` as the code of the last layer tells it."""
        values = self(visible)
        for layer in reversed(self.layers):
            assert isinstance(layer, TiedLayer)
            values = layer.visible_mean(values)
        return values

    @classmethod
    def fit(
        cls,
        data: Tensor,
        hidden: Sequence[int],
        training: "Denoising | Sequence[Denoising] | None" = None,
        visible: Visible = "binary",
    ) -> "StackedAutoencoder":
        """A stack with these sizes of codes, from below, trained greedily on ``[examples, …]``.

        Each layer learns from the codes of the one below. One ``training`` holds for all layers, with other draws in each.
        """
        layers, values, kind = [], data, visible
        for size, how in zip(hidden, one_each(training or Denoising(), len(hidden)), strict=True):
            layers.append(how.fitted(values, size, kind))
            with torch.no_grad():
                values, kind = layers[-1](values), "binary"
        return cls(layers)


@dataclass(frozen=True, kw_only=True)
class Denoising(Training):
    """Training to restore an input of which the share ``noise`` of elements is set to 0.

    The loss is the cross-entropy of binary visible units, and half the squared error of gaussian ones, summed over
    elements. With a ``sparsity``, ``sparsity_cost`` · Σ KL(sparsity ‖ mean activity of a code's unit) is added, as in sparse
    autoencoders.
    """

    noise: float = 0.25
    optimiser: Literal["adam", "sgd"] = "adam"
    rate: float = 1e-3
    decay: float = 0.0
    sparsity: float | None = None
    sparsity_cost: float = 3.0

    def fitted(self, data: Tensor, hidden: int, visible: Visible) -> DenoisingAutoencoder:
        """A layer trained on ``[examples, …]``; the same one for the same seed."""
        rows = training_rows(data, visible)
        generator = torch.Generator().manual_seed(self.seed)
        model = DenoisingAutoencoder(*initial_parameters(rows, hidden, visible, generator), visible)
        kind = torch.optim.Adam if self.optimiser == "adam" else torch.optim.SGD
        optimiser = kind(model.parameters(), lr=self.rate, weight_decay=self.decay)
        for epoch in range(self.epochs):
            for part in torch.randperm(len(rows), generator=generator).split(self.batch):
                optimiser.zero_grad()
                with torch.enable_grad():
                    self._loss(model, rows[part], generator).backward()
                optimiser.step()
            report(epoch + 1, self.epochs, f"denoising autoencoder, {rows.shape[1]} to {hidden} units")
        return model.requires_grad_(True)

    def _loss(self, model: DenoisingAutoencoder, rows: Tensor, generator: torch.Generator) -> Tensor:
        kept = torch.rand(rows.shape, generator=generator, dtype=rows.dtype) >= self.noise
        code = model(rows * kept)
        restored = model.visible_mean(code)
        if model.visible == "binary":
            loss = functional.binary_cross_entropy(restored, rows, reduction="sum") / len(rows)
        else:
            loss = (restored - rows).square().sum() / 2 / len(rows)
        return loss if self.sparsity is None else loss + self.sparsity_cost * _divergence(self.sparsity, code.mean(0))


def _divergence(wanted: float, activity: Tensor) -> Tensor:
    """Σ KL between units that are on with the probability ``wanted`` and with ``activity`` ``[hidden]``."""
    target = torch.full_like(activity, wanted)
    entropy = functional.binary_cross_entropy(target, target, reduction="sum")
    return functional.binary_cross_entropy(activity, target, reduction="sum") - entropy
