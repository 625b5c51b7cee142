"""The task of models that read sequences: characters as one-hot vectors, or channels over time."""

from collections.abc import Mapping
from collections.abc import Sequence as Sequenced
from typing import Any

import torch
from torch import Tensor

from pellucid.core.errors import BadInput, UsageError
from pellucid.core.spec import Modality
from pellucid.core.subject import Edit, Features, Inputs, Origin, OutputKind
from pellucid.tasks.array_edits import array_changes, array_edits, character_edits
from pellucid.tasks.tensor import as_tensor, batched, elements, elementwise_baseline
from pellucid.tasks.text_edits import text_changes


class Sequence:
    """Sequences as ``[batch, positions, width]``: one-hot characters of ``vocabulary``, or ``channels`` over time.

    ``states`` names further inputs such as a recurrent initial state, with the shape of one example; they start at
    zero. Shorter sequences of a batch are padded at the end with zeros, which the mask marks.
    """

    modality = Modality.SEQUENCE

    def __init__(
        self,
        vocabulary: Sequenced[str] | None = None,
        channels: Sequenced[str] | None = None,
        labels: Sequenced[str] | None = None,
        states: Mapping[str, tuple[int, ...]] | None = None,
        point: str = "sequence",
        output: OutputKind = "logits",
    ) -> None:
        if (vocabulary is None) == (channels is None):
            raise UsageError("tasks.Sequence takes a vocabulary of characters or the names of channels, one of the two")
        self.vocabulary = None if vocabulary is None else tuple(vocabulary)
        self.channels = None if channels is None else tuple(channels)
        self.labels = tuple(labels) if labels is not None else self.vocabulary
        self.states, self.point, self.output = dict(states or {}), point, output

    @property
    def width(self) -> int:
        """The number of characters or channels."""
        return len(self.vocabulary or self.channels or ())

    def prepare(self, raw: Any) -> Inputs:
        if isinstance(raw, Mapping):
            return self._named({name: as_tensor(value, name) for name, value in raw.items()})
        if isinstance(raw, Tensor):
            tensor = as_tensor(raw, "sequence")
            return self._named({self.point: tensor[None] if tensor.ndim == 2 else tensor})
        entries = batched(raw)
        if not entries:
            raise BadInput("there is no sequence to prepare; give at least one")
        sequences = [self._one(entry) for entry in entries]
        longest = max(len(sequence) for sequence in sequences)
        value = torch.zeros(len(sequences), longest, self.width)
        mask = torch.zeros(len(sequences), longest, dtype=torch.bool)
        for row, sequence in enumerate(sequences):
            value[row, : len(sequence)], mask[row, : len(sequence)] = sequence, True
        return self._with_states({self.point: value}, mask, self._origins(entries))

    def example(self) -> Inputs:
        return self.prepare(torch.eye(self.width)[:1].expand(4, -1))

    def bounds(self, inputs: Inputs) -> tuple[Tensor, Tensor] | None:
        if self.vocabulary is None:
            return None
        zero = torch.zeros(1, 1, 1, dtype=inputs.value.dtype)
        return zero, zero + 1

    def baselines(self) -> tuple[str, ...]:
        return ("zero", "mean", "uniform")

    def baseline(self, inputs: Inputs, name: str, seed: int = 0) -> Tensor:
        """``mean`` is the mean over positions, ``uniform`` draws within the bounds; padding stays zero."""
        if name == "mean":
            real = torch.ones(inputs.value.shape[:2]) if inputs.mask is None else inputs.mask
            real = real.to(inputs.value)[:, :, None]
            value = ((inputs.value * real).sum(1, keepdim=True) / real.sum(1, keepdim=True)).expand_as(inputs.value)
            return (value * real).clone()
        value = elementwise_baseline(self, inputs, name, seed)
        return value if inputs.mask is None else value * inputs.mask[:, :, None]

    def groupings(self) -> tuple[str, ...]:
        return ("positions", "elements") if self.channels is None else ("positions", "channels", "elements")

    def features(self, inputs: Inputs, grouping: str, number: int | None = None) -> Features:
        batch, length, width = inputs.value.shape
        if grouping == "elements":
            return elements(inputs)
        if grouping == "channels":
            segments = torch.arange(width).expand(batch, 1, -1)
            return Features("channel", segments, (self.channels or (),) * batch)
        segments = torch.arange(length).expand(batch, -1)
        if inputs.mask is not None:
            segments = torch.where(inputs.mask, segments, -1)
        texts = [origin.raw for origin in inputs.origins if isinstance(origin.raw, str)]
        labels = tuple(tuple(text) for text in texts) if len(texts) == batch else None
        spans = None if labels is None else tuple(tuple((i, i + 1) for i in range(len(text))) for text in texts)
        return Features("position", segments[:, :, None], labels, spans)

    def edits(self, raw: Any, script: str) -> tuple[Edit, ...]:
        """``4 = x`` in texts, ``2:5, pulse = 0`` in channels over time: places are counted from 0."""
        if isinstance(raw, str):
            return character_edits(raw, script, self.vocabulary or ())
        return array_edits(as_tensor(raw, "sequence"), script, self.channels or ())

    def changes(self, raw: Any, other: Any) -> tuple[Edit, ...]:
        if isinstance(raw, str):
            return text_changes(raw, str(other), r"(?s).")
        return array_changes(as_tensor(raw, "sequence"), as_tensor(other, "sequence"))

    def describe(self) -> dict[str, Any]:
        return {
            "modality": self.modality.value,
            "vocabulary": self.vocabulary,
            "channels": self.channels,
            "states": self.states,
            "labels": self.labels,
            "output": self.output,
        }

    def _one(self, raw: Any) -> Tensor:
        if isinstance(raw, str):
            if self.vocabulary is None:
                raise BadInput("this model reads channels over time, not text; give [positions, channels]")
            if not raw:
                raise BadInput("the text is empty; write at least one character")
            unknown = sorted(set(raw) - set(self.vocabulary))
            if unknown:
                raise BadInput(f"the character {unknown[0]!r} is not among the {self.width} that this model knows")
            numbers = {character: number for number, character in enumerate(self.vocabulary)}
            return torch.eye(self.width)[torch.tensor([numbers[character] for character in raw])]
        sequence = as_tensor(raw, "sequence")
        if sequence.ndim != 2 or sequence.shape[1] != self.width:
            raise BadInput(f"a sequence has shape [positions, {self.width}], not {tuple(sequence.shape)}")
        return sequence

    def _named(self, tensors: dict[str, Tensor]) -> Inputs:
        if self.point not in tensors:
            raise BadInput(f"the named inputs {sorted(tensors)} lack {self.point!r}")
        value = tensors[self.point]
        if value.ndim != 3 or value.shape[2] != self.width:
            raise BadInput(f"{self.point} has shape [batch, positions, {self.width}], not {tuple(value.shape)}")
        return self._with_states(tensors, torch.ones(value.shape[:2], dtype=torch.bool), ())

    def _with_states(self, tensors: dict[str, Tensor], mask: Tensor, origins: tuple[Origin, ...]) -> Inputs:
        batch = len(tensors[self.point])
        missing = {
            name: torch.zeros(batch, *shape, dtype=tensors[self.point].dtype)
            for name, shape in self.states.items()
            if name not in tensors
        }
        return Inputs({**tensors, **missing}, self.point, mask, origins)

    def _origins(self, entries: list[Any]) -> tuple[Origin, ...]:
        return tuple(Origin(entry, entry[:40] if isinstance(entry, str) else "sequence") for entry in entries)
