"""Networks of linear layers, each fed by the one below through a function of every unit by itself."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pellucid.core.errors import NotAnswerable, UsageError, nearest
from pellucid.core.seeds import generator
from pellucid.core.subject import Inputs, Subject

_PROBED = 64
_INSTEAD = "Ask: activation-maximization, what-if, response"


@dataclass(frozen=True)
class LinearChain:
    """The linear layers from the input up to one: their names, and their weights ``[units, units below]``."""

    names: tuple[str, ...]
    weights: tuple[Tensor, ...]


def linear_chain(subject: Subject, inputs: Inputs, layer: str) -> LinearChain:
    """The chain that ends at the linear layer which is ``layer``, or which it returns a function of.

    That each layer reads the one below alone, unit by unit, is found out by disturbing units: it raises ``NotAnswerable``
    where something else (a convolution, a sum with an earlier layer, a normalisation over units) is between.
    """
    module = subject.module
    assert module is not None
    one = inputs.rows(slice(0, 1))
    known = {entry.name: entry for entry in subject.layers(one)}
    if layer not in known:
        raise UsageError(f"{subject.name} has no layer {layer!r}; {nearest(layer, list(known))}")
    below = list(known)[: list(known).index(layer) + 1]
    linear = {name: part for name, part in module.named_modules() if isinstance(part, nn.Linear)}
    names = [name for name in below if name in linear]
    if not names or known[layer].shape != known[names[-1]].shape:
        raise NotAnswerable(
            f"layer {layer!r} of {subject.name} does not return the units of a linear layer. {_INSTEAD}"
        )
    again = [name for name in names if known[name].calls > 1]
    if again:
        raise NotAnswerable(
            f"layer {again[0]!r} of {subject.name} is called more than once; its units are not in a chain"
        )
    weights = [linear[name].weight.detach().cpu() for name in names]
    for number, name in enumerate(names):
        if not _reads_alone(subject, one, names[number - 1] if number else None, name, weights[number]):
            source = f"layer {names[number - 1]!r}" if number else "the input"
            raise NotAnswerable(
                f"layer {name!r} of {subject.name} does not read {source} alone and unit by unit, so filters cannot be added "
                f"up through it. {_INSTEAD}"
            )
    return LinearChain(tuple(names), tuple(weights))


def _reads_alone(subject: Subject, one: Inputs, source: str | None, name: str, weights: Tensor) -> bool:
    """Whether disturbing one unit of ``source`` moves ``name`` along that unit's weights, and nothing else moves it."""
    shape = one.value.shape[1:] if source is None else weights.shape[1:]
    if shape.numel() != weights.shape[1]:
        return False
    draws = generator(0, "linear chain", weights)
    units = torch.randperm(shape.numel(), generator=draws)[:_PROBED]
    kind = one.value.dtype if one.value.is_floating_point() else torch.float32
    plain = torch.randn(shape.numel(), generator=draws).to(kind).expand(len(units) + 1, -1).clone()
    plain[torch.arange(len(units)) + 1, units] += 1
    points = torch.randn(len(plain), *one.value.shape[1:], generator=draws).to(kind)
    rows = torch.zeros(len(plain), dtype=torch.long)
    if source is None:
        run = subject.run(one.rows(rows, plain.view(-1, *shape)), capture=(name,))
    else:
        # Other inputs in every row: what gets past the source shows as well.
        run = subject.run(one.rows(rows, points), capture=(name,), replace={source: plain})
    found = run.activations[name].cpu().double()
    moved, along = found[1:] - found[0], weights[:, units].T.double()
    size = (moved * along).sum(1, keepdim=True) / along.square().sum(1, keepdim=True).clamp(min=1e-30)
    return bool((size > -1e-3).all()) and bool(((moved - size * along).abs() <= 1e-3 * (1 + along.abs().amax())).all())
