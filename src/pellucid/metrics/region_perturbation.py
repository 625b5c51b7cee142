"""Region perturbation: destroy what a map calls relevant, most relevant first, and see how fast the score falls."""

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Ge
from torch import Tensor

from pellucid.core.content import digest
from pellucid.core.errors import BadInput, UsageError
from pellucid.core.method import method
from pellucid.core.query import Judgement
from pellucid.core.spec import Access, Asker, Dimension, Modality, Scope, Spec, View
from pellucid.core.subject import Features, Inputs, Subject
from pellucid.engine.attributing import readable_features
from pellucid.engine.erasing import Walk, game_of, orders, walked
from pellucid.engine.judged import Case, Judged, RandomMaps, judged, verdict
from pellucid.engine.perturb import Baseline, baseline_value
from pellucid.engine.quantus import Compat, area_of_unit_steps, darkest, patches
from pellucid.results.attribution import Attribution
from pellucid.results.evaluation import Evaluation

_CONTROLS = ("edge", "constant", "random")
# What a budget below the paper's settings buys first: draws, steps, random maps; fewer maps than the last say nothing.
_DRAWS, _STEPS, _MAPS, _FEWEST_MAPS = 5, 10, 20, 5
_PLAIN = 2
_RANKED = {
    "most": "most relevant",
    "least": "least relevant",
    "between": "most relevant, and on another copy the least relevant,",
}
_AOPC = "the mean fall of the explained score over the steps (AOPC)"
_VALUES = {"most": _AOPC, "least": _AOPC, "between": "the mean height between the two curves"}


@method
class RegionPerturbation:
    """The area over the perturbation curve (AOPC): ``1/(L+1) · Σₖ f(x⁰) − f(xᵏ)``, k = 0…L, most relevant first.

    With ``order="least"`` the least relevant go first and a low area is good; ``"between"`` is the first minus the second.

    A picture is cut into squares of ``region`` pixels (only whole ones, centred; at least four along each side);
    elsewhere the regions are the features that all answers share, or else the words, columns or positions. A region's
    relevance is the sum of its scores; ties go to the first. An example with fewer regions than ``steps`` loses them
    all. The ``draws`` of the replacement are the same for every row, so differences between rows are paired, and equal
    perturbed inputs are asked once.

    Control rows know nothing about the network: ``edge`` (Sobel magnitude, pictures only), ``constant`` (all regions
    equal, so in raster order) and ``random`` (``random_maps`` maps). Intervals are
    95 %. With several examples they are bootstrapped over examples. With one they are over draws, and that of the
    random row is where a single random map would lie, so that an answer above it is better than chance
    (samek2017evaluating).

    ``compat="quantus"`` tiles all of a picture with squares, replaces them once by the smallest value of their picture and
    adds up the falls in steps of one, so that more steps give larger values; quantus' own default is ``region=8``.
    """

    spec: ClassVar = Spec(
        id="region-perturbation",
        title="Region perturbation",
        question="Does destroying what a map calls important make the score fall faster than destroying anything else?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.ALGORITHMIC_TRANSPARENCY},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.AUDITOR},
        needs={Access.OUTPUTS},
        properties={"perturbation", "stochastic"},
        cost="steps × draws F per map and control row: 1000 F each with the paper's settings",
        references=("samek2017evaluating",),
        serves=("A11",),
        caveat=(
            "It depends on what replaces a region: noise makes inputs the network never saw, and a score can fall for "
            "that reason alone. The control rows show how far."
        ),
    )

    region: Annotated[int, Ge(1), "side of a square region in pixels"] = 9
    steps: Annotated[int, Ge(1), "regions replaced, one after the other"] = 100
    draws: Annotated[int, Ge(1), "draws of the replacement"] = 10
    replacement: Annotated[str | None, "a baseline of the task; None: uniform on pictures, else the task's default"] = (
        None
    )
    order: Annotated[Literal["most", "least", "between"], "regions that go first; between: the area between both"] = (
        "most"
    )
    compat: Compat = None
    seed: Annotated[int, "seed of the replacement and of the random control"] = 0
    random_maps: RandomMaps = 1

    def passes(self, answers: int) -> int:
        """The forward passes per example for this many answers and the controls, at most: equal points cost one."""
        rows = answers + len(_CONTROLS) - 1 + self.random_maps
        return len(self._directions) * rows * self.steps * self.draws + _PLAIN

    def within(self, budget: int, answers: int) -> "RegionPerturbation":
        """The same metric with at most ``budget`` forward passes per example for this many answers.

        A smaller budget than the settings need buys five draws and ten steps first, because an interval needs draws,
        then up to twenty random maps, because one example can only be told from chance by many of them, then steps
        and draws with what is left. Squares grow so that the same share of the picture is replaced. Raises
        ``UsageError`` where the budget does not allow one step of two draws.
        """
        if self.passes(answers) <= budget:
            return self
        fixed = answers + len(_CONTROLS) - 1
        affordable = (budget - _PLAIN) // len(self._directions)
        draws = min(self.draws, _DRAWS, max(affordable // (fixed + 1), 2))
        maps = min(_MAPS, affordable // (draws * _STEPS) - fixed)
        rows = fixed + (maps if maps >= _FEWEST_MAPS else 1)
        steps = min(self.steps, affordable // (rows * draws))
        if steps < 1:
            raise UsageError(
                f"scoring {answers} maps and {len(_CONTROLS)} controls needs "
                f"{len(self._directions) * rows * draws + _PLAIN} passes or more, "
                f"not {budget}; raise the budget"
            )
        return dataclasses.replace(  # type: ignore[type-var]
            self,
            region=round(self.region * math.sqrt(self.steps / steps)),
            steps=steps,
            draws=min(self.draws, affordable // (rows * steps)),
            random_maps=rows - fixed,
        )

    def __call__(self, subject: Subject, query: Judgement) -> Evaluation:
        asked = judged(subject, query, self.seed)
        regions = self._regions(subject, asked)
        seeds = [int(digest((self.seed, query.seed, draw))[:12], 16) for draw in range(self.draws)]
        drawn = seeds if self._is_random(asked) else seeds[:1]
        lines = [line for _, line in walked(self._walks(asked.cases(self.random_maps), regions, drawn))]
        draws = [torch.stack(lines[at : at + len(drawn)]) for at in range(0, len(lines), len(drawn))]
        found = [line.expand(self.draws, *line.shape[1:]) for line in draws]  # each [draws, rows, steps + 1]
        if self.order == "between":
            found = [least - most for most, least in zip(found[::2], found[1::2], strict=True)]
        return verdict(
            self.spec.id,
            asked,
            [self._value(line) for line in found],
            higher_is_better=self.order != "least",
            curves=[line.mean(0) for line in found],
            protocol=self._protocol(asked, found, regions),
        )

    def _walks(self, cases: Iterable[Case], regions: Features, seeds: Sequence[int]) -> Iterator[Walk]:
        """The walks of each case, order by order, one for each draw."""
        for case in cases:
            features = regions.rows(slice(case.row, case.row + 1))
            gone = torch.arange(min(self.steps, features.counts()[0]) + 1)
            cover = self._cover(case.subject, case.inputs)
            games = [game_of(case, features, cover, seed) for seed in seeds]
            for ascending in self._directions:
                order = orders(case, features, ascending=ascending)
                yield from (Walk(game, order, gone) for game in games)

    @property
    def _directions(self) -> list[bool]:
        """Whether the regions go in ascending order of relevance, for each walk."""
        return {"most": [False], "least": [True], "between": [False, True]}[self.order]

    def _value(self, lines: Tensor) -> Tensor:
        """The mean over k = 0…L of f(x⁰) − f(xᵏ), whose first term is zero; of the area between two curves the gap."""
        falls = lines if self.order == "between" else lines[..., :1] - lines
        return area_of_unit_steps(falls) if self.compat else falls.mean(-1)

    def _regions(self, subject: Subject, asked: Judged) -> Features:
        if self.compat and subject.task.modality is Modality.IMAGE:
            return patches(asked.inputs, self.region)
        return _regions(subject, asked.inputs, asked.answers, self.region)

    def _cover(self, subject: Subject, inputs: Inputs) -> Baseline:
        if self.replacement is not None:
            return self.replacement
        if self.compat:
            return darkest(inputs)
        return "uniform" if subject.task.modality is Modality.IMAGE else subject.task.baselines()[0]

    def _is_random(self, asked: Judged) -> bool:
        cover = self._cover(asked.subject, asked.inputs)
        one, other = (baseline_value(asked.subject, asked.inputs, cover, seed) for seed in (0, 1))
        return not torch.equal(one, other)

    def _protocol(self, asked: Judged, found: list[Tensor], regions: Features) -> str:
        steps, counts = sorted({line.shape[-1] - 1 for line in found}), sorted(set(regions.counts()))
        draws = f"{self.draws} draw{'s' if self.draws > 1 else ''}"
        cover = self._cover(asked.subject, asked.inputs)
        told = f"the baseline '{cover}'" if isinstance(cover, str) else "their picture's smallest value"
        paper = (self.region, self.steps, self.draws, cover) == (9, 100, 10, "uniform")
        area = "the area over the curve as quantus adds it up" if self.compat else _VALUES[self.order]
        return (
            f"The {_range(steps)} {_RANKED[self.order]} of {_range(counts)} {_plural(regions.kind)} were replaced one after "
            f"the other by {told} ({draws}, the same for every row); the value is {area}. At most "
            f"{self.passes(len(asked.answers))} forward passes per "
            f"example{'' if paper else '; the paper used squares of 9 × 9, 100 steps and 10 draws of uniform noise'}."
        )


def _regions(subject: Subject, inputs: Inputs, answers: Sequence[Attribution], side: int) -> Features:
    if subject.task.modality is not Modality.IMAGE:
        first, *others = (answer.features for answer in answers)
        shared = all(torch.equal(first.segments, other.segments) for other in others)
        regions = first if shared else readable_features(subject, inputs)
        if min(regions.counts()) < 1:
            raise BadInput("an example has no feature that could be replaced; give it some input")
        return regions
    height, width = inputs.value.shape[2:]
    side = max(1, min(side, height // 4, width // 4))
    rows, columns = (_centred(length, side) for length in (height, width))
    across = int(columns.max()) + 1
    squares = torch.where((rows[:, None] < 0) | (columns < 0), -1, rows[:, None] * across + columns)
    return Features(f"square of {side} × {side} pixels", squares.expand(len(inputs), 1, height, width))


def _centred(length: int, side: int) -> Tensor:
    number = length // side
    place = torch.div(torch.arange(length) - (length - number * side) // 2, side, rounding_mode="floor")
    return torch.where((place < 0) | (place >= number), -1, place)


def _plural(kind: str) -> str:
    first, _, rest = kind.partition(" ")
    return f"{first.removesuffix('s')}s {rest}".strip()


def _range(numbers: Sequence[int]) -> str:
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
