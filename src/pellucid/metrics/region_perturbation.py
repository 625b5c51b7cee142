"""Region perturbation: destroy what a map calls relevant, most relevant first, and see how fast the score falls."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Annotated, ClassVar, Union

import numpy as np
import torch
from annotated_types import Ge
from scipy.ndimage import sobel
from scipy.stats import t as student
from torch import Tensor

from pellucid.core.content import digest
from pellucid.core.errors import BadInput, UsageError
from pellucid.core.method import method
from pellucid.core.query import Decision, Judgement
from pellucid.core.seeds import generator
from pellucid.core.spec import Access, Asker, Dimension, Modality, Scope, Spec, View
from pellucid.core.subject import Features, Inputs, Subject
from pellucid.engine.attributing import readable_features
from pellucid.engine.batching import evaluate
from pellucid.engine.perturb import baseline_value, blended
from pellucid.engine.targets import Target, resolve
from pellucid.results.attribution import Attribution
from pellucid.results.evaluation import Evaluation

_RESAMPLES = 2000
_CONTROLS = ("random", "edge", "constant")
_FEWEST_DRAWS = 5


@method
class RegionPerturbation:
    """The area over the perturbation curve (AOPC): ``1/(L+1) · Σₖ f(x⁰) − f(xᵏ)`` over ``L`` steps, most relevant
    first.

    A picture is cut into squares of ``region`` pixels (only whole ones, centred); elsewhere the regions are words,
    columns or positions. A region's relevance is the sum of its scores; ties go to the first. ``replacement`` is a
    baseline name of the task; by default uniform noise on pictures and the task's own default elsewhere. The ``draws``
    of noise are the same for every answer and control, so differences between rows are paired, and equal perturbed
    inputs are asked once.

    Control rows know nothing about the network: ``random`` (another order in each draw), ``edge`` (Sobel magnitude of
    the picture) and ``constant`` (raster order). Intervals are 95 %: over examples by bootstrap where there are
    several; for one example over draws, and for the random row the range of a single random map, so that beating it
    means something.
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
    draws: Annotated[int, Ge(1), "draws of the replacement noise"] = 10
    replacement: Annotated[
        Union[str, None], "a baseline of the task; None: uniform on pictures, else the task's default"
    ] = None
    seed: Annotated[int, "seed of the noise and of the random control"] = 0

    def within(self, budget: int, answers: int) -> "RegionPerturbation":
        """The same metric with at most ``budget`` forward passes per example for this many answers.

        Draws are given up first, down to five, then steps; squares grow so that the same share of the picture is
        replaced. Raises ``UsageError`` where the budget does not allow one step and one draw per row.
        """
        rows = answers + len(_CONTROLS)
        passes = (budget - 1) // rows
        if passes < 1:
            raise UsageError(f"scoring {answers} maps and {len(_CONTROLS)} controls needs at least {rows + 1} passes")
        draws = min(self.draws, max(passes // self.steps, min(_FEWEST_DRAWS, passes)))
        steps = min(self.steps, passes // draws)
        region = round(self.region * math.sqrt(self.steps / steps))
        return dataclasses.replace(self, region=region, steps=steps, draws=draws)

    def __call__(self, subject: Subject, query: Judgement) -> Evaluation:
        answers, decision = _answers(query.results)
        inputs = subject.prepare(decision.inputs)
        target = resolve(subject, inputs, decision)
        regions = _regions(subject, inputs, self.region)
        steps = min(self.steps, min(regions.counts()))
        seed = self.seed + query.seed
        names = _distinct([answer.provenance.method if answer.provenance else "answer" for answer in answers])
        controls = [name for name in _CONTROLS if name != "edge" or subject.task.modality is Modality.IMAGE]
        replacement = self._replacement(subject)
        curves = []
        for row in range(len(inputs)):
            part = slice(row, row + 1)
            example, region = inputs.rows(part), regions.rows(part)
            orders = [_order(region.sums(answer.scores[part].double())[0]) for answer in answers]
            order = torch.stack(
                [
                    torch.stack([*orders, *_control_orders(example, region, controls, seed, draw)])[:, :steps]
                    for draw in range(self.draws)
                ]
            )
            covers = torch.cat(
                [baseline_value(subject, example, replacement, seed * 1009 + draw) for draw in range(self.draws)]
            )
            curves.append(_curves(subject, example, target.rows(part), region.segments[0], order, covers))
        curve = torch.stack(curves)
        return self._evaluation(subject, curve, names, controls, regions, steps, replacement)

    def _replacement(self, subject: Subject) -> str:
        if self.replacement is not None:
            return self.replacement
        return "uniform" if subject.task.modality is Modality.IMAGE else subject.task.baselines()[0]

    def _evaluation(
        self,
        subject: Subject,
        curve: Tensor,
        names: Sequence[str],
        controls: Sequence[str],
        regions: Features,
        steps: int,
        replacement: str,
    ) -> Evaluation:
        falls = (curve[..., :1] - curve).mean(-1)  # [examples, draws, rows]: the first term, k = 0, is zero
        per_example = falls.mean(1).T
        intervals = [self._interval(falls[:, :, row], name) for row, name in enumerate([*names, *controls])]
        means = per_example.mean(1)
        number = len(names)
        return Evaluation(
            metric=self.spec.id,
            names=tuple(names),
            value=means[:number],
            interval=torch.tensor(intervals[:number], dtype=torch.float64),
            per_example=per_example[:number],
            control={
                name: torch.tensor([float(means[number + row]), *intervals[number + row]], dtype=torch.float64)
                for row, name in enumerate(controls)
            },
            curve=curve.mean((0, 1)),
            protocol=self._protocol(subject, len(curve), regions, steps, replacement),
        )

    def _interval(self, falls: Tensor, name: str) -> tuple[float, float]:
        """95 % interval of one row's value from ``falls`` ``[examples, draws]``."""
        values = falls.mean(1).numpy()
        if len(values) > 1:
            picked = np.random.default_rng(self.seed).integers(0, len(values), (_RESAMPLES, len(values)))
            low, high = np.quantile(values[picked].mean(1), (0.025, 0.975))
            return float(low), float(high)
        draws = falls[0].numpy()
        middle, count = float(draws.mean()), len(draws)
        if count < 2:
            return middle, middle
        spread = float(draws.std(ddof=1)) * float(student.ppf(0.975, count - 1))
        half = spread * math.sqrt(1 + 1 / count if name == "random" else 1 / count)
        return middle - half, middle + half

    def _protocol(self, subject: Subject, examples: int, regions: Features, steps: int, replacement: str) -> str:
        what = f"squares of {regions.kind.partition(' ')[2]} pixels" if " " in regions.kind else f"{regions.kind}s"
        count = min(regions.counts())
        draws = f"{self.draws} draw{'s' if self.draws > 1 else ''}"
        if examples > 1:
            over = f"Intervals are 95 %, by bootstrap over {examples} examples."
        elif self.draws > 1:
            over = (
                f"Intervals are 95 % over {draws}, for the random row that of a single random map: they support "
                "statements about this one example only."
            )
        else:
            over = "With one example and one draw there is no interval: compare with care."
        return (
            f"The {steps} most relevant of {count} {what} were replaced one after the other by the baseline "
            f"'{replacement}' ({draws}, the same for every row); the value is the mean fall of the explained score over "
            f"the steps (AOPC). {over} At most {steps * self.draws} forward passes per row and example."
        )


def _answers(results: Sequence[Attribution]) -> tuple[list[Attribution], Decision]:
    answers = list(results) if isinstance(results, list | tuple) else [results]
    if not answers:
        raise UsageError("there is nothing to judge; name at least one result")
    for answer in answers:
        if not isinstance(answer, Attribution):
            raise UsageError(f"it judges attributions, not a {type(answer).__name__}")
        if not isinstance(answer.query, Decision):
            raise BadInput("a result does not know its decision any more; give it back: result.asked(decision)")
        if answer.at != "input":
            raise UsageError(f"it judges maps of the input; this one lies at {answer.at!r}")
    first = answers[0].query
    assert isinstance(first, Decision)
    asked = {digest(answer.query) for answer in answers}
    if len(asked) > 1:
        raise UsageError("the results answer different decisions; judge them apart")
    return answers, first


def _distinct(names: Sequence[str]) -> list[str]:
    seen: list[str] = []
    for name in names:
        number = 2
        unique = name
        while unique in seen:
            unique, number = f"{name} {number}", number + 1
        seen.append(unique)
    return seen


def _regions(subject: Subject, inputs: Inputs, side: int) -> Features:
    if subject.task.modality is not Modality.IMAGE:
        return readable_features(subject, inputs)
    height, width = inputs.value.shape[2:]
    side = max(1, min(side, height // 4, width // 4))
    rows, columns = (_centred(length, side) for length in (height, width))
    across = int(columns.max()) + 1
    squares = torch.where((rows[:, None] < 0) | (columns < 0), -1, rows[:, None] * across + columns)
    return Features(f"square {side} × {side}", squares.expand(len(inputs), 1, height, width))


def _centred(length: int, side: int) -> Tensor:
    number = length // side
    place = torch.div(torch.arange(length) - (length - number * side) // 2, side, rounding_mode="floor")
    return torch.where((place < 0) | (place >= number), -1, place)


def _order(relevance: Tensor) -> Tensor:
    return relevance.argsort(descending=True, stable=True)


def _control_orders(example: Inputs, regions: Features, controls: Sequence[str], seed: int, draw: int) -> list[Tensor]:
    (number,) = regions.counts()
    orders = []
    for name in controls:
        match name:
            case "random":
                source = generator(seed * 1009 + draw, "random map", example.value[0])
                orders.append(torch.randperm(number, generator=source))
            case "edge":
                grey = example.value[0].double().mean(0).numpy()
                edges = torch.from_numpy(np.hypot(sobel(grey, 0), sobel(grey, 1)))
                orders.append(_order(regions.sums(edges.expand(1, 1, *edges.shape).contiguous())[0]))
            case _:
                orders.append(torch.arange(number))
    return orders


def _curves(
    subject: Subject, example: Inputs, target: Target, segments: Tensor, order: Tensor, covers: Tensor
) -> Tensor:
    """The score after each step, ``[draws, rows, steps + 1]``, of one example; ``order`` is ``[draws, rows,
    steps]``."""
    draws, rows, steps = order.shape
    number = int(segments.max()) + 1
    replaced = torch.zeros(draws, rows, steps + 1, number, dtype=torch.bool)
    for step in range(steps):
        replaced[:, :, step + 1] = replaced[:, :, step]
        replaced[:, :, step + 1].scatter_(-1, order[:, :, step : step + 1], True)
    # The draw does not matter where nothing is replaced, nor where all draws are the same.
    draw = torch.arange(draws) if draws > 1 and not bool((covers == covers[:1]).all()) else torch.zeros(draws)
    keys = torch.where(replaced.any(-1), draw.view(-1, 1, 1).long(), 0)
    rows_asked = torch.cat([keys[..., None], replaced.long()], -1).view(-1, number + 1)
    unique, where = torch.unique(rows_asked, dim=0, return_inverse=True)

    def perturbed(part: slice) -> Tensor:
        return blended(example.value[0], covers[unique[part, 0]], segments, unique[part, 1:] == 0)

    asked = torch.zeros(len(unique), dtype=torch.long)
    values = evaluate(subject, example, target, asked, perturbed, "scoring the maps")
    return values[where].view(draws, rows, steps + 1)
