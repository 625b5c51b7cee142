"""Extremal perturbation: the mask of a given area that keeps the score highest."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Union

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.core.meter import report
from pellucid.core.method import method
from pellucid.core.query import Decision
from pellucid.core.spec import Access, Asker, Dimension, Modality, Scope, Spec, View
from pellucid.core.subject import Features, Inputs, Subject
from pellucid.engine.attributing import attribution, once_per_position
from pellucid.engine.batching import evaluate
from pellucid.engine.coalitions import hidden_point, players
from pellucid.engine.gradients import gradients
from pellucid.engine.perturb import Baseline, Grouping
from pellucid.engine.soft_masks import Degrees, SmoothCells, SoftMasks, area_excess, blurring, fading
from pellucid.engine.targets import Target, resolve
from pellucid.results.attribution import Attribution

_RATE = 0.05
_MEMORY = 0.8
_ON_THE_WAY = 0.6
_ROUGH = 0.05
_BLUR = 0.12
_AREA_TOLERANCE = 0.03
_ENOUGH = 0.9
Points = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class _Found:
    """Of one example the masks ``[areas, elements]``, and what is kept and left with each of them: ``[areas]``."""

    masks: Tensor
    kept: Tensor
    left: Tensor
    hidden: Tensor
    wanted: Tensor


@method
class ExtremalPerturbation:
    """Scores are the mean of one mask for each of ``areas``: 1 for what even the smallest of them shows.

    Each mask is optimised, by gradients, for the explained quantity with only so much of the input shown (``preserve``),
    for a low one with only so much hidden (``delete``), or for both at once; how much is shown is enforced by comparing the
    mask, in order of size, with one of exactly this area (fong2019understanding). Here the mask starts at the best of 25
    discs, and the best on the way is kept that has the area and is nearly 0 and 1. Masks of pictures are smooth, with no
    detail finer than ``smoothness`` × the side, and what they hide is blurred, or as in the ``baseline`` that is named;
    anything else, and a picture whose ``features`` are named, fades by features. There is nothing random in it.

    ``quality`` tells for each area ``wanted`` the ``area`` of the mask, and ``kept``: the share of the score that is there
    with what the mask shows, 1 as with all shown and 0 as with all hidden (NaN where these are the same); ``left`` is that
    with what it hides. ``smallest`` is the smallest area that keeps 90 %, NaN if none does. ``converged`` tells whether all
    areas are met within 3 %.
    """

    spec: ClassVar = Spec(
        id="extremal-perturbation",
        title="Extremal perturbation",
        question="Which part of this size, shown alone, keeps the score highest?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.VISUAL},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.DOMAIN_EXPERT},
        needs={Access.GRADIENTS},
        cost="1 B per area and step, and 27 F per area: 400 B and 108 F",
        references=("fong2019understanding",),
        serves=("A9",),
        caveat=(
            "It shows one part that suffices, not all that do: an optimum among masks, found by gradients, which may be a "
            "local one. Masks can make up evidence that the network answers to and the input does not hold."
        ),
        alternatives=("rise", "occlusion"),
    )

    areas: Annotated[tuple[float, ...], "shares of the input that masks show, each above 0 and below 1"] = (
        0.05,
        0.1,
        0.2,
        0.4,
    )
    goal: Annotated[
        Literal["preserve", "delete", "both"], "a high score of what is shown, a low one of what is not"
    ] = "preserve"
    steps: Annotated[int, Ge(1), "steps of the optimiser"] = 100
    smoothness: Annotated[float, Gt(0), "finest detail of a picture's mask, as a share of its side"] = 0.09
    features: Annotated[
        Grouping, "what is shown together; None: smooth masks of a picture, words, columns, elements"
    ] = None
    baseline: Annotated[
        Union[Baseline, None], "what stands where nothing is shown; None: the blurred picture, else the task's default"
    ] = None

    def __post_init__(self) -> None:
        if not self.areas or not all(0 < area < 1 for area in self.areas):
            raise UsageError(
                f"extremal-perturbation(areas={self.areas!r}): name shares between 0 and 1, such as 0.1,0.2"
            )

    def __call__(self, subject: Subject, query: Decision) -> Attribution:
        inputs = subject.prepare(query.inputs)
        if not inputs.value.is_floating_point():
            raise NotAnswerable(f"{subject.name} reads whole numbers, which have no gradient; ask rise")
        picture = subject.task.modality is Modality.IMAGE and self.features is None
        features = once_per_position(subject, inputs) if picture else players(subject, inputs, self.features)
        target = resolve(subject, inputs, query)
        plain = evaluate(subject, inputs, target, torch.arange(len(inputs)), lambda part: inputs.value[part])
        found = [
            self._found(subject, inputs, target, row, masks, points, float(plain[row]))
            for row, (masks, points) in enumerate(self._perturbed(subject, inputs, features, picture))
        ]
        scores = [one.masks.mean(0) for one in found]
        if picture:
            size = (len(inputs), 1, *inputs.value.shape[2:])
            spread = torch.stack(scores).to(inputs.value.dtype).view(size).expand_as(inputs.value).clone()
        else:
            spread = features.spread(scores, inputs.value)
        area = torch.stack([one.masks.mean(1) for one in found])
        wanted, kept, left = (torch.stack([getattr(one, name) for one in found]) for name in ("wanted", "kept", "left"))
        smallest = torch.where(kept >= _ENOUGH, wanted, torch.inf).amin(1)
        return attribution(
            subject,
            inputs,
            query,
            target,
            spread,
            plain.to(inputs.value.dtype),
            features,
            quality={
                "wanted": wanted,
                "area": area,
                "kept": kept,
                "left": left,
                "smallest": torch.where(smallest.isinf(), torch.nan, smallest),
                "hidden": torch.stack([one.hidden for one in found]),
            },
            converged=((area - wanted).abs() <= _AREA_TOLERANCE).all(1),
        )

    def _perturbed(
        self, subject: Subject, inputs: Inputs, features: Features, picture: bool
    ) -> Iterator[tuple[SoftMasks, Points]]:
        """For each example its kind of masks, and what makes points of them."""
        if picture and self.baseline is None:
            for point in inputs.value:
                yield SmoothCells((point.shape[1], point.shape[2]), self.smoothness), blurring(point, _BLUR)
            return
        hidden = hidden_point(subject, inputs, features, self.baseline)
        for point, empty, segments, number in zip(
            inputs.value, hidden, features.segments, features.counts(), strict=True
        ):
            size = (point.shape[1], point.shape[2]) if picture else None
            masks: SoftMasks = SmoothCells(size, self.smoothness) if size else Degrees(number)
            yield masks, fading(point, empty, segments)

    def _found(
        self, subject: Subject, inputs: Inputs, target: Target, row: int, masks: SoftMasks, points: Points, value: float
    ) -> _Found:
        ask = _Asked(subject, inputs, target, row, points)
        elements = masks.masks(torch.zeros(1, masks.parameters, dtype=inputs.value.dtype)).shape[1]
        ones = (torch.tensor(self.areas, dtype=torch.float64) * elements).clamp(min=1)
        nothing = float(ask.values(torch.zeros(1, elements, dtype=inputs.value.dtype)))
        best = self._optimised(masks, ones, ask)
        answers = ask.values(torch.cat([best, 1 - best]))
        kept, left = ((answers - nothing) / (value - nothing or math.nan)).split(len(best))
        return _Found(best.double(), kept, left, torch.tensor(nothing), ones / elements)

    def _optimised(self, masks: SoftMasks, ones: Tensor, ask: "_Asked") -> Tensor:
        """The best mask of each area on the way from its best start, ``[areas, elements]``."""
        parameters = self._starts(masks, ones, ask)
        trace, best = torch.zeros_like(parameters), _Best()
        for step in range(self.steps + 1):
            with torch.enable_grad():
                given = parameters.clone().requires_grad_()
                shown = masks.masks(given)
            worth, slopes = self._worth(ask, shown.detach())
            best.see(shown.detach(), worth, ones)
            rise = _scaled(_through(shown, given, slopes))
            trace = _MEMORY * trace + (1 - _MEMORY) * rise
            excess = _through(shown, given, area_excess(shown.detach(), masks.placed(trace), ones))
            # What is wanted has less and less to say, so that masks come to be 0 and 1.
            left = min(1.0, (1 - step / self.steps) / (1 - _ON_THE_WAY))
            parameters = (parameters + _RATE * (left * rise - _scaled(excess))).clamp(0, 1)
            report(step, self.steps, "extremal perturbation")
        return best.masks

    def _starts(self, masks: SoftMasks, ones: Tensor, ask: "_Asked") -> Tensor:
        found = []
        elements = masks.masks(torch.zeros(1, masks.parameters)).shape[1]
        for share in (ones / elements).tolist():
            starts = masks.starts(share).to(ask.point.dtype)
            worth = self._value(ask, masks.masks(starts)) if len(starts) > 1 else torch.zeros(1)
            found.append(starts[int(worth.argmax())])
        return torch.stack(found)

    def _value(self, ask: "_Asked", shown: Tensor) -> Tensor:
        """What is wanted of each mask: the quantity of what it shows, less that of what it hides."""
        kept = ask.values(shown) if self.goal != "delete" else torch.zeros(len(shown))
        return kept - ask.values(1 - shown) if self.goal != "preserve" else kept

    def _worth(self, ask: "_Asked", shown: Tensor) -> tuple[Tensor, Tensor]:
        """The same, with how fast it rises with each element of each mask."""
        worth, rise = ask.slopes(shown) if self.goal != "delete" else (torch.zeros(()), torch.zeros(()))
        if self.goal == "preserve":
            return worth, rise
        # What is hidden rises where the mask falls, so that both slopes are those along the mask.
        left, fall = ask.slopes(1 - shown)
        return worth - left, rise + fall


class _Best:
    """Of each area the mask of most worth so far among those that have the area and are nearly 0 and 1."""

    masks: Tensor

    def __init__(self) -> None:
        self._worth: Tensor | None = None

    def see(self, shown: Tensor, worth: Tensor, ones: Tensor) -> None:
        apart = shown.mean(1) - ones / shown.shape[1]
        rough = area_excess(shown, torch.zeros(1, dtype=shown.dtype), ones).square().mean(1)
        fits = (apart.abs() <= _AREA_TOLERANCE) & (rough <= _ROUGH)
        worth = torch.where(fits, worth, -torch.inf)
        if self._worth is None:
            self.masks, self._worth = shown, worth
        # Until one fits, the latest is the nearest to it.
        better = (worth > self._worth) | self._worth.isinf()
        self.masks = torch.where(better[:, None], shown, self.masks)
        self._worth = torch.where(better, worth, self._worth)


def _through(shown: Tensor, given: Tensor, slopes: Tensor) -> Tensor:
    """Slopes along the parameters of masks, of those along their elements."""
    return torch.autograd.grad(shown, given, slopes, retain_graph=True)[0]


def _scaled(values: Tensor) -> Tensor:
    """Each row with 1 as its largest size."""
    return values / values.abs().amax(1, keepdim=True).clamp(min=torch.finfo(values.dtype).tiny)


class _Asked:
    """The explained quantity of one example under masks, and its slope along each element of them.

    Masks go through the model one at a time: what hundreds of steps make of it would otherwise depend on the last bit of
    sums that differ with the size of a batch.
    """

    def __init__(self, subject: Subject, inputs: Inputs, target: Target, row: int, points: Points) -> None:
        self._subject, self._points = subject, points
        rows = torch.tensor([row])
        self._one, self._target, self.point = inputs.rows(rows), target.rows(rows), inputs.value[row]

    def values(self, masks: Tensor) -> Tensor:
        runs = (self._subject.run(self._one.at(self._points(one[None])), capture=self._target.capture) for one in masks)
        return torch.cat([self._target(run).double() for run in runs])

    def slopes(self, masks: Tensor) -> tuple[Tensor, Tensor]:
        values, slopes = zip(*(self._slope(one[None]) for one in masks), strict=True)
        return torch.cat(values).double(), torch.cat(slopes)

    def _slope(self, mask: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            mask = mask.clone().requires_grad_()
            point = self._points(mask)
        found = gradients(self._subject, self._one, self._target, replaced=point.detach())
        return found.values, torch.autograd.grad(point, mask, found.gradient.to(point))[0]
