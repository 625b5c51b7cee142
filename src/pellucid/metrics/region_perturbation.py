"""Region perturbation: destroy what a map calls relevant, most relevant first, and see how fast the score falls."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import torch
from annotated_types import Ge
from scipy.ndimage import sobel
from scipy.stats import t as student
from torch import Tensor

from pellucid.core.content import digest
from pellucid.core.errors import BadInput, UsageError
from pellucid.core.method import method
from pellucid.core.query import Judgement
from pellucid.core.seeds import generator
from pellucid.core.spec import Access, Asker, Dimension, Modality, Scope, Spec, View
from pellucid.core.subject import Features, Inputs, Subject
from pellucid.engine.attributing import readable_features
from pellucid.engine.batching import evaluate
from pellucid.engine.judging import check_fit, names, same_decision
from pellucid.engine.perturb import baseline_value, blended
from pellucid.engine.targets import Target, resolve
from pellucid.results.attribution import Attribution
from pellucid.results.evaluation import Evaluation

_RESAMPLES = 2000
_CONTROLS = ("edge", "constant", "random")
# What a budget below the paper's settings buys first: draws, steps, random maps; fewer maps than the last say nothing.
_DRAWS, _STEPS, _MAPS, _FEWEST_MAPS = 5, 10, 20, 5
_PLAIN = 2


@method
class RegionPerturbation:
    """The area over the perturbation curve (AOPC): ``1/(L+1) · Σₖ f(x⁰) − f(xᵏ)``, k = 0…L, most relevant first.

    A picture is cut into squares of ``region`` pixels (only whole ones, centred; at least four along each side);
    elsewhere the regions are the features that all answers share, or else the words, columns or positions. A region's
    relevance is the sum of its scores; ties go to the first. An example with fewer regions than ``steps`` loses them
    all. The ``draws`` of the replacement are the same for every row, so differences between rows are paired, and equal
    perturbed inputs are asked once.

    Control rows know nothing about the network: ``edge`` (Sobel magnitude, pictures only), ``constant`` (all regions
    equal, so in raster order) and ``random`` (``random_maps`` maps, or one that is another in each draw). Intervals are
    95 %. With several examples they are bootstrapped over examples. With one they are over draws, and that of the
    random row is where a single random map would lie, so that an answer above it is better than chance
    (samek2017evaluating).
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
    seed: Annotated[int, "seed of the replacement and of the random control"] = 0
    random_maps: Annotated[int, Ge(1), "random control maps; 1: a new one in each draw"] = 1

    def passes(self, answers: int) -> int:
        """The forward passes per example for this many answers and the controls, at most: equal points cost one."""
        return (answers + len(_CONTROLS) - 1 + self.random_maps) * self.steps * self.draws + _PLAIN

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
        affordable = budget - _PLAIN
        draws = min(self.draws, _DRAWS, max(affordable // (fixed + 1), 2))
        maps = min(_MAPS, affordable // (draws * _STEPS) - fixed)
        rows = fixed + (maps if maps >= _FEWEST_MAPS else 1)
        steps = min(self.steps, affordable // (rows * draws))
        if steps < 1:
            raise UsageError(
                f"scoring {answers} maps and {len(_CONTROLS)} controls needs {rows * draws + _PLAIN} passes or more, "
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
        answers, decision = same_decision(query.results)
        inputs = subject.prepare(decision.inputs)
        if len(inputs) == 1 and self.draws == 1 and self._is_random(subject, inputs):
            raise UsageError(
                "one example and one draw have no interval; set draws=2 or more, or judge several examples"
            )
        target = resolve(subject, inputs, decision)
        for answer in answers:
            check_fit(subject, inputs, target, answer)
        regions = _regions(subject, inputs, answers, self.region)
        controls = [name for name in _CONTROLS if name != "edge" or subject.task.modality is Modality.IMAGE]
        seeds = [int(digest((self.seed, query.seed, draw))[:12], 16) for draw in range(self.draws)]
        curves = []
        for row in range(len(inputs)):
            part = slice(row, row + 1)
            example, region = inputs.rows(part), regions.rows(part)
            orders = [_order(region.sums(answer.scores[part].double())[0]) for answer in answers]
            plan = self._plan(orders, example, region, controls, seeds)
            covers = torch.cat([baseline_value(subject, example, self._replacement(subject), seed) for seed in seeds])
            curves.append(_curves(subject, example, target.rows(part), region.segments[0], plan, covers))
        return self._evaluation(subject, curves, names(answers), controls, regions)

    def _plan(
        self, orders: list[Tensor], example: Inputs, region: Features, controls: Sequence[str], seeds: Sequence[int]
    ) -> "_Plan":
        """The orders of the answers, then of the controls; the random rows come last."""
        (number,) = region.counts()
        every = list(orders)
        if "edge" in controls:
            grey = example.value[0].double().mean(0).numpy()
            edges = torch.from_numpy(np.hypot(sobel(grey, 0), sobel(grey, 1)))
            every.append(_order(region.sums(edges[None, None])[0]))
        every.append(torch.arange(number))
        fixed = torch.arange(len(every)).expand(len(seeds), -1)
        source = generator(seeds[0], "random map", example.value[0])
        count = len(seeds) if self.random_maps == 1 else self.random_maps
        random = torch.arange(count) + len(every)
        every += [torch.randperm(number, generator=source) for _ in range(count)]
        rows = random[:, None] if self.random_maps == 1 else random.expand(len(seeds), -1)
        return _Plan(torch.stack(every), torch.cat([fixed, rows], 1), min(self.steps, number))

    def _replacement(self, subject: Subject) -> str:
        if self.replacement is not None:
            return self.replacement
        return "uniform" if subject.task.modality is Modality.IMAGE else subject.task.baselines()[0]

    def _is_random(self, subject: Subject, inputs: Inputs) -> bool:
        one, other = (baseline_value(subject, inputs, self._replacement(subject), seed) for seed in (0, 1))
        return not torch.equal(one, other)

    def _evaluation(
        self, subject: Subject, curves: list[Tensor], names: list[str], controls: list[str], regions: Features
    ) -> Evaluation:
        # The mean over k = 0…L of f(x⁰) − f(xᵏ), whose first term is zero: [examples, draws, rows].
        falls = torch.stack([(curve[..., :1] - curve).mean(-1) for curve in curves])
        fixed, number = len(names) + len(controls) - 1, len(names)
        chance = falls[:, :, fixed] if self.random_maps == 1 else falls[:, :, fixed:].mean(1)
        samples = [*falls[:, :, :fixed].unbind(2), chance]
        per_example = torch.stack([sample.mean(1) for sample in samples])
        rows = [
            torch.tensor([float(sample.mean()), *_interval(sample, name, self.seed)], dtype=torch.float64)
            for sample, name in zip(samples, [*names, *controls], strict=True)
        ]
        table = torch.stack(rows)
        longest = max(curve.shape[-1] for curve in curves)
        padded = [torch.cat([c, c[..., -1:].expand(*c.shape[:2], longest - c.shape[-1])], -1) for c in curves]
        lines = torch.stack(padded).mean((0, 1))
        return Evaluation(
            metric=self.spec.id,
            names=tuple(names),
            value=table[:number, 0],
            interval=table[:number, 1:],
            per_example=per_example[:number],
            control=dict(zip(controls, table[number:], strict=True)),
            curve=torch.cat([lines[:fixed], lines[fixed:].mean(0, keepdim=True)]),
            protocol=self._protocol(subject, curves, self.passes(len(names)) - _PLAIN, regions),
        )

    def _protocol(self, subject: Subject, curves: list[Tensor], passes: int, regions: Features) -> str:
        steps, counts = sorted({curve.shape[-1] - 1 for curve in curves}), sorted(set(regions.counts()))
        what = _plural(regions.kind)
        draws = f"{self.draws} draw{'s' if self.draws > 1 else ''}"
        replacement = self._replacement(subject)
        if len(curves) > 1:
            over = f"Intervals are 95 %, by bootstrap over {len(curves)} examples."
        elif self.draws > 1:
            over = (
                f"Intervals are 95 % over {draws}, for the random row the range in which a single random map would lie "
                f"(from {max(self.draws if self.random_maps == 1 else 0, self.random_maps)}): they support statements "
                "about this one example only."
            )
        else:
            over = "One example, one draw of a fixed replacement: no interval, and the random row is one random map."
        paper = (self.region, self.steps, self.draws, replacement) == (9, 100, 10, "uniform")
        return (
            f"The {_range(steps)} most relevant of {_range(counts)} {what} were replaced one after the other by the "
            f"baseline '{replacement}' ({draws}, the same for every row); the value is the mean fall of the explained "
            f"score over the steps (AOPC). {over} At most {passes + _PLAIN} forward passes per "
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


def _order(relevance: Tensor) -> Tensor:
    return relevance.argsort(descending=True, stable=True)


@dataclass(frozen=True)
class _Plan:
    """``orders`` ``[n, regions]`` of replacement; ``of`` ``[draws, rows]`` says which one each row follows per draw."""

    orders: Tensor
    of: Tensor
    steps: int


def _curves(subject: Subject, example: Inputs, target: Target, segments: Tensor, plan: _Plan, covers: Tensor) -> Tensor:
    """The score after each step, ``[draws, rows, steps + 1]``, of one example; equal points are asked once."""
    gone = [[frozenset(order[:step]) for step in range(plan.steps + 1)] for order in plan.orders.tolist()]
    fixed = bool((covers == covers[:1]).all())
    points: dict[tuple[int, frozenset[int]], int] = {}
    made: list[tuple[int, int, int]] = []
    where = torch.empty(*plan.of.shape, plan.steps + 1, dtype=torch.long)
    for draw, of in enumerate(plan.of.tolist()):
        for row, order in enumerate(of):
            for step, regions in enumerate(gone[order]):
                # Which draw it is does not matter where nothing is replaced, nor where all draws are the same.
                key = (0 if fixed or not regions else draw, regions)
                if key not in points:
                    points[key] = len(made)
                    made.append((key[0], order, step))
                where[draw, row, step] = points[key]
    ranks = plan.orders.argsort(1)
    draw_of, order_of, step_of = torch.tensor(made).unbind(1)

    def perturbed(part: slice) -> Tensor:
        keep = ranks[order_of[part]] >= step_of[part, None]
        return blended(example.value[0], covers[draw_of[part]], segments, keep)

    rows = torch.zeros(len(made), dtype=torch.long)
    return evaluate(subject, example, target, rows, perturbed, "scoring the maps")[where]


def _interval(falls: Tensor, name: str, seed: int) -> tuple[float, float]:
    """The 95 % interval of one row's value from ``falls`` ``[examples, draws or random maps]``."""
    values = falls.mean(1).numpy()
    if len(values) > 1:
        picked = np.random.default_rng(seed).integers(0, len(values), (_RESAMPLES, len(values)))
        low, high = np.quantile(values[picked].mean(1), (0.025, 0.975))
        return float(low), float(high)
    draws = falls[0].numpy()
    middle, count = float(draws.mean()), len(draws)
    if count < 2:
        return middle, middle
    spread = float(draws.std(ddof=1)) * float(student.ppf(0.975, count - 1))
    half = spread * math.sqrt(1 + 1 / count if name == "random" else 1 / count)
    return middle - half, middle + half


def _plural(kind: str) -> str:
    first, _, rest = kind.partition(" ")
    return f"{first.removesuffix('s')}s {rest}".strip()


def _range(numbers: Sequence[int]) -> str:
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
