"""Is the preparation of pictures the one of the training? Usual mistakes are tried beside the declared one.

A batch norm remembers the mean and variance that its inputs had in training. Under the right preparation photographs
give about the same statistics again; under a wrong one the first layers see something else. The divergence here is the
Kullback-Leibler divergence of the seen from the remembered normal distribution, in nats, averaged over the channels of
the first ten batch norms. On the bundled photographs, whole or cropped, it was measured at 0.03 to 0.09 under the right
preparation and at 0.18 or more under another mean and deviation: EfficientNet-Lite 0, 1 and 2, and ResNets of 20, 32,
44 and 56 layers trained on CIFAR-10. Confidence and the classes of the photographs tell gross mistakes only.
"""

import contextlib
import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pellucid.core.errors import SubjectFailed
from pellucid.core.subject import Inputs, Subject
from pellucid.guide.samples import PHOTOGRAPHS, knows_imagenet
from pellucid.tasks.image import Image

FITS = 0.12
RATIO = 2.0
_NORMS = 10
_ORDER_RATIO = 1.2
_GROSS = 1.0
_NORM_TYPES = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)

_COLOUR = {
    "−1…1 (mean 0.5, deviation 0.5)": ((0.5,) * 3, (0.5,) * 3),
    "ImageNet mean and deviation": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "0…1 (÷ 255 only)": ((0.0,) * 3, (1.0,) * 3),
    "raw 0…255": ((0.0,) * 3, (1 / 255,) * 3),
}
_GREY = {
    "−1…1 (mean 0.5, deviation 0.5)": ((0.5,), (0.5,)),
    "MNIST mean and deviation": ((0.1307,), (0.3081,)),
    "0…1 (÷ 255 only)": ((0.0,), (1.0,)),
    "raw 0…255": ((0.0,), (1 / 255,)),
}
DECLARED, REVERSED = "as declared", "as declared, channels reversed (BGR)"


@dataclass(frozen=True)
class Tried:
    """What one preparation gives on the samples.

    ``divergence`` is None without batch norms; ``confidence`` is the mean probability of the predicted class,
    ``entropy`` the mean entropy in nats; ``known`` is the mean log-probability of the classes that are right for the
    photographs, None where they are not known.
    """

    name: str
    divergence: float | None
    confidence: float
    entropy: float
    known: float | None


@dataclass(frozen=True)
class Shown:
    """The prediction for one sample shown whole and shown cropped."""

    name: str
    whole: str
    whole_probability: float
    cropped: str
    cropped_probability: float


def try_preparations(subject: Subject, inputs: Inputs, bundled: bool) -> tuple[Tried, ...]:
    """The declared preparation first, then the usual others, on the same pixels; empty where none can be tried."""
    task = subject.task
    if not isinstance(task, Image) or not _comparable(subject, bundled):
        return ()
    mean, deviation = (torch.tensor(v).view(1, -1, 1, 1) for v in (task.mean, task.deviation))
    pixels = inputs.value * deviation + mean
    classes = [photograph.classes for photograph in PHOTOGRAPHS] if bundled and knows_imagenet(task.labels) else None
    values = {
        name: (pixels - torch.tensor(other[0]).view(1, -1, 1, 1)) / torch.tensor(other[1]).view(1, -1, 1, 1)
        for name, other in (_COLOUR if task.channels == 3 else _GREY).items()
        if other != (task.mean, task.deviation)
    }
    if task.channels == 3:
        values[REVERSED] = (pixels.flip(1) - mean) / deviation
    found = [_tried(subject, inputs, inputs.value, DECLARED, classes)]
    for name, value in values.items():
        # Under a preparation that is far off, the model may answer NaN: then it is not the right one.
        with contextlib.suppress(SubjectFailed):
            found.append(_tried(subject, inputs, value, name, classes))
    return tuple(found)


def suspicion(tried: Sequence[Tried]) -> str | None:
    """Why the declared preparation is likely wrong, or None.

    With batch norms: another preparation fits (divergence under 0.12) and the declared one does not, by a factor of
    two or more. Reversed channels: their divergence is smaller by a factor of 1.2 and they give the right classes, or
    any class, with more confidence. Without batch norms only a gross mistake shows: another preparation makes the right
    classes e times as probable.
    """
    if not tried:
        return None
    declared, others = tried[0], [entry for entry in tried[1:] if entry.name != REVERSED]
    swapped = next((entry for entry in tried if entry.name == REVERSED), None)
    if declared.divergence is None:
        return _gross(declared, others)
    best = min(others, key=lambda entry: _divergence(entry))
    if declared.divergence > max(FITS, RATIO * _divergence(best)) and _divergence(best) < FITS:
        return (
            f"the pictures seem to be prepared otherwise than in training: with {best.name!r} the first layers see "
            f"what they saw in training (divergence {best.divergence:.2f}), as declared they do not "
            f"({declared.divergence:.2f}); give the task that mean and deviation"
        )
    if swapped is not None and declared.known is not None and swapped.known is not None:
        closer = declared.divergence > _ORDER_RATIO * _divergence(swapped)
        if closer and (swapped.known > declared.known or swapped.confidence > declared.confidence):
            return (
                "the colour channels may be in the wrong order: reversed, the first layers see more nearly what they "
                f"saw in training (divergence {swapped.divergence:.3f} instead of {declared.divergence:.3f}), and the "
                "predictions are surer or better; compare with how the network was trained"
            )
    return None


def judged(tried: Sequence[Tried]) -> str:
    """What the trial could notice at all, in words."""
    if not tried:
        return "not tried: it takes a model of pictures with class scores, and pictures of its kind (--data)"
    if tried[0].divergence is not None:
        best = min(_divergence(entry) for entry in tried)
        if best >= FITS:
            return "inconclusive: no usual preparation gives the statistics of training; give --data of its kind"
        return "compared with the statistics in the network's batch norms"
    if tried[0].known is not None:
        return "without batch norms only a gross mistake can be noticed, by the classes of the photographs"
    return "not judged: there are no batch norms to compare with and the photographs' classes are not among the labels"


def whole_and_cropped(subject: Subject, raws: Sequence[object] | None) -> tuple[Shown, ...]:
    """Predictions with the whole picture squeezed to the size, and with its centre cut out, for each picture."""
    task = subject.task
    if not isinstance(task, Image) or not _comparable(subject, raws is None):
        return ()
    if raws is None:
        raws = [photograph.path for photograph in PHOTOGRAPHS]
    rows = []
    for crop in (False, True):
        variant = copy.copy(task)
        variant.crop = crop
        inputs = variant.prepare(list(raws))
        best = _probabilities(subject, inputs).max(1)
        rows.append((inputs, best.indices.tolist(), best.values.tolist()))
    (inputs, whole, whole_sure), (_, cropped, cropped_sure) = rows
    return tuple(
        Shown(origin.name, _label(task, w), w_sure, _label(task, c), c_sure)
        for origin, w, w_sure, c, c_sure in zip(inputs.origins, whole, whole_sure, cropped, cropped_sure, strict=True)
    )


def _comparable(subject: Subject, bundled: bool) -> bool:
    """Whether there are class scores, and the bundled photographs can tell anything about a model like this one."""
    suits = not bundled or knows_imagenet(subject.task.labels) or bool(_norms(subject))
    return subject.task.output != "value" and suits


def _tried(
    subject: Subject, inputs: Inputs, value: Tensor, name: str, classes: Sequence[frozenset[int]] | None
) -> Tried:
    given = inputs.at(value)
    probabilities = _probabilities(subject, given)
    surprise = -probabilities.clamp(min=torch.finfo(probabilities.dtype).tiny).log()
    known = None
    if classes is not None:
        right = [row[sorted(wanted)].sum() for row, wanted in zip(probabilities, classes, strict=True) if wanted]
        known = float(torch.stack(right).clamp(min=1e-12).log().mean())
    entropy = float((probabilities * surprise).sum(1).mean())
    return Tried(name, _batch_norm_divergence(subject, given), float(probabilities.amax(1).mean()), entropy, known)


def _probabilities(subject: Subject, inputs: Inputs) -> Tensor:
    scores = subject.scores(inputs).double()
    if subject.task.output == "probabilities":
        return scores
    return scores.softmax(1) if scores.shape[1] > 1 else torch.cat([scores.sigmoid(), (-scores).sigmoid()], 1)


def _norms(subject: Subject) -> Sequence[nn.Module]:
    """The first batch norms that remember their training."""
    modules = () if subject.module is None else subject.module.modules()
    return [m for m in modules if isinstance(m, _NORM_TYPES) and m.running_mean is not None][:_NORMS]


def _batch_norm_divergence(subject: Subject, inputs: Inputs) -> float | None:
    norms = _norms(subject)
    found: list[float] = []

    def see(norm: nn.Module, given: tuple[Tensor, ...]) -> None:
        found.append(_channel_divergence(norm, given[0]))

    hooks = [norm.register_forward_pre_hook(see) for norm in norms]
    try:
        subject.run(inputs, original=True)
    finally:
        for hook in hooks:
            hook.remove()
    return sum(found) / len(found) if found else None


def _channel_divergence(norm: nn.Module, given: Tensor) -> float:
    seen = given.detach().transpose(0, 1).flatten(1).double()
    remembered = norm.running_var.double() + norm.eps  # type: ignore[operator, union-attr]
    ratio = (seen.var(1) + norm.eps) / remembered  # type: ignore[operator]
    shift = (seen.mean(1) - norm.running_mean.double()).square() / remembered  # type: ignore[operator, union-attr]
    return float((ratio + shift - 1 - ratio.log()).mean() / 2)


def _gross(declared: Tried, others: Sequence[Tried]) -> str | None:
    known = [entry for entry in others if entry.known is not None]
    if declared.known is None or not known:
        return None
    best = max(known, key=lambda entry: entry.known or 0.0)
    assert best.known is not None
    if best.known - declared.known < _GROSS:
        return None
    return (
        f"the pictures seem to be prepared otherwise than in training: with {best.name!r} the right classes of the "
        f"bundled photographs are {math.exp(best.known - declared.known):.0f} times as probable as now; give the task "
        "that mean and deviation"
    )


def _divergence(entry: Tried) -> float:
    assert entry.divergence is not None
    return entry.divergence


def _label(task: Image, output: int) -> str:
    return task.labels[output] if task.labels else f"output {output}"
