"""What torch's dispatcher shows of an operation: what it writes, what is only a view, which tensors it takes and gives."""

import contextlib
import functools
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from pellucid.core.errors import NotAnswerable

# They read the shape of their tensor, never its values.
_SHAPE_ONLY = {
    *("aten.empty_like", "aten.zeros_like", "aten.ones_like", "aten.full_like", "aten.rand_like", "aten.randn_like"),
    *("aten.randint_like", "aten.new_empty", "aten.new_empty_strided", "aten.new_zeros", "aten.new_ones"),
    "aten.new_full",
}
_RESERVING = {"aten.empty", "aten.empty_strided", "aten.empty_like", "aten.new_empty", "aten.new_empty_strided"}
_NOT_MARKED_AS_VIEWS = {
    *("aten._unsafe_view", "aten.lift_fresh", "aten.detach_"),
    *("aten.unsafe_split", "aten.unsafe_split_with_sizes", "aten.unsafe_chunk"),
}
_REINTERPRETING = {
    *("aten.view_as_complex", "aten.view_as_real", "aten._conj", "aten._neg_view", "aten.set_", "aten.resize_")
}
# What every module has: none of it is a tensor of its own.
_MODULE_INTERNALS = frozenset(vars(nn.Module()))


@dataclass(frozen=True)
class Traits:
    """What the schema of an operation says about it; ``name`` and ``packet`` are those of its functional form.

    ``moves`` says that it changes the geometry of its own tensor; ``writes`` are positions and names of the arguments it
    overwrites, ``outs`` the names of those that it does not read.
    """

    name: str
    packet: Any
    is_view: bool
    moves: bool
    is_composite: bool
    writes: tuple[tuple[int, str], ...]
    outs: frozenset[str]

    @property
    def ignores_values(self) -> bool:
        """Whether only the shape of its tensors matters."""
        return self.name in _SHAPE_ONLY

    @property
    def reserves(self) -> bool:
        """Whether it returns memory that nothing was written to."""
        return self.name in _RESERVING

    @property
    def reinterprets(self) -> bool:
        """Whether it gives memory another meaning."""
        return self.name in _REINTERPRETING

    def written(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
        """The tensors that it overwrites."""
        if not self.writes:
            return []
        return tensors_in([args[place] if place < len(args) else kwargs.get(name) for place, name in self.writes])


@functools.cache
def traits(func: Any) -> Traits:
    """The traits of an overload, looked up once."""
    name, packet = str(func.overloadpacket), func.overloadpacket
    arguments = func._schema.arguments
    writes = tuple(
        (place, argument.name)
        for place, argument in enumerate(arguments)
        if argument.alias_info is not None and argument.alias_info.is_write
    )
    moves = torch.Tag.inplace_view in func.tags
    is_view = func.is_view or moves or name in _NOT_MARKED_AS_VIEWS
    if writes and not is_view and name.endswith("_") and not name.endswith("__"):
        library, _, short = name.rpartition(".")
        functional = getattr(getattr(torch.ops, library), short[:-1], None)
        if functional is not None:
            name, packet = name[:-1], functional
    composite = torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd")
    outs = frozenset(argument.name for argument in arguments if argument.is_out)
    return Traits(name, packet, is_view, moves, composite, writes, outs)


def tensors_in(value: Any) -> list[Tensor]:
    """The tensors inside nested lists, tuples and dicts, in order."""
    found: list[Tensor] = []
    _collect(value, found)
    return found


def _collect(value: Any, found: list[Tensor]) -> None:
    if isinstance(value, Tensor):
        found.append(value)
    elif isinstance(value, list | tuple):
        for entry in value:
            _collect(entry, found)
    elif isinstance(value, dict):
        for entry in value.values():
            _collect(entry, found)


def results(result: Any) -> list[Any]:
    """What an operation returned, one by one."""
    if isinstance(result, list | tuple):
        return [leaf for entry in result for leaf in results(entry)]
    return [result]


def address(tensor: Tensor) -> int:
    """Where the storage of a tensor is; the same for every view of it."""
    try:
        return tensor.untyped_storage()._cdata
    except NotImplementedError as error:
        raise NotAnswerable(f"a {tensor.layout} tensor has no memory that could be followed; make it dense") from error


def tensors_of(module: nn.Module | None) -> Iterator[Tensor]:
    """Parameters, buffers, tensor attributes (also inside lists and dicts) and the constants of traced code."""
    for child in module.modules() if module is not None else ():
        if isinstance(child, torch.jit.ScriptModule):
            yield from (*child.parameters(), *child.buffers())
            graph = getattr(child, "inlined_graph", None)
            for node in graph.findAllNodes("prim::Constant") if graph is not None else ():
                if node.hasAttribute("value") and node.kindOf("value") == "t":
                    yield node.t("value")
        else:
            own = [value for name, value in vars(child).items() if name not in _MODULE_INTERNALS]
            yield from tensors_in([child._parameters, child._buffers, own])


def is_named_by_code(tensor: Tensor) -> bool:
    """Whether a global or enclosing variable of the code that is running holds this tensor's memory."""
    frame, place = sys._getframe(), address(tensor)
    while frame is not None:
        enclosing = [frame.f_locals.get(name) for name in frame.f_code.co_freevars]
        for candidate in (*enclosing, *list(frame.f_globals.values())):
            if isinstance(candidate, Tensor) and address(candidate) == place:
                return True
        frame = frame.f_back  # type: ignore[assignment]
    return False


@contextlib.contextmanager
def unfused_recurrence() -> Iterator[None]:
    """Recurrent layers as matrix products, sigmoids, tanhs, products and sums instead of one kernel for a whole layer."""
    enabled = torch._C._get_mkldnn_enabled()
    torch._C._set_mkldnn_enabled(False)
    try:
        yield
    finally:
        torch._C._set_mkldnn_enabled(enabled)


@contextlib.contextmanager
def plain_execution() -> Iterator[None]:
    """Without the fused kernels and compiled regions that replace a model's own operations."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    compiling = "torch._dynamo" in sys.modules
    try:
        with (
            torch.compiler.set_stance("force_eager") if compiling else contextlib.nullcontext(),
            sdpa_kernel(SDPBackend.MATH),
        ):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
