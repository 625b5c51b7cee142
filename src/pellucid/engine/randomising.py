"""A network whose layers forget what they learned, one group after the other: the copy is changed, never the network."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from torch import Generator, Tensor, nn

from pellucid.core.errors import NotAnswerable
from pellucid.core.seeds import generator
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.parameter_units import copied

Order = Literal["cascading", "independent"]
Redrawn = Literal["normal", "permuted"]


def randomised(
    subject: Subject, inputs: Inputs, layers: int, order: Order, redrawn: Redrawn, seed: int
) -> Iterator[Subject]:
    """The subject with ever more of its parameters drawn anew, from the scores down to the input, in ``layers`` stages.

    ``cascading`` keeps what earlier stages have randomised, so that in the last one nothing that was learned is left but
    the statistics of batch norms, which are no parameters; ``independent`` restores it. All stages are one copy of the
    module: ask each before the next. The draws depend on the network and the seed only.
    """
    module = copied(subject)
    answering = subject.with_module(module)
    own, parts = _parts(subject.module), _parts(module)
    done: set[int] = set()
    network = subject.fingerprint
    for group in _groups(subject, inputs, layers):
        with torch.no_grad():
            if order == "independent":
                done.clear()
                for name, parameter in module.named_parameters():
                    parameter.copy_(own[name])
            for name in group:
                if id(parts[name]) not in done:  # which several layers may share
                    done.add(id(parts[name]))
                    source = generator(seed, f"randomised {name} of {network}", torch.tensor(parts[name].shape))
                    parts[name].copy_(_drawn_anew(parts[name].cpu(), redrawn, source))
        yield answering


def _groups(subject: Subject, inputs: Inputs, number: int) -> list[list[str]]:
    """The names of all parameters, those of the last layer first, in at most ``number`` groups of as many layers each.

    A layer's place is where it first returns; what is not called itself belongs to what it is part of.
    """
    places = {layer.name: place for place, layer in enumerate(subject.layers(inputs))}

    def place(name: str) -> int:
        while name and name not in places:
            name = name.rpartition(".")[0]
        return places.get(name, len(places))

    held: dict[str, list[str]] = {}
    for name in _parts(subject.module):
        held.setdefault(name.rpartition(".")[0], []).append(name)
    names = sorted(held, key=place, reverse=True)
    if not names:
        raise NotAnswerable(f"{subject.name} has no parameters that could be randomised")
    groups = np.array_split(np.arange(len(names)), min(number, len(names)))
    return [[name for index in group for name in held[names[index]]] for group in groups]


def _parts(module: nn.Module | None) -> dict[str, Tensor]:
    assert module is not None
    named = module.named_parameters(remove_duplicate=False)
    return {name: parameter for name, parameter in named if parameter.is_floating_point()}


def _drawn_anew(values: Tensor, redrawn: Redrawn, source: Generator) -> Tensor:
    """Values of the same mean and deviation, so that activations keep about their size."""
    if redrawn == "permuted":
        return values.flatten()[torch.randperm(values.numel(), generator=source)].view_as(values)
    numbers = values.double()
    return torch.randn(values.shape, generator=source) * numbers.std(correction=0) + numbers.mean()
