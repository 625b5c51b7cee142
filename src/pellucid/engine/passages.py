"""What the modules of a network do in one plain pass: what each computes, and which one alone reads its result."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

Call = Callable[[nn.Module, Mapping[str, Tensor]], Tensor]
# A tensor at one moment of the pass: what is written into it later makes another state of it.
State = tuple[int, int]
_NOTHING: State = (0, 0)


@dataclass(frozen=True)
class Passage:
    """The only call of a module without parts: the shape it was given, and the one operation it consists of, if it does.

    ``reader`` is the module that is given the result, where nothing else in the pass looks at it.
    """

    shape: tuple[int, ...]
    operation: Any = None
    arguments: tuple[Any, ...] = ()
    reader: str | None = None


def passages(module: nn.Module, tensors: Mapping[str, Tensor], call: Call) -> dict[str, Passage]:
    """The modules that could be replaced: without parts, hooks and shared parameters, called once, tensor in and out."""
    watch, handles = _Watch(), []
    shared = Counter(id(p) for child in module.modules() for p in child.parameters(recurse=False))
    for name, child in module.named_modules():
        if not _stands_alone(child, shared):
            continue
        # The name is bound anew in each round.
        handles.append(child.register_forward_pre_hook(lambda _, given, name=name: watch.enter(name, given)))
        handles.append(child.register_forward_hook(lambda _, given, result, name=name: watch.leave(name, result)))
    try:
        with torch.no_grad(), watch:
            call(module, tensors)
    finally:
        for handle in handles:
            handle.remove()
    return watch.passages()


def _stands_alone(module: nn.Module, shared: Mapping[int, int]) -> bool:
    hooked = module._forward_hooks or module._forward_pre_hooks
    own = not any(shared[id(parameter)] > 1 for parameter in module.parameters(recurse=False))
    return own and not hooked and not list(module.children())


@dataclass
class _Visit:
    given: State
    shape: tuple[int, ...]
    operations: list[tuple[Any, tuple[Any, ...], Any]]
    result: State = _NOTHING

    @property
    def whole(self) -> bool:
        return _NOTHING not in (self.given, self.result)


class _Watch(TorchDispatchMode):
    """Counts how many operations read each state; every tensor seen is kept alive so that identities stay unique."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Not to wrap every dispatched operation in the compiler's machinery, and not to import that."""
        return False

    def __init__(self) -> None:
        super().__init__()
        self._reads: Counter[State] = Counter()
        self._alive: list[Tensor] = []
        self._visits: dict[str, _Visit] = {}
        self._calls: Counter[str] = Counter()
        self._inside: _Visit | None = None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for value in torch.utils._pytree.tree_leaves((args, kwargs or {})):
            if isinstance(value, Tensor):
                self._reads[self._state(value)] += 1
        result = func(*args, **(kwargs or {}))
        if self._inside is not None:
            self._inside.operations.append((func, args, result))
        return result

    def enter(self, name: str, given: tuple[Any, ...]) -> None:
        self._calls[name] += 1
        one = given[0] if len(given) == 1 else None
        self._inside = self._visits[name] = _Visit(self._state(one), tuple(getattr(one, "shape", ())), [])

    def leave(self, name: str, result: Any) -> None:
        self._inside = None
        self._visits[name].result = self._state(result)

    def passages(self) -> dict[str, Passage]:
        seen = {name: visit for name, visit in self._visits.items() if self._calls[name] == 1 and visit.whole}
        readers = {visit.given: name for name, visit in seen.items() if self._reads[visit.given] == 1}
        return {
            name: Passage(visit.shape, *self._only_operation(visit), readers.get(visit.result))
            for name, visit in seen.items()
        }

    def _only_operation(self, visit: _Visit) -> tuple[Any, tuple[Any, ...]]:
        if len(visit.operations) == 1:
            function, arguments, result = visit.operations[0]
            whole = isinstance(result, Tensor) and self._state(result) == visit.result
            if whole and arguments and isinstance(arguments[0], Tensor) and self._state(arguments[0]) == visit.given:
                return function, arguments[1:]
        return None, ()

    def _state(self, value: Any) -> State:
        if not isinstance(value, Tensor):
            return _NOTHING
        self._alive.append(value)
        return id(value), value._version
