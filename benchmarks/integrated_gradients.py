"""How many passes integrated gradients need until the scores add up to 1 %, beside Captum, and how true both maps are.

For Captum the smallest number of steps on the ladder 25, 50, 100, 200, … from which its completeness error stays within
1 % up to the ladder's end; ours chooses its own number, and stops because it knows its error. B is one gradient. The maps
(one number per pixel or column) are compared with the mean of 4,000 gradients at the middles of as many equal steps, by
relative L2 distance. Fewer passes that add up are no truer map: the last two columns are Captum's with as many passes as
ours. CPU-seconds of Captum are those of 25 steps, times the steps it needs over 25. EfficientNet-Lite0 looks at photographs
of 112 × 112 pixels, and its ladder ends at 800.
"""

from collections.abc import Callable
from dataclasses import dataclass

import captum.attr
import torch
from benchmarks.harness import Page, Timings, alternating, distance, table
from PIL import Image
from skimage import data
from sklearn.datasets import load_digits, load_wine
from torch import Tensor, nn

import pellucid as pl
from pellucid.methods import Gradient, IntegratedGradients

LADDER = (25, 50, 100, 200, 400, 800, 1600, 3200)
REFERENCE_STEPS = 4000
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
    "error, Captum with our passes",
    "distance",
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
    """One question of one network, as both libraries ask it; ``steps`` is where Captum's ladder ends."""

    network: str
    input: str
    subject: pl.Subject
    inputs: pl.Inputs
    steps: int = LADDER[-1]

    @property
    def target(self) -> int:
        return int(self.subject.scores(self.inputs).argmax())

    @property
    def baseline(self) -> Tensor:
        task = self.subject.task
        return task.baseline(self.inputs, task.baselines()[0])

    @property
    def batch(self) -> int:
        return max(1, self.subject.batch_size(self.inputs) // 2)

    @property
    def decision(self) -> pl.Decision:
        return pl.Decision(self.inputs, target=self.target)

    def ours(self) -> pl.Attribution:
        return IntegratedGradients(tolerance=TOLERANCE)(self.subject, self.decision)

    def theirs(self, steps: int) -> Tensor:
        point = self.inputs.value.clone().requires_grad_()
        peer = captum.attr.IntegratedGradients(self.subject.module)
        found = peer.attribute(point, self.baseline, self.target, n_steps=steps, internal_batch_size=self.batch)
        return found.detach()

    def reference(self) -> Tensor:
        """The mean of gradients at the middles of equal steps, in double precision, by neither library."""
        start, end, target = self.baseline, self.inputs.value, self.target
        places = (torch.arange(REFERENCE_STEPS) + 0.5) / REFERENCE_STEPS
        total = torch.zeros_like(end, dtype=torch.float64)
        for part in places.split(self.batch):
            shares = part.view(-1, *[1] * (end.ndim - 1))
            points = torch.lerp(start, end, shares).requires_grad_()
            scores = self.subject.module(points)[:, target]
            total += torch.autograd.grad(scores.sum(), points)[0].double().sum(0, keepdim=True)
        return total / REFERENCE_STEPS * (end - start)


def cases(photographs: list[str]) -> list[Case]:
    found = []
    for kind in (nn.GELU, nn.ReLU):
        subject = pl.wrap(network(kind), pl.tasks.Image(32))
        for seed in range(4):
            noise = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(seed))
            found.append(Case(f"small {kind.__name__} network", f"noise {seed}", subject, subject.prepare(noise)))
    digits, subject = load_digits(), pl.load("digits-cnn")
    for number in (3, 100, 500, 1000):
        picture = Image.fromarray((digits.images[number] * 15.9).astype("uint8"))
        found.append(Case("digits-cnn", f"digit {number}", subject, subject.prepare(picture)))
    subject = pl.load("wine-mlp")
    for number in (3, 70, 150):
        row = load_wine().data[number].tolist()
        found.append(Case("wine-mlp", f"row {number}", subject, subject.prepare(row)))
    subject = pl.load("efficientnet-lite0")
    for name in photographs:
        whole = subject.prepare(Image.fromarray(getattr(data, name)())).value
        inputs = subject.prepare(nn.functional.avg_pool2d(whole, 2))
        found.append(Case("efficientnet-lite0", name, subject, inputs, steps=800))
    return found


def plane(scores: Tensor) -> Tensor:
    """One number per pixel of a picture, or per column of a table."""
    return scores.sum(1) if scores.ndim == 4 else scores


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


@dataclass(frozen=True)
class Outcome:
    """What was measured of one case; ``needed`` is None where Captum does not stay within the tolerance."""

    case: Case
    passes: int
    needed: int | None
    times: Timings
    errors: tuple[float, float, float]
    distances: tuple[float, float, float]

    @property
    def ratio(self) -> float:
        """How many times fewer passes ours takes; at least, where Captum did not get there."""
        return (self.needed or 2 * self.case.steps) / self.passes

    def line(self) -> tuple[str, ...]:
        steps = self.needed or self.case.steps
        seconds = self.times.seconds
        return (
            f"{self.case.network}, {self.case.input}",
            str(self.passes),
            str(self.needed) if self.needed else f"over {steps}",
            f"{'' if self.needed else '> '}{self.ratio:.1f} ×",
            f"{seconds['ours']:.2f}",
            f"{seconds['captum'] * steps / LADDER[0]:.2f}",
            f"{1000 * seconds['gradient']:.0f}",
            *(f"{found:.2%}" for found in self.errors[:2]),
            *(f"{found:.1e}" for found in self.distances[:2]),
            f"{self.errors[2]:.2%}",
            f"{self.distances[2]:.1e}",
        )


def measured(case: Case, rounds: int) -> Outcome:
    contenders = {
        "gradient": lambda: Gradient()(case.subject, case.decision),
        "ours": case.ours,
        "captum": lambda: case.theirs(LADDER[0]),
    }
    times = alternating(contenders, rounds)
    ours: pl.Attribution = times.answers["ours"]
    rise, passes = float(ours.value - ours.quality["baseline"]), int(ours.quality["steps"])
    maps = {steps: case.theirs(steps) for steps in LADDER if steps <= case.steps}
    needed = smallest({steps: error(scores, rise) for steps, scores in maps.items()})
    compared = (ours.scores, maps[needed or case.steps], case.theirs(passes))
    truth = plane(case.reference())
    return Outcome(
        case,
        passes,
        needed,
        times,
        tuple(error(scores, rise) for scores in compared),
        tuple(distance(plane(scores).double(), truth) for scores in compared),
    )


def mean(outcomes: list[Outcome]) -> float:
    return float(torch.tensor([outcome.ratio for outcome in outcomes]).log().mean().exp())


def main() -> None:
    page = Page(
        "integrated_gradients",
        __doc__,
        rounds=1,
        options=lambda parser: parser.add_argument("--photographs", nargs="*", default=["coffee", "chelsea"]),
    )
    outcomes = [measured(case, page.rounds) for case in cases(page.arguments.photographs)]
    page.say(table(HEADS, [outcome.line() for outcome in outcomes]))
    kinds = {
        outcome.case.network: [o for o in outcomes if o.case.network == outcome.case.network] for outcome in outcomes
    }
    page.say(
        table(
            ("network", "fewer passes (geometric mean)", "least"),
            [(kind, f"{mean(own):.1f} ×", f"{min(o.ratio for o in own):.1f} ×") for kind, own in kinds.items()],
        ),
        f"Over all: {mean(outcomes):.1f} times fewer passes, a ladder that was not enough counted as twice its end.",
    )
    page.close()


if __name__ == "__main__":
    main()
