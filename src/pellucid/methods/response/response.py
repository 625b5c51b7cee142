"""Response: how the answer changes with one variable or two, over many cases."""

import dataclasses
from typing import Annotated, ClassVar, Literal, Union

import torch
from annotated_types import Ge
from torch import Tensor

from pellucid.core.content import digest
from pellucid.core.errors import BadInput, NotAnswerable, UsageError
from pellucid.core.method import method
from pellucid.core.query import Decision, Population
from pellucid.core.seeds import generator
from pellucid.core.spec import Access, Asker, Dimension, Modality, Scope, Spec, View
from pellucid.core.subject import Inputs, Run, Subject
from pellucid.engine.responses import (
    Asked,
    Bootstrap,
    Form,
    accumulated_effects,
    accumulated_interaction,
    companion,
    conditional_expectation,
    counts_around,
    even_grid,
    formed,
    interaction_strength,
    largest_changes,
    pairs_around,
    quantile_grid,
)
from pellucid.engine.targets import Target, resolve
from pellucid.engine.variables import Variable, known_names, variables, words
from pellucid.results.response import Curve, Surface
from pellucid.results.response import Response as Answer

_TOGETHER = 0.5
_FEW_CASES = 10
Features = Union[str, int, tuple[Union[str, int], ...], None]


@method
class Response:
    """How the explained quantity changes with a variable, over the cases of a population and with the model alone.

    ``partial-dependence`` sets the variable to each value of a grid in all cases and takes the mean (friedman2001greedy);
    ``ice`` shows single cases beside it (goldstein2015peeking). ``ale`` moves each case only within its own bin and adds up
    the mean changes (apley2020visualizing): where variables go together, the other two average over cases that cannot be,
    and their notes say so. Grids run evenly from the lowest to the highest value, those of ``ale`` by quantiles, and take
    few values as they are; choices are set as a whole.

    ``joint`` takes two variables at once: their partial dependence with Friedman's H (friedman2008predictive), or what
    they do together beyond what each does alone (``ale``). ``form`` ``centred`` starts every curve at 0, ``derivative`` is
    the change per unit.

    The 95 % interval is that of other cases from the same population, by a bootstrap over cases (efron1979bootstrap). In
    tables variables are columns, by name or number; in other tensors elements such as ``"40:pulse"``; in characters
    positions.
    """

    spec: ClassVar = Spec(
        id="response",
        title="Response (partial dependence, ICE, ALE)",
        question="How does the answer change when this variable changes, over many cases?",
        scopes={Scope.EXPLAINABILITY, Scope.TRANSPARENCY},
        dimensions={Dimension.VISUAL, Dimension.SIMULATABILITY},
        view=View.POPULATION,
        askers={Asker.DEVELOPER, Asker.DOMAIN_EXPERT, Asker.AUDITOR},
        needs={Access.OUTPUTS},
        modalities={Modality.TABULAR, Modality.SEQUENCE, Modality.TENSOR},
        properties={"perturbation", "stochastic"},
        cost="1 F per point of the grid; ale 2 F",
        references=(
            "friedman2001greedy",
            "goldstein2015peeking",
            "apley2020visualizing",
            "friedman2008predictive",
            "efron1979bootstrap",
        ),
        serves=("A12",),
        caveat=(
            "It tells what the model does, not what the world does. A mean can hide that single cases move in opposite "
            "ways, and where there are hardly any cases the curve is a guess of the model."
        ),
        alternatives=("what-if", "occlusion"),
    )

    features: Annotated[Features, "columns or elements, by name or number; None: all columns"] = None
    kind: Annotated[Literal["partial-dependence", "ice", "ale"], "what is averaged"] = "partial-dependence"
    joint: Annotated[bool, "two variables at once"] = False
    form: Annotated[Form, "as it is, from 0 on, or the change per unit"] = "plain"
    grid: Annotated[Union[int, None], Ge(2), "points of a curve; None: 20, and 8 along each side of a surface"] = None
    cases: Annotated[int, Ge(2), "most cases that are asked about, chosen by their content"] = 1000
    curves: Annotated[int, Ge(1), "most single cases that ice shows"] = 50
    replicates: Annotated[int, Ge(20), "draws of the bootstrap"] = 400
    seed: Annotated[int, "seed of the bootstrap"] = 0

    def __call__(self, subject: Subject, query: Population) -> Answer:
        given = subject.prepare(query.data)
        inputs = given.rows(_by_content(given)[: self.cases])
        if len(inputs) < 2:
            raise BadInput("a response is told over many cases, and there is only one; ask what-if about a single case")
        target, level, quantity = _quantity(subject, inputs, query)
        wanted = self.features if self.features is not None else tuple(query.features) or None
        named = None if wanted is None else words(wanted, known_names(subject, inputs))
        chosen = variables(subject, inputs, named)
        notes = [f"{len(inputs)} of {len(given)} cases were asked about."] if len(given) > len(inputs) else []
        if named is None:
            same = [variable for variable in chosen if len(variable.values(inputs.value).unique()) < 2]
            chosen = tuple(variable for variable in chosen if variable not in same)
            if not chosen:
                raise NotAnswerable("every variable has the same value in all cases; there is nothing to compare")
            notes += [f"{variable.name} has the same value in all cases: it is left out." for variable in same]
        if self.joint:
            surface = self._surface(subject, inputs, target, chosen)
            return Answer(
                kind=self.kind, quantity=quantity, level=level, cases=len(inputs), surface=surface, notes=tuple(notes)
            )
        curves = tuple(self._curve(subject, inputs, target, variable) for variable in chosen)
        notes += [_warning(curve) for curve in curves if self.kind != "ale" and abs(curve.correlation) >= _TOGETHER]
        return Answer(
            kind=self.kind,
            quantity=quantity,
            level=level,
            cases=len(inputs),
            form=self.form,
            curves=curves,
            notes=tuple(notes),
        )

    def _curve(self, subject: Subject, inputs: Inputs, target: Target, variable: Variable) -> Curve:
        if variable.labels is not None and self.form == "derivative":
            raise UsageError(f"the choices of {variable.name} have no distance, so no derivative; leave form out")
        cases, ask, bootstrap = self._asked(subject, inputs, target, variable)
        values = variable.values(cases.value)
        single = None
        if self.kind == "ale":
            grid = quantile_grid(variable, values, self.grid or 20)
            statistics = formed(accumulated_effects(ask, variable, grid, bootstrap.weights), self.form, grid)
        else:
            grid = even_grid(variable, values, self.grid or 20)
            single = formed(conditional_expectation(ask, (variable, grid)), self.form, grid)
            statistics = bootstrap.weights @ single / len(cases)
        mean, low, high = bootstrap.interval(statistics)
        other, correlation = _goes_with(subject, cases, variable, values)
        curve = Curve(
            variable=variable.name,
            grid=grid,
            mean=mean,
            low=low,
            high=high,
            counts=counts_around(values, grid),
            individual=single[: self.curves].clone() if single is not None and self.kind == "ice" else None,
            labels=variable.labels,
            companion=other,
            correlation=correlation,
        )
        if variable.labels is not None:
            return curve
        moves = largest_changes(mean, ~curve.thin)
        bounds = [bootstrap.interval(statistics[:, stop] - statistics[:, start])[1:] for start, stop in moves]
        changes = tuple((*move, float(low), float(high)) for move, (low, high) in zip(moves, bounds, strict=True))
        return dataclasses.replace(curve, changes=changes)

    def _surface(self, subject: Subject, inputs: Inputs, target: Target, chosen: tuple[Variable, ...]) -> Surface:
        if len(chosen) != 2 or self.kind == "ice" or self.form != "plain":
            raise UsageError(
                "response(joint=True) takes two features, kind partial-dependence or ale, and form plain; name features='a,b'"
            )
        first, second = chosen
        cases, ask, bootstrap = self._asked(subject, inputs, target, first, second)
        values = first.values(cases.value), second.values(cases.value)
        ale, points, interaction = self.kind == "ale", self.grid or 8, None
        make = quantile_grid if ale else even_grid
        grids = make(first, values[0], points), make(second, values[1], points)
        counts = pairs_around(values, grids)
        if ale:
            statistics = accumulated_interaction(ask, (first, second), grids, bootstrap.weights)
        else:
            settings = (first, grids[0]), (second, grids[1])
            whole = conditional_expectation(ask, *settings)
            alone = [conditional_expectation(ask, setting) for setting in settings]
            statistics, *means = (torch.tensordot(bootstrap.weights, part, 1) / len(cases) for part in (whole, *alone))
            strengths = interaction_strength(statistics, means[0], means[1], counts)
            least, most = strengths[1:].quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
            interaction = (float(strengths[0]), least, most)
        mean, low, high = bootstrap.interval(statistics)
        return Surface(
            variables=(first.name, second.name),
            grids=grids,
            mean=mean,
            low=low,
            high=high,
            counts=counts,
            labels=(first.labels, second.labels),
            interaction=interaction,
        )

    def _asked(
        self, subject: Subject, inputs: Inputs, target: Target, *chosen: Variable
    ) -> tuple[Inputs, Asked, Bootstrap]:
        """The cases that have the variables, what they are asked, and how they are drawn again."""
        present = torch.stack([variable.present for variable in chosen]).all(0).nonzero().flatten()
        if len(present) < 2:
            raise BadInput(f"fewer than two cases have {' and '.join(variable.name for variable in chosen)}")
        cases = inputs.rows(present)
        source = generator(self.seed, "response", cases.value)
        return (
            cases,
            Asked(subject, cases, target.rows(present), "response"),
            Bootstrap(len(cases), self.replicates, source),
        )


def _by_content(inputs: Inputs) -> Tensor:
    """The numbers of the cases in an order that depends on what they are, not on where they stand."""
    real = [case if inputs.mask is None else case[inputs.mask[row]] for row, case in enumerate(inputs.value)]
    return torch.tensor(sorted(range(len(real)), key=lambda row: digest(real[row])))


def _quantity(subject: Subject, inputs: Inputs, query: Population) -> tuple[Target, Tensor, str]:
    """What is asked of every case, its mean over them as they are, and its name."""
    scores = subject.scores(inputs)
    if query.target is None and scores.shape[-1] > 1:
        known = ", ".join((subject.task.labels or tuple(map(str, range(scores.shape[-1]))))[:8])
        raise UsageError(f"cases have different predictions; name one of {known} as target for all of them")
    target = resolve(subject, inputs, Decision(inputs, query.target, of=query.of), scores)
    level = target(Run(scores)).double().mean()[None]
    assert target.index is not None
    number = int(target.index[0, -1])
    named = "" if scores.shape[-1] == 1 else f" of {target.labels[number] if target.labels else f'output {number}'}"
    return target, level, ("value" if subject.task.output == "value" else str(query.of)) + named


def _goes_with(subject: Subject, cases: Inputs, variable: Variable, values: Tensor) -> tuple[str, float]:
    """The other column that goes most with a variable, and their rank correlation."""
    names = known_names(subject, cases)
    others = [number for number in range(cases.value.flatten(1).shape[1]) if number not in variable.elements]
    if variable.labels is not None or cases.value.ndim != 2 or len(cases) < _FEW_CASES or not others:
        return "", 0.0
    best, correlation = companion(values, cases.value[:, others])
    return names[others[best]], correlation


def _warning(curve: Curve) -> str:
    return (
        f"{curve.variable} goes with {curve.companion} (rank correlation {curve.correlation:+.2f}): cases are looked at "
        "that hardly occur; compare kind='ale'."
    )
