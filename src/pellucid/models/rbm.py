"""Restricted Boltzmann machines: energies, Gibbs sampling, exact sums where they are small, and their training."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from pellucid.core.errors import NotAnswerable
from pellucid.core.meter import report
from pellucid.models.tied_layers import TiedLayer, Training, Visible, initial_parameters, training_rows

_ENUMERABLE = 20


class RBM(TiedLayer):
    """A joint distribution of visible and hidden units, e^−E / Z, in which neither kind is connected to its own.

    The energy is −b·v − c·h − vᵀWh for binary visible units, and ½‖v − b‖² − c·h − vᵀWh for gaussian ones. Hidden units
    are binary.
    """

    def energy(self, visible: Tensor, hidden: Tensor) -> Tensor:
        """E(v, h): ``[…]`` for ``[…, visible]`` and ``[…, hidden]``."""
        return self._alone(visible) - hidden @ self.hidden_bias - ((visible @ self.weights) * hidden).sum(-1)

    def free_energy(self, visible: Tensor) -> Tensor:
        """−log Σₕ e^−E(v, h): ``[…]`` for ``[…, visible]``."""
        return self._alone(visible) - functional.softplus(self.linear(visible)).sum(-1)

    @torch.no_grad()
    def sampled_hidden(self, visible: Tensor, generator: torch.Generator) -> Tensor:
        """A draw of the hidden units given visible ones ``[…, visible]``."""
        return _drawn(self.linear(visible).sigmoid(), generator)

    @torch.no_grad()
    def sampled_visible(self, hidden: Tensor, generator: torch.Generator) -> Tensor:
        """A draw of the visible units given hidden ones ``[…, hidden]``."""
        mean = self.visible_mean(hidden)
        if self.visible == "binary":
            return _drawn(mean, generator)
        return mean + torch.randn(mean.shape, generator=generator, dtype=mean.dtype).to(mean.device)

    def gibbs(
        self, hidden: Tensor, sweeps: int, generator: torch.Generator, clamped: int | None = None
    ) -> Iterator[Tensor]:
        """The hidden units ``[chains, hidden]`` before each sweep of block Gibbs sampling; a ``clamped`` unit stays 1."""
        for _ in range(sweeps):
            if clamped is not None:
                hidden = hidden.clone()
                hidden[:, clamped] = 1
            yield hidden
            hidden = self.sampled_hidden(self.sampled_visible(hidden, generator), generator)

    def hidden_states(self) -> tuple[Tensor, Tensor]:
        """Every state of the hidden units ``[2^hidden, hidden]``, and the logarithm of Σᵥ e^−E of each, ``[2^hidden]``.

        Raises ``NotAnswerable`` for more than 20 hidden units.
        """
        number = self.linear.out_features
        if number > _ENUMERABLE:
            raise NotAnswerable(
                f"{number} hidden units have too many states to enumerate; at most {_ENUMERABLE}, or sample"
            )
        states = torch.arange(2**number)[:, None] >> torch.arange(number) & 1
        hidden = states.to(self.weights)
        field = hidden @ self.linear.weight
        if self.visible == "binary":
            visible = functional.softplus(self.visible_bias + field).sum(-1)
        else:
            visible = (field * (self.visible_bias + field / 2)).sum(-1) + len(self.visible_bias) / 2 * math.log(
                2 * math.pi
            )
        return hidden, hidden @ self.hidden_bias + visible

    def log_partition(self) -> Tensor:
        """log Z, exactly."""
        return self.hidden_states()[1].logsumexp(0)

    def exact_visible_mean(self, clamped: int | None = None) -> Tensor:
        """E[v], or E[v | h_clamped = 1], by summing over every state of the hidden units: ``[visible]``."""
        hidden, weights = self.hidden_states()
        if clamped is not None:
            weights = weights.masked_fill(hidden[:, clamped] == 0, -torch.inf)
        return weights.softmax(0) @ self.visible_mean(hidden)

    @classmethod
    def fit(
        cls, data: Tensor, hidden: int, training: "ContrastiveDivergence | None" = None, visible: Visible = "binary"
    ) -> "RBM":
        """A machine with so many hidden units, trained on ``[examples, …]``."""
        return (training or ContrastiveDivergence()).fitted(data, hidden, visible)

    def _alone(self, visible: Tensor) -> Tensor:
        if self.visible == "binary":
            return -visible @ self.visible_bias
        return (visible - self.visible_bias).square().sum(-1) / 2


@dataclass(frozen=True, kw_only=True)
class ContrastiveDivergence(Training):
    """Training by the difference of v hᵀ in the data and in samples of the model (hinton2002training).

    The samples are reached from the data in ``steps`` sweeps, or ``persistent`` chains go on where they were
    (tieleman2008training). ``sparsity`` is the mean activity of hidden units that their biases are moved towards, by
    ``sparsity_cost`` (lee2008sparse). The rate falls to zero in the second half.
    """

    steps: int = 1
    persistent: bool = False
    rate: float = 0.05
    momentum: float = 0.5
    decay: float = 1e-4
    sparsity: float | None = None
    sparsity_cost: float = 1.0

    @torch.no_grad()
    def fitted(self, data: Tensor, hidden: int, visible: Visible) -> RBM:
        """A machine trained on ``[examples, …]``; the same one for the same seed."""
        rows = training_rows(data, visible)
        generator = torch.Generator().manual_seed(self.seed)
        model = RBM(*initial_parameters(rows, hidden, visible, generator), visible)
        speed = [torch.zeros_like(parameter) for parameter in model.parameters()]
        chains = (0.5 * torch.ones(self.batch, hidden, dtype=rows.dtype)).bernoulli(generator=generator)
        for epoch in range(self.epochs):
            rate = self.rate * min(1.0, 2 * (1 - epoch / self.epochs))
            for part in torch.randperm(len(rows), generator=generator).split(self.batch):
                slopes, chains = self._slopes(model, rows[part], chains, generator)
                for parameter, moving, slope in zip(model.parameters(), speed, slopes, strict=True):
                    parameter.add_(moving.mul_(self.momentum).add_(slope, alpha=rate))
            report(epoch + 1, self.epochs, f"contrastive divergence, {rows.shape[1]} to {hidden} units")
        return model

    def _slopes(
        self, model: RBM, rows: Tensor, chains: Tensor, generator: torch.Generator
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """The direction of each parameter, in the order of ``parameters()``, and where the persistent chains are."""
        probabilities = model(rows)
        hidden = chains if self.persistent else _drawn(probabilities, generator)
        for _ in range(self.steps):
            visible = model.sampled_visible(hidden, generator)
            expected = model(visible)
            hidden = _drawn(expected, generator)
        of_visible = rows.mean(0) - visible.mean(0)
        of_hidden = probabilities.mean(0) - expected.mean(0)
        weights = probabilities.T @ rows / len(rows) - expected.T @ visible / len(visible)
        if self.sparsity is not None:
            of_hidden = of_hidden + self.sparsity_cost * (self.sparsity - probabilities.mean(0))
        of = {"visible_bias": of_visible, "linear.bias": of_hidden}
        of["linear.weight"] = weights - self.decay * model.linear.weight
        return tuple(of[name] for name, _ in model.named_parameters()), hidden


def _drawn(probabilities: Tensor, generator: torch.Generator) -> Tensor:
    """Binary units, each on with its probability; drawn on the CPU wherever they are used."""
    draws = torch.rand(probabilities.shape, generator=generator, dtype=probabilities.dtype)
    return (draws.to(probabilities.device) < probabilities).to(probabilities)
