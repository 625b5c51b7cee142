"""A data set that is walked one batch at a time: what is in it, what could not be read, and its identity by content."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pellucid.core.content import digest
from pellucid.core.errors import BadInput
from pellucid.core.meter import report
from pellucid.core.subject import Inputs, Subject


@dataclass(frozen=True)
class _Source:
    """One raw input, how many examples it holds, and the number of the first of them.

    ``held`` is what was prepared of it where it lies in memory anyway.
    """

    raw: Any
    first: int
    count: int
    held: Inputs | None


class DataSet:
    """The examples of some data as a subject reads them.

    ``data`` is a sequence of raw inputs (paths, pictures, texts, rows), of which each may hold several examples, a
    tensor in the model's own space, or prepared inputs. All are read once, one at a time, to learn their content:
    ``digests`` holds one for each example, ``digest`` one for all in their order. What cannot be read is left out and
    named in ``failed``; ``BadInput`` where nothing can. ``names`` has one name per example.
    """

    def __init__(self, subject: Subject, data: Any, names: Sequence[str] | None = None) -> None:
        raws = list(data) if isinstance(data, list | tuple) else [data]
        if not raws:
            raise BadInput("the data set is empty; name some inputs")
        called = [str(number) for number in range(len(raws))] if names is None else list(names)
        self._subject, self._sources = subject, list[_Source]()
        self.names, self.digests = list[str](), list[str]()
        self.lengths = list[int]()
        self.failed: dict[str, str] = {}
        for number, (name, raw) in enumerate(zip(called, raws, strict=True)):
            report(number, len(raws), "reading")
            try:
                inputs = subject.prepare(raw)
            except BadInput as error:
                self.failed[name] = str(error)
                continue
            held = inputs if len(inputs) > 1 and isinstance(raw, Tensor | Inputs) else None
            self._sources.append(_Source(raw, len(self.digests), len(inputs), held))
            self._note(name, inputs)
        report(len(raws), len(raws), "reading")
        if not self.digests:
            name, reason = next(iter(self.failed.items()))
            raise BadInput(f"none of {len(raws)} inputs can be read; {name}: {reason}")
        self.digest = digest(self.digests)

    def __len__(self) -> int:
        return len(self.digests)

    def inputs(self, numbers: Sequence[int]) -> Inputs:
        """Some of the examples, prepared, in this order."""
        sources = [self._source(number) for number in numbers]
        prepared = {source.first: self._prepared(source) for source in sources}
        return _joined(self._subject, [_one(s, prepared[s.first], n) for s, n in zip(sources, numbers, strict=True)])

    def raw(self, number: int) -> Any:
        """The raw input that holds an example."""
        return self._source(number).raw

    def batches(self, size: int, first: int = 0) -> Iterator[tuple[int, Inputs]]:
        """The examples in batches of at most ``size``, each with the number of its first one.

        Batches are the same wherever the walk begins: it begins with the one that holds the example ``first``.
        """
        for sources in _together(self._sources, size):
            start, end = sources[0].first, sources[-1].first + sources[-1].count
            if end <= first:
                continue
            inputs = _joined(self._subject, [(source.raw, self._prepared(source)) for source in sources])
            for number in range(start, end, size):
                if number + size > first:
                    yield number, inputs.rows(slice(number - start, min(number + size, end) - start))

    def _note(self, name: str, inputs: Inputs) -> None:
        for row in range(len(inputs)):
            one = inputs.rows(slice(row, row + 1))
            self.digests.append(digest([dict(one.tensors), one.mask]))
            self.lengths.append(-1 if one.mask is None else int(one.mask.sum()))
            self.names.append(name if len(inputs) == 1 else f"{name} #{row}")

    def _source(self, number: int) -> _Source:
        return self._sources[bisect_right(self._sources, number, key=lambda source: source.first) - 1]

    def _prepared(self, source: _Source) -> Inputs:
        return self._subject.prepare(source.raw) if source.held is None else source.held


def _one(source: _Source, inputs: Inputs, number: int) -> tuple[Any, Inputs]:
    row = number - source.first
    return source.raw, inputs if source.count == 1 else inputs.rows(slice(row, row + 1))


def _together(sources: Sequence[_Source], size: int) -> Iterator[list[_Source]]:
    """Sources of one example each, ``size`` of them at a time; one of several examples alone."""
    group: list[_Source] = []
    for source in sources:
        if group and (source.count > 1 or len(group) == size):
            yield group
            group = []
        if source.count > 1:
            yield [source]
        else:
            group.append(source)
    if group:
        yield group


def _joined(subject: Subject, parts: Sequence[tuple[Any, Inputs]]) -> Inputs:
    """Prepared inputs as one; those of different lengths are prepared again together."""
    first = parts[0][1]
    if len(parts) == 1:
        return first
    if len({tuple((name, tensor.shape[1:]) for name, tensor in inputs.tensors.items()) for _, inputs in parts}) > 1:
        together = subject.prepare([raw for raw, _ in parts])
        if len(together) != len(parts):
            raise BadInput("inputs that hold several examples each differ in shape; name their examples one by one")
        return together
    tensors = {name: torch.cat([inputs.tensors[name] for _, inputs in parts]) for name in first.tensors}
    masks = [inputs.mask for _, inputs in parts if inputs.mask is not None]
    origins = tuple(origin for _, inputs in parts for origin in inputs.origins)
    return Inputs(tensors, first.point, torch.cat(masks) if masks else None, origins)
