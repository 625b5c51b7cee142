"""Occlusion: slide a window over the input, put the baseline in it, and see how far the score falls."""

import itertools
from typing import Annotated, ClassVar, Union

import torch
from torch import Tensor

from pellucid.core.errors import UsageError
from pellucid.core.method import method
from pellucid.core.query import Decision
from pellucid.core.spec import Access, Asker, Dimension, Modality, Scope, Spec, View
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.attributing import attribution, once_per_position
from pellucid.engine.batching import evaluate
from pellucid.engine.perturb import Baseline, baseline_value, position_axes
from pellucid.engine.targets import Target, resolve
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
        boxes = _boxes(sizes, window, stride)
        plain = evaluate(subject, inputs, target, torch.arange(len(inputs)), lambda rows: inputs.value[rows])
        falls = torch.stack(
            [plain[row] - _covered(subject, inputs, target, cover, row, axes, boxes) for row in range(len(inputs))]
        )
        scores = _mean_over_windows(inputs.value, axes, boxes, falls)
        features = once_per_position(subject, inputs)
        return attribution(subject, inputs, query, target, scores, plain.to(scores.dtype), features)


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


def _boxes(sizes: tuple[int, ...], window: tuple[int, ...], stride: tuple[int, ...]) -> list[tuple[slice, ...]]:
    along = []
    for size, side, step in zip(sizes, window, stride, strict=True):
        steps = -(-(size - side) // step) + 1
        along.append([slice(step * number, min(step * number + side, size)) for number in range(steps)])
    return list(itertools.product(*along))


def _index(ndim: int, axes: tuple[int, ...], box: tuple[slice, ...]) -> tuple[slice, ...]:
    index = [slice(None)] * ndim
    for axis, part in zip(axes, box, strict=True):
        index[axis] = part
    return tuple(index)


def _covered(
    subject: Subject,
    inputs: Inputs,
    target: Target,
    cover: Tensor,
    row: int,
    axes: tuple[int, ...],
    boxes: list[tuple[slice, ...]],
) -> Tensor:
    example, baseline = inputs.value[row : row + 1], cover[row : row + 1]

    def perturbed(part: slice) -> Tensor:
        chosen = boxes[part]
        batch = example.repeat(len(chosen), *[1] * (example.ndim - 1))
        for number, box in enumerate(chosen):
            index = _index(example.ndim, axes, box)
            batch[number : number + 1][index] = baseline[index]
        return batch

    rows = torch.full((len(boxes),), row)
    return evaluate(subject, inputs, target, rows, perturbed, "occlusion")


def _mean_over_windows(point: Tensor, axes: tuple[int, ...], boxes: list[tuple[slice, ...]], falls: Tensor) -> Tensor:
    shape = [size if axis in (0, *axes) else 1 for axis, size in enumerate(point.shape)]
    total, covers = torch.zeros(shape, dtype=torch.float64), torch.zeros([1, *shape[1:]], dtype=torch.float64)
    for number, box in enumerate(boxes):
        index = _index(point.ndim, axes, box)
        total[index] += falls[:, number].view(-1, *[1] * (point.ndim - 1))
        covers[index] += 1
    return (total / covers).to(point.dtype).expand(point.shape).clone()
