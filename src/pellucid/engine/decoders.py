"""Decoders and their adversaries to train: where they start, and how training goes on after it was stopped."""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.nn.functional import conv2d, leaky_relu, linear

from pellucid.core.errors import BadInput
from pellucid.core.files import write_bytes
from pellucid.core.meter import report

_LEAST_SIDE, _LEAST_WIDTH = 4, 16
_KEPT_EVERY = 50
_GAIN = math.sqrt(2)


def stage_sizes(code: Sequence[int], picture: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Heights and widths from a code to a picture ``(channels, height, width)``: each is half of the next one.

    A code with places of its own starts with these, any other, and one of less than 3 × 3 places, with a side of 4 or more.
    """
    height, width = picture[1:]
    least = min(code[1:]) if has_places(code) else _LEAST_SIDE
    sizes = [(height, width)]
    while math.ceil(min(sizes[0]) / 2) >= least:
        sizes.insert(0, (math.ceil(sizes[0][0] / 2), math.ceil(sizes[0][1] / 2)))
    return tuple(sizes)


def has_places(code: Sequence[int]) -> bool:
    """Whether a code is a picture of channels, large enough for convolutions."""
    return len(code) == 3 and min(code[1:]) >= 3


def new_decoder(
    code: Sequence[int], picture: Sequence[int], sizes: Sequence[tuple[int, int]], width: int, draws: torch.Generator
) -> dict[str, Tensor]:
    """Weights before training: ``width`` channels at the first size, half as many at each next one, 16 or more."""
    widths = [max(width >> stage, min(width, _LEAST_WIDTH)) for stage in range(len(sizes))]
    weights: dict[str, Tensor] = {}
    if has_places(code):
        _layer(weights, "code", (width, code[0], 3, 3), draws)
    else:
        _layer(weights, "code", (width * math.prod(sizes[0]), math.prod(code)), draws)
    for stage, (before, after) in enumerate(zip([width, *widths], widths, strict=False)):
        _layer(weights, str(stage), (after, before, 3, 3), draws)
    _layer(weights, "picture", (picture[0], widths[-1], 3, 3), draws)
    return weights


def new_adversary(picture: Sequence[int], width: int, draws: torch.Generator) -> dict[str, Tensor]:
    """Weights of a network that tells pictures from reconstructions: convolutions that halve the sides, and a sum."""
    weights: dict[str, Tensor] = {}
    channels, height, breadth = picture
    stage = 0
    while stage == 0 or min(height, breadth) > 2 * _LEAST_SIDE:
        _layer(weights, str(stage), (width << stage, channels, 3, 3), draws)
        channels, height, breadth, stage = width << stage, math.ceil(height / 2), math.ceil(breadth / 2), stage + 1
    _layer(weights, "judgement", (1, channels * height * breadth), draws)
    return weights


def judged(weights: Mapping[str, Tensor], pictures: Tensor) -> Tensor:
    """The log-odds that each picture is a real one, ``[n]``."""
    hidden = pictures
    for stage in range(len(weights) // 2 - 1):
        hidden = leaky_relu(conv2d(hidden, weights[f"{stage}.weight"], weights[f"{stage}.bias"], 2, 1), 0.3)
    return linear(hidden.flatten(1), weights["judgement.weight"], weights["judgement.bias"])[:, 0]


def _layer(weights: dict[str, Tensor], name: str, shape: Sequence[int], draws: torch.Generator) -> None:
    deviation = _GAIN / math.sqrt(math.prod(shape[1:]))
    weights[f"{name}.weight"] = torch.randn(*shape, generator=draws) * deviation
    weights[f"{name}.bias"] = torch.zeros(shape[0])


class Learner:
    """Weights with their Adam (kingma2015adam): one step per gradient, and everything that a later step depends on."""

    def __init__(self, weights: Mapping[str, Tensor], rate: float, betas: tuple[float, float]) -> None:
        self.weights = {name: weight.clone().requires_grad_() for name, weight in weights.items()}
        self._adam = torch.optim.Adam(self.weights.values(), rate, betas)

    def step(self, loss: Tensor) -> None:
        """Go down the gradient of a loss; nothing else than these weights gets a gradient."""
        found = torch.autograd.grad(loss, list(self.weights.values()))
        for weight, gradient in zip(self.weights.values(), found, strict=True):
            weight.grad = gradient
        self._adam.step()

    def state(self) -> dict[str, Tensor]:
        """Weights and moments by name."""
        moments = self._adam.state_dict()["state"]
        kept = {f"moment {number} {kind}": value for number, each in moments.items() for kind, value in each.items()}
        return {name: weight.detach() for name, weight in self.weights.items()} | kept

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on where a learner of the same shape was."""
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in state.items():
            if name.startswith("moment "):
                _, number, kind = name.split(" ")
                moments.setdefault(int(number), {})[kind] = value
        with torch.no_grad():
            for name, weight in self.weights.items():
                weight.copy_(state[name])
        self._adam.load_state_dict({**self._adam.state_dict(), "state": moments})


class Training:
    """Several learners that learn together, and the losses of each step, ``[steps, losses]``.

    With a ``folder`` all that later steps depend on is kept in one file, named by ``key``, every 50 steps and at the end.
    """

    def __init__(
        self, learners: Sequence[Learner], shape: tuple[int, int], folder: str | os.PathLike[str] | None, key: str
    ) -> None:
        self.losses = torch.zeros(shape)
        self._learners = learners
        self._path = None if folder is None else Path(folder) / f"{key}.safetensors"

    def steps(self, what: str) -> Iterator[int]:
        """The numbers of the steps that are left to do; what was kept is read before the first."""
        total = len(self.losses)
        for step in range(self._resumed(), total):
            yield step
            report(step + 1, total, what)
            if self._path is not None and ((step + 1) % _KEPT_EVERY == 0 or step + 1 == total):
                write_bytes(self._path, save(self._state(), {"step": str(step + 1)}))

    def _state(self) -> dict[str, Tensor]:
        states = {
            f"{number} {name}": tensor.contiguous()
            for number, learner in enumerate(self._learners)
            for name, tensor in learner.state().items()
        }
        return states | {"losses": self.losses}

    def _resumed(self) -> int:
        if self._path is None or not self._path.exists():
            return 0
        try:
            with safe_open(self._path, framework="pt") as file:
                step = int(file.metadata()["step"])
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise BadInput(f"{self._path} is damaged ({error}); delete it to train from the start") from error
        for number, learner in enumerate(self._learners):
            own = f"{number} "
            learner.restore({name.removeprefix(own): value for name, value in state.items() if name.startswith(own)})
        self.losses.copy_(state["losses"])
        return step
