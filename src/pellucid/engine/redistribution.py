"""A decision's relevance: the subject's pass on a tape, the explained quantity as its seed, one walk back per batch."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.core import meter
from pellucid.core.query import Decision
from pellucid.core.subject import Inputs, Replacement, Run, Subject
from pellucid.engine.attributing import attribution
from pellucid.engine.relevance import Bound, Condition, propagate
from pellucid.engine.relevance_operations import SOFTMAX
from pellucid.engine.relevance_records import LayerRelevance, Relevance
from pellucid.engine.rules import Composite, Rule
from pellucid.engine.tape import Tape
from pellucid.engine.taping import taped
from pellucid.engine.targets import Target
from pellucid.results.attribution import Attribution

_CLOSED = 1e-5
_REACHING = 0.05


@dataclass(frozen=True)
class Redistribution:
    """The relevance of a whole batch: ``scores`` in the shape of the point or the layer, ``value`` ``[batch]``.

    value = Σ scores + Σ absorbed + residual for each example. ``read`` is the relevance of further layers; ``parts`` are
    the walks it was put together from.
    """

    scores: Tensor
    value: Tensor
    absorbed: Mapping[str, Tensor]
    read: Mapping[str, Tensor]
    parts: Sequence[Relevance]

    @property
    def residual(self) -> Tensor:
        """What no account explains: rounding, ``[batch]``."""
        return torch.cat([part.residual for part in self.parts])

    @property
    def reaching(self) -> Tensor:
        """The share of the value that arrives at the point, ``[batch]``."""
        return torch.cat([part.total for part in self.parts]) / self.value

    @property
    def layers(self) -> tuple[LayerRelevance, ...]:
        """The account of every operation of every walk."""
        return tuple(layer for part in self.parts for layer in part.layers)


def redistribute(
    subject: Subject,
    inputs: Inputs,
    target: Target,
    composite: Composite,
    *,
    rules: Mapping[str, Rule] | None = None,
    at: str = "input",
    bounds: tuple[Bound, Bound] | None = None,
    reading: Sequence[str] = (),
    conditions: Mapping[str, Condition] | None = None,
    replace: Mapping[str, Replacement] | None = None,
    inspect: Callable[[Tape, Tensor], None] | None = None,
) -> Redistribution:
    """Redistribute the explained quantity of every example; see :func:`~pellucid.engine.relevance.propagate`.

    The walk starts from scores before the softmax, each weighted by how fast the quantity changes with it: a logit from
    itself, a probability from all logits; what that first step leaves of the quantity is absorbed as *softmax*. Without
    ``bounds`` the point has those that the task names. ``replace`` puts others in the place of layers' outputs; where it is
    a function of the output, relevance goes on to what of it is left. ``inspect`` sees each tape, and what is explained on
    it, before the walk and may refuse it.
    """
    low, high = subject.task.bounds(inputs) or (None, None) if bounds is None else bounds
    size = max(1, subject.batch_size(inputs) // 2)
    parts: list[Relevance] = []
    values: list[Tensor] = []
    for start in range(0, len(inputs), size):
        part = slice(start, start + size)
        rows, asked = inputs.rows(part), target.rows(part)
        with taped(subject, rows, asked.capture, replace) as (tape, run):
            explained = run.activations[asked.capture[0]] if asked.capture else run.scores
            if inspect is not None:
                inspect(tape, explained)
            value, seed = _seed(run, asked, explained)
            layer = "" if at == "input" else at
            box = (_of_rows(low, inputs.value, part), _of_rows(high, inputs.value, part))
            parts.append(propagate(tape, explained, seed, composite, rules, layer, box, reading, conditions))
        values.append(value)
        meter.count(backward=len(rows))
    return _joined(parts, torch.cat(values), linear=target.of in ("score", "logit") or bool(target.capture))


def relevance_attribution(
    subject: Subject, inputs: Inputs, query: Decision, target: Target, found: Redistribution
) -> Attribution:
    """An ``Attribution`` that says how much of the quantity arrived, what absorbed the rest, and where that is unsure."""
    result = attribution(
        subject,
        inputs,
        query,
        target,
        found.scores,
        found.value,
        residual=found.residual,
        absorbed=found.absorbed,
        reaching=found.reaching,
        converged=found.residual.abs() <= _CLOSED * found.value.abs(),
    )
    return dataclasses.replace(result, notes=(*result.notes, *_notes(result, found)))


def _notes(result: Attribution, found: Redistribution) -> list[str]:
    notes = []
    if bool((found.reaching.abs() < _REACHING).any()):
        notes.append("Less than 5 % of the score arrives: the colours rank, but do not add up.")
    flat = result.scores.flatten(1)
    if flat.shape[1] > 1 and bool((flat == flat[:, :1]).all()):
        notes.append(
            "Every element has the same score: a flat first layer cannot tell them apart; ask composite='epsilon'."
        )
    places = sorted({layer.place for layer in found.layers if layer.cancels})
    if places:
        notes.append(
            f"Branches that nearly cancel meet at {', '.join(places[:3])}: relevance is large and unsure there."
        )
    return notes


def _of_rows(bound: Bound, point: Tensor, part: slice) -> Bound:
    """A bound of the point, or the rows of one that differs between examples."""
    by_example = isinstance(bound, Tensor) and bound.ndim == point.ndim and len(bound) == len(point)
    return bound[part] if by_example else bound  # type: ignore[index]


def _seed(run: Run, target: Target, explained: Tensor) -> tuple[Tensor, Tensor]:
    """The explained quantity ``[batch]``, and each element of what it is read from times its share in it."""
    leaf = explained.detach().requires_grad_()
    with torch.enable_grad():
        read = Run(run.scores, {target.capture[0]: leaf}) if target.capture else Run(leaf)
        value = target(read)
        (share,) = torch.autograd.grad(value.sum(), leaf)
    # A score of −∞ that has no share says nothing.
    return value.detach().double().cpu(), torch.where(share == 0, 0, leaf.detach() * share)


def _joined(parts: Sequence[Relevance], value: Tensor, linear: bool) -> Redistribution:
    none = [torch.zeros_like(part.value) for part in parts]
    sources = dict.fromkeys(source for part in parts for source in part.absorbed)
    absorbed = {
        source: torch.cat([part.absorbed.get(source, zero) for part, zero in zip(parts, none, strict=True)])
        for source in sources
    }
    seeded = torch.cat([part.value for part in parts])
    if linear:
        value = seeded
    else:
        absorbed[SOFTMAX] = absorbed.get(SOFTMAX, torch.zeros_like(value)) + value - seeded
    read = {name: torch.cat([part.read[name] for part in parts]) for name in parts[0].read}
    return Redistribution(torch.cat([part.scores for part in parts]), value, absorbed, read, parts)
