"""Compare explanations: how far those of one kind say the same, and, across kinds, how far they serve a reader alike."""

import itertools
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal, Union

import torch
from annotated_types import Ge
from torch import Tensor

from pellucid.core.content import digest
from pellucid.core.context import Context
from pellucid.core.errors import NotComparable, UsageError
from pellucid.core.method import method
from pellucid.core.query import Judgement
from pellucid.core.result import Result
from pellucid.core.seeds import generator
from pellucid.core.spec import Access, Asker, Dimension, Modality, Scope, Spec, View
from pellucid.core.subject import Features, Inputs, Subject
from pellucid.engine.judging import names
from pellucid.engine.likeness import bounds, measured, named
from pellucid.engine.readings import Reading, about_one_decision, check_read, kind_of, listed, read
from pellucid.engine.served import served
from pellucid.engine.shared_regions import FEWEST, shared_regions
from pellucid.engine.standing import mean_intervals
from pellucid.engine.targets import resolve
from pellucid.methods.comparison.interpretation_score import InterpretationScore
from pellucid.results.comparison import Comparison
from pellucid.results.interpretation import Interpretation

_ENDS = torch.tensor([0.025, 0.975], dtype=torch.float64)
_ENOUGH = 10


@method
class CompareExplanations:
    """Rank correlations, overlap and distance of every pair of explanations, with intervals over examples and chance.

    Explanations of one kind, at one place, of one decision are compared as they are. What they score is summed over the
    regions that they share: superpixels where one has pixels, squares where a picture has more than 1,024 regions or too few,
    or where ``grid`` asks for them. ``chance`` is the same comparison with the second one's scores dealt out anew over the
    regions: how alike two maps look that have nothing to do with each other.

    Between explanations of different kinds there is no distance: they are refused. With a ``context``, which says what is
    done with them, by whom, and what is asked, nothing is measured on them directly: a reader gets things right or wrong
    with each (``interpretation-score``), and the differences of these outcomes are compared. Scores of
    ``interpretation-score`` can be compared too, if they are of one context.
    """

    spec: ClassVar = Spec(
        id="compare-explanations",
        title="Compare explanations",
        question="Do these explanations say the same, and if they are of different kinds, do they serve a reader alike?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.SIMULATABILITY},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.AUDITOR},
        needs={Access.OUTPUTS},
        properties={"stochastic"},
        cost="1 F per example; with a context that of interpretation-score",
        references=("chakraborty2017interpretability", "krishna2024disagreement"),
        serves=("E5",),
        caveat=(
            "Explanations that agree can be wrong together: agreement is no evidence that they show what the model does. "
            "Judge each against control rows too (region-perturbation)."
        ),
        alternatives=("interpretation-score", "region-perturbation"),
    )

    context: Annotated[
        Union[Context, None], "in what situation they are read; needed for explanations of different kinds"
    ] = None
    outcome: Annotated[
        Literal["forward-simulation", "fault-finding", "decision-quality"], "what a reader must get right, in a context"
    ] = "fault-finding"
    signed: Annotated[bool, "compare scores with their signs; otherwise their sizes"] = True
    top: Annotated[tuple[float, ...], "shares of the regions whose overlap is measured"] = (0.05, 0.1, 0.2)
    grid: Annotated[Union[int, None], Ge(2), "squares along each side of a picture; None: the regions all share"] = None
    shuffles: Annotated[int, Ge(2), "shuffles of the scores that show what chance gives"] = 40
    seed: Annotated[int, "seed of the shuffles and intervals"] = 0

    def __post_init__(self) -> None:
        if not self.top or not all(0 < share < 1 for share in self.top):
            raise UsageError(f"compare-explanations(top={self.top!r}): it takes shares between 0 and 1")

    def __call__(self, subject: Subject, query: Judgement) -> Comparison:
        results = listed(query.results)
        scored = [result for result in results if isinstance(result, Interpretation)]
        if len(scored) == len(results):
            return served(scored)
        if len(results) < 2:
            raise UsageError("there is nothing to compare with; name at least two results")
        if self.context is not None:
            score = InterpretationScore(context=self.context, outcome=self.outcome, seed=self.seed)
            found = score(subject, query)
            assert isinstance(found, Interpretation)
            return served([found], tuple(map(kind_of, results)))
        return self._alike(subject, results, int(digest((self.seed, query.seed))[:12], 16))

    def _alike(self, subject: Subject, results: Sequence[Result], seed: int) -> Comparison:
        _check_one_kind(results)
        readings = [read(result) for result in results]
        _check_one_place(readings)
        decision = about_one_decision(results)
        inputs = subject.prepare(decision.inputs)
        target = resolve(subject, inputs, decision)
        for result in results:
            check_read(subject, inputs, target, result)
        picture = subject.task.modality is Modality.IMAGE and readings[0].at == "input"
        point = tuple(readings[0].scores.shape[1:])
        regions = shared_regions([reading.features for reading in readings], point, picture, self.grid)
        vectors = [
            own.sums(reading.scores.double() if self.signed else reading.scores.double().abs())
            for own, reading in zip(regions, readings, strict=True)
        ]
        pairs = list(itertools.combinations(range(len(results)), 2))
        found = torch.stack([self._pair(inputs, vectors[one], vectors[other], seed) for one, other in pairs], 1)
        means = found[..., 1:].mean(2)
        middle, ends = means.mean(-1), means.quantile(_ENDS, -1)
        return Comparison(
            names=tuple(names(results)),
            kinds=tuple(map(kind_of, results)),
            pairs=torch.tensor(pairs),
            measures=named(self.top),
            value=found[..., 0].mean(2),
            interval=torch.stack([self._interval(row, found[row, :, :, 0], seed) for row in range(len(found))]),
            chance=torch.stack([middle, *ends], -1),
            per_example=found[..., 0],
            protocol=self._protocol(regions[0], len(inputs)),
            notes=_notes(vectors, len(inputs)),
        )

    def _pair(self, inputs: Inputs, one: Sequence[Tensor], other: Sequence[Tensor], seed: int) -> Tensor:
        """Every measure of two explanations, as they are and in each shuffle: ``[measures, examples, 1 + shuffles]``."""
        rows = []
        for example, (first, second) in enumerate(zip(one, other, strict=True)):
            source = generator(seed, self.spec.id, inputs.value[example])
            orders = [torch.randperm(len(second), generator=source) for _ in range(self.shuffles)]
            dealt = torch.stack([second, *(second[order] for order in orders)])
            rows.append(torch.from_numpy(measured(first.numpy(), dealt.numpy(), self.top)))
        return torch.stack(rows, 1)

    def _interval(self, measure: int, each: Tensor, seed: int) -> Tensor:
        """The 95 % interval of the mean over examples, of each pair; everything is possible where there is one example."""
        if each.shape[1] == 1:
            return torch.tensor([bounds(measure)] * len(each), dtype=torch.float64)
        return mean_intervals(each, seed)[:, 1:]

    def _protocol(self, regions: Features, examples: int) -> str:
        counts = sorted(set(regions.counts()))
        number = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        over = (
            f"Intervals are 95 %, by bootstrap over {examples} examples."
            if examples > 1
            else "One example says nothing about others: the intervals are all that is possible."
        )
        return (
            f"{'Scores' if self.signed else 'Sizes of scores'} were summed over {number} shared regions (kind: "
            f"{regions.kind}). {over} By chance: the mean over the examples, and where 95 % of {self.shuffles} such means "
            "lie, with the second explanation's scores dealt out anew over the regions."
        )


def _check_one_kind(results: Sequence[Result]) -> None:
    kinds = list(dict.fromkeys(map(kind_of, results)))
    if len(kinds) > 1:
        raise NotComparable(
            f"there is no distance between explanations of different kinds ({', '.join(kinds)}); say in which context they "
            "are read: CompareExplanations(context=Context(task, asker, query)) compares what a reader gets right with each"
        )


def _check_one_place(readings: Sequence[Reading]) -> None:
    places = list(dict.fromkeys((reading.at, tuple(reading.scores.shape)) for reading in readings))
    if len(places) > 1:
        told = ", ".join(f"{at} {list(shape)}" for at, shape in places)
        raise NotComparable(f"the explanations lie at different places ({told}); ask every method at the same")


def _notes(vectors: Sequence[Sequence[Tensor]], examples: int) -> tuple[str, ...]:
    """What the means alone would hide."""
    notes = []
    flat = sum(any(len(own[row].unique()) < 2 for own in vectors) for row in range(examples))
    few = sum(len(vectors[0][row]) < FEWEST for row in range(examples))
    if flat:
        notes.append(
            f"In {flat} of {examples} examples an explanation scores all regions alike: it correlates with nothing (0)."
        )
    if few:
        notes.append(f"In {few} of {examples} examples there are fewer than {FEWEST} shared regions to compare.")
    if 1 < examples < _ENOUGH:
        notes.append(f"Intervals from {examples} examples are rough, and rather too narrow.")
    return tuple(notes)
