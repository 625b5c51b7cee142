"""What occlusion costs beside Captum, what recomputing only what a window reaches saves, and whether the maps are equal.

Ours is asked four times: of the network as it is and of its prepared copy (batch norm folded, operations fused, channels
last), with whole passes and with passes of which only what a window reaches is computed again. Captum is asked with as
many windows at a time as are best for the machine. Windows are 16 pixels wide, one every 8 pixels: 729 of them. Five
photographs; ratios are geometric means with 95 % intervals over photographs.
"""

import statistics
import time

import captum.attr
import torch
from benchmarks.harness import Page, alternating, distance, mean_with_interval, table
from torch import Tensor, nn

import pellucid as pl
from pellucid.core.subject import Run
from pellucid.guide.samples import PHOTOGRAPHS, Photograph
from pellucid.methods import Occlusion
from pellucid.subjects.torch import TorchSubject

WINDOW, STRIDE = 16, 8
AT_ONCE = (1, 2, 4, 8, 16, 32)
CAPTUM, OURS = "Captum", "**prepared copy, incremental**"
HEADS = ("contender", "CPU-s", "Captum takes", "of the multiply-adds", "largest relative L2 distance to Captum")


def vgg11(width: int) -> nn.Module:
    """VGG-11 with batch norms and seeded random weights, whose first layer has ``width`` channels, instead of 64; a
    global mean and one linear map in the end."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    inputs = 3
    for factor in (1, 0, 2, 0, 4, 4, 0, 8, 8, 0, 8, 8, 0):
        if not factor:
            layers.append(nn.MaxPool2d(2))
            continue
        convolution = nn.Conv2d(inputs, factor * width, 3, padding=1)
        nn.init.kaiming_normal_(convolution.weight)  # so that the score is more than the biases of the last layers
        layers += [convolution, nn.BatchNorm2d(factor * width), nn.ReLU(True)]
        inputs = factor * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 1000)).eval()


class Asked(TorchSubject):
    """The same subject, asked in another way: of the ``original`` network, and with ``whole`` passes only."""

    def __init__(self, subject: TorchSubject, original: bool, whole: bool) -> None:
        super().__init__(subject.module, subject.task, name=subject.name)
        self.original, self.whole = original, whole

    def run(self, inputs: pl.Inputs, **options: object) -> Run:
        run = super().run(inputs, **{"original": self.original, **options})  # type: ignore[arg-type]
        # What went through numpy shows no operations, as the scores of a black box.
        return Run(torch.from_numpy(run.scores.numpy().copy()), run.activations) if self.whole else run


def theirs(subject: TorchSubject, inputs: pl.Inputs, target: int, at_once: int, window: int, stride: int) -> Tensor:
    task, channels = subject.task, inputs.value.shape[1]
    with torch.no_grad():
        return captum.attr.Occlusion(subject.module).attribute(
            inputs.value,
            sliding_window_shapes=(channels, window, window),
            strides=(channels, stride, stride),
            baselines=task.baseline(inputs, task.baselines()[0]),
            target=target,
            perturbations_per_eval=at_once,
        )


def best_at_once(subject: TorchSubject, inputs: pl.Inputs, target: int) -> int:
    """How many windows at a time Captum is fastest with, on 16 larger windows."""
    seconds = {}
    for at_once in AT_ONCE:
        times = []
        for _ in range(2):
            started = time.process_time()
            theirs(subject, inputs, target, at_once, 56, 56)
            times.append(time.process_time() - started)
        seconds[at_once] = min(times)
    return min(seconds, key=seconds.__getitem__)


def measured(subject: TorchSubject, inputs: pl.Inputs, at_once: int, rounds: int) -> dict[str, tuple[float, ...]]:
    """What each contender took, how many times longer Captum took, its share of the multiply-adds and its distance."""
    target = int(subject.scores(inputs).argmax())
    decision, exact = pl.Decision(inputs, target=target), Occlusion(window=WINDOW, stride=STRIDE)
    refined = Occlusion(window=WINDOW, stride=STRIDE, refine=WINDOW)
    asked = {
        "network as it is, whole passes": (Asked(subject, True, True), exact),
        "network as it is, incremental": (Asked(subject, True, False), exact),
        "prepared copy, whole passes": (Asked(subject, False, True), exact),
        OURS: (subject, exact),
        "from coarse to fine (approximate)": (subject, refined),
    }
    contenders = {CAPTUM: lambda: theirs(subject, inputs, target, at_once, WINDOW, STRIDE)}
    contenders |= {name: (lambda one=one, how=how: how(one, decision)) for name, (one, how) in asked.items()}
    found = alternating(contenders, rounds)
    map = found.answers.pop(CAPTUM)
    return {CAPTUM: (found.seconds[CAPTUM], 1.0, 1.0, 0.0)} | {
        name: (
            found.seconds[name],
            found.units(CAPTUM, name),
            float(answer.quality["multiply-adds"]),
            distance(answer.scores, map),
        )
        for name, answer in found.answers.items()
    }


def compared(page: Page, title: str, subject: TorchSubject, photographs: list[Photograph]) -> None:
    """The table of one network: medians over photographs, ratios with their interval over photographs."""
    inputs = [subject.prepare(str(photograph.path)) for photograph in photographs]
    at_once = best_at_once(subject, inputs[0], int(subject.scores(inputs[0]).argmax()))
    found = [measured(subject, one, at_once, page.rounds) for one in inputs]
    rows = []
    for name in found[0]:
        seconds, ratios, shares, distances = zip(*(of[name] for of in found), strict=True)
        rows.append(
            (
                name,
                f"{statistics.median(seconds):.1f}",
                mean_with_interval(ratios),
                f"{statistics.mean(shares):.0%}",
                f"{max(distances):.1e}",
            )
        )
    ratios = [f"{photograph.name} {of[OURS][1]:.2f} ×" for photograph, of in zip(photographs, found, strict=True)]
    page.say(
        f"## {title}",
        table(HEADS, rows),
        f"Captum is fastest with {at_once} windows at a time here. Captum's time over ours, photograph by photograph: "
        f"{', '.join(ratios)}.",
    )


def main() -> None:
    page = Page(
        "occlusion",
        __doc__,
        rounds=1,
        options=lambda parser: parser.add_argument(
            "--width", type=int, default=32, help="channels of VGG's first layer"
        ),
    )
    width = page.arguments.width
    vgg = pl.wrap(vgg11(width), pl.tasks.Image(224), name="VGG-11")
    photographs = list(PHOTOGRAPHS[:5])
    title = f"VGG-11 with batch norm, {width} channels in its first layer, random weights"
    compared(page, title, vgg, photographs)
    compared(page, "EfficientNet-Lite0", pl.load("efficientnet-lite0"), photographs)
    page.close()


if __name__ == "__main__":
    main()
