"""A torch module as a subject: read with hooks that are gone afterwards, run in eval mode, left as it was."""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.core import meter
from pellucid.core.content import digest
from pellucid.core.errors import NotAnswerable, PellucidError, UsageError, nearest
from pellucid.core.spec import Access, Structure
from pellucid.core.subject import Inputs, Layer, Replacement, Run, Task
from pellucid.engine.batching import examples_within_budget, in_batches
from pellucid.engine.prepare import DIFFERENTIABLE, ordinary, prepared
from pellucid.subjects.answers import Output, checked, failure, picked, settled

_KINDS = {
    Structure.CONVOLUTION: (nn.Conv1d, nn.Conv2d, nn.Conv3d),
    Structure.RELU: (nn.ReLU, nn.ReLU6),
    Structure.ATTENTION: (nn.MultiheadAttention,),
    Structure.RECURRENCE: (nn.RNNBase, nn.RNNCellBase),
}
_ATTENTIONS = {"scaled_dot_product_attention", "multi_head_attention_forward"}


class _AllCaptured(BaseException):
    """Ends a pass of which no more is wanted; not an ``Exception``, which a model may handle itself."""


class TorchSubject:
    """Any ``nn.Module``. ``output`` picks the score tensor out of what the module returns (a key, an index, a
    function)."""

    def __init__(
        self, module: nn.Module, task: Task, *, name: str = "model", output: Output = None, device: Any = None
    ) -> None:
        self.name, self.task = name, task
        self._module, self._output = module, output
        self._device = None if device is None else torch.device(device)
        self._fingerprint: tuple[Any, str] | None = None
        self._prepared: tuple[Any, nn.Module] | None = None
        self._folded: tuple[Any, nn.Module, dict[tuple[str, ...], bool]] | None = None
        self._layers: tuple[Any, tuple[Layer, ...]] | None = None
        self._sizes: dict[tuple[int, ...], tuple[int, int]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {
            **self.__dict__,
            "_prepared": None,
            "_folded": None,
        }  # which belong to this module, and cannot be copied

    @property
    def offers(self) -> frozenset[Access]:
        return frozenset({Access.OUTPUTS, Access.GRADIENTS, Access.ACTIVATIONS, Access.WEIGHTS})

    @property
    def structure(self) -> frozenset[Structure]:
        modules = list(self._module.modules())
        found = {kind for kind, types in _KINDS.items() if any(isinstance(module, types) for module in modules)}
        if any(map(_attends, modules)):
            found.add(Structure.ATTENTION)
        if self.task.output != "value":
            found.add(Structure.CLASS_SCORES)
        return frozenset(found)

    @property
    def module(self) -> nn.Module:
        return self._module

    def with_module(self, module: nn.Module) -> "TorchSubject":
        return TorchSubject(module, self.task, name=self.name, output=self._output, device=self._device)

    @property
    def device(self) -> torch.device:
        """Where the module lives, or where its owner wants it to run."""
        if self._device is not None:
            return self._device
        return next((tensor.device for tensor in self._tensors()), torch.device("cpu"))

    @property
    def dtype(self) -> torch.dtype:
        """The floating-point type of the module's parameters."""
        return next((t.dtype for t in self._tensors() if t.is_floating_point()), torch.get_default_dtype())

    @property
    def fingerprint(self) -> str:
        state = self._state()
        if self._fingerprint is None or self._fingerprint[0] != state:
            weights = dict(self._named_tensors())
            self._fingerprint = (state, digest([repr(self._module), weights, self.task.describe()]))
        return self._fingerprint[1]

    def prepare(self, raw: Any) -> Inputs:
        return raw if isinstance(raw, Inputs) else self.task.prepare(raw)

    def scores(self, inputs: Any) -> Tensor:
        inputs = self.prepare(inputs)
        return in_batches(len(inputs), self.batch_size(inputs), lambda rows: self.run(inputs.rows(rows)).scores)

    def run(
        self,
        inputs: Inputs,
        *,
        capture: Sequence[str] = (),
        replace: Mapping[str, Replacement] | None = None,
        differentiable: bool | str = False,
        original: bool = False,
        partial: bool = False,
    ) -> Run:
        tensors = {name: self._placed(tensor) for name, tensor in inputs.tensors.items()}
        replace = replace or {}
        capture = (*capture, differentiable) if isinstance(differentiable, str) else capture
        module = self._module
        if partial and not (original or replace or isinstance(differentiable, str)):
            module = self._lighter(tensors, tuple(capture))
            tensors = tensors if module is self._module else {name: _by_pixel(t) for name, t in tensors.items()}
        elif not (differentiable or original or capture or replace):
            module = self._fast(tensors)
        rows = _rows(inputs, replace)
        meter.count(forward=rows)
        own = module is self._module  # copies are in eval mode, and nobody else has them
        with (
            _evaluating(module) if own else contextlib.nullcontext(),
            torch.set_grad_enabled(differentiable is True),
            self._hooks(module, capture, replace, differentiable, partial) as captured,
        ):
            try:
                scores = self._call(module, tensors, rows)
            except _AllCaptured:
                scores = torch.empty(rows, 0)
        missing = [name for name in capture if name not in captured]
        if missing:
            raise UsageError(f"layer {missing[0]!r} is not called in this pass, so it cannot be captured")
        return Run(scores if differentiable else settled(scores), captured)

    def layers(self, inputs: Inputs | None = None) -> tuple[Layer, ...]:
        example = self.task.example() if inputs is None else inputs.rows(slice(0, 1))
        modules = {name: module for name, module in self._module.named_modules() if name}
        kinds = {name: type(module).__name__ for name, module in modules.items()}
        if example is None:
            return tuple(Layer(name, kind, None, 0) for name, kind in kinds.items())
        key = self._state(), tuple(kinds.items()), tuple((n, tuple(t.shape)) for n, t in example.tensors.items())
        if self._layers is None or self._layers[0] != key:
            outputs = self._observed(example, modules)
            shapes = {name: tuple(output.shape[1:]) for name, output in reversed(outputs) if output is not None}
            calls = Counter(name for name, _ in outputs)
            self._layers = (key, tuple(Layer(name, kinds[name], shapes.get(name), n) for name, n in calls.items()))
        return self._layers[1]

    def batch_size(self, inputs: Inputs) -> int:
        shape = tuple(inputs.value.shape[1:])
        if shape not in self._sizes:
            self._sizes[shape] = self._bytes_per_example(inputs.rows(slice(0, 1)))
        return examples_within_budget(*self._sizes[shape])

    def _call(self, module: nn.Module, tensors: Mapping[str, Tensor], rows: int | None = None) -> Tensor:
        try:
            answer = module(next(iter(tensors.values()))) if len(tensors) == 1 else module(**tensors)
        except PellucidError:
            raise
        except Exception as error:
            raise failure(self.name, tensors, error) from error
        expected = len(next(iter(tensors.values()))) if rows is None else rows
        return checked(picked(answer, self._output, self.name), self.name, expected)

    def _placed(self, tensor: Tensor) -> Tensor:
        kind = self.dtype if tensor.is_floating_point() else tensor.dtype
        # A copy: a model that writes into its input must not reach the caller's.
        return tensor.to(device=self.device, dtype=kind, copy=True)

    def _fast(self, tensors: Mapping[str, Tensor]) -> nn.Module:
        state = self._state()
        if self._prepared is None or self._prepared[0] != state:
            example = {name: tensor[:1].clone() for name, tensor in tensors.items()}
            with _evaluating(self._module):
                self._prepared = (state, prepared(self._module, example, self._call))
        return self._prepared[1] if ordinary(tensors) else self._module

    def _lighter(self, tensors: Mapping[str, Tensor], capture: tuple[str, ...]) -> nn.Module:
        """A copy with batch norms folded, which can be differentiated; the module itself where the copy does not return the
        same at the layers that are captured."""
        state, example = self._state(), {name: tensor[:1].detach().clone() for name, tensor in tensors.items()}
        if self._folded is None or self._folded[0] != state:
            with _evaluating(self._module):
                self._folded = (state, prepared(self._module, example, self._call, DIFFERENTIABLE), {})
        _, copy, agree = self._folded
        if copy is not self._module and capture not in agree:
            agree[capture] = self._agree(copy, example, capture)
        return copy if agree.get(capture) else self._module

    def _agree(self, copy: nn.Module, example: Mapping[str, Tensor], capture: tuple[str, ...]) -> bool:
        both = []
        for module in (self._module, copy):
            with _evaluating(module), torch.no_grad(), self._hooks(module, capture, {}, False, False) as captured:
                self._call(module, example)
            both.append(captured)
        return all(
            torch.allclose(found, both[1][name], rtol=1e-4, atol=1e-5 * float(found.abs().max()))
            for name, found in both[0].items()
            if found.is_floating_point()
        )

    @contextlib.contextmanager
    def _hooks(
        self,
        module: nn.Module,
        capture: Sequence[str],
        replace: Mapping[str, Replacement],
        differentiable: bool | str,
        partial: bool,
    ) -> Iterator[dict[str, Tensor]]:
        captured: dict[str, Tensor] = {}
        calls: Counter[str] = Counter()
        wanted = {name.partition("#")[0] for name in (*capture, *replace)}
        modules = {name: self._part(module, name) for name in wanted}
        for name in wanted:
            if isinstance(modules[name], torch.jit.ScriptModule):
                raise NotAnswerable(f"layer {name!r} of {self.name} is scripted and cannot be read; ask at the input")

        def hook(name: str, output: Any) -> Any:
            call = name if calls[name] == 0 else f"{name}#{calls[name]}"
            calls[name] += 1
            if call in replace:
                output = _replaced(output, replace[call])
            if call not in capture:
                return output if call in replace else None
            if not isinstance(output, Tensor):
                raise UsageError(
                    f"layer {call!r} returns a {type(output).__name__}, not a tensor; ask at a layer inside it"
                )
            if call == differentiable:
                torch.set_grad_enabled(True)  # until the pass ends
                captured[call] = output.detach().clone().requires_grad_()
                return captured[call].clone()
            # What runs on is a copy, so that a later in-place operation cannot change what was captured.
            captured[call] = output if differentiable else output.detach().clone()
            if partial and len(captured) == len(set(capture)):
                raise _AllCaptured
            return output.clone() if differentiable or call in replace else None

        with _seen({name: modules[name] for name in sorted(wanted)}, hook):
            yield captured

    def _part(self, module: nn.Module, name: str) -> nn.Module:
        try:
            part = module.get_submodule(name)
        except AttributeError:
            part = module
        if part is module:
            known = [known for known, _ in module.named_modules() if known]
            raise UsageError(f"{self.name} has no layer {name!r}; {nearest(name, known)}")
        return part

    def _bytes_per_example(self, inputs: Inputs) -> tuple[int, int]:
        leaves = {name: module for name, module in self._module.named_modules() if not list(module.children())}
        outputs = [output for _, output in self._observed(inputs, leaves) if output is not None]
        sizes = [tensor.numel() * tensor.element_size() for tensor in (inputs.value, *outputs)]
        return sum(sizes), max(sizes)

    def _observed(self, inputs: Inputs, modules: Mapping[str, nn.Module]) -> list[tuple[str, Tensor | None]]:
        """What each call of these modules returns, in the order of returning: tensors without their content."""
        outputs: list[tuple[str, Tensor | None]] = []

        def see(name: str, output: Any) -> None:
            outputs.append((name, output.to("meta") if isinstance(output, Tensor) else None))

        open_to_see = {name: m for name, m in modules.items() if not isinstance(m, torch.jit.ScriptModule)}
        # Not through run: what an answer costs must not depend on whether the model was measured before.
        with _seen(open_to_see, see), _evaluating(self._module), torch.no_grad():
            self._call(self._module, {name: self._placed(tensor) for name, tensor in inputs.tensors.items()})
        return outputs

    def _tensors(self) -> Iterator[Tensor]:
        yield from self._module.parameters()
        yield from self._module.buffers()

    def _named_tensors(self) -> Iterator[tuple[str, Tensor]]:
        yield from self._module.named_parameters(remove_duplicate=False)
        yield from self._module.named_buffers(remove_duplicate=False)

    def _state(self) -> tuple[Any, ...]:
        held = (tensors.values() for part in _parts(self._module) for tensors in (part._parameters, part._buffers))
        return tuple([(tensor.data_ptr(), tensor._version) for group in held for tensor in group if tensor is not None])


def _parts(module: nn.Module) -> dict[nn.Module, None]:
    """All modules in a module: those of ``modules()``, which takes four times as long, in another order."""
    found, waiting = {module: None}, [module]
    while waiting:
        for part in waiting.pop()._modules.values():
            if part is not None and part not in found:
                found[part] = None
                waiting.append(part)
    return found


def _rows(inputs: Inputs, replace: Mapping[str, Replacement]) -> int:
    """How many rows a pass answers: those of the inputs, or those that take the place of one example at a layer."""
    if len(inputs) > 1:
        return len(inputs)
    return max([1, *(len(tensor) for tensor in replace.values() if isinstance(tensor, Tensor))])


def _by_pixel(tensor: Tensor) -> Tensor:
    """Planes with the channels of a pixel side by side in memory, as the kernels of copies are; other tensors as they are."""
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor


def _replaced(output: Any, given: Replacement) -> Any:
    if callable(given):
        return given(output)
    return given.to(output, copy=True) if isinstance(output, Tensor) else given


@contextlib.contextmanager
def _seen(modules: Mapping[str, nn.Module], see: Callable[[str, Any], Any]) -> Iterator[None]:
    """``see(name, output)`` after every call of these modules; no hook stays, also where one cannot be registered."""
    with contextlib.ExitStack() as stack:
        for name, module in modules.items():
            handle = module.register_forward_hook(lambda module, given, output, name=name: see(name, output))
            stack.callback(handle.remove)
        yield


@contextlib.contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    training = [part for part in _parts(module) if part.training]
    for part in training:
        part.training = False
    try:
        yield
    finally:
        for part in training:
            part.training = True


def _attends(module: nn.Module) -> bool:
    """Whether a module is called an attention, or its own code asks torch for one."""
    code = getattr(getattr(type(module), "forward", None), "__code__", None)  # scripted classes have none
    return "attention" in type(module).__name__.lower() or bool(code and _ATTENTIONS & set(code.co_names))
