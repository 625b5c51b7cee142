"""What occlusion costs beside its forward passes and beside Captum, and whether the maps are equal.

F is one forward pass of the prepared model at the best batch size. Captum is asked with one window at a time, its
default, and with as many at a time as are best for the machine.
"""

import captum.attr
import torch
from benchmarks.harness import Page, alternating, distance, table
from PIL import Image
from skimage import data
from torch import Tensor, nn

import pellucid as pl
from pellucid.methods import Occlusion

HEADS = ("contender", "CPU-s", "F", "beside the forward passes", "beside ours", "relative L2 distance to ours")


def network() -> nn.Module:
    """A small convolutional network with seeded random weights and batch norms."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for inputs, outputs in ((3, 24), (24, 48), (48, 96)):
        layers += [nn.Conv2d(inputs, outputs, 3, 2, 1), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(96, 10)).eval()


def forwards(subject: pl.Subject, inputs: pl.Inputs, number: int) -> None:
    """Nothing but the forward passes, on copies of the picture."""
    size = subject.batch_size(inputs)
    batch = inputs.rows(torch.zeros(size, dtype=torch.long))
    for start in range(0, number, size):
        subject.run(batch.rows(slice(0, min(size, number - start))))


def theirs(subject: pl.Subject, inputs: pl.Inputs, target: int, window: int, stride: int, at_once: int) -> Tensor:
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


def measured(subject: pl.Subject, inputs: pl.Inputs, window: int, stride: int, rounds: int) -> str:
    """The table of one network and one window."""
    target = int(subject.scores(inputs).argmax())
    method, decision = Occlusion(window=window, stride=stride), pl.Decision(inputs, target=target)
    passes = method(subject, decision).evaluations["F"]
    size = subject.batch_size(inputs)
    names = (
        f"{passes} forward passes of the prepared model, batches of {size}",
        "ours",
        "Captum, one window at a time",
        f"Captum, {size} windows at a time",
    )
    contenders = {
        names[0]: lambda: forwards(subject, inputs, passes),
        names[1]: lambda: method(subject, decision).scores,
        names[2]: lambda: theirs(subject, inputs, target, window, stride, 1),
        names[3]: lambda: theirs(subject, inputs, target, window, stride, size),
    }
    found = alternating(contenders, rounds)
    ours = found.answers[names[1]]
    apart = ["", "", *(f"{distance(found.answers[name], ours):.1e}" for name in names[2:])]
    rows = [
        (
            name,
            f"{found.seconds[name]:.2f}",
            f"{passes * found.units(name, names[0]):.0f}",
            f"{found.units(name, names[0]):.2f} ×",
            f"{found.units(name, names[1]):.2f} ×",
            far,
        )
        for name, far in zip(names, apart, strict=True)
    ]
    return table(HEADS, rows)


def main() -> None:
    page = Page("occlusion", __doc__, rounds=3)
    small = pl.wrap(network(), pl.tasks.Image(64), name="small network")
    noise = small.prepare(torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    lite = pl.load("efficientnet-lite0")
    photograph = lite.prepare(Image.fromarray(data.chelsea()))
    for name, subject, inputs, window, stride in (
        ("a small network, 64 × 64 pixels", small, noise, 8, 2),
        ("efficientnet-lite0, 224 × 224 pixels", lite, photograph, 32, 16),
    ):
        page.say(
            f"## {name}, windows of {window} every {stride}", measured(subject, inputs, window, stride, page.rounds)
        )
    page.close()


if __name__ == "__main__":
    main()
