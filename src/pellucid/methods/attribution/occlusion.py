"""Occlusion: slide a window over the input, put the baseline in it, and see how far the score falls."""

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
from pellucid.engine.perturb import Baseline, baseline_value, position_axes
from pellucid.engine.targets import resolve
from pellucid.engine.windows import Windows, with_windows
from pellucid.results.attribution import Attribution

Extent = Union[int, tuple[int, ...], None]


@method
class Occlusion:
    """Each element scores the mean fall of the explained quantity over the windows that cover it.

    Windows start every ``stride`` elements along each axis of positions (rows and columns, words, columns of a
    table); the last one along an axis is cut off at the edge where the stride does not divide it, so that every
    element is covered. A window takes all channels at once.
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
        cost="1 F per window: 729 F on a 224 × 224 picture with 16/8",
        references=("zeiler2014visualizing",),
        serves=("A3", "A10"),
        caveat="It sees one window at a time: what is shown twice in a picture can look irrelevant in both places.",
        alternatives=("lime",),
    )

    window: Annotated[Extent, "side of the window in elements; None: a fourteenth of a picture, else 1"] = None
    stride: Annotated[Extent, "step between windows; None: half the window"] = None
    baseline: Annotated[Union[Baseline, None], "what covers the window; None: the task's default"] = None

    def __call__(self, subject: Subject, query: Decision) -> Attribution:
        inputs = subject.prepare(query.inputs)
        target = resolve(subject, inputs, query)
        cover = baseline_value(subject, inputs, subject.task.baselines()[0] if self.baseline is None else self.baseline)
        axes = position_axes(subject, inputs)
        sizes = tuple(inputs.value.shape[axis] for axis in axes)
        window = _extent(self.window, sizes, _default_window(subject, sizes), "window")
        stride = _extent(self.stride, sizes, tuple(max(1, side // 2) for side in window), "stride")
        if any(step > side for step, side in zip(stride, window, strict=True)):
            raise UsageError(
                f"occlusion(stride={self.stride!r}) leaves gaps between windows of {window}; make it smaller"
            )
        windows = Windows(_starts(sizes, window, stride), window, axes)
        plain = evaluate(subject, inputs, target, torch.arange(len(inputs)), lambda rows: inputs.value[rows])
        falls, shares = [], []
        for row in range(len(inputs)):
            covered, share = with_windows(subject, inputs, target, row, cover[row : row + 1], windows, "occlusion")
            falls.append(plain[row] - covered)
            shares.append(share)
        scores = _mean_over_windows(inputs.value, windows, torch.stack(falls))
        features, quality = once_per_position(subject, inputs), {"multiply-adds": torch.tensor(shares)}
        return attribution(subject, inputs, query, target, scores, plain.to(scores.dtype), features, quality=quality)


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


def _starts(sizes: tuple[int, ...], window: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    along = []
    for size, side, step in zip(sizes, window, stride, strict=True):
        steps = -(-(size - side) // step) + 1
        along.append(step * torch.arange(steps))
    return torch.cartesian_prod(*along).view(-1, len(sizes))


def _mean_over_windows(point: Tensor, windows: Windows, falls: Tensor) -> Tensor:
    shape = [size if axis in (0, *windows.axes) else 1 for axis, size in enumerate(point.shape)]
    total, covers = torch.zeros(shape, dtype=torch.float64), torch.zeros([1, *shape[1:]], dtype=torch.float64)
    for number in range(len(windows)):
        index = windows.index(number, point.ndim)
        total[index] += falls[:, number].view(-1, *[1] * (point.ndim - 1))
        covers[index] += 1
    return (total / covers).to(point.dtype).expand(point.shape).clone()
