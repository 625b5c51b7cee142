"""Counterfactuals: the smallest change of the input that changes the decision."""

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal, Union

from annotated_types import Ge, Gt
from torch import Tensor

from pellucid.core.annotations import Data
from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.core.method import method
from pellucid.core.query import Decision
from pellucid.core.spec import Access, Asker, Dimension, Modality, Scope, Spec, View
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.counterfactual_search import nearest, weighed
from pellucid.engine.diverse import diverse
from pellucid.engine.goals import Goal, goal
from pellucid.engine.outcomes import Limits, Outcome, counterfactuals
from pellucid.engine.pertinent import Pertinent, away_from, pertinent, towards
from pellucid.engine.perturb import Baseline, baseline_value
from pellucid.engine.region_swap import map_layer, map_of, swapped
from pellucid.engine.search_space import Names, Norm, search_space
from pellucid.engine.targets import Target, resolve
from pellucid.results.counterfactual import Counterfactuals

Kind = Literal["wachter", "diverse", "pertinent-negative", "pertinent-positive", "region-swap"]

_PERTINENT = ("pertinent-negative", "pertinent-positive")
_CLOSEST = ("wachter", "diverse")
# The kinds that each field is for; the others are for all.
_FOR: dict[str, tuple[str, ...]] = {
    "wanted": (*_CLOSEST, "pertinent-negative"),
    "norm": _CLOSEST,
    "weights": _CLOSEST,
    "weight": ("wachter", *_PERTINENT),
    "immutable": (*_CLOSEST, *_PERTINENT),
    "increasing": (*_CLOSEST, "pertinent-negative"),
    "decreasing": (*_CLOSEST, "pertinent-negative"),
    "max_changes": (*_CLOSEST, "region-swap"),
    "number": ("diverse",),
    "proximity": ("diverse",),
    "diversity": ("diverse",),
    "baseline": _PERTINENT,
    "beta": _PERTINENT,
    "kappa": _PERTINENT,
    "gamma": _PERTINENT,
    "autoencoder": _PERTINENT,
    "layer": ("region-swap",),
    "distractor": ("region-swap",),
}
_NEEDS = dict.fromkeys(_PERTINENT, Access.GRADIENTS) | {"region-swap": Access.ACTIVATIONS}


@method
class Counterfactual:
    """Whatever is returned as found was asked of the subject again, which answers it as wanted, and keeps all constraints.

    The target is what the example is decided as, the foil what it should be instead; without a foil any other class does.
    For a value ``wanted`` is what has to be reached, from above or below; for a class how much of the explained quantity it
    must have at least: ``Decision(…, of="probability")`` with ``wanted=0.7``. Features stay within the task's bounds, choices
    and whole numbers where the task says so.

    ``wachter`` (wachter2017counterfactual): the cheapest change. λ (gap − t)² + cost is minimised for growing λ, and what
    that and other starts lead to is moved along the boundary to where it is nearest; with a ``weight`` (λ) the minimum
    itself is returned. ``diverse`` (mothilal2020explaining): ``number`` of these that differ. Both need outputs only: where
    there are no gradients, differences take their place.

    ``pertinent-negative`` and ``pertinent-positive`` (dhurandhar2018explanations): what is absent and would change the
    decision, and what is present and suffices for it, under c · max(−gap, −κ) + β |d|₁ + |d|₂² + γ |x − autoencoder(x)|².

    ``region-swap`` (goyal2019counterfactual): the cells of a layer's map to replace by cells of the ``distractor``, a
    picture of the foil, one after the other.
    """

    spec: ClassVar = Spec(
        id="counterfactual",
        title="Counterfactual",
        question="What would have to be different for the decision to be another one?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.TEXTUAL, Dimension.BY_EXAMPLE},
        view=View.DECISION,
        askers={Asker.AFFECTED_PERSON, Asker.DOMAIN_EXPERT, Asker.DEVELOPER, Asker.AUDITOR},
        needs={Access.OUTPUTS},
        modalities={Modality.TABULAR, Modality.IMAGE, Modality.TENSOR},
        cost="some 1,000 F or B, at most the budget",
        references=(
            "wachter2017counterfactual",
            "mothilal2020explaining",
            "dhurandhar2018explanations",
            "goyal2019counterfactual",
        ),
        serves=("A13",),
        caveat=(
            "It is about the model, not about the world: who changes what it names need not be better off. Other changes are "
            "as near. In pictures the nearest one is often noise that no eye sees."
        ),
        alternatives=("occlusion",),
    )

    kind: Annotated[Kind, "what is looked for"] = "wachter"
    wanted: Annotated[Union[float, None], "what a value has to reach, or the new class has to have at least"] = None
    norm: Annotated[Norm, "how changes add up: l1 prefers few, l2 small ones"] = "l1"
    weights: Annotated[
        Union[Literal["mad", "none"], Tensor],
        "what a change by one unit costs: 1 / MAD of the reference rows, 1, or a tensor",
    ] = "mad"
    weight: Annotated[Union[float, None], Gt(0), "λ of wachter or c of the pertinent kinds; None: as is needed"] = None
    immutable: Annotated[
        Union[Names, Tensor], "features that stay, separated by commas; or a tensor, True where elements do"
    ] = None
    increasing: Annotated[Names, "features that may only increase, separated by commas"] = None
    decreasing: Annotated[Names, "features that may only decrease, separated by commas"] = None
    max_changes: Annotated[Union[int, None], Ge(1), "most features, or regions, that may change; None: any"] = None
    number: Annotated[int, Ge(1), "of diverse: how many"] = 4
    proximity: Annotated[float, Ge(0), "of diverse: the weight of nearness"] = 0.5
    diversity: Annotated[float, Ge(0), "of diverse: the weight of being different from each other"] = 1.0
    baseline: Annotated[
        Union[Baseline, None], "of the pertinent kinds: no information; None: black, or the task's default"
    ] = None
    beta: Annotated[float, Ge(0), "of the pertinent kinds: the weight of sparsity"] = 0.1
    kappa: Annotated[float, Ge(0), "of the pertinent kinds: how far beyond the boundary"] = 0.0
    gamma: Annotated[float, Ge(0), "of the pertinent kinds: the weight of the autoencoder's error"] = 0.0
    autoencoder: Annotated[
        Union[Callable[[Tensor], Any], None], Data(), "a function of points that gives likely ones back"
    ] = None
    layer: Annotated[Union[str, None], "of region-swap: a layer with a map; None: the last one"] = None
    distractor: Annotated[Union[str, Any, None], Data(), "of region-swap: one or several pictures of the foil"] = None
    budget: Annotated[int, Ge(2), "most passes per example"] = 20_000
    seconds: Annotated[Union[float, None], Gt(0), "longest time per example; None: no limit"] = 60.0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            kinds, default = _FOR.get(field.name, (self.kind,)), field.default
            value = getattr(self, field.name)
            given = value is not default if isinstance(value, Tensor) else value != default
            if self.kind not in kinds and given:
                raise UsageError(f"counterfactual({field.name}=…) is for {' and '.join(kinds)}, not for {self.kind}")
        if self.gamma > 0 and self.autoencoder is None:
            raise UsageError("counterfactual(gamma=…) weighs the error of an autoencoder; give one, or leave gamma out")

    def __call__(self, subject: Subject, query: Decision) -> Counterfactuals:
        self._check_access(subject)
        inputs = subject.prepare(query.inputs)
        if not inputs.value.is_floating_point():
            raise NotAnswerable(
                f"{subject.name} reads whole numbers, which stand for something and cannot be moved a little"
            )
        others = self._others(subject, inputs)
        target = resolve(subject, inputs, query)
        if others is not None and target.foil is None:
            target = self._of_the_distractor(subject, inputs, query, others)
        layer = None if others is None else map_layer(subject, inputs, self.layer)
        maps = None if others is None or layer is None else map_of(subject, others, layer)
        found = []
        for row in range(len(inputs)):
            one, asked = inputs.rows(slice(row, row + 1)), target.rows(slice(row, row + 1))
            run = subject.run(one, capture=asked.capture, original=True)
            wish = goal(asked, run, self.wanted, keep=self.kind == "pertinent-positive")
            if layer is not None and maps is not None:
                found.append(swapped(subject, one, wish, layer, maps, self._limits()))
            else:
                found.append(self._one(subject, one, wish))
        return counterfactuals(
            subject, inputs, target, found, self.kind, self.wanted, self._measure(subject), self._constraints(), layer
        )

    def _one(self, subject: Subject, one: Inputs, wish: Goal) -> Outcome:
        norm: Norm = "l1" if self.kind in _PERTINENT else self.norm
        weights = "none" if self.kind in _PERTINENT else self.weights
        space, features = search_space(subject, one, norm, weights, self.immutable, self.increasing, self.decreasing)
        limits = self._limits()
        if self.kind == "diverse":
            return diverse(subject, one, wish, space, features, limits, self.number, self.proximity, self.diversity)
        if self.kind == "wachter" and self.weight is not None:
            return weighed(subject, one, wish, space, features, limits, self.weight)
        if self.kind == "wachter":
            return nearest(subject, one, wish, space, features, limits)
        nothing = self._nothing(subject, one)
        room = (away_from if self.kind == "pertinent-negative" else towards)(space, nothing)
        objective = Pertinent(self.beta, self.kappa, self.gamma, self.autoencoder, self.weight)
        found = pertinent(subject, one, wish, room, features, objective, limits)
        return found if self.kind == "pertinent-negative" else dataclasses.replace(found, absent=nothing[0])

    def _nothing(self, subject: Subject, one: Inputs) -> Tensor:
        known = subject.task.baselines()
        default = "black" if "black" in known else known[0]
        return baseline_value(subject, one, default if self.baseline is None else self.baseline)

    def _others(self, subject: Subject, inputs: Inputs) -> Inputs | None:
        if self.kind != "region-swap":
            return None
        if self.distractor is None:
            raise UsageError("counterfactual(kind='region-swap') takes regions from another picture: distractor=…")
        return subject.prepare(self.distractor)

    def _of_the_distractor(self, subject: Subject, inputs: Inputs, query: Decision, others: Inputs) -> Target:
        classes = resolve(subject, others, Decision(others)).index
        if classes is None or len(classes.unique(dim=0)) > 1:
            raise UsageError("the distractors are of several classes; name the one that is meant: Decision(…, foil=…)")
        foil = tuple(classes[0].tolist())
        return resolve(subject, inputs, dataclasses.replace(query, foil=foil if len(foil) > 1 else foil[0]))

    def _check_access(self, subject: Subject) -> None:
        needed = _NEEDS.get(self.kind)
        if needed is not None and needed not in subject.offers:
            offered = ", ".join(sorted(subject.offers))
            raise NotAnswerable(
                f"counterfactual(kind={self.kind!r}) on {subject.name}: needs {needed}; this subject offers {offered} only. "
                "Ask: kind='wachter' or kind='diverse'"
            )

    def _limits(self) -> Limits:
        return Limits(self.budget, self.seconds, self.max_changes)

    def _measure(self, subject: Subject) -> str:
        if self.kind == "region-swap":
            return "swapped regions"
        named = {"l1": "sum of changes", "l2": "root of the sum of squared changes"}
        if self.kind in _PERTINENT:
            return named["l1"]
        weighed = isinstance(self.weights, Tensor)
        mads = self.weights == "mad" if not weighed else False
        rows = getattr(subject.task, "reference", None) is not None
        return named[self.norm] + (
            ", weighed" if weighed else ", in median absolute deviations" if mads and rows else ""
        )

    def _constraints(self) -> tuple[str, ...]:
        told = []
        for field in ("immutable", "increasing", "decreasing"):
            value = getattr(self, field)
            if value is not None:
                words = (
                    value if isinstance(value, str) else "as given" if isinstance(value, Tensor) else ", ".join(value)
                )
                told.append(f"{field}: {words}")
        if self.max_changes is not None:
            told.append(f"at most {self.max_changes} changes")
        return tuple(told)
