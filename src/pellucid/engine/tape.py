"""The tape: every operation that computed something from a point, whatever code called it.

It listens where torch dispatches to its kernels, so that modules, functions, operators, in-place operations, scripted
and traced code, custom autograd functions and checkpoints all look alike. What cannot be seen from there (values that
leave for numpy, memory that a foreign kernel fills, tensors that come from nowhere) is refused by name.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.engine.dispatch import (
    Traits,
    address,
    is_named_by_code,
    plain_execution,
    results,
    tensors_in,
    tensors_of,
    traits,
    unfused_recurrence,
)
from pellucid.engine.memory import Memory, Place, Value, overlapping

# Through these the values of a tensor leave the sight of torch's dispatcher.
_EXITS: dict[Any, str] = {
    getattr(Tensor, name): f"Tensor.{name}"
    for name in (
        *("numpy", "__array__", "tolist", "data_ptr", "untyped_storage", "storage", "__dlpack__"),
        *("__deepcopy__", "__reduce_ex__", "apply_", "map_", "map2_"),
    )
}
_RECURRENT = {getattr(torch._VF, name) for name in ("lstm", "gru", "rnn_tanh", "rnn_relu")}


@dataclass(eq=False)
class Call:
    """One recorded operation: its functional name, its arguments with tensors as ``Value``, and where it was called.

    ``values`` are its tensor arguments, ``inputs`` those that depend on the point, ``outputs`` what it returned or
    overwrote.
    """

    name: str
    packet: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    values: list[Value]
    inputs: list[Value]
    outputs: list[Value | None]
    place: str

    def run(self, substitute: Callable[[Value], Any], instead: Mapping[int, Any] | None = None) -> Any:
        """The operation out of place, with other tensors for its own; ``instead`` replaces arguments by position."""
        args = [_replaced(argument, substitute) for argument in self.args]
        for position, argument in (instead or {}).items():
            args[position] = argument
        return self.packet(*args, **{key: _replaced(argument, substitute) for key, argument in self.kwargs.items()})

    def __str__(self) -> str:
        return f"{self.name}, called in {self.place!r}" if self.place else self.name


def _replaced(argument: Any, substitute: Callable[[Value], Any]) -> Any:
    # Not a function inside another that calls itself: that would keep all it knows of alive until a collection.
    if isinstance(argument, Value):
        return substitute(argument)
    if isinstance(argument, list | tuple):
        return [_replaced(entry, substitute) for entry in argument]
    return argument


@dataclass(frozen=True)
class Mark:
    """The end of a module call: how many operations were on the tape, and where its output lies if it is a tensor that
    an operation seen so far has written."""

    position: int
    place: Place | None = None


@dataclass(eq=False)
class Tape:
    """Records what is computed from ``point`` inside a ``with`` block; nothing stays behind, also after an error.

    ``others`` are further inputs of the model by name, such as the initial state of a recurrent net: what is computed from
    them is on the tape as well.
    ``module`` names the places of operations and lends its parameters, buffers and tensor attributes. With a module, any
    other floating-point tensor must be among ``constants``, or a global or enclosing variable of the running code.
    ``calls`` are the records, ``marks`` the ends of module calls by path (``"block.3"``, its second call ``"block.3#1"``).
    """

    point: Tensor
    module: nn.Module | None = None
    constants: Iterable[Tensor] = ()
    others: Mapping[str, Tensor] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    marks: dict[str, Mark] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, tensor in {"the point": self.point, **self.others}.items():
            if not tensor.is_floating_point() or tensor.ndim == 0:
                raise UsageError(f"{name} must be a floating-point tensor with a batch axis")
            if overlapping((tuple(tensor.shape), tensor.stride(), 0)):
                raise UsageError(f"{name} repeats memory cells (an expanded tensor); give a clone of it")
        self._memories: dict[int, Memory] = {}
        self._places: list[str] = []
        self._busy = False
        self.start = Value(self.point, self._register(self.point, depends=True))
        self.starts = {
            name: Value(tensor, self._register(tensor, depends=True)) for name, tensor in self.others.items()
        }

    def __enter__(self) -> "Tape":
        if self.calls or self.marks:
            raise UsageError("a tape records once; make a new one")
        self._known = {address(tensor) for tensor in (*self.constants, *tensors_of(self.module))}
        with contextlib.ExitStack() as stack:
            stack.enter_context(torch.no_grad())
            stack.enter_context(plain_execution())
            stack.enter_context(self._named_places())
            stack.enter_context(_Functions(self))
            stack.enter_context(_Operations(self))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def release(self) -> None:
        """Forget everything at once: records and memories point at each other, and activations are too large to wait
        until a collector of cycles finds them."""
        contents = [memory.content for memory in self._memories.values()]
        contents += [
            value.content for call in self.calls for value in (*call.values, *call.outputs) if value is not None
        ]
        for content in contents:
            content.release()
        self.calls.clear()
        self.marks.clear()
        self._memories.clear()

    def value(self, tensor: Tensor) -> Value | None:
        """The tensor as it is now, or None where it was not computed from the point."""
        memory = self._memories.get(address(tensor))
        return Value(tensor, memory) if memory is not None and memory.depends else None

    def leaving(self, through: str, tensor: Any) -> None:
        """Refuse that values computed from the point leave ``through`` a door that shows no operation."""
        if self._busy or not isinstance(tensor, Tensor):
            return
        memory = self._memories.get(address(tensor))
        if memory is not None and memory.depends:
            raise NotAnswerable(
                f"values leave torch through {through}{self._here()} so their way to the score cannot be followed; "
                "write this step with torch operations, or ask integrated-gradients or occlusion"
            )

    def operation(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run one dispatched operation, and record it if it computes something from the point."""
        self._busy = True
        try:
            known = traits(func)
            return (self._viewed if known.is_view else self._recorded)(known, func, args, kwargs)
        finally:
            self._busy = False

    def _viewed(self, known: Traits, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        source = tensors_in((args, kwargs))[0]
        before, memory = source.dtype, self._memories.get(address(source))
        if known.moves:
            self._keep_geometry(source)
        result = func(*args, **kwargs)
        if memory is None and known.name == "aten.lift_fresh":
            self._register(source, depends=False)
        reinterpreted = known.reinterprets or any(tensor.dtype != before for tensor in tensors_in(result))
        if memory is not None and memory.depends and reinterpreted:
            raise NotAnswerable(f"{known.name}{self._here()} gives memory another meaning, which cannot be followed")
        return result

    def _keep_geometry(self, tensor: Tensor) -> None:
        """Give the records a tensor object of their own, because this one is about to change its shape."""
        recorded = [value for call in self.calls for value in (*call.values, *call.outputs)]
        for value in (self.start, *self.starts.values(), *recorded):
            if value is not None and value.live is tensor:
                value.live = tensor.detach()

    def _recorded(self, known: Traits, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        tensors = tensors_in((args, kwargs))
        memories = [self._memory(tensor, known) for tensor in tensors]
        written = known.written(args, kwargs)
        self._require_written(known, tensors, memories, written)
        values: list[Value] | None = None
        if not known.ignores_values and any(memory.depends for memory in memories):
            if known.name == "aten._local_scalar_dense" and tensors[0].dtype != torch.bool:
                raise NotAnswerable(
                    f"a number is taken out of a tensor (.item(), float(), int()){self._here()} so its way to the score "
                    "cannot be followed; keep it a tensor, or ask integrated-gradients or occlusion"
                )
            if known.is_composite:
                with _Operations(self):
                    return func.decompose(*args, **kwargs)
            values = [Value(tensor, memory) for tensor, memory in zip(tensors, memories, strict=True)]
        for tensor in written:
            self._memory(tensor, known).overwrite(tensor)
        result = func(*args, **kwargs)
        if values is None:
            for tensor in tensors_in(result):
                self._adopt(tensor, depends=False, unwritten=known.reserves)
        else:
            self._record(known, args, kwargs, values, self._outputs(written, result))
        return result

    def _record(self, known: Traits, args: Any, kwargs: Any, values: list[Value], outputs: list[Value | None]) -> None:
        if not any(output is not None and output.depends for output in outputs):
            return
        in_order = iter(values)
        positional = tuple([_valued(argument, in_order) for argument in args])
        named = {key: _valued(argument, in_order) for key, argument in kwargs.items()}
        if known.outs:
            discarded = [named.pop(key) for key in known.outs if key in named]
            values = [value for value in values if not any(value is other for other in discarded)]
        inputs = [value for value in values if value.depends]
        call = Call(known.name, known.packet, positional, named, values, inputs, outputs, self._place)
        for value in inputs:
            value.content.reads += 1
        for output in outputs:
            if output is not None:
                output.content.writer = call
        self.calls.append(call)

    def _outputs(self, written: list[Tensor], result: Any) -> list[Value | None]:
        found: list[Value | None] = []
        seen: list[Any] = []
        for tensor in [*results(result), *written]:
            if not isinstance(tensor, Tensor):
                found.append(None)
            elif not any(tensor is other for other in seen):
                seen.append(tensor)
                memory = self._adopt(tensor, depends=tensor.is_floating_point() or tensor.is_complex())
                found.append(Value(tensor, memory))
        return found

    def _memory(self, tensor: Tensor, known: Traits) -> Memory:
        place = address(tensor)
        memory = self._memories.get(place)
        if memory is None:
            foreign = self.module is not None and place not in self._known and tensor.is_floating_point()
            if foreign and not is_named_by_code(tensor):
                raise NotAnswerable(
                    f"{known.name}{self._here()} meets a tensor {tuple(tensor.shape)} that no visible operation computed "
                    "and that does not belong to the model; make it a buffer of the model, or ask integrated-gradients"
                )
            memory = self._register(tensor, depends=False)
        return memory

    def _adopt(self, tensor: Tensor, depends: bool, unwritten: bool = False) -> Memory:
        memory = self._memories.get(address(tensor))
        if memory is None:
            return self._register(tensor, depends, unwritten and tensor.numel() > 0)
        memory.depends = memory.depends or depends
        return memory

    def _register(self, tensor: Tensor, depends: bool, unwritten: bool = False) -> Memory:
        memory = Memory(tensor, depends, unwritten)
        self._memories[memory.address] = memory
        return memory

    def _require_written(
        self, known: Traits, tensors: list[Tensor], memories: list[Memory], written: list[Tensor]
    ) -> None:
        for tensor, memory in zip(tensors, memories, strict=True):
            if memory.unwritten and tensor.numel() and not any(tensor is other for other in written):
                raise NotAnswerable(
                    f"{known.name}{self._here()} reads memory that no visible operation wrote (a compiled or foreign "
                    "kernel?), so its values cannot be followed; give the model as it was before compilation, or ask "
                    "integrated-gradients or occlusion"
                )

    @property
    def _place(self) -> str:
        return self._places[-1] if self._places else ""

    def _here(self) -> str:
        return f" (in {self._place!r})," if self._place else ","

    @contextlib.contextmanager
    def _named_places(self) -> Iterator[None]:
        count: Counter[str] = Counter()
        handles = []

        def entered(name: str) -> None:
            self._places.append(name if not count[name] else f"{name}#{count[name]}")
            count[name] += 1

        def left(output: Any) -> None:
            mark = Mark(len(self.calls))
            if isinstance(output, Tensor):
                with torch._C.DisableTorchFunction():
                    memory = self._memories.get(address(output))
                    if memory is not None:
                        geometry: Any = (tuple(output.shape), output.stride(), output.storage_offset())
                        mark = Mark(len(self.calls), Place(memory, geometry))
            self.marks[self._places.pop()] = mark

        try:
            for name, module in self.module.named_modules() if self.module is not None else ():
                if isinstance(module, torch.jit.RecursiveScriptModule) and not isinstance(
                    module, torch.jit.TopLevelTracedModule
                ):
                    # Scripted modules take no hooks; their operations count as their caller's.
                    continue
                name = ".".join(part for part in name.split(".") if part != "_orig_mod")
                handles.append(module.register_forward_pre_hook(lambda _, given, name=name: entered(name)))
                handles.append(module.register_forward_hook(lambda _, given, out: left(out), always_call=True))
            yield
        finally:
            for handle in handles:
                handle.remove()


def _valued(argument: Any, values: Iterator[Value]) -> Any:
    """An argument with the next of ``values`` for each tensor in it."""
    if isinstance(argument, Tensor):
        return next(values)
    return [_valued(entry, values) for entry in argument] if isinstance(argument, list | tuple) else argument


class _Operations(TorchDispatchMode):
    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Not to wrap every dispatched operation in the compiler's machinery, and not to import that."""
        return False

    def __init__(self, tape: Tape) -> None:
        super().__init__()
        self._tape = tape

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self._tape.operation(func, args, kwargs or {})


class _Functions(TorchFunctionMode):
    """Sees calls before they reach the dispatcher: doors out of torch, and layers of which it would show one kernel."""

    def __init__(self, tape: Tape) -> None:
        super().__init__()
        self._tape = tape

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _EXITS and args:
            self._tape.leaving(_EXITS[func], args[0])
        with unfused_recurrence() if func in _RECURRENT else contextlib.nullcontext():
            return func(*args, **(kwargs or {}))
