"""Gradients by walking back over a tape, operation by operation, with rules of one's own where autograd has none.

Every operation counts as the call that it was: functional, reused and in-place operations are all alike, and a rule for
an operation holds wherever it was called from. Without rules the result is the derivative of what was computed, which is
autograd's gradient except where a model tells autograd otherwise (``detach``, a custom function's own backward pass).
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from pellucid.core.errors import NotAnswerable
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.memory import Ledger
from pellucid.engine.tape import Call, Tape
from pellucid.engine.targets import Target
from pellucid.engine.transposes import Amounts, Given, Reading, reader, transposed

# What an operation hands to its inputs for what arrives at its outputs (None where nothing does).
Rule = Callable[[Call, Amounts, Reading], Given]
_NONE: Mapping[str, Rule] = MappingProxyType({})


def walked_back(
    tape: Tape,
    values: Tensor,
    rules: Mapping[str, Rule] = _NONE,
    otherwise: Rule = transposed,
    seed: Tensor | None = None,
) -> Tensor:
    """The gradient of Σ ``values`` at the tape's point, in its shape: float64 where the model is, else float32.

    With a ``seed`` in the shape of ``values`` that is what begins the way back, in the place of ones.

    ``rules`` say by the name of an operation (``"aten.relu"``; its in-place form has the same) what it hands back instead
    of its derivative, ``otherwise`` what all others do. Where values were computed without the point, it is refused.
    """
    last = tape.value(values)
    if last is None:
        raise NotAnswerable(
            "the score was not computed from the point by operations that torch shows; ask occlusion or another "
            "method that needs outputs only"
        )
    read = reader(precision(tape, values))
    ledger = Ledger()
    with torch.inference_mode(False), torch.no_grad():
        start = read(last)
        ledger.give(last, torch.ones_like(start) if seed is None else seed.to(start), ())
        for call in reversed(tape.calls):
            amounts = [
                ledger.take(output.memory, output.geometry)[0] if output is not None and output.depends else None
                for output in call.outputs
            ]
            if all(amount is None for amount in amounts):
                continue
            for value, amount in rules.get(call.name, otherwise)(call, amounts, read):
                ledger.give(value, amount, ())
        found, _ = ledger.take(tape.start.memory, tape.start.geometry)
        return torch.zeros_like(read(tape.start)) if found is None else found.contiguous()


def precision(tape: Tape, values: Tensor) -> torch.dtype:
    """The precision of a walk: float64 where the model's is, float32 for all others."""
    return torch.float64 if torch.float64 in (values.dtype, tape.point.dtype) else torch.float32


@contextlib.contextmanager
def taped_quantity(
    subject: Subject, inputs: Inputs, target: Target, at: str, point: Tensor
) -> Iterator[tuple[Tape, Tensor]]:
    """All that computes the explained quantity from ``point``, and that quantity, ``[batch]``; forgotten afterwards.

    At a layer the tape begins with its output, whose place ``point`` takes; everything before the layer stays constant.
    """
    point = point.detach().clone()
    known = [tensor for name, tensor in inputs.tensors.items() if at != "input" or name != inputs.point]
    with Tape(point, subject.module, constants=known) as tape:
        run = (
            subject.run(inputs.at(point), capture=target.capture, original=True)
            if at == "input"
            else subject.run(inputs, capture=target.capture, replace={at: point}, original=True)
        )
        values = target(run)
    try:
        yield tape, values
    finally:
        tape.release()
