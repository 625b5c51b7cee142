"""Interpretation score: how well explanations serve a reader in a stated context, by what the reader gets right with them."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Union, cast

import torch
from annotated_types import Ge, Le
from torch import Tensor

from pellucid.core.content import digest
from pellucid.core.context import Context
from pellucid.core.errors import NotAnswerable, UsageError, nearest
from pellucid.core.method import inner_call, method
from pellucid.core.query import Judgement
from pellucid.core.result import Result
from pellucid.core.spec import Access, Asker, Dimension, Modality, Scope, Spec, View
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.arms import CONTROL, SHUFFLED, gained_by_chance, measured
from pellucid.engine.deciders import DECIDERS, decide
from pellucid.engine.exams import FOLLOW, Exam, decision_exam, fault_exam, order_of
from pellucid.engine.fault_finders import FINDERS, KNOWING, named_faults
from pellucid.engine.judging import names
from pellucid.engine.quiz import decided
from pellucid.engine.quiz_answers import people
from pellucid.engine.readers import READERS
from pellucid.engine.readings import about_same_inputs, check_read, kind_of, listed, read
from pellucid.engine.sheets import Sheet, sheets
from pellucid.engine.targets import resolve
from pellucid.metrics.forward_simulation import ForwardSimulation
from pellucid.results.attribution import Attribution
from pellucid.results.interpretation import Interpretation
from pellucid.results.simulation import Simulation

_READERS: Mapping[str, Sequence[str]] = {
    "forward-simulation": tuple(READERS),
    "fault-finding": tuple(FINDERS),
    "decision-quality": tuple(DECIDERS),
}
_DOES = {"fault-finding": "finds faults", "decision-quality": "decides"}


@method
class InterpretationScore:
    """The share of questions that a reader gets right without explanations and with them, in one ``context``.

    An explanation is as good as what can be done with it: the context says what that is, who does it, and what is asked.
    The outcome is what a reader must get right:

    - ``forward-simulation``: what the model answers on other inputs, as in the method of that name.
    - ``fault-finding``: the reader is told that there may be a fault, and names the feature at fault, or that there is none.
      ``Judgement(…, reference={"faulty": names})`` says what is right, or a mask of the input.
    - ``decision-quality``: the reader sees the model's advice and follows it or not. It is right to follow where the model
      answers as ``Judgement(…, reference={"truth": classes})`` does. Of ``studied`` examples a reader is told what was right.

    Explanations may be of different kinds: of an attribution a reader reads scores, of a counterfactual changes. All arms are
    asked the same questions: without explanations (the control), with each, and with the strengths of each dealt out anew
    over its features. Simulated readers are programs, and say how they read; what they know of the world is the
    ``knowledge`` of the context. ``answers`` are those of people, as a file ``{"quiz": identity, "reader": name, "answers":
    {arm: {question: choice}}}``; :meth:`questionnaire` gives the identity, the questions and the choices.
    """

    spec: ClassVar = Spec(
        id="interpretation-score",
        title="Interpretation score",
        question="How well does an explanation serve this reader, for this task?",
        scopes={Scope.EXPLAINABILITY, Scope.TRANSPARENCY},
        dimensions={Dimension.SIMULATABILITY, Dimension.BY_EXAMPLE},
        view=View.POPULATION,
        askers={Asker.DEVELOPER, Asker.DOMAIN_EXPERT, Asker.AUDITOR},
        needs={Access.OUTPUTS},
        properties={"stochastic"},
        cost="1 or 2 F per example; with forward simulation 1 F more per question",
        references=("chakraborty2017interpretability", "doshivelez2017towards", "hase2020evaluating"),
        serves=("E5",),
        caveat=(
            "A score is true of its context only: who serves a decision well may mislead about a fault. A simulated reader "
            "shows what its own way of reading can take from an explanation, not what people understand."
        ),
        alternatives=("forward-simulation", "region-perturbation"),
    )

    context: Annotated[Context, "what is done with the explanation, by whom, and what is asked"]
    outcome: Annotated[
        Literal["forward-simulation", "fault-finding", "decision-quality"], "what a reader must get right"
    ] = "forward-simulation"
    shown: Annotated[
        Union[int, None], Ge(1), "strongest features of an explanation that a reader sees; None: all of them"
    ] = None
    reader: Annotated[str, "which simulated reader reads, or all, or none"] = "all"
    studied: Annotated[int, Ge(0), "examples of which a reader knows what was right; for fault finding none"] = 8
    questions: Annotated[Union[int, None], Ge(1), "questions at most; None: all other examples"] = None
    edited: Annotated[
        float, Ge(0), Le(1), "share of the questions of a forward simulation with half of the features hidden"
    ] = 0.5
    answers: Annotated[Union[str, None], "answers of people: a .json file, or a folder of these"] = None
    seed: Annotated[int, "seed of which examples are studied and asked about, and of the shuffles"] = 0

    def __post_init__(self) -> None:
        known = ("all", "none", *_READERS[self.outcome])
        if self.reader not in known:
            raise UsageError(
                f"interpretation-score(reader={self.reader!r}) of {self.outcome}: {nearest(self.reader, known)}"
            )
        if self.reader in (*KNOWING, "expecting") and not self.context.knowledge:
            raise UsageError(f"{self.reader} reads with what it knows to matter; name it: Context(…, knowledge=[…])")

    def __call__(self, subject: Subject, query: Judgement) -> Interpretation:
        if self.outcome == "forward-simulation":
            return self._simulated(subject, query)
        inputs, exam, shown = self._prepared(subject, query)
        arms = (CONTROL, *shown)
        rows, told = self._simulated_readers(exam, shown, inputs, query)
        for name, found in () if self.answers is None else people(Path(self.answers), exam, arms):
            rows[name], told[name] = found, "a person who answered the questions"
        if not rows:
            raise NotAnswerable("nobody reads: name a simulated reader, or the answers of people")
        predicted = torch.stack(list(rows.values()))
        shares, differences = measured(predicted, exam.truth)
        return Interpretation(
            context=self.context,
            outcome=self.outcome,
            about_what=digest([subject.fingerprint, inputs.value]),
            readers=tuple(rows),
            about=tuple(told.values()),
            arms=arms,
            choices=exam.choices,
            questions=exam.questions,
            truth=exam.truth,
            predicted=predicted,
            studied=len(exam.studied),
            protocol=self._protocol(exam),
            notes=(*_one_sided(exam), *gained_by_chance(rows, exam.truth, arms, _DOES[self.outcome])),
            accuracy=shares[..., 0],
            interval=shares[..., 1:],
            difference=differences[..., 0],
            difference_interval=differences[..., 1:],
        )

    def questionnaire(self, subject: Subject, query: Judgement) -> dict[str, Any]:
        """What people are asked, as plain data: the identity that their answers must name, the arms with what each shows of
        the studied and asked examples, the questions and the choices."""
        if self.outcome == "forward-simulation":
            raise UsageError("people take a forward simulation as a quiz: pellucid quiz, or forward-simulation")
        _, exam, shown = self._prepared(subject, query)
        rows = [*exam.studied.tolist(), *exam.asked.tolist()]
        told = {name: {str(row): _strongest_first(sheet, row) for row in rows} for name, sheet in shown.items()}
        known = dict(zip(map(str, exam.studied.tolist()), (exam.choices[place] for place in exam.known), strict=True))
        return {
            "quiz": exam.identity,
            "context": str(self.context),
            "studied": known,
            "questions": {str(number): question for number, question in enumerate(exam.questions)},
            "choices": exam.choices,
            "arms": {CONTROL: {}, **told},
        }

    def _prepared(self, subject: Subject, query: Judgement) -> tuple[Inputs, Exam, dict[str, Sheet]]:
        """The inputs, the questions, and what is shown of each explanation, by its name."""
        results = listed(query.results)
        readings = [read(result) for result in results]
        decisions = about_same_inputs(results)
        inputs = subject.prepare(decisions[0].inputs)
        scores = subject.scores(inputs)
        targets = [resolve(subject, inputs, decision, scores) for decision in decisions]
        for target, result in zip(targets, results, strict=True):
            check_read(subject, inputs, target, result)
        all_of = sheets(readings, subject.task.modality is Modality.IMAGE)
        order = order_of(inputs, int(digest((self.seed, query.seed))[:12], 16), self.spec.id)
        if self.outcome == "fault-finding":
            exam = fault_exam(subject, inputs, all_of, query.reference, order, self.questions)
        else:
            advice = decided(subject, targets[0], scores)
            exam = decision_exam(subject, inputs, advice, query.reference, order, self.studied, self.questions)
        shown = [sheet.only(self.shown) for sheet in all_of]
        return inputs, exam, dict(zip(names(results), shown, strict=True))

    def _simulated_readers(
        self, exam: Exam, shown: Mapping[str, Sheet], inputs: Inputs, query: Judgement
    ) -> tuple[dict[str, Tensor], dict[str, str]]:
        """What each simulated reader answers in each arm, also to shuffled explanations, and how it reads."""
        rows: dict[str, Tensor] = {}
        told: dict[str, str] = {}
        for name in self._chosen():
            dealt = {arm: sheet.dealt(inputs, self.seed) for arm, sheet in shown.items()}
            rows[name] = self._read_by(name, exam, shown, inputs, query)
            told[name] = f"a simulated reader, not a person. {_about(self.outcome, name)}"
            if name != "trusting":
                rows[name + SHUFFLED] = self._read_by(name, exam, dealt, inputs, query)
                told[name + SHUFFLED] = f"{name}, shown each explanation with its scores dealt out anew, not a person."
        return rows, told

    def _read_by(self, name: str, exam: Exam, shown: Mapping[str, Sheet], inputs: Inputs, query: Judgement) -> Tensor:
        known = self.context.knowledge
        if self.outcome == "decision-quality":
            return torch.stack([decide(name, sheet, exam, inputs, known) for sheet in (None, *shown.values())])
        reference = query.reference
        faulty = reference["faulty"] if isinstance(reference, Mapping) else reference
        blank = next(iter(shown.values())).blank()
        return torch.stack(
            [named_faults(name, sheet, exam, inputs, faulty, known) for sheet in (blank, *shown.values())]
        )

    def _chosen(self) -> list[str]:
        if self.reader != "all":
            return [] if self.reader == "none" else [self.reader]
        able = _READERS[self.outcome]
        return [name for name in able if self.context.knowledge or name not in (*KNOWING, "expecting")]

    def _protocol(self, exam: Exam) -> str:
        what = "all features" if self.shown is None else f"the {self.shown} strongest features"
        studied = f"{len(exam.studied)} examples were studied with what was right there; " if len(exam.studied) else ""
        return (
            f"{self.outcome}: {studied}{len(exam.asked)} questions about {'other ' if studied else ''}examples, the same in "
            f"every arm: without an explanation, with {what} of each, and with its scores dealt out anew. Intervals are 95 % "
            "over questions."
        )

    def _simulated(self, subject: Subject, query: Judgement) -> Interpretation:
        results = listed(query.results)
        others = {kind_of(result) for result in results if not isinstance(result, Attribution)}
        if others:
            raise NotAnswerable(
                f"a forward simulation is read from attributions, not from {', '.join(sorted(others))}; "
                "choose outcome='fault-finding' or 'decision-quality'"
            )
        simulation = ForwardSimulation(
            studied=max(self.studied, 1),
            questions=self.questions,
            edited=self.edited,
            reader=cast(Any, self.reader),  # one of those it knows, or this method would not have been made
            answers=self.answers,
            seed=self.seed,
        )
        kept = [_only_strongest(result, self.shown) for result in results]
        found = inner_call(ForwardSimulation)(simulation, subject, dataclasses.replace(query, results=kept))
        assert isinstance(found, Simulation)
        fields = {entry.name: getattr(found, entry.name) for entry in dataclasses.fields(Simulation)}
        inputs = subject.prepare(about_same_inputs(results)[0].inputs)
        about_what = digest([subject.fingerprint, inputs.value])
        return Interpretation(**fields, context=self.context, outcome=self.outcome, about_what=about_what)


def _about(outcome: str, reader: str) -> str:
    return DECIDERS[reader] if outcome == "decision-quality" else " ".join((FINDERS[reader].__doc__ or "").split())


def _one_sided(exam: Exam) -> tuple[str, ...]:
    if exam.choices[0] != FOLLOW or len(exam.truth.unique()) > 1:
        return ()
    return (f"The same is right everywhere ({exam.choices[int(exam.truth[0])]}): whoever always says it is right.",)


def _strongest_first(sheet: Sheet, row: int) -> dict[str, float]:
    strengths = sheet.strengths[row]
    order = strengths.abs().argsort(descending=True, stable=True).tolist()
    return {sheet.names[row][place]: float(strengths[place]) for place in order if float(strengths[place]) != 0}


def _only_strongest(result: Result, number: int | None) -> Result:
    """The explanation with the scores of its strongest features alone."""
    assert isinstance(result, Attribution)
    if number is None:
        return result
    (sheet,) = sheets([read(result)], picture=False)
    shown = [(own != 0).to(result.scores) for own in sheet.only(number).strengths]
    pairs = zip(shown, result.features.segments, result.scores, strict=True)
    kept = [
        torch.where(segments >= 0, own[segments.clamp(min=0)], 0.0).expand_as(scores) * scores
        for own, segments, scores in pairs
    ]
    return dataclasses.replace(result, scores=torch.stack(kept))
