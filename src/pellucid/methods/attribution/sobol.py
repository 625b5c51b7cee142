"""Sobol: how much of the score's variation is owed to each part, alone and together with others."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Union

import torch
from annotated_types import Ge, Gt
from scipy.stats import qmc
from scipy.stats import t as student
from torch import Generator, Tensor
from torch.nn.utils.rnn import pad_sequence

from pellucid.core.errors import UsageError
from pellucid.core.meter import report
from pellucid.core.method import method
from pellucid.core.query import Decision
from pellucid.core.spec import Access, Asker, Dimension, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.attributing import around, attribution
from pellucid.engine.batching import evaluate
from pellucid.engine.coalitions import draws_of, fading, hidden_point, players
from pellucid.engine.perturb import Baseline, Grouping
from pellucid.engine.targets import resolve
from pellucid.results.attribution import Attribution

_MOST_FEATURES = 10_600
_FEWEST = 4
_STILL = "The score is the same however far features fade: there is no variation to be shared out."
Ask = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class _Replicate:
    """What one scrambled design says of the quantity: its ``mean``, the mean of its ``square``, and per feature what
    stands for the variances. ``total_pull`` and ``first_pull`` are how much of these a mean above 0 makes up."""

    mean: Tensor
    square: Tensor
    total: Tensor
    total_pull: Tensor
    first: Tensor
    first_pull: Tensor


@dataclass(frozen=True)
class _Indices:
    """The indices of one example with half of their 95 % intervals, and the variance that they share."""

    mean: Tensor
    variance: Tensor
    total: Tensor
    total_half: Tensor
    first: Tensor
    first_half: Tensor


@method
class Sobol:
    """Each feature scores its total-order Sobol index: the share of the variance of the explained quantity that would be
    left if all features but this one were known, where each fades in by its own random degree (fel2021look).

    Degrees are uniform between hidden (0) and shown (1), from Sobol' sequences: each of several ``replicates`` is a design
    of ``design`` pairs of points of its own, scrambled anew (owen1998scrambling). ``jansen`` estimates by mean squared
    differences (jansen1999analysis), ``saltelli`` by products (saltelli2010variance). Neither sign nor size of the score is
    told: an index says that a feature matters, not for what.

    ``quality`` holds the ``first_order`` indices (what each feature does alone; the rest of its total it does together with
    others), half of their 95 % intervals, and ``mean`` and ``variance`` of the quantity. The interval is told by how
    replicates differ. They are added until every half interval is within ``tolerance``, or the next would take more than
    ``samples``; ``converged`` tells which. An index can come out below 0 by chance.
    """

    spec: ClassVar = Spec(
        id="sobol",
        title="Sobol indices",
        question="How much of the score's variation is owed to each part, alone and together with others?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.VISUAL},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.DOMAIN_EXPERT, Asker.AUDITOR},
        needs={Access.OUTPUTS},
        properties={"perturbation", "stochastic"},
        cost="design × (features + 2) F per replicate: up to 8192 F",
        references=("fel2021look", "saltelli2010variance", "jansen1999analysis", "owen1998scrambling"),
        serves=("A9",),
        caveat=(
            "It has no sign: what speaks against the class matters as much as what speaks for it. It tells of faded inputs "
            "that the network was never trained on."
        ),
        alternatives=("occlusion", "lime"),
    )

    samples: Annotated[int, Ge(8), "most points that the model is asked about, per example"] = 8192
    design: Annotated[int, Ge(2), "pairs of points of a replicate: a power of two"] = 16
    estimator: Annotated[Literal["jansen", "saltelli"], "squared differences or products"] = "jansen"
    features: Annotated[Grouping, "what fades together; None: superpixels, words, columns or elements"] = None
    segments: Annotated[Union[int, None], Ge(1), "number of superpixels wanted; None: the task's default"] = None
    baseline: Annotated[
        Union[Baseline, None],
        "what a hidden feature looks like; None: its own mean colour in a picture, else the default",
    ] = None
    tolerance: Annotated[float, Gt(0), "largest half interval of an index, which is a share"] = 0.05
    seed: Annotated[int, "seed of the scrambling"] = 0

    def __post_init__(self) -> None:
        if self.design & (self.design - 1):
            raise UsageError(f"sobol(design={self.design}): a Sobol' sequence is even at a power of two only; give one")

    def __call__(self, subject: Subject, query: Decision) -> Attribution:
        inputs = subject.prepare(query.inputs)
        features = players(subject, inputs, self.features, self.segments)
        hidden = hidden_point(subject, inputs, features, self.baseline, self.seed)
        target = resolve(subject, inputs, query)
        plain = evaluate(subject, inputs, target, torch.arange(len(inputs)), lambda part: inputs.value[part])
        found = [
            self._indices(
                number,
                draws_of(inputs, row, self.seed, "sobol"),
                fading(subject, inputs, target, features, hidden, row, "sobol"),
            )
            for row, number in enumerate(features.counts())
        ]
        answer = attribution(
            subject,
            inputs,
            query,
            target,
            features.spread([one.total for one in found], inputs.value),
            plain.to(inputs.value.dtype),
            features,
            quality={
                "first_order": pad_sequence([one.first for one in found], batch_first=True),
                "first_order_half_interval": pad_sequence([one.first_half for one in found], batch_first=True),
                "mean": torch.stack([one.mean for one in found]),
                "variance": torch.stack([one.variance for one in found]),
            },
            converged=torch.tensor([self._settled(one) for one in found]),
        )
        answer = around(answer, [one.total_half for one in found])
        still = any(float(one.variance) == 0 for one in found)
        return dataclasses.replace(answer, notes=(*answer.notes, _STILL)) if still else answer

    def _indices(self, features: int, source: Generator, ask: Ask) -> _Indices:
        """The indices of one example from as many replicates as are needed, or as fit."""
        if features > _MOST_FEATURES:
            raise UsageError(f"sobol takes at most {_MOST_FEATURES} features, not {features}; group them: features=…")
        cost = self.design * (features + 2)
        most = self.samples // cost
        if most < _FEWEST:
            raise UsageError(
                f"sobol needs {_FEWEST * cost} samples at least for {features} features and a design of {self.design}, not "
                f"{self.samples}; group the features, or give more samples or a smaller design"
            )
        replicates: list[_Replicate] = []
        while True:
            wanted = min(most, max(_FEWEST, 2 * len(replicates)))
            replicates += [self._replicate(features, source, ask) for _ in range(len(replicates), wanted)]
            report(len(replicates) * cost, self.samples, "sobol")
            indices = self._pooled(replicates)
            if len(replicates) == most or self._settled(indices):
                return indices

    def _replicate(self, features: int, source: Generator, ask: Ask) -> _Replicate:
        seed = int(torch.randint(2**31, (), generator=source))
        points = torch.from_numpy(qmc.Sobol(2 * features, scramble=True, seed=seed).random(self.design))
        one, other = points.split(features, 1)
        # Of each feature: the first points, with this feature as it is in the others.
        mixed = torch.where(torch.eye(features, dtype=torch.bool)[:, None], other, one).flatten(0, 1)
        f, g, *of_feature = ask(torch.cat([one, other, mixed])).split(self.design)
        ends, h = torch.cat([f, g]), torch.stack(of_feature)
        if self.estimator == "jansen":
            none = torch.zeros(features, dtype=torch.float64)
            parts = (f - h).square().mean(1) / 2, none, (g - h).square().mean(1) / -2, none
        else:
            parts = (f * (f - h)).mean(1), (f - h).mean(1), (g * (h - f)).mean(1), (h - f).mean(1)
        return _Replicate(ends.mean(), ends.square().mean(), *parts)

    def _pooled(self, replicates: list[_Replicate]) -> _Indices:
        mean, square, total, total_pull, first, first_pull = (
            torch.stack([getattr(one, field.name) for one in replicates]) for field in dataclasses.fields(_Replicate)
        )
        level = mean.mean()
        # Around the mean of all replicates, to which the variance of all is stationary.
        variances = square - 2 * level * mean + level**2
        if self.estimator == "jansen":
            first = variances[:, None] + first
        total, total_half = _shares(total - level * total_pull, variances)
        first, first_half = _shares(first - level * first_pull, variances)
        return _Indices(level, variances.mean(), total, total_half, first, first_half)

    def _settled(self, indices: _Indices) -> bool:
        return bool(indices.total_half.max() <= self.tolerance)


def _shares(parts: Tensor, wholes: Tensor) -> tuple[Tensor, Tensor]:
    """The ratio of the means of ``parts`` ``[replicates, features]`` and ``wholes`` ``[replicates]``, and half of its 95 %
    interval."""
    whole = wholes.mean()
    if whole <= 0:
        return torch.zeros_like(parts[0]), torch.zeros_like(parts[0])
    share = parts.mean(0) / whole
    error = (parts - share * wholes[:, None]).std(0) / (whole * len(parts) ** 0.5)
    return share, float(student.ppf(0.975, len(parts) - 1)) * error
