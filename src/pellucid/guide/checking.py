"""A model at first sight: what it is, what it offers, how fast it is, and everything that looks wrong with it."""

import functools
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from pellucid.core.errors import NotAnswerable, SubjectFailed
from pellucid.core.query import Decision
from pellucid.core.spec import Access
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.gradients import gradients
from pellucid.engine.targets import resolve
from pellucid.guide.preparation import Shown, Tried, judged, suspicion, try_preparations, whole_and_cropped
from pellucid.guide.samples import samples

Severity = Literal["failure", "likely problem", "note"]

_ENOUGH_SECONDS, _ENOUGH_RUNS = 0.5, 7
_UNSTABLE = 1e-5
_NEIGHBOURS = 1e-3
_SUM = 1e-3


@dataclass(frozen=True)
class Problem:
    """Something found: a failure (the model cannot be used so), a likely problem, or a note."""

    severity: Severity
    text: str


@dataclass(frozen=True)
class Speed:
    """Milliseconds per example for a forward pass (F), and for a forward and backward pass to the input (B)."""

    batch: int
    forward: float
    backward: float | None


@dataclass(frozen=True)
class Check:
    """Everything that was found out. What needs an answer of the model is None or empty where it gave none."""

    name: str
    kind: str
    fingerprint: str
    device: str
    dtype: str
    parameters: int | None
    layers: int | None
    task: Mapping[str, Any]
    labels: tuple[str, ...]
    offers: tuple[str, ...]
    structure: tuple[str, ...]
    samples: int
    inputs: Mapping[str, tuple[int, ...]]
    outputs: tuple[int, ...] | None
    speed: Speed | None
    preparations: tuple[Tried, ...]
    preparation_judged: str
    shown: tuple[Shown, ...]
    problems: tuple[Problem, ...]

    @property
    def failed(self) -> bool:
        """Whether the model cannot be used as it is."""
        return any(problem.severity == "failure" for problem in self.problems)


def check(subject: Subject, raws: Sequence[Any] | None = None) -> Check:
    """Try a subject on ``raws``, or on samples that suit its task, and report.

    Nothing of the subject is changed. A model that raises or answers NaN is a finding, not an error.
    """
    inputs = samples(subject) if raws is None else subject.prepare(list(raws))
    problems = _of_the_module(subject)
    scores, speed = None, None
    tried: tuple[Tried, ...] = ()
    shown: tuple[Shown, ...] = ()
    if inputs is None:
        problems.append(Problem("note", "no valid input is known, so nothing was run; name some with --data"))
    else:
        try:
            scores = subject.scores(inputs)
            problems += _of_the_answers(subject, inputs, scores)
            speed = _speed(subject, inputs, scores, problems)
            if scores.ndim == 2 and _labels_fit(subject, scores):
                tried = try_preparations(subject, inputs, bundled=raws is None)
                shown = whole_and_cropped(subject, raws)
        except SubjectFailed as error:
            problems.append(Problem("failure", str(error)))
    wrong = suspicion(tried)
    if wrong is not None:
        problems.append(Problem("likely problem", wrong))
    return _assembled(subject, inputs, scores, speed, tried, shown, problems)


def _assembled(
    subject: Subject,
    inputs: Inputs | None,
    scores: Tensor | None,
    speed: Speed | None,
    tried: tuple[Tried, ...],
    shown: tuple[Shown, ...],
    problems: Sequence[Problem],
) -> Check:
    module, task = subject.module, subject.task
    described = {name: value for name, value in task.describe().items() if name not in ("labels", "reference")}
    return Check(
        name=subject.name,
        kind=type(subject).__name__ if module is None else f"{type(subject).__name__} of {type(module).__name__}",
        fingerprint=subject.fingerprint,
        device=str(getattr(subject, "device", "unknown")),
        dtype=str(getattr(subject, "dtype", "unknown")).removeprefix("torch."),
        parameters=None if module is None else sum(tensor.numel() for tensor in module.parameters()),
        layers=len(subject.layers()) if scores is not None and Access.ACTIVATIONS in subject.offers else None,
        task={name: value.tolist() if isinstance(value, Tensor) else value for name, value in described.items()},
        labels=tuple(task.labels or ()),
        offers=tuple(sorted(subject.offers)),
        structure=tuple(sorted(subject.structure)),
        samples=0 if inputs is None else len(inputs),
        inputs={} if inputs is None else {name: tuple(tensor.shape[1:]) for name, tensor in inputs.tensors.items()},
        outputs=None if scores is None else tuple(scores.shape[1:]),
        speed=speed,
        preparations=tried,
        preparation_judged=judged(tried),
        shown=shown,
        problems=tuple(problems),
    )


def _of_the_module(subject: Subject) -> list[Problem]:
    module = subject.module
    if module is None:
        return []
    found = []
    modes = [child for child in module.modules() if child.training]
    if modes:
        text = (
            f"{len(modes)} of its modules are in training mode; they are run in eval mode and left as they are: .eval()"
        )
        found.append(Problem("note", text))
    tensors = [*module.parameters(), *module.buffers()]
    floating = [tensor for tensor in tensors if tensor.is_floating_point()]
    bad = sum(not bool(tensor.isfinite().all()) for tensor in floating)
    if bad:
        found.append(
            Problem("failure", f"{bad} of its {len(tensors)} tensors hold NaN or infinite numbers; load them again")
        )
    devices = sorted({str(tensor.device) for tensor in tensors})
    if len(devices) > 1:
        found.append(
            Problem("likely problem", f"its tensors lie on several devices ({', '.join(devices)}); move it to one")
        )
    kinds = sorted({str(tensor.dtype).removeprefix("torch.") for tensor in floating})
    if len(kinds) > 1:
        found.append(Problem("note", f"its tensors have several types: {', '.join(kinds)}"))
    elif kinds in (["float16"], ["bfloat16"]):
        found.append(
            Problem("note", f"it is in half precision ({kinds[0]}); scores are coarse, sums are made in float32")
        )
    return found


def _of_the_answers(subject: Subject, inputs: Inputs, scores: Tensor) -> list[Problem]:
    return [*_labels(subject, scores), *_kind_of_output(subject, scores), *_stability(subject, inputs, scores)]


def _labels_fit(subject: Subject, scores: Tensor) -> bool:
    return subject.task.labels is None or len(subject.task.labels) == scores.shape[-1]


def _labels(subject: Subject, scores: Tensor) -> list[Problem]:
    labels, outputs = subject.task.labels, scores.shape[-1]
    if labels is None:
        return [Problem("note", f"its {outputs} outputs have no names; targets are numbers")] if outputs > 1 else []
    if not _labels_fit(subject, scores):
        return [Problem("failure", f"it has {outputs} outputs and {len(labels)} labels; the names would be wrong")]
    twice = (
        sorted({label for label in labels if list(labels).count(label) > 1}) if len(set(labels)) < len(labels) else []
    )
    if twice:
        return [Problem("note", f"a label names several outputs ({', '.join(twice[:3])}); ask for these by number")]
    return []


def _kind_of_output(subject: Subject, scores: Tensor) -> list[Problem]:
    declared, several = subject.task.output, scores.shape[-1] > 1
    between = bool(((scores >= 0) & (scores <= 1)).all())
    sums = bool(((scores.double().sum(-1) - 1).abs() < _SUM).all())
    if declared == "logits" and several and between and sums:
        text = "its outputs are declared as logits and look like probabilities (each row sums to 1); say so in the task"
        return [Problem("failure", text)]
    if declared == "probabilities" and not between:
        low, high = float(scores.min()), float(scores.max())
        text = (
            f"its outputs are declared as probabilities and range from {low:.3g} to {high:.3g}; they look like logits"
        )
        return [Problem("failure", text)]
    if declared == "probabilities" and several and not sums:
        return [
            Problem("likely problem", "its probabilities do not sum to 1: are its classes independent of each other?")
        ]
    return []


def _stability(subject: Subject, inputs: Inputs, scores: Tensor) -> list[Problem]:
    size = float(scores.abs().max()) or 1.0
    found = []
    again = float((subject.scores(inputs) - scores).abs().max()) / size
    if again > _UNSTABLE:
        text = f"the same inputs give other answers the second time (up to {again:.1g} of the largest score)"
        found.append(Problem("failure", f"{text}; explanations of it cannot be repeated"))
    elif len(inputs) > 1:
        alone = torch.cat([subject.scores(inputs.rows(slice(row, row + 1))) for row in range(min(3, len(inputs)))])
        apart = float((alone - scores[: len(alone)]).abs().max()) / size
        if apart > _NEIGHBOURS:
            text = f"an answer depends on the other inputs of its batch (up to {apart:.1g} of the largest score)"
            found.append(Problem("failure", f"{text}; it should not"))
    if len(inputs) > 1:
        dead = int((scores.amax(0) == scores.amin(0)).sum())
        if dead == scores[0].numel():
            found.append(
                Problem("failure", f"it answers the same to {len(inputs)} different inputs: its scores are dead")
            )
        elif dead:
            found.append(
                Problem("note", f"{dead} of {scores[0].numel()} outputs answer the same to all {len(inputs)} inputs")
            )
    return found


def _speed(subject: Subject, inputs: Inputs, scores: Tensor, problems: list[Problem]) -> Speed:
    """Measured at the batch size with the fewest milliseconds per example, among powers of 4 and the subject's own."""
    largest = subject.batch_size(inputs)
    sizes = sorted({size for size in (1, 4, 16, 64, 256) if size < largest} | {largest})
    batches = {size: inputs.rows(torch.arange(size) % len(inputs)) for size in sizes}
    forward = {size: _milliseconds(functools.partial(subject.run, batch), size) for size, batch in batches.items()}
    best = min(sizes, key=forward.__getitem__)
    backward = None
    if Access.GRADIENTS in subject.offers:
        backward = _backward(subject, batches[best], _output(subject, scores), problems)
    return Speed(best, forward[best], backward)


def _output(subject: Subject, scores: Tensor) -> Any:
    """What to differentiate: the predicted class, or the first output where nothing is predicted."""
    if scores.ndim > 2:
        return (0,) * (scores.ndim - 1)
    return 0 if subject.task.output == "value" else None


def _backward(subject: Subject, batch: Inputs, output: Any, problems: list[Problem]) -> float | None:
    target = resolve(subject, batch, Decision(batch, output))
    try:
        gradient = gradients(subject, batch, target).gradient
    except NotAnswerable as error:
        problems.append(Problem("likely problem", f"it offers gradients, but {error}"))
        return None
    if not bool(gradient.isfinite().all()):
        problems.append(
            Problem("failure", "the gradient of its score is NaN or infinite; use methods that need outputs only")
        )
    elif not bool(gradient.any()):
        text = "the gradient of its score is zero everywhere: gradient methods show nothing; ask occlusion or lime"
        problems.append(Problem("likely problem", text))
    return _milliseconds(lambda: gradients(subject, batch, target), len(batch))


def _milliseconds(work: Callable[[], Any], examples: int) -> float:
    """The median wall time of ``work`` per example, after one run that does not count."""
    work()
    times: list[float] = []
    while len(times) < _ENOUGH_RUNS and sum(times) < _ENOUGH_SECONDS:
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1000 / examples
