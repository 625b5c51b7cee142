"""What if: edit the input, ask again, and divide the difference among the edits."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, NamedTuple, Union

import torch
from torch import Tensor

from pellucid.core.annotations import Data
from pellucid.core.errors import UsageError
from pellucid.core.method import method
from pellucid.core.query import Decision
from pellucid.core.spec import Access, Asker, Dimension, Scope, Spec, View
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.attributing import Explainer
from pellucid.engine.edits import Edits, has_raw_form, raw_form
from pellucid.engine.shapley import coalitions, shapley_values
from pellucid.engine.targets import Target, again, at_position, probabilities, resolve
from pellucid.results.attribution import Attribution
from pellucid.results.change import Change

_TOLD_APART = 12
_GRAMMAR = (
    "what to change, apart by semicolons. A row: age = 35; hours += 5; colour = red. A text: replace bad with good; delete "
    '"very very"; insert not before bad (after, at start, at end). A picture: box 20,30,90,80 blur (mean, or a colour; '
    "places also as 25%); brightness 1.5; contrast 0.5; grey; blur 4; rotate 15; flip; crop 20,30,90,80. A sequence or "
    "tensor: 3 = 0.5; 2:5 = 0; 0,2 += 1; 4 = x"
)


@method
class WhatIf:
    """The answer before and after; each edit is credited with its Shapley value, so that credits sum to the difference.

    An edit is a player: v(S) is the explained quantity of the input with only the edits in S made, in the order in which
    they were written, and all 2ⁿ subsets are asked about (shapley1953value). More than twelve edits are made, but not told
    apart. What can be edited is up to the task: see ``edit``, and ``Task.edits``.

    ``instead`` is a whole other input. Where it is a row or a text, its differences are the edits.
    """

    spec: ClassVar = Spec(
        id="what-if",
        title="What if",
        question="What would the model answer if the input were edited so, and which edit makes the difference?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.TEXTUAL, Dimension.VISUAL, Dimension.SIMULATABILITY},
        view=View.DECISION,
        askers=set(Asker),
        needs={Access.OUTPUTS},
        properties={"perturbation"},
        cost="2ⁿ F for n edits, at most 4,096 F",
        references=("shapley1953value", "wexler2020what"),
        serves=("A12",),
        caveat=(
            "It tells what the model would answer, not what would happen in the world: other things may change with what "
            "was edited, and an edited input may be unlike anything that the model has learned from."
        ),
        alternatives=("occlusion", "lime"),
    )

    edit: Annotated[str | None, _GRAMMAR] = None
    instead: Annotated[Union[str, Any], Data(), "a whole other input, in the place of single edits"] = None
    explain: Annotated[Explainer | None, "what explains the answers before and after, such as lrp"] = None

    def __call__(self, subject: Subject, query: Decision) -> Change:
        if (self.edit is None) == (self.instead is None):
            raise UsageError("it takes edit='…' or a whole other input as instead=…, one of the two")
        inputs = subject.prepare(query.inputs)
        target = resolve(subject, inputs, query)
        told = [self._told(subject, inputs, target, slice(row, row + 1)) for row in range(len(inputs))]
        before, after = (torch.cat([one.scores[moment : moment + 1] for one in told]) for moment in (0, 1))
        output = subject.task.output
        apart = [one.shares for one in told if one.shares is not None]
        return Change(
            edits=tuple(one.said for one in told),
            before=before,
            after=after,
            value=torch.stack([one.values[[0, -1]] for one in told]),
            alone=tuple(one.alone for one in told),
            last=tuple(one.last for one in told),
            shares=tuple(apart) if len(apart) == len(told) else None,
            chances_before=probabilities(output, before),
            chances_after=probabilities(output, after),
            target=target.public(target.index),
            foil=target.public(target.foil),
            quantity=query.of if isinstance(query.of, str) else "unit",
            labels=tuple(target.labels),
            explained=self._explained(subject, query, target, inputs, told),
            notes=_notes(inputs, len(apart) == len(told)),
            shown=tuple((one.ends.origins[0], one.ends.origins[1]) for one in told if one.ends.origins),
        )

    def _told(self, subject: Subject, inputs: Inputs, whole: Target, row: slice) -> "_Told":
        one, target = inputs.rows(row), whole.rows(row)
        raw = raw_form(one)
        task = subject.task
        edits = task.changes(raw, self.instead) if self.edit is None else task.edits(raw, self.edit)
        if not edits:
            raise UsageError("the other input is the same as this one; there is nothing to compare")
        game = Edits(subject, one, target, edits)
        ends = game.ends()
        scores = at_position(subject.run(ends).scores, whole.rows(torch.full((2,), row.start)))
        return _Told(tuple(edit.said for edit in edits), ends, scores, game(_asked(len(edits))))

    def _explained(
        self, subject: Subject, query: Decision, target: Target, inputs: Inputs, told: Sequence["_Told"]
    ) -> tuple[Attribution, ...]:
        if self.explain is None:
            return ()
        forms = [one.ends.rows(slice(1, 2)) for one in told]
        if has_raw_form(forms[0]):
            edited = subject.prepare([raw_form(form) for form in forms])
        else:
            edited = inputs.at(torch.cat([form.value for form in forms]))
        answers = [self.explain(subject, again(query, asked, target)) for asked in (inputs, edited)]
        return tuple(answer for answer in answers if isinstance(answer, Attribution))


class _Told(NamedTuple):
    """One example: its edits in words, its inputs and scores before and after, and the quantity of every subset."""

    said: tuple[str, ...]
    ends: Inputs
    scores: Tensor
    values: Tensor

    @property
    def shares(self) -> Tensor | None:
        """Shapley values, where all subsets were asked about."""
        return shapley_values(self.values) if len(self.said) <= _TOLD_APART else None

    @property
    def alone(self) -> Tensor:
        """What each edit changes by itself."""
        return self.values[_alone(len(self.said))] - self.values[0]

    @property
    def last(self) -> Tensor:
        """What each edit changes when all others are made."""
        return self.values[-1] - self.values[_without(len(self.said))]


def _asked(number: int) -> Tensor:
    """The subsets asked about, first nothing and last everything: all, or of many edits each alone and each left out."""
    if number <= _TOLD_APART:
        return coalitions(number)
    single = torch.eye(number, dtype=torch.bool)
    ends = torch.tensor([[False], [True]]).expand(2, number)
    return torch.cat([ends[:1], single, ~single, ends[1:]])


def _alone(number: int) -> Tensor:
    return 2 ** torch.arange(number) if number <= _TOLD_APART else 1 + torch.arange(number)


def _without(number: int) -> Tensor:
    return 2**number - 1 - 2 ** torch.arange(number) if number <= _TOLD_APART else 1 + number + torch.arange(number)


def _notes(inputs: Inputs, apart: bool) -> tuple[str, ...]:
    many = f"More than {_TOLD_APART} edits are made together, but not told apart; join some of them to see shares."
    return (*(note for origin in inputs.origins for note in origin.notes), *(() if apart else (many,)))
