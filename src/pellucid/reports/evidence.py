"""The evidence beside each explanation of a report: does it depend on what was learned, is it stable, is it faithful?"""

import dataclasses
from collections.abc import Sequence

from pellucid.core.errors import NotAnswerable
from pellucid.core.meter import report as report_progress
from pellucid.core.method import why_not
from pellucid.core.query import Judgement
from pellucid.core.subject import Subject
from pellucid.engine.judging import names
from pellucid.metrics.max_sensitivity import MaxSensitivity
from pellucid.metrics.parameter_randomisation import ParameterRandomisation
from pellucid.results.attribution import Attribution
from pellucid.results.evaluation import Evaluation

# Both checks ask every explanation again; one that took more passes than this is not asked.
PASSES = 100
_COPIES = 1


def checks(
    subject: Subject, answers: Sequence[Attribution], seed: int
) -> tuple[tuple[Evaluation, ...], dict[str, str], tuple[str, ...]]:
    """The checks that ask explanations again, why a check could not be made, and the explanations that cost too much."""
    called = names(answers)
    cheap = [place for place, answer in enumerate(answers) if sum(answer.evaluations.values()) <= PASSES]
    left_out = tuple(name for place, name in enumerate(called) if place not in cheap)
    made: list[Evaluation] = []
    refused: dict[str, str] = {}
    for metric in (ParameterRandomisation(layers=1, seed=seed), MaxSensitivity(copies=_COPIES, seed=seed)):
        reason = why_not(metric, subject)
        if reason is None and cheap:
            report_progress(len(made), 2, f"evidence: {metric.spec.id}")
            try:
                found = metric(subject, Judgement([answers[place] for place in cheap], seed=seed))
                made.append(dataclasses.replace(found, names=tuple(called[place] for place in cheap)))
            except NotAnswerable as error:
                reason = str(error)
        if reason is not None:
            refused[metric.spec.id] = reason
    return tuple(made), refused, left_out
