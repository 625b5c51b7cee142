"""A Python function as a subject."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from pellucid.core.subject import Task
from pellucid.subjects.answers import Output, picked
from pellucid.subjects.blackbox import BlackBox


class FunctionSubject(BlackBox):
    """``function(batch) -> scores``: a tensor ``[batch, …]`` in, scores ``[batch, outputs]`` out.

    With ``numpy`` the function gets arrays. Where the inputs are several, it gets a mapping from their names.
    ``version`` is what its owner calls this state of it.
    """

    def __init__(
        self,
        function: Callable[[Any], Any],
        task: Task,
        *,
        name: str | None = None,
        output: Output = None,
        numpy: bool = False,
        version: str | None = None,
    ) -> None:
        super().__init__(task, name or _name(function), version)
        self._function, self._output, self._numpy = function, output, numpy

    def answer(self, tensors: Mapping[str, Tensor]) -> Any:
        batch: dict[str, Any] = {name: t.numpy() for name, t in tensors.items()} if self._numpy else dict(tensors)
        given = next(iter(batch.values())) if len(batch) == 1 else batch
        return picked(self._function(given), self._output, self.name)


def _name(function: Any) -> str:
    name = getattr(function, "__name__", type(function).__name__)
    return "function" if name == "<lambda>" else name
