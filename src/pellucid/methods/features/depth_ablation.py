"""Depth ablation: what a network still knows without a layer, or without several at once."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Union

import torch
from torch import Tensor

from pellucid.core.annotations import Data
from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.core.meter import report
from pellucid.core.method import method
from pellucid.core.query import Decision, Population
from pellucid.core.spec import Access, Asker, Dimension, Scope, Spec, View
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.dataset import DataSet
from pellucid.engine.depth import Depth, Removal, mean_activations
from pellucid.engine.profiles import line
from pellucid.engine.targets import Predicted, Target, resolve
from pellucid.engine.unit_examples import data_set, left_out
from pellucid.engine.units import layer_at
from pellucid.results.profile import Panel, Profile

Group = tuple[str, ...]
_NOTHING = "nothing"
_CONSTANT = (
    "Not skipped, but made to return their mean: {}. "
    "Where no path goes around such a layer, nothing of the input gets past it."
)


@method
class DepthAblation:
    """How many examples are still given their class, and how the score changes, without a layer or a group of layers
    (zeiler2014visualizing, who trained again after each removal; here nothing is trained).

    A layer is skipped where it keeps the shape of what it reads; another one returns its mean activation over the data,
    whatever it reads (``removal`` forces either, or zeros). By default the outermost blocks that can be skipped are left out
    one by one, then from the last one back more and more of them; where there are none, single layers with weights.
    """

    spec: ClassVar = Spec(
        id="depth-ablation",
        title="Depth ablation",
        question="Which layers can the network do without, and which not?",
        scopes={Scope.TRANSPARENCY, Scope.DECOMPOSABILITY},
        dimensions={Dimension.DECOMPOSABILITY},
        view=View.MODEL,
        askers={Asker.DEVELOPER},
        needs={Access.ACTIVATIONS, Access.WEIGHTS},
        cost="1 F per example and group of layers, and 1 F",
        references=("zeiler2014visualizing",),
        serves=("B3",),
        caveat=(
            "The other layers were trained with those that are left out, and meet values that they never saw: a loss says "
            "that the network as it is needs a layer, not that one trained without it would do worse."
        ),
        alternatives=("pathway", "occlusion"),
    )

    layers: Annotated[
        Union[str, None], "groups of layers to leave out, as in 'blocks.3, blocks.6+blocks.7'; None: by default"
    ] = None
    removal: Annotated[Removal, "what becomes of a layer that is left out"] = "auto"
    outcomes: Annotated[Union[Any, None], Data(), "true classes; None: compared with the whole network"] = None

    def __call__(self, subject: Subject, query: Population) -> Profile:
        data, truth = self._data(subject, query)
        one = data.inputs([0])
        depth = Depth(subject, one, self.removal)
        groups = self._groups(subject, one, depth)
        constant = sorted(
            {name for group in groups for name in depth.constant(group)} if self.removal != "zero" else ()
        )
        size = subject.batch_size(one)
        means = mean_activations(subject, data.batches(size), constant)
        targets = [self._target(subject, query, truth, *batch) for batch in data.batches(size)]
        right, score = [], []
        for number, group in enumerate([(), *groups]):
            report(number, len(groups) + 1, "depth ablation")
            shortened, found = depth.without(group, means), []
            for target, (_, inputs) in zip(targets, data.batches(size), strict=True):
                run = shortened.run(inputs)
                found.append(torch.stack([Predicted(target)(run).double(), target(run).double()]))
            rows = torch.cat(found, 1)
            right.append(rows[0])
            score.append(rows[1])
        report(len(groups) + 1, len(groups) + 1, "depth ablation")
        notes = (*left_out(data), *((_CONSTANT.format(", ".join(constant)),) if constant else ()))
        return self._profile(subject, query, groups, torch.stack(right), torch.stack(score), notes)

    def _target(
        self, subject: Subject, query: Population, truth: list[Any] | None, first: int, inputs: Inputs
    ) -> Target:
        wanted = query.target if truth is None else truth[first : first + len(inputs)]
        return resolve(subject, inputs, Decision(inputs, wanted, of=query.of))

    def _data(self, subject: Subject, query: Population) -> tuple[DataSet, list[Any] | None]:
        rows, outcomes = query.data, self.outcomes
        if query.outcome is not None:
            if outcomes is not None or not all(isinstance(row, dict) and query.outcome in row for row in rows):
                raise UsageError(
                    f"outcome={query.outcome!r} names a column of rows that are mappings; else give outcomes="
                )
            outcomes = [row[query.outcome] for row in rows]
            rows = [{name: value for name, value in row.items() if name != query.outcome} for row in rows]
        data = data_set(subject, rows)
        truth = outcomes.tolist() if isinstance(outcomes, Tensor) else None if outcomes is None else list(outcomes)
        if truth is not None and query.target is not None:
            raise UsageError("the true classes are the targets; leave target= out")
        if truth is not None and len(truth) != len(data):
            raise UsageError(
                f"{len(truth)} outcomes for {len(data)} examples that can be read; give one for each of these"
            )
        return data, truth

    def _groups(self, subject: Subject, one: Inputs, depth: Depth) -> list[Group]:
        if self.layers is None:
            names = depth.candidates()
            if not names:
                raise NotAnswerable(
                    "it has no layers with weights to leave out but its last; name some by layers=, or ask occlusion"
                )
            return [*((name,) for name in names), *(tuple(names[-number:]) for number in range(2, len(names) + 1))]
        groups = [tuple(name.strip() for name in group.split("+")) for group in self.layers.split(",")]
        for name in {name for group in groups for name in group}:
            layer_at(subject, one, name)
        for group in groups:
            inside = [name for name in group if any(name.startswith(f"{other}.") for other in group)]
            if inside or len(set(group)) < len(group):
                raise UsageError(f"layers {'+'.join(group)} lie inside one another or come twice; name each once")
        return groups

    def _profile(
        self,
        subject: Subject,
        query: Population,
        groups: Sequence[Group],
        right: Tensor,
        score: Tensor,
        notes: tuple[str, ...],
    ) -> Profile:
        known = self.outcomes is not None or query.outcome is not None
        first = (
            "accuracy" if known else "share whose class is the same" if query.target is None else "share of the class"
        )
        places = (_NOTHING, *map(_label, groups))
        of = f"{query.of} of the {'true' if known else 'predicted' if query.target is None else 'asked'} class"
        panels = [
            Panel(quantity=name, axis="what is left out", places=places, lines=(line(name, values),))
            for name, values in ((first, right), (of, score))
            if subject.task.output != "value" or name == of
        ]
        return Profile(panels=tuple(panels), cases=right.shape[1], findings=_findings(panels[0], groups), notes=notes)


def _label(group: Group) -> str:
    return "+".join(group) if len(group) < 3 else f"{group[0]} … {group[-1]} ({len(group)} layers)"


def _findings(panel: Panel, groups: Sequence[Group]) -> tuple[str, ...]:
    """The least and the most that is lost without one layer, and what remains without all."""
    mean = panel.lines[0].mean
    said = [f"With all layers the {panel.quantity} is {float(mean[0]):.3g}."]
    alone = [place for place, group in enumerate(groups, 1) if len(group) == 1]
    if alone:
        least, most = (pick(alone, key=lambda place: float(mean[place])) for pick in (max, min))
        said.append(
            f"Of single layers, {panel.places[least]} can be spared most easily ({float(mean[least]):.3g}) and "
            f"{panel.places[most]} least ({float(mean[most]):.3g})."
        )
    if len(groups[-1]) > 1:
        said.append(f"Without {panel.places[-1]} it is {float(mean[-1]):.3g}.")
    return tuple(said)
