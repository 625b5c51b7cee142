"""Layer-wise relevance propagation: from a score on the tape back to the point, every unit of it accounted for.

The walk back keeps a ledger of memory cells: each operation takes what its output cells hold and gives it to its input
cells, or to a named source that absorbs it. Where relevance reaches an operation without a rule, it is refused by name.
"""

import fnmatch
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from pellucid.core.errors import NotAnswerable, UsageError, nearest
from pellucid.engine import relevance_attention, relevance_norms  # noqa: F401  (they register their operations)
from pellucid.engine.examples import Accounts
from pellucid.engine.memory import Ledger, Memory, Place, Value, overlapping
from pellucid.engine.relevance_operations import BIAS, CONSTANT, OPERATIONS, STABILIZER, ZERO, unanswerable
from pellucid.engine.relevance_products import BatchNorm, Fold, Parametric
from pellucid.engine.relevance_records import Relevance, Step
from pellucid.engine.relevance_sums import first
from pellucid.engine.relevance_survey import Survey
from pellucid.engine.rules import Attention, Composite, Flat, Gate, NormLayer, Rule, WeightRule, WSquare, ZBox
from pellucid.engine.tape import Call, Mark, Tape

ELSEWHERE, UNCONDITIONED = "other paths", "other channels"

Bound = float | Tensor | None
Condition = Sequence[int] | Tensor
S = TypeVar("S", Gate, Attention, NormLayer)

FAMILIES: Mapping[type, str] = {Gate: "gate", Attention: "attention", NormLayer: "norm"}
_MATCHED = {
    "weights": "no convolution, linear map or batch norm",
    "gate": "no product",
    "attention": "no softmax or matrix product",
    "norm": "no layer, group or root-mean-square norm",
}


def propagate(
    tape: Tape,
    scores: Tensor,
    seed: Tensor,
    composite: Composite,
    rules: Mapping[str, Rule] | None = None,
    at: str = "",
    bounds: tuple[Bound, Bound] = (None, None),
    reading: Sequence[str] = (),
    conditions: Mapping[str, Condition] | None = None,
    start: str = "",
) -> Relevance:
    """The relevance of the point (or of the output of the module call ``at``) for ``seed``, shaped like ``scores``.

    ``seed`` holds the explained scores at their places and zeros elsewhere; the negative score of a foil as well.
    ``rules`` override the composite by place (``"block.3"``, ``"block.3#1"``, or a pattern such as ``"layer1.*"``).
    A batch norm that is folded into the convolution before it has the same relevance before and after it.
    ``bounds`` are the lowest and highest values that the point can take, broadcastable to it, for boxes that name none.

    ``reading`` names further layers whose relevance is wanted from the same walk. ``conditions`` lets only a part of the
    relevance at a layer's output go on, the rest is absorbed: channel numbers (of its second axis), or a mask that
    broadcasts to the output (achtibat2023from). ``start`` names a layer at whose output the walk begins instead: the
    seed is relevance that was read there, or a part of it.
    """
    with torch.inference_mode(False), torch.no_grad():
        walk = Propagation(tape, scores, seed, composite, rules or {}, at, bounds, start)
        return walk.walk(reading, conditions or {})


class Propagation:
    """One walk back over a tape; operations see it as what takes and gives relevance."""

    def __init__(
        self,
        tape: Tape,
        scores: Tensor,
        seed: Tensor,
        composite: Composite,
        rules: Mapping[str, Rule],
        at: str,
        bounds: tuple[Bound, Bound],
        start: str = "",
    ) -> None:
        score = tape.value(scores)
        if score is None:
            raise NotAnswerable(
                "the score was not computed from the point by operations that torch shows; ask occlusion or another "
                "method that needs outputs only"
            )
        self.tape, self.composite, self.at, self._bounds = tape, composite, at, bounds
        source = self._mark(start).place if start else score
        assert source is not None
        if source.size != seed.shape:
            whose = f"layer {start!r}" if start else "the scores"
            raise UsageError(f"the seed {tuple(seed.shape)} must have the shape of {whose} {tuple(source.size)}")
        self.dtype = torch.float64 if torch.float64 in (scores.dtype, tape.point.dtype) else torch.float32
        self.folds: dict[int, Fold] = {}
        self._survey = Survey(tape, self.dtype)
        self._accounts = Accounts(self._survey.examples)
        self._ledger = Ledger()
        self._steps: list[Step] = []
        self._taken: tuple[Tensor | None, tuple[int, ...]] = (None, ())
        self._disproportionate: set[Memory] = set()
        self._scratch: dict[int, Tensor] = {}
        self._begin = self._mark(start).position if start else len(tape.calls)
        self._stop = self._mark(at).position if at else 0
        self._overrides = self._matched(rules)
        self._score = score.content
        seed = seed.detach().to(self.dtype)
        self._seeded = self._account(seed, source)
        self._ledger.give(source, seed, (self._seeded,))

    def walk(self, reading: Sequence[str], conditions: Mapping[str, Condition]) -> Relevance:
        """Walk back to the point, or to the end of the module call that was asked for."""
        stops = {name: self._mark(name) for name in (*conditions, *reading)}
        early = next((name for name, mark in stops.items() if mark.position < self._stop), None)
        if early is not None:
            raise UsageError(f"layer {early!r} lies before {self.at!r}, where the walk ends; ask at the input")
        read: dict[str, Tensor] = {}
        for position in range(self._begin, self._stop - 1, -1):
            for name in (name for name, mark in stops.items() if mark.position == position):
                place = stops[name].place
                assert place is not None
                if name in conditions:
                    self._condition(name, place, conditions[name])
                if name in reading:
                    found = self._ledger.look(place)
                    read[name] = torch.zeros(place.size, dtype=self.dtype) if found is None else found.cpu().clone()
            if position > self._stop:
                self._step(self.tape.calls[position - 1])
        scores = self._read()
        others = self._read_others()
        remaining = self._remaining()
        totals = self._accounts.settled()
        absorbed: dict[str, Tensor] = {}
        for step in self._steps:
            for source, accounts in step.absorbed.items():
                absorbed[source] = absorbed.get(source, torch.zeros_like(remaining)) + totals[accounts].sum(0)
        if bool(remaining.any()):
            source = ELSEWHERE if self.at else CONSTANT
            absorbed[source] = absorbed.get(source, torch.zeros_like(remaining)) + remaining
        absorbed |= others
        return Relevance(scores.cpu(), totals[self._seeded], absorbed, self._steps, totals, self.at, read)

    # What operations use.

    def tensor(self, value: Value) -> Tensor:
        """A value in the precision of relevance; whole numbers and truth values as they are."""
        tensor = value.tensor()
        return tensor.to(self.dtype) if tensor.is_floating_point() else tensor

    def output(self, call: Call) -> Tensor:
        """The first output, computed again where the model rounds it to less than the precision of relevance."""
        output = call.outputs[0]
        assert output is not None
        return output.tensor() if output.live.dtype == self.dtype else first(call.run(self.tensor))

    def scratch(self, slot: int, like: Tensor) -> Tensor:
        """Memory in the shape of ``like`` that is used again and again, because fresh pages are slow."""
        present = self._scratch.get(slot)
        if present is None or present.numel() < like.numel():
            present = self._scratch[slot] = torch.empty(like.numel(), dtype=self.dtype, device=like.device)
        dense = not overlapping((tuple(like.shape), like.stride(), 0)) and like.numel() == _reach(like)
        flat = present[: like.numel()]
        return flat.as_strided(like.shape, like.stride()) if dense else flat.view(like.shape)

    def share(
        self,
        call: Call,
        relevance: Tensor,
        denominator: Tensor,
        epsilon: float | None = None,
        bias: Tensor | None = None,
        positive: bool = False,
        absorbing: float = 1.0,
    ) -> Tensor:
        """R / stab(D); the shares of stabiliser and bias are absorbed. Where D and ε are both 0, nothing is passed on.

        ``positive`` promises that D ≥ 0, which saves work; ``absorbing`` is the part of the shares that is absorbed, the
        caller hands on the rest.
        """
        epsilon = self.composite.sum.stabilizer if epsilon is None else epsilon
        output = call.outputs[0]
        assert output is not None
        if epsilon == 0:
            dead = denominator == 0
            shares = (relevance / denominator).masked_fill(dead, 0)
            self.absorb(ZERO, relevance * dead, output)
        elif positive:
            stable = denominator + epsilon
            shares = torch.div(relevance, stable, out=stable)
        else:
            # −0 would count as negative, but is only ever the sum of terms that are all zero, which get nothing either way.
            offset = torch.copysign(denominator.new_full((), epsilon), denominator)
            stable = denominator + offset
            shares = torch.div(relevance, stable, out=stable)
            if absorbing:
                self.absorb(STABILIZER, offset.mul_(shares).mul_(absorbing), output)
        if absorbing:
            bias = None if bias is None else bias * absorbing
            self._absorb_shares(shares, output, epsilon * absorbing if positive else 0.0, bias)
        return shares

    def give(self, value: Value | Place, amount: Tensor) -> None:
        """Hand relevance to an input that depends on the point."""
        relevance, notes = self._taken
        accounts = notes if amount is relevance and notes else (self._account(amount, value),)
        self._steps[-1].leaving += accounts
        self._ledger.give(value, amount, accounts)

    def absorb(self, source: str, amount: Tensor, output: Value | None) -> None:
        """Record relevance that goes to no input; ``amount`` has the shape of ``output``."""
        assert output is not None
        assert amount.shape == output.size
        self._absorbed(source, amount, output)

    def watch_cancellation(self, relevance: Tensor, spread: Tensor, output: Value | None) -> None:
        """Record how much larger the terms' relevance (``spread``, absolute) is than that of their sum."""
        assert output is not None
        self._steps[-1].amplification = (self._account(spread, output), self._account(relevance.abs(), output))

    def rule(self, call: Call, kind: str) -> WeightRule:
        """The rule of a convolution or linear map: an override, or what the composite says of its kind and position."""
        is_first = self._survey.is_first(call)
        rule = self.override(call, "weights") or self.composite.rule(kind, is_first)
        self._steps[-1].rule = type(rule).__name__
        if is_first and isinstance(rule, ZBox | Flat | WSquare):
            self._disproportionate.update(value.memory for value in call.inputs)
        return rule

    def override(self, call: Call, family: str) -> Any:
        """The rule of a family that the caller wants at this place, if any."""
        return self._overrides.get((call.place, family))

    def special(self, call: Call, kind: type[S]) -> S:
        """The rule of a gate, an attention or a norm: an override, or what the composite says."""
        family = FAMILIES[kind]
        self._steps[-1].rule = kind.__name__
        return self.override(call, family) or getattr(self.composite, family)  # type: ignore[no-any-return]

    def writer(self, value: Value, call: Call) -> Call | None:
        """The operation that made all of what ``call`` reads as ``value``, if it was a single one."""
        return self._survey.writer(value, call)

    def sole_source(self, source: Value) -> Call | None:
        """The product whose output this is, if nothing else reads it and nothing is folded into it yet."""
        writer = source.content.writer
        if writer is None or not isinstance(OPERATIONS.get(writer.name), Parametric):
            return None
        alone = source.content.reads == 1 and source.content is not self._score and id(writer) not in self.folds
        return writer if alone else None

    def disproportionate(self, call: Call) -> bool:
        """Whether the output's relevance came through a rule that does not look at values, further up the same path."""
        output = call.outputs[0]
        return output is not None and output.memory in self._disproportionate

    def box(self, call: Call, source: Value, rule: ZBox) -> tuple[Tensor, Tensor]:
        """The lowest and highest values that an input of a convolution can take, in its shape."""
        is_first = self._survey.is_first(call)
        given = zip((rule.low, rule.high), self._bounds if is_first else (None, None), strict=True)
        bounds = [point if own is None else own for own, point in given]
        if any(bound is None for bound in bounds):
            whose = "the input; give its low= and high=" if is_first else "its own inputs: ZBox(low=…, high=…)"
            raise UsageError(f"the box rule at {call} needs the bounds of {whose}")
        lowest, highest = (torch.as_tensor(bound).to(self.tape.point.device, self.dtype) for bound in bounds)
        if not is_first:
            return lowest.expand(source.size), highest.expand(source.size)
        low, high = (self._survey.replayed(call, source, bound) for bound in (lowest, highest))
        return torch.minimum(low, high), torch.maximum(low, high)

    def support(self, call: Call, source: Value) -> Tensor:
        """1 where an input of a product depends on the point, 0 where it is padding or another constant."""
        return self._survey.support(call, source)

    # The walk itself.

    def _step(self, call: Call) -> None:
        taken = [self._taken_from(output) for output in call.outputs]
        relevances = tuple(relevance for relevance, _ in taken)
        if all(relevance is None for relevance in relevances):
            return
        operation = OPERATIONS.get(call.name)
        if operation is None:
            if any(relevance is not None and bool(relevance.any()) for relevance in relevances):
                raise unanswerable(call)
            return
        disproportionate = self.disproportionate(call)
        if disproportionate and not operation.transparent:
            raise unanswerable(call, "it stands before the first layer, whose rule does not look at the input's values")
        step = Step(call.place, call.name)
        self._steps.append(step)
        for (relevance, notes), output in zip(taken, call.outputs, strict=True):
            if relevance is not None and output is not None:
                step.arriving += notes or (self._account(relevance, output),)
        alone = all(relevance is None for relevance in relevances[1:])
        self._taken = (relevances[0], tuple(step.arriving)) if alone else (None, ())
        operation.distribute_all(call, relevances, self)
        if disproportionate:
            self._disproportionate.update(value.memory for value in call.inputs)

    def _taken_from(self, output: Value | None) -> tuple[Tensor | None, tuple[int, ...]]:
        if output is None or not output.depends:
            return None, ()
        return self._ledger.take(output.memory, output.geometry)

    def _absorb_shares(self, shares: Tensor, output: Value, epsilon: float, bias: Tensor | None) -> None:
        """The shares of a positive stabiliser and of a bias; where the bias is one number per channel, summed first."""
        rank = shares.ndim
        channels = rank > 2 and (bias is None or (bias.ndim == rank and bias.numel() == bias.shape[1]))
        if not epsilon and bias is None:
            return
        if channels and self._survey.examples.leads(output):
            shares = shares.sum(tuple(range(2, rank)))
            bias = None if bias is None else bias.reshape(1, -1)
        if epsilon:
            self._absorbed(STABILIZER, shares * epsilon, output)
        if bias is not None:
            self._absorbed(BIAS, shares * bias, output)

    def _absorbed(self, source: str, amount: Tensor, output: Value | Place) -> None:
        self._steps[-1].absorbed.setdefault(source, []).append(self._account(amount, output))

    def _account(self, amount: Tensor, value: Value | Place) -> int:
        number = self._accounts.open(amount, value)
        if number is None:
            raise self._mixed(value.memory)
        return number

    def _matched(self, rules: Mapping[str, Rule]) -> dict[tuple[str, str], Rule]:
        """The override of each place, by the family of the rule: exact names before patterns, earlier before later.

        A batch norm has to be named exactly, because a rule of its own means that it is not folded.
        """
        kinds = [(call.place, OPERATIONS[call.name]) for call in self.tape.calls if call.name in OPERATIONS]
        norms = {place for place, kind in kinds if isinstance(kind, BatchNorm)}
        found: dict[tuple[str, str], Rule] = {}
        every = list(dict.fromkeys(place for place, kind in kinds if kind.families))
        for pattern in sorted(rules, key=lambda pattern: not any(_named(place, pattern) for place in every)):
            family = FAMILIES.get(type(rules[pattern]), "weights")
            places = list(dict.fromkeys(place for place, kind in kinds if family in kind.families))
            fits = [
                place for place in places if _named(place, pattern) or (place not in norms and _fits(place, pattern))
            ]
            if not fits:
                raise UsageError(f"{_MATCHED[family]} is at {pattern!r}; {nearest(pattern, places)}")
            for place in fits:
                found.setdefault((place, family), rules[pattern])
        return found

    def _mark(self, name: str) -> Mark:
        mark = self.tape.marks.get(name)
        if mark is None:
            raise UsageError(
                f"no layer {name!r} was called; {nearest(name, [name for name in self.tape.marks if name])}"
            )
        if mark.place is None:
            raise NotAnswerable(f"layer {name!r} returns no tensor that depends on the input; ask at a layer inside it")
        return mark

    def _condition(self, name: str, place: Place, condition: Condition) -> None:
        """Let only a part of the relevance at a layer's output go on."""
        relevance, _ = self._ledger.take(*place)
        if relevance is None:
            return
        if isinstance(condition, Tensor):
            mask = condition.to(relevance).expand_as(relevance)
        else:
            channels = place.size[1] if len(place.size) > 1 else 0
            outside = [number for number in condition if not 0 <= number < channels]
            if outside:
                raise UsageError(f"layer {name!r} has channels 0 to {channels - 1}, and no channel {outside[0]}")
            mask = relevance.new_zeros(channels).index_fill_(0, torch.tensor(list(condition), dtype=torch.long), 1)
            mask = mask.view(1, -1, *[1] * (relevance.ndim - 2)).expand_as(relevance)
        step = Step(name, "condition", arriving=[self._account(relevance, place)])
        self._steps.append(step)
        self._taken = (None, ())
        self._absorbed(UNCONDITIONED, relevance * (1 - mask), place)
        self.give(place, relevance * mask)

    def _read(self) -> Tensor:
        """The relevance of the point or the layer; it leaves the ledger."""
        place = self._mark(self.at).place if self.at else Place(self.tape.start.memory, self.tape.start.geometry)
        assert place is not None
        scores, _ = self._ledger.take(*place)
        return torch.zeros(place.size, dtype=self.dtype) if scores is None else scores.contiguous()

    def _read_others(self) -> dict[str, Tensor]:
        """What the model's other inputs received, summed per example; it leaves the ledger."""
        found: dict[str, Tensor] = {}
        for name, start in self.tape.starts.items():
            amount, _ = self._ledger.take(start.memory, start.geometry)
            if amount is not None:
                found[name] = amount.reshape(len(amount), -1).sum(1, dtype=torch.float64).cpu()
        return found

    def _remaining(self) -> Tensor:
        """What is left in the ledger: at constant cells, or on paths around the layer that was asked for."""
        total = torch.zeros(self._survey.examples.batch, dtype=torch.float64)
        for memory, cells in self._ledger.rest():
            if bool(cells.any()):
                sums = self._survey.examples.flat_sums(cells, memory)
                if sums is None:
                    raise self._mixed(memory)
                total += sums.cpu()
        return total

    def _mixed(self, memory: Memory) -> NotAnswerable:
        mixing = self._survey.mixing(memory)
        if mixing is not None and mixing.name not in OPERATIONS:
            return unanswerable(mixing)
        where = f" after {mixing}" if mixing is not None else ""
        return NotAnswerable(f"the examples of the batch cannot be told apart{where}; ask one example at a time")


def _reach(tensor: Tensor) -> int:
    """How many cells lie between the first and the last element."""
    return 1 + sum(step * (count - 1) for step, count in zip(tensor.stride(), tensor.shape, strict=True))


def _named(place: str, name: str) -> bool:
    return name in (place, place.partition("#")[0])


def _fits(place: str, pattern: str) -> bool:
    return any(fnmatch.fnmatchcase(word, pattern) for word in (place, place.partition("#")[0]))
