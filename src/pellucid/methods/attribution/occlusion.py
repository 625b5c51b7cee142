"""Occlusion: slide a window over the input, put the baseline in it, and see how far the score falls."""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Annotated, ClassVar, Union

import torch
from torch import Tensor

from pellucid.core.errors import UsageError
from pellucid.core.method import method
from pellucid.core.query import Decision
from pellucid.core.spec import Access, Asker, Dimension, Modality, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.attributing import attribution, once_per_position
from pellucid.engine.batching import evaluate
from pellucid.engine.covered import Windows
from pellucid.engine.perturb import Baseline, baseline_value, position_axes
from pellucid.engine.targets import resolve
from pellucid.engine.windows import with_windows
from pellucid.results.attribution import Attribution

Extent = Union[int, tuple[int, ...], None]

_APPROXIMATE = "An approximation: away from the largest changes only a coarser grid of windows was looked at."


@method
class Occlusion:
    """Each element scores the mean fall of the explained quantity over the windows that cover it.

    Windows start every ``stride`` elements along each axis of positions (rows and columns, words, columns of a
    table); the last one along an axis is cut off at the edge where the stride does not divide it, so that every
    element is covered. A window takes all channels at once.

    With ``refine``, windows of a coarser grid come first, and of the others only those that are nearest to the quarter
    with the largest changes: an approximation, and the answer says so. ``quality["windows"]`` is the share of windows
    that were looked at, ``quality["multiply-adds"]`` what was computed as a share of whole passes for all windows: less
    than 1 where only what a window reaches is computed again, which changes nothing but rounding.
    """

    spec: ClassVar = Spec(
        id="occlusion",
        title="Occlusion",
        question="How far does the score fall when this part is covered?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.VISUAL},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.DOMAIN_EXPERT, Asker.AFFECTED_PERSON, Asker.AUDITOR},
        needs={Access.OUTPUTS},
        properties={"perturbation"},
        cost="1 F per window: 729 F on a 224 × 224 picture with 16/8; convolutions again only where a window reaches",
        references=("zeiler2014visualizing",),
        serves=("A3", "A10"),
        caveat="It sees one window at a time: what is shown twice in a picture can look irrelevant in both places.",
        alternatives=("lime",),
    )

    window: Annotated[Extent, "side of the window in elements; None: a fourteenth of a picture, else 1"] = None
    stride: Annotated[Extent, "step between windows; None: half the window"] = None
    baseline: Annotated[Union[Baseline, None], "what covers the window; None: the task's default"] = None
    refine: Annotated[Extent, "step of a first, coarse pass; the stride is kept where changes are largest only"] = None

    def __call__(self, subject: Subject, query: Decision) -> Attribution:
        inputs = subject.prepare(query.inputs)
        target = resolve(subject, inputs, query)
        cover = baseline_value(subject, inputs, subject.task.baselines()[0] if self.baseline is None else self.baseline)
        axes = position_axes(subject, inputs)
        sizes = tuple(inputs.value.shape[axis] for axis in axes)
        window, stride, coarse = self._extents(subject, sizes)
        counts = [-(-(size - side) // step) + 1 for size, side, step in zip(sizes, window, stride, strict=True)]
        starts = torch.cartesian_prod(*[torch.arange(n) * step for n, step in zip(counts, stride, strict=True)])
        windows = Windows(starts.view(-1, len(sizes)), window, axes)
        first, nearest = _grid(counts, [wide // step for wide, step in zip(coarse, stride, strict=True)])
        plain = evaluate(subject, inputs, target, torch.arange(len(inputs)), lambda rows: inputs.value[rows])

        def asked(row: slice, numbers: Tensor) -> tuple[Tensor, float]:
            some = windows.some(numbers)
            covered, share = with_windows(subject, inputs.rows(row), target.rows(row), cover[row], some, "occlusion")
            return plain[row] - covered, share * len(numbers) / len(windows)

        rows = [slice(row, row + 1) for row in range(len(inputs))]
        found = [_falls(functools.partial(asked, row), first, nearest) for row in rows]
        falls, seen = torch.stack([falls for falls, _, _ in found]), torch.stack([seen for _, seen, _ in found])
        quality = {"multiply-adds": torch.tensor([spent for *_, spent in found]), "windows": seen.double().mean(1)}
        scores = _mean_over_windows(inputs.value, windows, falls, seen)
        features = once_per_position(subject, inputs)
        answer = attribution(subject, inputs, query, target, scores, plain.to(scores.dtype), features, quality=quality)
        return answer if self.refine is None else dataclasses.replace(answer, notes=(*answer.notes, _APPROXIMATE))

    def _extents(self, subject: Subject, sizes: tuple[int, ...]) -> list[tuple[int, ...]]:
        """The window, the stride and the coarse stride along every axis."""
        window = _extent(self.window, sizes, _default_window(subject, sizes), "window")
        stride = _extent(self.stride, sizes, tuple(max(1, side // 2) for side in window), "stride")
        coarse = _extent(self.refine, sizes, stride, "refine")
        if any(step > side for step, side in zip(stride, window, strict=True)):
            raise UsageError(
                f"occlusion(stride={self.stride!r}) leaves gaps between windows of {window}; make it smaller"
            )
        if any(wide % step or wide > side for wide, step, side in zip(coarse, stride, window, strict=True)):
            raise UsageError(
                f"occlusion(refine={self.refine!r}): give a multiple of the stride {stride}, at most the window {window}"
            )
        return [window, stride, coarse]


def _default_window(subject: Subject, sizes: tuple[int, ...]) -> tuple[int, ...]:
    if subject.task.modality is Modality.IMAGE:
        return tuple(max(1, round(size / 14)) for size in sizes)
    return (1,) * len(sizes)


def _extent(wanted: Extent, sizes: tuple[int, ...], default: tuple[int, ...], what: str) -> tuple[int, ...]:
    if wanted is None:
        return default
    extent = (wanted,) * len(sizes) if isinstance(wanted, int) else wanted
    if len(extent) != len(sizes) or any(side < 1 for side in extent):
        raise UsageError(f"occlusion({what}={wanted!r}): give one number of at least 1, or one per axis {sizes}")
    return tuple(min(side, size) for side, size in zip(extent, sizes, strict=True))


def _grid(counts: Sequence[int], ratios: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The numbers of the windows of the coarse grid, both ends among them, and for every window which is nearest."""
    along = [torch.tensor(sorted({*range(0, n, ratio), n - 1})) for n, ratio in zip(counts, ratios, strict=True)]
    near = [(torch.arange(n)[:, None] - own).abs().argmin(1) for n, own in zip(counts, along, strict=True)]
    numbers = torch.arange(math.prod(counts)).view(*counts)[torch.meshgrid(*along, indexing="ij")].flatten()
    places = torch.arange(len(numbers)).view(*map(len, along))[torch.meshgrid(*near, indexing="ij")].flatten()
    return numbers, places


def _falls(
    asked: Callable[[Tensor], tuple[Tensor, float]], first: Tensor, nearest: Tensor
) -> tuple[Tensor, Tensor, float]:
    """The falls of the first windows and of those that are nearest to the quarter of them with the largest changes.

    Also which windows were seen, and what was spent.
    """
    falls, seen = torch.zeros(len(nearest), dtype=torch.float64), torch.zeros(len(nearest), dtype=torch.bool)
    falls[first], spent = asked(first)
    seen[first] = True
    largest = falls[first].abs().argsort(descending=True, stable=True)[: math.ceil(len(first) / 4)]
    rest = (torch.isin(nearest, largest) & ~seen).nonzero().flatten()
    if len(rest):
        falls[rest], further = asked(rest)
        seen[rest] = True
        spent += further
    return falls, seen, spent


def _mean_over_windows(point: Tensor, windows: Windows, falls: Tensor, seen: Tensor) -> Tensor:
    shape = [size if axis in (0, *windows.axes) else 1 for axis, size in enumerate(point.shape)]
    total, covers = torch.zeros(shape, dtype=torch.float64), torch.zeros(shape, dtype=torch.float64)
    for number in range(len(windows)):
        index = windows.index(number, point.ndim)
        total[index] += falls[:, number].view(-1, *[1] * (point.ndim - 1))
        covers[index] += seen[:, number].view(-1, *[1] * (point.ndim - 1))
    return (total / covers).to(point.dtype).expand(point.shape).clone()
