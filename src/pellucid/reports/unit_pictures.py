"""Pictures for several units of a layer from one ascent, with the evidence beside each."""

import math
from collections.abc import Sequence, Set

import torch
from torch import Tensor

from pellucid.core.errors import NotAnswerable
from pellucid.core.query import Unit
from pellucid.core.spec import Access, Structure
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.batching import evaluate, fits_budget
from pellucid.engine.dataset import DataSet
from pellucid.engine.drawing_units import blank, bounds_of, seeds_of
from pellucid.engine.optimize import Course
from pellucid.engine.picture_evidence import agreement, nearest_examples
from pellucid.engine.spectra import high_frequency_share
from pellucid.engine.summaries import LayerSummary
from pellucid.engine.units import Units
from pellucid.methods.features.feature_image import FeatureImage
from pellucid.results import feature_images as named
from pellucid.results.feature_images import FeatureImages

# So many units are drawn in one batch: it pays up to about here, and a run that is killed loses no more than this.
TOGETHER = 8
_COMPARED = 256


class Remembered:
    """A data set whose examples are read once where there is room for them: all as they are, or all in another size."""

    def __init__(self, subject: Subject, data: DataSet) -> None:
        self.data = data
        self._subject, self._small, self._whole = subject, dict[tuple[int, ...], Tensor](), list[Inputs]()

    def whole(self) -> Inputs:
        """All examples. Raises ``NotAnswerable`` where they are too many."""
        if not self._fits(tuple(self.data.inputs([0]).value.shape[1:])):
            raise NotAnswerable(f"{len(self.data)} examples take too much memory; name fewer, or a larger byte_budget")
        if not self._whole:
            self._whole.append(self.data.inputs(range(len(self.data))))
        return self._whole[0]

    def small(self, shape: tuple[int, ...]) -> Tensor | None:
        """All examples in the size of pictures ``[channels, height, width]``; None where they are no pictures, or too
        many."""
        one = self.data.inputs([0])
        if one.value.ndim != 4 or not self._fits(shape):
            return None
        if shape not in self._small:
            batches = self.data.batches(self._subject.batch_size(one))
            self._small[shape] = torch.cat([_fitted(inputs.value, shape) for _, inputs in batches])
        return self._small[shape]

    def _fits(self, shape: tuple[int, ...]) -> bool:
        return fits_budget(4 * len(self.data) * math.prod(shape))


class UnitPictures:
    """Draws units of a layer as ``drawing`` says, and compares what comes out with the data that ``summary`` sums up."""

    def __init__(self, subject: Subject, known: Remembered, summary: LayerSummary, drawing: FeatureImage) -> None:
        self._subject, self._known, self._summary, self._drawing = subject, known, summary, drawing
        self._layer = summary.layer

    def of(self, channels: Sequence[int]) -> list[FeatureImages | str]:
        """The pictures of each channel, best first, or why there are none.

        What comes out for a unit depends on which others are drawn beside it by rounding alone.
        """
        try:
            inputs, course, notes = self._drawn(channels)
        except NotAnswerable as error:
            if len(channels) == 1:
                return [str(error)]
            return [found for channel in channels for found in self.of([channel])]
        count = self._drawing.starts
        parts = [range(place * count, (place + 1) * count) for place in range(len(channels))]
        return [
            self._result(channel, inputs, course.rows(torch.tensor(part)), notes)
            if bool(course.moved[part].any())
            else f"Nothing in the input of {self._subject.name} moves it: its gradient is zero wherever the ascent began."
            for channel, part in zip(channels, parts, strict=True)
        ]

    def _drawn(self, channels: Sequence[int]) -> tuple[Inputs, Course, tuple[str, ...]]:
        missing = self._drawing.spec.needs - self._subject.offers
        if missing or self._subject.task.modality not in self._drawing.spec.modalities:
            raise NotAnswerable(_cannot(self._subject, missing))
        drawing, one = self._drawing, self._known.data.inputs([0])
        each = [channel for channel in channels for _ in range(drawing.starts)]
        inputs, notes = blank(self._subject, Unit(self._layer.name, data=one), len(each), drawing.size)
        seeds = [
            seed for channel in channels for seed in seeds_of(drawing.seed, self._layer.named(channel), drawing.starts)
        ]
        course = drawing.ascent(self._subject, inputs, Units(self._layer, tuple(each), drawing.over), seeds)
        return inputs.at(course.images), course, notes

    def _result(self, channel: int, inputs: Inputs, course: Course, notes: tuple[str, ...]) -> FeatureImages:
        rows = torch.arange(len(course.images))
        images = inputs.rows(rows, course.images)
        values = evaluate(
            self._subject,
            images,
            Units(self._layer, (channel,) * len(rows), "max"),
            rows,
            lambda part: images.value[part],
            "pictures",
        )
        order = values.argsort(descending=True, stable=True)
        bounds = bounds_of(self._subject, images)
        found = self._evidence(channel, images)
        return FeatureImages(
            images=course.images[order],
            units=(self._layer.named(channel),) * len(order),
            captions=tuple(f"start {number + 1}" for number in order.tolist()),
            activations=values[order],
            low=None if bounds is None else bounds[0],
            high=None if bounds is None else bounds[1],
            evidence={name: value[order] for name, value in found.items()},
            notes=notes,
        )

    def _evidence(self, channel: int, images: Inputs) -> dict[str, Tensor]:
        count, summary = len(images), self._summary
        high = float(summary.peaks.quantile(0.999)[channel])
        numbers = {named.MAXIMUM: float(summary.highest[channel]), named.PERCENTILE: high}
        found = {name: torch.full((count,), number, dtype=torch.float64) for name, number in numbers.items()}
        if images.value.ndim == 4 and min(images.value.shape[2:]) > 1:
            found[named.FINE] = high_frequency_share(images.value)
        if count > 1:
            found[named.AGREEMENT] = agreement(images.value, ("",) * count)
        return found | self._nearest(images)

    def _nearest(self, images: Inputs) -> dict[str, Tensor]:
        data = self._known.small(tuple(images.value.shape[1:]))
        if data is None:
            return {}
        far, which = [], []
        for start in range(0, len(data), _COMPARED):
            part = data[start : start + _COMPARED]
            found = nearest_examples(self._subject, images, images.rows(torch.zeros(len(part), dtype=torch.long), part))
            far.append(found[named.DISTANCE])
            which.append(found[named.NEAREST] + start)
        distances, place = torch.stack(far).min(0)
        return {named.DISTANCE: distances, named.NEAREST: torch.stack(which).gather(0, place[None])[0]}


def _fitted(pictures: Tensor, shape: tuple[int, ...]) -> Tensor:
    return torch.nn.functional.interpolate(pictures, shape[-2:], mode="bilinear", antialias=True)


def _cannot(subject: Subject, missing: Set[Access | Structure]) -> str:
    if missing:
        return f"{subject.name} does not offer {', '.join(sorted(missing))}, without which nothing can be drawn."
    return f"Nothing is drawn for inputs of kind {subject.task.modality}: only pictures, tensors and rows can be."
