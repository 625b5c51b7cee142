"""What each layer of a network costs for one example: parameters, multiply-adds, bytes and processor time."""

import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from pellucid.core.subject import Inputs, Subject
from pellucid.engine.parameter_units import copied


@dataclass(frozen=True)
class LayerCost:
    """``parameters`` and ``multiply_adds`` of one module itself, without the modules inside it; ``bytes`` are those of its
    parameters and of what it returns for one example."""

    name: str
    kind: str
    parameters: int
    multiply_adds: int
    bytes: int


class _Watch:
    """Processor time, multiply-adds and sizes of the calls of a copy's modules, each without the calls inside it."""

    def __init__(self, module: nn.Module) -> None:
        self.seconds: dict[str, float] = {}
        self.multiply_adds: Counter[str] = Counter()
        self.returned: Counter[str] = Counter()
        self._running: list[tuple[str, float, float]] = [("", 0.0, 0.0)]
        self._stack = ExitStack()
        for name, part in module.named_modules():
            before = part.register_forward_pre_hook(lambda part, given, name=name: self._begin(name))
            after = part.register_forward_hook(lambda part, given, output: self._end(part, given, output))
            self._stack.callback(before.remove)
            self._stack.callback(after.remove)

    def close(self) -> None:
        self._stack.close()

    def multiplied(self, number: int) -> None:
        """Count multiply-adds for the module that runs now."""
        self.multiply_adds[self._running[-1][0]] += number

    def _begin(self, name: str) -> None:
        self._running.append((name, time.process_time(), 0.0))

    def _end(self, part: nn.Module, given: Any, output: Any) -> None:
        name, started, inside = self._running.pop()
        spent = time.process_time() - started
        self.seconds[name] = self.seconds.get(name, 0.0) + spent - inside
        outer, began, within = self._running[-1]
        self._running[-1] = outer, began, within + spent
        if isinstance(output, Tensor):
            self.returned[name] += output.numel() * output.element_size()
        if isinstance(part, nn.RNNBase) and isinstance(given[0], Tensor):  # one fused operation, known by its weights
            steps = given[0].shape[:-1].numel()
            self.multiply_adds[name] += steps * sum(weight.numel() for weight in part.parameters() if weight.ndim > 1)


class _Products(TorchDispatchMode):
    """Tells a watch of every product as it is computed."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Not to wrap every dispatched operation in the compiler's machinery, and not to import that."""
        return False

    def __init__(self, watch: _Watch) -> None:
        super().__init__()
        self._watch = watch

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        counted = flop_registry.get(func._overloadpacket)
        if counted is not None:  # a multiply-add is two operations there
            self._watch.multiplied(counted(*args, **(kwargs or {}), out_val=result) // 2)
        return result


def layer_costs(subject: Subject, inputs: Inputs) -> list[LayerCost]:
    """The cost of every module that has parameters or multiplies, for the first example, in the network's order."""
    module = copied(subject)
    watch, one = _Watch(module), inputs.rows(slice(0, 1))
    with _Products(watch):
        subject.with_module(module).run(one, original=True)
    watch.close()
    found = []
    for name, part in module.named_modules():
        own = list(part.parameters(recurse=False))
        parameters, multiplied = sum(weight.numel() for weight in own), watch.multiply_adds[name]
        if name in watch.seconds and (parameters or multiplied):
            size = sum(weight.numel() * weight.element_size() for weight in own) + watch.returned[name]
            found.append(LayerCost(name or "itself", type(part).__name__, parameters, multiplied, size))
    return found


def layer_seconds(subject: Subject, inputs: Inputs, passes: int) -> Mapping[str, float]:
    """The processor time that each module takes itself for these inputs, without the modules inside it: the median over
    passes, after one that is not counted; of modules that are called."""
    module = copied(subject)
    copy = subject.with_module(module)
    found = []
    for _ in range(passes + 1):
        watch = _Watch(module)
        copy.run(inputs, original=True)
        watch.close()
        found.append(watch.seconds)
    counted = found[1:]
    return {name or "itself": float(torch.tensor([of[name] for of in counted]).median()) for name in found[0]}
