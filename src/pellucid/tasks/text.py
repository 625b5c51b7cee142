"""The task of models that read text through a tokenizer and a table of embeddings."""

import functools
import itertools
import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pellucid.core.errors import BadInput
from pellucid.core.spec import Modality
from pellucid.core.subject import Edit, Features, Inputs, Origin, OutputKind
from pellucid.tasks.tensor import as_tensor, batched, elementwise_baseline
from pellucid.tasks.text_edits import text_changes, text_edits

_WORD = re.compile(r"\w+(?:['’-]\w+)*|[^\w\s]")


class Text:
    """Text as embeddings: the point is the output of the embedding table, ``[batch, tokens, width]``.

    ``tokenizer`` is a fast Hugging Face tokenizer (it must give character offsets), ``embed`` maps token numbers
    ``[batch, tokens]`` to embeddings. Features are words by default, with their character offsets; special tokens and
    padding belong to no feature. Texts longer than ``longest`` tokens are refused, never cut in silence.
    """

    modality = Modality.TEXT

    def __init__(
        self,
        tokenizer: Any,
        embed: Callable[[Tensor], Tensor],
        labels: tuple[str, ...] | None = None,
        output: OutputKind = "logits",
        longest: int = 512,
    ) -> None:
        self.tokenizer, self.embed = tokenizer, embed
        self.labels = None if labels is None else tuple(labels)
        self.output, self.longest = output, longest

    def prepare(self, raw: Any) -> Inputs:
        if isinstance(raw, Tensor):
            point = as_tensor(raw, "embeddings")
            if point.ndim != 3:
                raise BadInput(f"embeddings have shape [batch, tokens, width], not {tuple(point.shape)}")
            mask = torch.ones(point.shape[:2], dtype=torch.long)
            return Inputs({"embeddings": point, "attention_mask": mask}, "embeddings", mask.bool())
        texts = batched(raw)
        if not texts:
            raise BadInput("there is no text to prepare; write at least one")
        for text in texts:
            if not isinstance(text, str):
                raise BadInput(f"a text is a string, not a {type(text).__name__}")
            if not text.strip():
                raise BadInput("the text is empty; write at least one word")
        encoded = self.tokenizer(texts, padding=True, return_offsets_mapping=True, return_special_tokens_mask=True)
        length = max(map(len, encoded["input_ids"]))
        if length > self.longest:
            raise BadInput(f"the text has {length} tokens and the model reads {self.longest}; split it")
        mask = torch.tensor(encoded["attention_mask"])
        special = encoded["special_tokens_mask"]
        origins = tuple(
            Origin(text, text[:40], tuple((0, 0) if s else tuple(o) for o, s in zip(offsets, flags, strict=True)))
            for text, offsets, flags in zip(texts, encoded["offset_mapping"], special, strict=True)
        )
        with torch.no_grad():
            point = self.embed(torch.tensor(encoded["input_ids"])).detach().cpu()
        return Inputs({"embeddings": point, "attention_mask": mask}, "embeddings", mask.bool(), origins)

    def example(self) -> Inputs:
        return self.prepare("an example")

    def bounds(self, inputs: Inputs) -> tuple[Tensor, Tensor] | None:
        return None

    def baselines(self) -> tuple[str, ...]:
        return ("mask", "zero", "mean", "uniform") if self._mask_token is not None else ("zero", "mean", "uniform")

    def baseline(self, inputs: Inputs, name: str, seed: int = 0) -> Tensor:
        """``mask`` is the embedding of the tokenizer's mask token; special tokens and padding always stay."""
        if name != "mask":
            replaced = elementwise_baseline(self, inputs, name, seed)
        else:
            with torch.no_grad():
                token = self.embed(torch.tensor([[self._mask_token]])).detach().cpu()
            replaced = token.to(inputs.value).expand_as(inputs.value).clone()
        if not inputs.origins:
            return replaced
        words = torch.tensor([[end > start for start, end in _spans(origin)] for origin in inputs.origins])
        return torch.where(words[:, :, None], replaced, inputs.value)

    def groupings(self) -> tuple[str, ...]:
        return ("words", "tokens")

    def features(self, inputs: Inputs, grouping: str, number: int | None = None) -> Features:
        if not inputs.origins:
            batch, length = inputs.value.shape[:2]
            return Features("position", torch.arange(length).view(1, -1, 1).expand(batch, -1, 1))
        grouped = [self._grouped(origin, grouping) for origin in inputs.origins]
        labels = tuple(
            tuple(origin.raw[a:b] for a, b in spans) for origin, (_, spans) in zip(inputs.origins, grouped, strict=True)
        )
        return Features(
            grouping.removesuffix("s"),
            torch.tensor([numbers for numbers, _ in grouped])[:, :, None],
            labels,
            tuple(tuple(spans) for _, spans in grouped),
        )

    def edits(self, raw: Any, script: str) -> tuple[Edit, ...]:
        return text_edits(_written(raw), script)

    def changes(self, raw: Any, other: Any) -> tuple[Edit, ...]:
        return text_changes(_written(raw), _written(other))

    def describe(self) -> dict[str, Any]:
        return {
            "modality": self.modality.value,
            "tokenizer": type(self.tokenizer).__name__,
            "vocabulary": len(self.tokenizer),
            "longest": self.longest,
            "labels": self.labels,
            "output": self.output,
        }

    @functools.cached_property
    def vocabulary(self) -> tuple[str, ...]:
        """The tokens in the order of their numbers, which is that of the rows of the table of embeddings."""
        return tuple(self.tokenizer.convert_ids_to_tokens(range(len(self.tokenizer))))

    @property
    def _mask_token(self) -> int | None:
        return self.tokenizer.mask_token_id

    def _grouped(self, origin: Origin, grouping: str) -> tuple[list[int], list[tuple[int, int]]]:
        tokens = _spans(origin)
        if grouping == "tokens":
            spans = [span for span in tokens if span[1] > span[0]]
            number = itertools.count()
            return [next(number) if end > start else -1 for start, end in tokens], spans
        words = [match.span() for match in _WORD.finditer(origin.raw)]
        owner = {place: number for number, (start, end) in enumerate(words) for place in range(start, end)}
        numbers = [owner.get(start, -1) if end > start else -1 for start, end in tokens]
        used = sorted(set(numbers) - {-1})
        compact = {number: index for index, number in enumerate(used)} | {-1: -1}
        return [compact[number] for number in numbers], [words[number] for number in used]


def _written(raw: Any) -> str:
    if not isinstance(raw, str):
        raise BadInput("only a text can be edited, not embeddings; give the text itself")
    return raw


def _spans(origin: Origin) -> tuple[tuple[int, int], ...]:
    assert origin.spans is not None
    return origin.spans
