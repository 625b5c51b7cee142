"""Which networks a decomposition is defined for: what may stand between their maps with weights."""

from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor

from pellucid.core.errors import NotAnswerable
from pellucid.engine.memory import Value
from pellucid.engine.relevance_operations import OPERATIONS, Addition, Copy, Extremum, Overwrite, Passing, Scaling
from pellucid.engine.relevance_products import BatchNorm, Parametric
from pellucid.engine.relevance_sums import Selection, Sum
from pellucid.engine.tape import Call, Tape

_LINEAR = (Parametric, BatchNorm, Addition, Sum, Selection, Copy, Overwrite, Extremum)
# Those that are never negative if their lower bound is not: its position among the arguments.
_CLAMPS = {"aten.clamp": 1, "aten.clamp_min": 1, "aten.hardtanh": 1}


def require_rectified(tape: Tape, scores: Tensor) -> None:
    """Refuse, by name and place, what leads to ``scores`` and is neither a rectifier nor a maximum, a sum, a map with
    weights or a move."""
    _require(tape, scores, "rectifiers", _rectifies)


def require_additive(tape: Tape, scores: Tensor) -> None:
    """The same, but for any activation that works element by element."""
    _require(tape, scores, "activations", lambda call: True)


def _require(tape: Tape, scores: Tensor, known: str, activates: Callable[[Call], bool]) -> None:
    for call in _leading_to(tape, scores):
        reason = _outside(call, activates)
        if reason is not None:
            raise NotAnswerable(
                f"it is defined for {known}, maxima, sums and maps with weights only, not {call} ({reason}); ask lrp, "
                "which has rules for more, integrated-gradients or occlusion"
            )


def _leading_to(tape: Tape, scores: Tensor) -> Iterator[Call]:
    """The operations that something of ``scores`` came through, last first."""
    score = tape.value(scores)
    needed = set() if score is None else {score.memory}
    for call in reversed(tape.calls):
        if any(output is not None and output.memory in needed for output in call.outputs):
            needed.update(value.memory for value in call.inputs)
            yield call


def _outside(call: Call, activates: Callable[[Call], bool]) -> str | None:
    operation = OPERATIONS.get(call.name)
    if isinstance(operation, Passing):
        return None if activates(call) else "it is no rectifier"
    if isinstance(operation, Parametric) and len(call.inputs) > 1:
        return "a product of two values that both depend on the input"
    if isinstance(operation, Scaling):
        if len(call.inputs) > 1:
            return "a product of two values that both depend on the input"
        return None if _not_negative(_factor(call)) else "it changes the sign"
    return None if isinstance(operation, _LINEAR) else "it is neither linear nor an activation"


def _rectifies(call: Call) -> bool:
    if call.name in ("aten.relu", "aten.relu6"):
        return True
    if call.name == "aten.threshold":
        return _not_negative(call.args[1]) and _not_negative(call.args[2])
    place = _CLAMPS.get(call.name)
    if place is None:
        return False
    lowest = call.args[place] if len(call.args) > place else call.kwargs.get("min")
    return lowest is not None and _not_negative(lowest)


def _factor(call: Call) -> Any:
    first, second = call.args[0], call.args[1]
    return first if isinstance(second, Value) and second.depends else second


def _not_negative(value: Any) -> bool:
    return bool((value.tensor() >= 0).all()) if isinstance(value, Value) else value >= 0
