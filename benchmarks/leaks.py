"""Whether 10,000 explanations in one process leave anything behind: memory, tensors, hooks, cycles of objects.

Every method that explains a decision takes its turn on four networks (convolutions, a residual network written in place, a
recurrent network, a table), each time about another input, with settings that make one answer quick. Python's collector
runs as it does for any user and is never called in between. Memory is what the process holds (resident set); growth is
the slope of a line through the measurements after the first tenth, times the number of explanations. Last, each method
answers once with the collector off: tensors that are alive then, and were not before, lie in cycles and wait for it. A
round is all of that, so one is enough.
"""

import gc
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.harness import Page, table
from PIL import Image
from sklearn.datasets import load_digits, load_wine
from torch import Tensor, nn

import pellucid as pl
from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.core.method import discover, query_type, why_not

QUICK: Mapping[str, Any] = {"samples": 8, "max_steps": 12, "steps": 4}
# What is quick for single methods.
QUICK_FOR: Mapping[str, Mapping[str, Any]] = {
    "counterfactual": {"budget": 200},
    "exact-shapley": {"segments": 8},
    "kernel-shap": {"budget": 100},
    "permutation-shap": {"budget": 100},
    "shapley-interactions": {"budget": 100},
    "partition-shap": {"budget": 64},
    "sobol": {"samples": 600, "design": 2},
}
MEBIBYTE = 1024 * 1024


class Residual(nn.Module):
    """A small network that calls one activation twice, adds in place and normalises."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.block = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.norm, self.relu = nn.BatchNorm2d(8), nn.ReLU(inplace=True)
        self.head = nn.Linear(8, 4)

    def forward(self, pixels: Tensor) -> Tensor:
        hidden = self.relu(self.norm(self.stem(pixels)))
        hidden = hidden + self.relu(self.block(hidden))
        hidden += 0.1
        return self.head(hidden.mean((2, 3)))


@dataclass(frozen=True)
class Question:
    """A method, the subject it asks and inputs to ask about, one after the other."""

    method: Any
    subject: pl.Subject
    inputs: Sequence[Any]


def subjects() -> Iterator[tuple[pl.Subject, Sequence[Any]]]:
    """Small networks of different kinds, with many inputs each."""
    torch.manual_seed(0)
    yield pl.wrap(Residual().eval(), pl.tasks.Image(12), name="residual"), list(torch.randn(50, 1, 3, 12, 12))
    yield (
        pl.load("digits-cnn"),
        [Image.fromarray((picture * 15.9).astype("uint8")) for picture in load_digits().images[:50]],
    )
    yield pl.load("wine-mlp"), load_wine().data.tolist()
    words = [
        "the",
        "king",
        "of",
        "a",
        "land",
        "far",
        "away",
        "who",
        "was",
        "never",
        "seen",
        "again",
        "by",
        "any",
        "of",
        "us",
    ]
    yield pl.load("char-lstm"), [f"{one} {two}"[:6].ljust(6) for one, two in itertools.product(words, words)]


def questions() -> list[Question]:
    """Every method of the product that explains a decision, with every subject that it can be asked of."""
    found = []
    for (subject, inputs), (_, cls) in itertools.product(subjects(), sorted(discover().items())):
        if query_type(cls) is not pl.Decision or not cls.__module__.startswith("pellucid."):
            continue
        quick = {field.name: QUICK[field.name] for field in fields(cls) if field.name in QUICK}
        method = cls(**{**quick, **QUICK_FOR.get(cls.spec.id, {})})
        if why_not(method, subject) is None and _answers(method, subject, inputs[0]):
            found.append(Question(method, subject, inputs))
    return found


def _answers(method: Any, subject: pl.Subject, inputs: Any) -> bool:
    try:
        method(subject, pl.Decision(inputs, target=0))
    except NotAnswerable:  # found on the walk through the network
        return False
    except UsageError:  # what-if without an edit
        return False
    return True


@dataclass(frozen=True)
class Watched:
    """Memory in bytes after so many explanations each, and what was alive before and after all of them."""

    after: Sequence[int]
    memory: Sequence[int]
    before: Mapping[str, int]
    finally_: Mapping[str, int]
    by_method: Mapping[str, int]

    @property
    def growth(self) -> float:
        """Bytes per explanation: the slope of a line through the measurements after the first tenth."""
        settled = [place for place, number in enumerate(self.after) if number >= self.after[-1] / 10]
        numbers, bytes_held = (np.array([values[place] for place in settled]) for values in (self.after, self.memory))
        return float(np.polyfit(numbers, bytes_held, 1)[0])


def watched(asked: Sequence[Question], number: int, every: int) -> Watched:
    """Ask the questions in turn until ``number`` explanations are given, and measure after ``every`` of them."""
    modules = [question.subject.module for question in asked if question.subject.module is not None]
    after, memory, by_method = [], [], Counter[str]()
    before = alive(modules)
    for count in range(number):
        if count % every == 0:
            after.append(count)
            memory.append(resident())
        question = asked[count % len(asked)]
        inputs = question.inputs[count // len(asked) % len(question.inputs)]
        question.method(question.subject, pl.Decision(inputs, target=0))
        by_method[question.method.spec.id] += 1
    after.append(number)
    memory.append(resident())
    return Watched(after, memory, before, alive(modules), by_method)


def waiting(asked: Sequence[Question]) -> dict[str, int]:
    """How many tensors one answer of each method leaves to the collector, on the network where it leaves most."""
    found: dict[str, int] = {}
    for question in asked:
        decision = pl.Decision(question.inputs[0], target=0)
        left = tensors_left(lambda question=question, decision=decision: question.method(question.subject, decision))
        found[question.method.spec.id] = max(left, found.get(question.method.spec.id, 0))
    return found


def tensors_left(work: Callable[[], Any]) -> int:
    """How many tensors are alive after ``work``, whose answer is dropped, that were not before and need a collection."""
    work()  # what is made once
    gc.disable()
    gc.freeze()  # what is alive now is no longer counted
    try:
        work()
        return _tensors()
    finally:
        gc.unfreeze()
        gc.enable()


def alive(modules: Sequence[nn.Module]) -> dict[str, int]:
    """Tensors and objects that are alive after a collection, what it freed, and hooks on the modules and everywhere."""
    freed = gc.collect()
    return {
        "tensors": _tensors(),
        "objects": len(gc.get_objects()),
        "freed by the collector": freed,
        "hooks": sum(_hooks(child) for module in modules for child in module.modules()) + _global_hooks(),
    }


def _tensors() -> int:
    return sum(issubclass(type(thing), Tensor) for thing in gc.get_objects())


def _hooks(module: nn.Module) -> int:
    return sum(len(value) for name, value in vars(module).items() if name.endswith(("_hooks", "_hooks_with_kwargs")))


def _global_hooks() -> int:
    shared = vars(nn.modules.module)
    return sum(len(value) for name, value in shared.items() if name.startswith("_global_") and name.endswith("_hooks"))


def resident() -> int:
    """Bytes of memory that this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def main() -> None:
    def options(parser: Any) -> None:
        parser.add_argument("--explanations", type=int, default=10_000)
        parser.add_argument("--every", type=int, default=500, help="explanations between measurements of memory")

    page = Page("leaks", __doc__, rounds=1, options=options)
    number, every = page.arguments.explanations, page.arguments.every
    asked = questions()
    watched(asked, len(asked), len(asked))  # what is made once, such as prepared copies of the networks
    found = watched(asked, number, every)
    rows = [(count, f"{size / MEBIBYTE:.1f}") for count, size in zip(found.after, found.memory, strict=True)]
    page.say(
        f"{len(found.by_method)} methods on {len({question.subject.name for question in asked})} networks.",
        table(("explanations", "memory, MiB"), rows),
        f"Growth: {found.growth:.0f} bytes per explanation, {found.growth * number / MEBIBYTE:.2f} MiB over all.",
        table(
            ("alive", "before", "after"), [(name, found.before[name], found.finally_[name]) for name in found.before]
        ),
        table(
            ("method", "explanations", "tensors that wait for the collector"),
            [(name, found.by_method[name], left) for name, left in sorted(waiting(asked).items())],
        ),
    )
    page.close()


if __name__ == "__main__":
    main()
