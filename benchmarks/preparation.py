"""What the private copy of a network saves that every perturbation method runs through, and what the engine adds to it.

Each network answers the same batch by itself and as copies: with batch norms folded into convolutions and linear maps; with
the channels of a pixel side by side in memory as well; and with padding, convolution and activation as one operation as
well, which is what the engine uses. Batches are as large as the engine makes them; figures are medians of CPU-seconds of
forward passes. *Apart* is the largest difference of scores, relative to the largest score.
"""

from collections.abc import Callable, Mapping

import torch
from benchmarks.harness import Page, alternating, table
from PIL import Image
from skimage import data
from tests.engine.networks import ResNet
from torch import Tensor, nn

import pellucid as pl
from pellucid.engine.batching import evaluate
from pellucid.engine.fusion import FusedConvolution
from pellucid.engine.prepare import STEPS, prepared
from pellucid.engine.targets import resolve
from pellucid.methods import Lime

SENTENCE = "a moving film that never once feels false"
CONTENDERS = ("bare", "norms folded", "and channels last", "and fused")
Example = tuple[pl.Subject, pl.Inputs]


class VGG(nn.Sequential):
    """Pairs and triples of convolutions with ReLU between max pools, as VGG-16 at a fourth of its width (and no norm)."""

    def __init__(self, width: int = 16) -> None:
        layers: list[nn.Module] = []
        inputs = 3
        for factor, repeats in ((1, 2), (2, 2), (4, 3), (8, 3), (8, 3)):
            for _ in range(repeats):
                layers += [nn.Conv2d(inputs, factor * width, 3, padding=1), nn.ReLU(inplace=True)]
                inputs = factor * width
            layers.append(nn.MaxPool2d(2))
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 1000))


def ask(network: nn.Module, tensors: Mapping[str, Tensor]) -> Tensor:
    """The scores of a network for named tensors."""
    with torch.no_grad():
        answer = network(next(iter(tensors.values()))) if len(tensors) == 1 else network(**tensors)
    return getattr(answer, "logits", answer)


def wrapped(network: nn.Module, side: int) -> Example:
    """A seeded network and a picture for it."""
    subject = pl.wrap(network.eval(), pl.tasks.Image(side))
    return subject, subject.prepare(Image.fromarray(data.chelsea()))


def zoo(name: str) -> Example:
    """A network of the zoo and something to ask it about."""
    subject = pl.load(name)
    if name == "minilm-sentiment":
        return subject, subject.prepare(SENTENCE)
    if name == "efficientnet-lite0":
        return subject, subject.prepare(Image.fromarray(data.chelsea()))
    return subject, subject.task.example().rows(slice(0, 1))


EXAMPLES: Mapping[str, Callable[[], Example]] = {
    "efficientnet-lite0": lambda: zoo("efficientnet-lite0"),
    "VGG-like, 224 × 224": lambda: wrapped(VGG(), 224),
    "VGG-like, 64 × 64": lambda: wrapped(VGG(), 64),
    "ResNet-18, 224 × 224": lambda: wrapped(ResNet(64, 1000, stages=4), 224),
    "mnist-cnn": lambda: zoo("mnist-cnn"),
    "digits-cnn": lambda: zoo("digits-cnn"),
    "wine-mlp": lambda: zoo("wine-mlp"),
    "minilm-sentiment": lambda: zoo("minilm-sentiment"),
}


def batch_of(inputs: pl.Inputs, size: int) -> dict[str, Tensor]:
    """As many copies of an example as go through the network at once."""
    return dict(inputs.rows(torch.zeros(size, dtype=torch.long)).tensors)


def times(work: Callable[[], Tensor], seconds: float = 0.1) -> int:
    """How often to repeat work that the clock would not see."""
    return max(1, round(seconds / max(alternating({"once": work}, 3).seconds["once"], 1e-5)))


def again(work: Callable[[], Tensor], number: int) -> Tensor:
    """The answer to the last of several repetitions."""
    for _ in range(number - 1):
        work()
    return work()


def row(name: str, example: Example, rounds: int) -> tuple[str, ...]:
    """One network by itself and after each step."""
    subject, inputs = example
    network, size = subject.module.eval(), subject.batch_size(inputs)
    one, batch = batch_of(inputs, 1), batch_of(inputs, size)
    copies = [network, *(prepared(network, one, ask, STEPS[: number + 1]) for number in range(len(STEPS)))]
    number = times(lambda: ask(network, batch))
    found = alternating(
        {
            contender: lambda copy=copy: again(lambda: ask(copy, batch), number)
            for contender, copy in zip(CONTENDERS, copies, strict=True)
        },
        rounds,
    )
    bare, ours = found.answers[CONTENDERS[0]], found.answers[CONTENDERS[-1]]
    fused = sum(isinstance(module, FusedConvolution) for module in copies[-1].modules())
    return (
        name,
        str(size),
        str(fused),
        f"{1000 * found.seconds[CONTENDERS[0]] / number / size:.3g}",
        *(f"{1 / found.units(contender, CONTENDERS[0]):.2f} ×" for contender in CONTENDERS[1:]),
        f"{float((ours - bare).abs().max() / bare.abs().max()):.0e}",
    )


def squares(point: Tensor, side: int, step: int) -> Callable[[slice], Tensor]:
    """One example's point with a black square of this side, which moves by a step from row to row."""
    corners = [(top, left) for top in range(0, point.shape[1], step) for left in range(0, point.shape[2], step)]

    def covered(part: slice) -> Tensor:
        points = point.repeat(part.stop - part.start, 1, 1, 1)
        for row, (top, left) in zip(points, corners[part], strict=True):
            row[:, top : top + side, left : left + side] = 0
        return points

    return covered


def overhead(rounds: int, samples: int) -> list[tuple[str, ...]]:
    """What the engine costs beside the forward passes of the prepared network, on the same batches."""
    subject, inputs = EXAMPLES["efficientnet-lite0"]()
    query, target = pl.Decision(inputs), resolve(subject, inputs, pl.Decision(inputs))
    size, copy = subject.batch_size(inputs), prepared(subject.module, batch_of(inputs, 1), ask)
    batches = [batch_of(inputs, min(size, samples - start)) for start in range(0, samples, size)]
    side, which = subject.task.example().value.shape[-1], torch.zeros(samples, dtype=torch.long)
    cover = squares(inputs.value[0], side // 14, side // (int(samples**0.5) + 1))
    found = alternating(
        {
            "forwards": lambda: [ask(copy, batch) for batch in batches][-1],
            "a square that moves": lambda: evaluate(subject, inputs, target, which, cover),
            "LIME": lambda: Lime(samples=samples)(subject, query),
        },
        rounds,
    )
    return [
        (
            name,
            f"{found.seconds[name]:.2f}",
            f"{found.seconds['forwards']:.2f}",
            f"{found.units(name, 'forwards') - 1:.1%}",
        )
        for name in ("a square that moves", "LIME")
    ]


def main() -> None:
    page = Page(
        "preparation", __doc__, rounds=7, options=lambda parser: parser.add_argument("--samples", type=int, default=300)
    )
    heads = ("network", "batch", "fused convolutions", "bare, ms per example", *CONTENDERS[1:], "apart")
    rows = [row(name, example(), page.rounds) for name, example in EXAMPLES.items()]
    page.say(
        "## Forward passes", "Times are those of the bare network divided by those of the copy.", table(heads, rows)
    )
    heads = ("asked", "CPU-s", "forward passes alone, CPU-s", "on top")
    page.say(
        "## The engine on top",
        f"efficientnet-lite0, {page.arguments.samples} perturbed pictures: the whole call (LIME's superpixels and fit "
        "included) beside the forward passes of the prepared copy on batches of the same size.",
        table(heads, overhead(page.rounds, page.arguments.samples)),
    )
    page.close()


if __name__ == "__main__":
    main()
