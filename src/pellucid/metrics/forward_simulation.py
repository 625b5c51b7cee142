"""Forward simulation: can a reader who has seen explanations predict what the model answers on other inputs?"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Ge, Le
from torch import Tensor

from pellucid.core.content import digest
from pellucid.core.errors import NotAnswerable
from pellucid.core.method import method
from pellucid.core.query import Judgement
from pellucid.core.spec import Access, Asker, Dimension, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.arms import CONTROL, SHUFFLED, gained_by_chance, measured
from pellucid.engine.judging import check_fit, names, same_decision
from pellucid.engine.lessons import Material, lessons, shuffled
from pellucid.engine.quiz import Quiz, made_quiz
from pellucid.engine.quiz_answers import people
from pellucid.engine.readers import READERS, about
from pellucid.engine.targets import resolve
from pellucid.results.simulation import Simulation


@method
class ForwardSimulation:
    """The share of questions that a reader predicts as the model answers them, without explanations and with them.

    Of the explained examples ``studied`` are shown with the model's answers: without explanations (the control), then with
    those of each result. The others are asked about, a share of them ``edited``: a random half of their features is hidden.
    What is explained is never what is asked, so that no explanation gives its own answer away (hase2020evaluating). All arms
    are asked the same questions, so that differences are paired.

    Simulated readers say how they read: ``majority`` gives the most frequent answer, ``nearest`` that of the most similar
    example, ``linear`` adds up words or elements. Each reads once more with the scores of every explanation shuffled, because
    a reader may gain by answering otherwise, not by what it was told. They are programs, not people. People take the same
    quiz with ``pellucid quiz``, in the terminal or on a page (doshivelez2017towards); ``answers`` is the file that it leaves,
    or a folder of such files.

    Shares have score intervals (wilson1927probable), differences those of paired shares (bonett2012adjusted), over
    questions: few questions give wide intervals, and where that of a difference holds zero none was shown.
    """

    spec: ClassVar = Spec(
        id="forward-simulation",
        title="Forward simulation",
        question="Can someone who has seen these explanations predict what the model answers on other inputs?",
        scopes={Scope.EXPLAINABILITY, Scope.TRANSPARENCY},
        dimensions={Dimension.SIMULATABILITY, Dimension.BY_EXAMPLE},
        view=View.POPULATION,
        askers={Asker.DEVELOPER, Asker.DOMAIN_EXPERT, Asker.AUDITOR},
        needs={Access.OUTPUTS},
        properties={"stochastic"},
        cost="1 F per example, and 1 F per question",
        references=("doshivelez2017towards", "hase2020evaluating", "wilson1927probable", "bonett2012adjusted"),
        serves=("A12",),
        caveat=(
            "A simulated reader shows what its own way of reading can take from explanations, not what people understand. "
            "People who predict well may still trust a model that is wrong: it is the model that is predicted, not the truth."
        ),
        alternatives=("region-perturbation", "what-if"),
    )

    studied: Annotated[int, Ge(1), "examples that are shown with the model's answers"] = 8
    questions: Annotated[int | None, Ge(1), "questions at most; None: all other examples"] = None
    edited: Annotated[float, Ge(0), Le(1), "share of the questions in which half of the features are hidden"] = 0.5
    reader: Annotated[Literal["all", "majority", "nearest", "linear", "none"], "which simulated readers predict"] = (
        "all"
    )
    answers: Annotated[str | None, "answers of people, as the quiz leaves them: a .json file, or a folder of these"] = (
        None
    )
    seed: Annotated[int, "seed of which examples are shown, which are asked, and what is hidden"] = 0

    def __call__(self, subject: Subject, query: Judgement) -> Simulation:
        shown = self.material(subject, query)
        quiz, arms = shown.quiz, (CONTROL, *shown.arms)
        simulated = [] if self.reader == "none" else list(READERS) if self.reader == "all" else [self.reader]
        taught = lessons(subject, shown)
        rows, told = {}, {}
        for name in simulated:
            rows[name] = torch.stack([READERS[name](lesson) for lesson in taught])
            told[name] = f"a simulated reader, not a person. {about(name)}"
            if name != "majority":
                rows[name + SHUFFLED] = torch.stack([READERS[name](shuffled(lesson, self.seed)) for lesson in taught])
                told[name + SHUFFLED] = f"{name}, shown each explanation with its scores dealt out anew, not a person."
        for name, found in () if self.answers is None else people(Path(self.answers), quiz, arms):
            rows[name], told[name] = found, "a person who took the quiz"
        if not rows:
            raise NotAnswerable("nobody reads: name a simulated reader, or the answers of people")
        predicted = torch.stack(list(rows.values()))
        shares, differences = measured(predicted, quiz.truth)
        return Simulation(
            readers=tuple(rows),
            about=tuple(told.values()),
            arms=arms,
            choices=quiz.choices,
            questions=tuple(quiz.described(number) for number in range(len(quiz.asked))),
            truth=quiz.truth,
            predicted=predicted,
            studied=len(quiz.studied),
            protocol=self._protocol(quiz),
            notes=_notes(quiz, rows, arms),
            accuracy=shares[..., 0],
            interval=shares[..., 1:],
            difference=differences[..., 0],
            difference_interval=differences[..., 1:],
        )

    def material(self, subject: Subject, query: Judgement) -> Material:
        """What a reader is shown, and the quiz."""
        answers, decision = same_decision(query.results)
        inputs = subject.prepare(decision.inputs)
        target = resolve(subject, inputs, decision)
        for answer in answers:
            check_fit(subject, inputs, target, answer)
        seed = int(digest((self.seed, query.seed))[:12], 16)
        quiz = made_quiz(subject, inputs, target, self.studied, self.questions, self.edited, seed, self.spec.id)
        return Material(inputs, target, quiz, dict(zip(names(answers), answers, strict=True)))

    def _protocol(self, quiz: Quiz) -> str:
        edited = sum(map(bool, quiz.hidden))
        return (
            f"{len(quiz.studied)} examples were shown with the model's answers, first without explanations, then with them; "
            f"{len(quiz.asked)} questions about other examples followed, {edited} of them with a random half of the "
            f"{quiz.features.kind}s hidden, the same in every arm. Intervals are 95 % over questions."
        )


def _notes(quiz: Quiz, rows: Mapping[str, Tensor], arms: Sequence[str]) -> tuple[str, ...]:
    """What the shares alone would hide."""
    notes = []
    if len(quiz.truth.unique()) == 1:
        notes.append(
            "The model gives every question the same answer: whoever always says it is right, with or without explanations."
        )
    return (*notes, *gained_by_chance(rows, quiz.truth, arms, "predicts"))
