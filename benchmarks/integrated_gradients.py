"""How many passes integrated gradients need until the scores add up to 1 %, beside Captum, and how near both maps are.

For Captum the smallest number of steps of 25, 50, 100, 200 and 400 from which its completeness error stays within 1 %;
ours chooses its own. Distances are relative L2 distances to Captum's map with 400 steps, of single pixels and of squares
of 16 × 16 pixels (single pixels of kinked networks settle long after the sum does). B is one gradient. Captum's CPU-seconds
are those of 25 steps, times the steps it needs over 25.
"""

from collections.abc import Callable
from dataclasses import dataclass

import captum.attr
import torch
from benchmarks.harness import Page, alternating, distance, table
from PIL import Image
from skimage import data
from torch import Tensor, nn

import pellucid as pl
from pellucid.methods import Gradient, IntegratedGradients

TRIED = (25, 50, 100, 200, 400)
TOLERANCE = 1e-2
HEADS = (
    "network and input",
    "ours, B",
    "Captum, steps",
    "fewer passes",
    "ours, CPU-s",
    "Captum, CPU-s",
    "B, ms",
    "error of the sum, ours",
    "Captum",
    "distance, ours",
    "Captum",
    "of squares, ours",
    "Captum",
)


def network(activation: Callable[[], nn.Module]) -> nn.Module:
    """A small convolutional network with seeded random weights."""
    torch.manual_seed(0)
    width = 24
    layers = [nn.Conv2d(3, width, 3, padding=1), activation()]
    layers += [layer for _ in range(2) for layer in (nn.Conv2d(width, width, 3, 2, 1), activation())]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * width, 10)).eval()


@dataclass(frozen=True)
class Case:
    """One question of one network, as both libraries ask it."""

    name: str
    subject: pl.Subject
    inputs: pl.Inputs
    target: int

    @property
    def decision(self) -> pl.Decision:
        return pl.Decision(self.inputs, target=self.target)

    def ours(self) -> pl.Attribution:
        return IntegratedGradients(tolerance=TOLERANCE)(self.subject, self.decision)

    def theirs(self, steps: int) -> Tensor:
        task, module = self.subject.task, self.subject.module
        baseline = task.baseline(self.inputs, task.baselines()[0])
        size = max(1, self.subject.batch_size(self.inputs) // 2)
        point = self.inputs.value.clone().requires_grad_()
        peer = captum.attr.IntegratedGradients(module)
        return peer.attribute(point, baseline, self.target, n_steps=steps, internal_batch_size=size).detach()


def squares(scores: Tensor) -> Tensor:
    return nn.functional.avg_pool2d(scores.sum(1), 16)


def error(scores: Tensor, rise: float) -> float:
    return abs(float(scores.sum()) - rise) / abs(rise)


def smallest(errors: dict[int, float]) -> int | None:
    """The smallest number of steps from which the error stays within the tolerance."""
    enough = None
    for steps in sorted(errors, reverse=True):
        if errors[steps] > TOLERANCE:
            break
        enough = steps
    return enough


def measured(case: Case, rounds: int) -> tuple[int, int | None, tuple[str, ...]]:
    """Our passes, Captum's, and one line of the table."""
    first = case.ours()
    rise = float(first.value - first.quality["baseline"])
    maps = {steps: case.theirs(steps) for steps in TRIED}
    needed = smallest({steps: error(scores, rise) for steps, scores in maps.items()})
    steps = needed or TRIED[-1]
    contenders = {
        "gradient": lambda: Gradient()(case.subject, case.decision),
        "ours": case.ours,
        "captum": lambda: case.theirs(TRIED[0]),
    }
    found = alternating(contenders, rounds)
    scores, reference, passes = found.answers["ours"].scores, maps[TRIED[-1]], int(first.quality["steps"])
    pixels, of_squares = (
        [
            f"{distance(view(map), view(reference)):.1e}" if map is not reference else "–"
            for map in (scores, maps[steps])
        ]
        for view in (lambda map: map.sum(1), squares)
    )
    line = (
        case.name,
        str(passes),
        str(needed) if needed else f"over {steps}",
        f"{'' if needed else '> '}{steps / passes:.1f} ×",
        f"{found.seconds['ours']:.2f}",
        f"{found.seconds['captum'] * steps / TRIED[0]:.2f}",
        f"{1000 * found.seconds['gradient']:.0f}",
        f"{error(scores, rise):.2%}",
        f"{error(maps[steps], rise):.2%}",
        *pixels,
        *of_squares,
    )
    return passes, needed, line


def main() -> None:
    page = Page(
        "integrated_gradients",
        __doc__,
        rounds=1,
        options=lambda parser: parser.add_argument("--pictures", nargs="*", default=["coffee", "chelsea"]),
    )
    cases = []
    for kind in (nn.GELU, nn.ReLU):
        subject = pl.wrap(network(kind), pl.tasks.Image(64))
        for seed in range(4):
            inputs = subject.prepare(torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(seed)))
            cases.append(Case(f"small {kind.__name__} network, noise {seed}", subject, inputs, 0))
    subject = pl.load("efficientnet-lite0")
    for name in page.arguments.pictures:
        inputs = subject.prepare(Image.fromarray(getattr(data, name)()))
        target = int(subject.scores(inputs).argmax())
        cases.append(Case(f"efficientnet-lite0, {name}: {subject.task.labels[target]}", subject, inputs, target))
    ratios, lines = [], []
    for case in cases:
        passes, needed, line = measured(case, page.rounds)
        ratios.append((needed or 2 * TRIED[-1]) / passes)
        lines.append(line)
    page.say(table(HEADS, lines))
    mean = torch.tensor(ratios).log().mean().exp()
    page.say(f"Geometric mean: {mean:.1f} times fewer passes, an unreached tolerance counted as {2 * TRIED[-1]} steps.")
    page.close()


if __name__ == "__main__":
    main()
