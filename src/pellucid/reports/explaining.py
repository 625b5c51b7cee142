"""The main job: one input in, one honest, scored, readable report out."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from pellucid.core.catalogue import build
from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.core.meter import report as report_progress
from pellucid.core.method import why_not
from pellucid.core.query import Decision, Judgement
from pellucid.core.spec import Access, Modality
from pellucid.core.subject import Inputs, Subject, single
from pellucid.engine.targets import Target, probabilities, resolve
from pellucid.metrics.region_perturbation import RegionPerturbation
from pellucid.reports.agreement import statements
from pellucid.reports.evidence import checks
from pellucid.results.attribution import Attribution
from pellucid.results.evaluation import Evaluation
from pellucid.results.report import Report

BUDGET = 1000
_PANEL = ("lrp", "integrated-gradients", "occlusion", "lime")
_CONTRASTS = 2


def explain(
    subject: Subject,
    inputs: Any,
    methods: Sequence[Any] | None = None,
    target: Any = None,
    foil: Any = None,
    *,
    budget: int | None = None,
    seed: int = 0,
) -> Report:
    """Predict, explain by a panel of methods, contrast with the runner-up, score every map, and say what it all means.

    ``methods`` are ids, built methods or mappings for :func:`pellucid.build`; by default LRP, integrated gradients,
    occlusion and LIME, as far as they apply to the subject. ``target`` and ``foil`` are classes by label or index: the
    predicted class and the runner-up by default. ``budget`` limits the forward passes that scoring the maps may use
    (1,000 by default). Raises ``NotAnswerable`` where no method of the panel applies.
    """
    prepared = subject.prepare(inputs)
    single(prepared, "explain")
    decision = Decision(prepared, target, None)
    resolved = resolve(subject, prepared, decision)
    scores = _scores_at(subject, prepared, resolved)
    wanted = dataclasses.replace(decision, target=_public(resolved))
    panel, refused = _panel(subject, wanted, methods, seed)
    if not panel:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in refused.items())
        raise NotAnswerable(f"no method of the panel can be asked of {subject.name}: {reasons}")
    opponent = _foil(subject, prepared, decision, foil, scores, resolved)
    contrast = _contrast(subject, wanted, panel, opponent)
    answers = [result for _, result in panel]
    evaluation = _evaluation(subject, answers, budget or BUDGET, seed, refused)
    made, unmade, unchecked = checks(subject, answers, seed)
    report = _report(subject, prepared, resolved, scores, panel, contrast, evaluation, refused | unmade, opponent)
    report = dataclasses.replace(report, checks=made, unchecked=unchecked)
    return dataclasses.replace(report, statements=tuple(statements(report)))


def default_panel(subject: Subject) -> list[dict[str, Any]]:
    """The panel's methods as plain data; on pictures with windows and samples that suit a first look."""
    if subject.task.modality is not Modality.IMAGE:
        # The default composite's flat first layer is made for pixels: it cannot tell the inputs of a dense layer apart.
        return [{"method": "lrp", "composite": "epsilon"}, *({"method": name} for name in _PANEL if name != "lrp")]
    size = getattr(subject.task, "size", (0, 0))
    window = max(1, round(min(size) / 7))
    return [
        {"method": "lrp"},
        {"method": "integrated-gradients"},
        {"method": "occlusion", "window": window, "stride": max(1, window // 2)},
        {"method": "lime", "samples": 500},
    ]


def _panel(
    subject: Subject, decision: Decision, methods: Sequence[Any] | None, seed: int
) -> tuple[list[tuple[Any, Attribution]], dict[str, str]]:
    chosen = [built(entry, seed) for entry in (default_panel(subject) if methods is None else methods)]
    answers, refused = [], {}
    for number, method in enumerate(chosen):
        report_progress(number, len(chosen), f"panel: {method.spec.id}")
        reason = why_not(method, subject)
        if reason is not None:
            refused[method.spec.id] = reason
            continue
        try:
            answer = method(subject, decision)
        except NotAnswerable as error:
            refused[method.spec.id] = str(error)
            continue
        if not isinstance(answer, Attribution):
            raise UsageError(f"{method.spec.id} does not explain one decision; leave it out of the panel")
        answers.append((method, answer))
    return answers, refused


def built(entry: Any, seed: int) -> Any:
    """A method from its id, from plain data or as it is; one that draws takes the seed where none is named."""
    if isinstance(entry, str):
        entry = {"method": entry}
    if not isinstance(entry, Mapping):
        return entry
    method = build(entry)
    draws = any(field.name == "seed" for field in dataclasses.fields(method))
    return dataclasses.replace(method, seed=seed) if draws and "seed" not in entry else method


def _contrast(
    subject: Subject, decision: Decision, panel: list[tuple[Any, Attribution]], foil: Any
) -> list[Attribution]:
    if foil is None:
        return []
    question = dataclasses.replace(decision, foil=foil)
    cheap = [method for method, _ in panel if {Access.GRADIENTS, Access.WEIGHTS} & method.spec.access]
    answers = []
    for method in (cheap or [panel[-1][0]])[:_CONTRASTS]:
        report_progress(0, 1, f"contrast: {method.spec.id}")
        answers.append(method(subject, question))
    return answers


def _evaluation(
    subject: Subject, answers: list[Attribution], budget: int, seed: int, refused: dict[str, str]
) -> Evaluation | None:
    metric = RegionPerturbation(seed=seed).within(budget, len(answers))
    try:
        return metric(subject, Judgement(answers, seed=seed))
    except NotAnswerable as error:
        refused[metric.spec.id] = str(error)
        return None


def _scores_at(subject: Subject, inputs: Inputs, target: Target) -> Tensor:
    scores = subject.run(inputs).scores[0]
    assert target.index is not None
    place = target.index[0, :-1].tolist()
    return scores[tuple(place)] if place else scores


def _public(target: Target) -> Any:
    assert target.index is not None
    numbers = target.index[0].tolist()
    return numbers[0] if len(numbers) == 1 else tuple(numbers)


def _foil(subject: Subject, inputs: Inputs, decision: Decision, foil: Any, scores: Tensor, target: Target) -> Any:
    assert target.index is not None
    if foil is not None:
        found = resolve(subject, inputs, dataclasses.replace(decision, target=_public(target), foil=foil)).foil
        assert found is not None
        return _public(dataclasses.replace(target, index=found))
    if subject.task.output == "value" or len(scores) < 2:
        return None
    *place, own = target.index[0].tolist()
    order = [output for output in scores.argsort(descending=True, stable=True).tolist() if output != own]
    return (*place, order[0]) if place else order[0]


def _report(
    subject: Subject,
    inputs: Inputs,
    target: Target,
    scores: Tensor,
    panel: list[tuple[Any, Attribution]],
    contrast: list[Attribution],
    evaluation: Evaluation | None,
    refused: dict[str, str],
    foil: Any,
) -> Report:
    assert target.index is not None
    output = int(target.index[0, -1])
    answers = tuple(result for _, result in panel)
    known = probabilities(subject.task.output, scores)
    labels = tuple(subject.task.labels or ())
    name = labels[output] if labels else f"output {output}"
    predicted = subject.task.output == "value" or output == int(scores.argmax())
    verb = f"Why {name}?" if predicted else f"What speaks for {name}?"
    return Report(
        subject=subject.name,
        modality=subject.task.modality.value,
        title=verb,
        question=name,
        labels=labels,
        scores=scores,
        probabilities=known,
        target=output,
        foil=None if foil is None else int(foil[-1] if isinstance(foil, tuple) else foil),
        panel=answers,
        contrast=tuple(contrast),
        evaluation=evaluation,
        refused=refused,
        shown=inputs.origins[0] if inputs.origins else None,
        notes=inputs.origins[0].notes if inputs.origins else (),
        provenance=answers[0].provenance,
    )
