"""What every model that can only be asked for scores has in common."""

import abc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from pellucid.core import meter
from pellucid.core.content import digest
from pellucid.core.errors import NotAnswerable, PellucidError
from pellucid.core.seeds import generator
from pellucid.core.spec import Access, Structure
from pellucid.core.subject import Inputs, Layer, Replacement, Run, Subject, Task
from pellucid.engine.batching import examples_within_budget, in_batches
from pellucid.store.answers import Answers
from pellucid.subjects.answers import as_tensor, checked, failure, settled

_PROBES = 4


class BlackBox(abc.ABC):
    """A model that answers with scores and shows nothing of its inside: no gradients, no layers, no weights.

    It is known by name, declared version and its answers to a fixed probe, asked anew for every fingerprint, so that a
    model that changes is another one. Where the probe has no shape or is not answered twice the same, ``stable`` is
    False, the fingerprint starts with "unstable", and nothing about the model may be cached.
    """

    def __init__(self, task: Task, name: str, version: str | None = None) -> None:
        self.task, self.name, self.version = task, name, version
        self._known: str | None = None
        self._answers: Answers | None = None
        self._identity: str | None = None

    def remember(self, folder: str | Path) -> Self:
        """Keep every answer in a folder, and from now on ask only for those that are not there.

        An answer is known by what was asked (one example of a batch) and by the fingerprint and the place of the model
        when it is first asked: one that changes afterwards must be remembered anew. A model that does not answer twice
        the same is refused then.
        """
        self._answers, self._identity = Answers(Path(folder)), None
        return self

    @abc.abstractmethod
    def answer(self, tensors: Mapping[str, Tensor]) -> Any:
        """The model's scores for named tensors ``[batch, …]`` that it may keep or change."""

    @property
    def offers(self) -> frozenset[Access]:
        return frozenset({Access.OUTPUTS})

    @property
    def structure(self) -> frozenset[Structure]:
        return frozenset() if self.task.output == "value" else frozenset({Structure.CLASS_SCORES})

    @property
    def module(self) -> None:
        return None

    def with_module(self, module: torch.nn.Module) -> Subject:
        raise NotAnswerable(f"{self.name} has no module that another could take the place of")

    @property
    def fingerprint(self) -> str:
        answers = self._probe()
        identity = digest([type(self).__name__, self.name, self.version, self.task.describe(), answers])
        return f"unstable:{identity}" if answers is None else identity

    @property
    def stable(self) -> bool:
        """Whether the probe was answered twice the same."""
        return self._probe() is not None

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
        layers = [*capture, *(replace or {})]
        if layers:
            raise NotAnswerable(f"{self.name} offers outputs only: it has no layer {layers[0]!r}; ask at the input")
        if differentiable:
            raise NotAnswerable(f"{self.name} offers outputs only, no gradients; ask a method that needs outputs only")
        meter.count(forward=len(inputs))
        return Run(self._asked(inputs) if self._answers is None else self._remembered(inputs, self._answers))

    def _asked(self, inputs: Inputs) -> Tensor:
        # Copies: what a model does to its batch must not reach the caller's inputs.
        tensors = {name: tensor.detach().clone() for name, tensor in inputs.tensors.items()}
        try:
            answer = self.answer(tensors)
        except PellucidError:
            raise
        except Exception as error:
            raise failure(self.name, inputs.tensors, error) from error
        return settled(checked(as_tensor(answer, self.name), self.name, len(inputs)))

    def _remembered(self, inputs: Inputs, answers: Answers) -> Tensor:
        keys = self._keys(inputs, answers)
        known = answers.known(keys)
        missing = {key: row for row, key in enumerate(keys) if key not in known}
        if missing:
            fresh = self._asked(inputs.rows(torch.tensor([*missing.values()])))
            found = dict(zip(missing, fresh, strict=True))
            answers.keep(found)
            known |= found
        return torch.stack([known[key] for key in keys])

    def _keys(self, inputs: Inputs, answers: Answers) -> list[str]:
        if self._identity is None:
            self._identity = self._sure_identity(inputs.rows(slice(0, 1)), answers)
        examples = ({name: tensor[row] for name, tensor in inputs.tensors.items()} for row in range(len(inputs)))
        return [digest([self._identity, example]) for example in examples]

    def _sure_identity(self, one: Inputs, answers: Answers) -> str:
        """What answers are known by, after asking twice: the probe, or an example where the task has no probe."""
        fingerprint = self.fingerprint
        identity = digest([fingerprint, self.place])
        if not fingerprint.startswith("unstable:"):
            return identity
        if self.task.example() is None:
            first, second = self._asked(one), self._asked(one)
            key = digest([identity, {name: tensor[0] for name, tensor in one.tensors.items()}])
            kept = answers.known([key]).get(key, first[0])
            if torch.equal(first, second) and _alike(kept, first[0]):
                return identity
        raise NotAnswerable(
            f"{self.name} does not answer the same question twice the same, so answers cannot be kept; leave cache= "
            "out, or give it a new version= if it has changed"
        )

    @property
    def place(self) -> str:
        """Where the model is, as far as its name does not say it."""
        return ""

    def layers(self, inputs: Inputs | None = None) -> tuple[Layer, ...]:
        return ()

    def batch_size(self, inputs: Inputs) -> int:
        example = inputs.rows(slice(0, 1))
        size = sum(tensor.numel() * tensor.element_size() for tensor in example.tensors.values())
        return examples_within_budget(size, size)

    def _probe(self) -> str | None:
        """A digest of the answers to the probe; None where there is no probe or its answers differ."""
        example = self.task.example()
        if example is None:
            return None
        probe = _around(example, self.task)
        try:
            answers = digest(self._asked(probe))
            if answers != self._known:
                self._known = answers if digest(self._asked(probe)) == answers else None
        except PellucidError:
            self._known = None
        return self._known


def _alike(kept: Tensor, fresh: Tensor) -> bool:
    """Whether an answer from another batch, on another day, is the same but for rounding."""
    return kept.shape == fresh.shape and torch.allclose(kept.double(), fresh.double(), rtol=1e-4, atol=1e-6)


def _around(example: Inputs, task: Task) -> Inputs:
    """The example and draws around it: at the example alone (often zero) different models can agree."""
    several = example.rows(torch.zeros(_PROBES, dtype=torch.long))
    point = several.value
    if not point.is_floating_point():
        return several
    noise = torch.randn(point.shape, generator=generator(0, "probe", point[0]), dtype=point.dtype)
    noise[0] = 0
    moved = point + noise
    bounds = task.bounds(several)
    return several.at(moved if bounds is None else moved.clamp(*bounds))
