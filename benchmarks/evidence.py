"""What it costs to judge explanations: pixel flipping and region perturbation, beside quantus, with the same values.

Both judge the same maps of the same pictures by the same definition, ours with ``compat="quantus"``: the explanations that
are named and the three control rows that ours always adds (edge, constant, random). quantus takes one map per picture at a
time, so it is called once for each, with all pictures in one call, its warnings off, and the batch size that was fastest
among those named. It refuses a constant map; it is given a ramp that has the same order. Seconds are CPU-seconds of one
thread, ours and theirs in turn. *Apart* is the largest difference between the values of ours and theirs, relative to the
largest value, over all pictures, explanations and the random row; the other controls have ties, which each breaks in its own
way.

Two things make the difference: what looks the same is asked once (a black pixel erased to black, the whole picture, the
erased picture), and pictures share batches that fit the processor's cache.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.harness import Page, mean_with_interval, table
from PIL import Image
from sklearn.datasets import load_digits
from tests.reference.quantus_package import quantus
from torch import Tensor

import pellucid as pl
from pellucid import methods
from pellucid.engine.judged import judged
from pellucid.guide.samples import PHOTOGRAPHS
from pellucid.metrics import PixelFlipping, RegionPerturbation

REPOSITORY = Path(__file__).resolve().parent.parent
SAMPLES = REPOSITORY.parent / "shared" / "data" / "imagenet-500-samples" / "images"
EXPLAINERS: dict[str, Callable[[], Any]] = {
    "input-x-gradient": methods.InputXGradient,
    "gradient": methods.Gradient,
    "guided-backprop": methods.GuidedBackprop,
    "deconvnet": methods.Deconvnet,
    "lrp": methods.LRP,
    "lrp epsilon-plus": lambda: methods.LRP(composite="epsilon-plus"),
    "lrp epsilon-alpha2-beta1": lambda: methods.LRP(composite="epsilon-alpha2-beta1"),
    "smoothgrad": lambda: methods.SmoothGrad(samples=10),
    "integrated-gradients": methods.IntegratedGradients,
    "expected-gradients": lambda: methods.ExpectedGradients(samples=10),
    "occlusion": lambda: methods.Occlusion(window=3, stride=1),
    "rise": lambda: methods.Rise(samples=50),
}
GROUPS = 5
_BATCHES = (2, 4, 10, 20, 50, 100)
HEADS = ("network", "metric", "maps", "pictures", "quantus", "ours", "faster", "passes quantus / ours", "apart")


@dataclass(frozen=True)
class Contest:
    """One metric as both know it: quantus' with its fields, ours with the same steps; ``passes`` are quantus' for a map."""

    name: str
    theirs: Any
    ours: Any
    passes: int


@dataclass(frozen=True)
class Exhibit:
    """What is judged: pictures of one network, the explanations of these, and quantus' batch size."""

    subject: pl.Subject
    judgement: pl.Judgement
    batch_size: int

    @property
    def pictures(self) -> Tensor:
        """What the network sees."""
        return self.subject.prepare(self.judgement.results[0].query.inputs).value

    def maps(self) -> Tensor:
        """All rows, ``[rows, pictures, …]``, the constant one as a falling ramp."""
        asked = judged(self.subject, self.judgement)
        rows = torch.stack([case.maps for case in asked.cases()], 1)
        shape = rows.shape[2:]
        rows[len(asked.answers) + asked.controls.index("constant")] = -torch.arange(shape.numel()).view(shape).double()
        return rows


def judged_by_quantus(contest: Contest, exhibit: Exhibit, maps: Tensor) -> Tensor:
    """Quantus' area for each row and picture."""
    targets = exhibit.judgement.results[0].target.numpy()
    curves = [
        contest.theirs(
            exhibit.subject.module,
            exhibit.pictures.numpy(),
            targets,
            row,
            channel_first=True,
            softmax=True,
            batch_size=exhibit.batch_size,
        )
        for row in maps.numpy()
    ]
    return torch.from_numpy(np.trapezoid(np.asarray(curves, dtype=float), axis=2))


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU-seconds, and the answer."""
    started = time.process_time()
    answer = work()
    return time.process_time() - started, answer


def compared(contest: Contest, exhibits: Sequence[Exhibit], rounds: int) -> tuple[str, ...]:
    """A line of the table: every exhibit is judged by both in turn, ``rounds`` times, after one that warms up."""
    seconds: list[tuple[float, float]] = []
    apart, passes = 0.0, [0, 0]
    for exhibit in exhibits:
        maps = exhibit.maps()
        for number in range(rounds + (1 if exhibit is exhibits[0] else 0)):
            theirs = timed(lambda: judged_by_quantus(contest, exhibit, maps))  # noqa: B023
            ours = timed(lambda: contest.ours(exhibit.subject, exhibit.judgement))  # noqa: B023
            if number or exhibit is not exhibits[0]:
                seconds.append((theirs[0], ours[0]))
        apart = max(apart, difference(theirs[1], ours[1]))
        passes[0] += contest.passes * maps.shape[0] * maps.shape[1]
        passes[1] += ours[1].evaluations["F"]
    quantus_seconds, our_seconds = (statistics.median(times) * len(exhibits) for times in zip(*seconds, strict=True))
    return (
        exhibits[0].subject.name,
        contest.name,
        f"{len(exhibits[0].judgement.results)} + 3",
        str(sum(len(exhibit.pictures) for exhibit in exhibits)),
        f"{quantus_seconds:.2f} s",
        f"{our_seconds:.2f} s",
        mean_with_interval([theirs / ours for theirs, ours in seconds]),
        f"{passes[0]} / {passes[1]}",
        f"{apart:.0e}",
    )


def difference(theirs: Tensor, ours: pl.Evaluation) -> float:
    """How far values lie apart, of the explanations and of the random row, relative to the largest."""
    assert ours.control_per_example is not None
    mine = torch.cat([ours.per_example, ours.control_per_example[-1:]])
    other = torch.cat([theirs[: len(ours.per_example)], theirs[-1:]])
    return float((mine - other).abs().max() / other.abs().max())


def digits(explainers: Sequence[str]) -> Exhibit:
    """100 handwritten digits."""
    subject = pl.load("digits-cnn")
    points = torch.tensor(load_digits().images[:100] / 16, dtype=torch.float32)[:, None]
    return exhibit_of(subject, points, explainers, 100)


def exhibit_of(subject: pl.Subject, inputs: Any, explainers: Sequence[str], batch_size: int) -> Exhibit:
    """Explanations of the predicted class's probability."""
    decision = pl.Decision(inputs, of="probability")
    answers = [EXPLAINERS[name]()(subject, decision) for name in explainers]
    return Exhibit(subject, pl.Judgement(answers), batch_size)


def photographs(number: int) -> Iterator[Any]:
    """Real pictures: of ImageNet where they are at hand, else crops of the bundled photographs."""
    if SAMPLES.exists():
        yield from sorted(SAMPLES.iterdir())[:number]
        return
    for place in range(number):
        shift, which = divmod(place, len(PHOTOGRAPHS))
        left, top = 7 * shift, 3 * shift
        yield Image.open(PHOTOGRAPHS[which].path).convert("RGB").crop((left, top, left + 256, top + 256))


def options(parser: argparse.ArgumentParser) -> None:
    """The arguments of this benchmark."""
    parser.add_argument("--pictures", type=int, default=100, help="pictures that EfficientNet-Lite0 looks at")


def contests(channels: int, side: int, steps: int, region: int, regions: int) -> tuple[Contest, Contest]:
    """Both metrics with so many steps of pixel flipping, and so many squares of region perturbation."""
    elements = channels * side * side
    return (
        Contest(
            f"pixel flipping, {steps} steps",
            quantus.PixelFlipping(features_in_step=elements // steps, disable_warnings=True),
            PixelFlipping(steps=steps, compat="quantus"),
            steps,
        ),
        Contest(
            f"region perturbation, {regions} squares of {region} × {region}",
            quantus.RegionPerturbation(patch_size=region, regions_evaluation=regions, disable_warnings=True),
            RegionPerturbation(region=region, steps=regions, compat="quantus"),
            regions + 1,
        ),
    )


def fastest(contest: Contest, exhibit: Exhibit) -> int:
    """The batch size among a few with which quantus is fastest, by one map."""
    maps = exhibit.maps()[:1]
    sizes = [size for size in _BATCHES if size <= len(exhibit.pictures)]
    seconds = {
        size: timed(lambda: judged_by_quantus(contest, replace(exhibit, batch_size=size), maps))[0]  # noqa: B023
        for size in (sizes[0], *sizes)  # the first once more, because it warms up
    }
    return min(seconds, key=seconds.__getitem__)


def main() -> None:
    page = Page("evidence", __doc__, rounds=5, options=options)
    warnings.simplefilter("ignore")
    names, rows, chosen = list(EXPLAINERS), [], []
    exhibit = digits(names)
    for contest in contests(1, 8, 64, 2, 16):
        chosen.append(fastest(contest, exhibit))
        for number in (1, len(names)):
            shown = pl.Judgement(exhibit.judgement.results[:number])
            rows.append(compared(contest, [replace(exhibit, judgement=shown, batch_size=chosen[-1])], page.rounds))
    page.say(
        f"## {len(exhibit.pictures)} handwritten digits",
        table(HEADS, rows),
        f"{len(names)} explanations: {', '.join(names)}. quantus' batch sizes: {', '.join(map(str, chosen))}.",
    )
    number = page.arguments.pictures
    subject, pictures = pl.load("efficientnet-lite0"), list(photographs(number))
    size = max(1, number // GROUPS)
    groups = [exhibit_of(subject, pictures[at : at + size], names[:1], 1) for at in range(0, number, size)]
    rows, chosen = [], []
    for contest in contests(3, 224, 6, 32, 4):
        chosen.append(fastest(contest, groups[0]))
        rows.append(compared(contest, [replace(group, batch_size=chosen[-1]) for group in groups], 1))
    where = "ImageNet" if SAMPLES.exists() else "crops of the bundled photographs"
    page.say(
        f"## EfficientNet-Lite0 and {number} pictures: {where}",
        table(HEADS, rows),
        f"Few steps, because quantus would take hours for those of the papers. The pictures are judged in groups of "
        f"{size} in turn, and the ratio has an interval over groups; seconds are those of the median group times the number "
        f"of groups. quantus' batch sizes: {', '.join(map(str, chosen))}.",
    )
    page.close()


if __name__ == "__main__":
    main()
