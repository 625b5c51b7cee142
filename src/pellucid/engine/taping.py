"""A subject's pass on a tape, and nothing left of it afterwards."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence

from pellucid.core.subject import Inputs, Replacement, Run, Subject
from pellucid.engine.tape import Tape


@contextlib.contextmanager
def taped(
    subject: Subject, inputs: Inputs, capture: Sequence[str] = (), replace: Mapping[str, Replacement] | None = None
) -> Iterator[tuple[Tape, Run]]:
    """Record one pass of ``inputs``, all at once. The tape is released at the end of the block.

    Every floating-point input is followed, not the point alone. Of a layer whose output a function replaces, the tape
    marks the output before it.
    """
    point = inputs.value.detach().clone()
    named = {name: tensor for name, tensor in inputs.tensors.items() if name != inputs.point}
    others = {name: tensor.clone() for name, tensor in named.items() if tensor.is_floating_point()}
    given = Inputs({**inputs.tensors, **others, inputs.point: point}, inputs.point, inputs.mask, inputs.origins)
    constants = [tensor for name, tensor in named.items() if name not in others]
    with Tape(point, subject.module, constants, others) as tape:
        run = subject.run(given, capture=capture, replace=replace, original=True)
    try:
        yield tape, run
    finally:
        tape.release()
