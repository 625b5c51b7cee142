"""What it costs to learn what units do: each row is one piece of that work, ours and another way to the same answer in
turn.

Seconds are CPU-seconds of one thread. *Agreement* says how the answers were compared.

The strongest activations of a data set are kept by sorting what is known together with a batch, for all channels at
once; the other way is the loop of the Deep Visualization Toolbox, which inserts each image's strongest place into each
channel's list in turn. A summary (strongest places, moments, correlations, distributions) of every block of a network
is measured beside the passes alone.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from benchmarks.harness import Page, alternating, table
from PIL import Image
from torch import Tensor

import pellucid as pl
from pellucid.engine.dataset import DataSet
from pellucid.engine.strongest import Strongest, peaks
from pellucid.engine.summaries import summarise
from pellucid.guide.samples import PHOTOGRAPHS

HEADS = ("what", "the other way", "ours", "faster", "agreement")


class Row(NamedTuple):
    """A line of the table; seconds are for ``unit``, such as an image."""

    what: str
    other: float
    ours: float
    unit: str
    agreement: str

    def cells(self) -> tuple[str, ...]:
        """What the table shows."""
        times = (f"{seconds * 1e3:.3g} ms per {self.unit}" for seconds in (self.other, self.ours))
        return (self.what, *times, f"{self.other / self.ours:.2f} ×", self.agreement)


def inserted(images: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values, images and places of each channel's strongest ``k`` images, weakest first: one image and one channel at a
    time."""
    channels = images.shape[1]
    values = np.full((channels, k), -np.inf, dtype=np.float32)
    numbers, places = (np.full((channels, k), -1) for _ in range(2))
    for number, image in enumerate(images):
        flat = image.reshape(channels, -1)
        strongest = flat.argmax(1)
        for channel in range(channels):
            value = flat[channel, strongest[channel]]
            at = np.searchsorted(values[channel], value)
            if at == 0:
                continue
            for kept, new in ((values, value), (numbers, number), (places, strongest[channel])):
                kept[channel, : at - 1] = kept[channel, 1:at]
                kept[channel, at - 1] = new
    return values, numbers, places


def streamed(images: Tensor, k: int, batch: int) -> Strongest:
    """The same by batches."""
    found = Strongest(images.shape[1], k)
    for first in range(0, len(images), batch):
        found.add(*peaks(images[first : first + batch].flatten(2), first))
    return found


def strongest_images(rounds: int, images: int = 256, channels: int = 256, k: int = 9, batch: int = 16) -> Row:
    """The table of the strongest images of each channel."""
    activations = torch.randn(images, channels, 14, 14, generator=torch.Generator().manual_seed(0)).relu()
    taken = alternating(
        {"other": lambda: inserted(activations.numpy(), k), "ours": lambda: streamed(activations, k, batch)}, rounds
    )
    found = taken.answers["ours"]
    tables = zip(taken.answers["other"], (found.values, found.examples, found.places), strict=True)
    same = all(np.array_equal(theirs[:, ::-1], ours.numpy()) for theirs, ours in tables)
    return Row(
        f"the {k} strongest of {images} images, {channels} channels of 14 × 14, batches of {batch}",
        taken.seconds["other"] / images,
        taken.seconds["ours"] / images,
        "image",
        "values, images and places identical" if same else "DIFFERENT",
    )


def summarised_blocks(rounds: int, pictures: int = 48) -> Row:
    """Every block of EfficientNet-Lite0 summed up, beside what that needs anyway."""
    subject, blocks = pl.load("efficientnet-lite0"), [f"blocks.{number}" for number in range(16)]
    data = DataSet(subject, list(crops(pictures)))
    size = subject.batch_size(data.inputs([0]))

    def passes() -> Tensor:
        runs = (subject.run(inputs, capture=blocks, partial=True) for _, inputs in data.batches(size))
        return torch.cat([run.activations["blocks.15"] for run in runs])

    taken = alternating({"other": passes, "ours": lambda: summarise(subject, data, blocks)}, rounds)
    apart = float((taken.answers["ours"]["blocks.15"].highest - taken.answers["other"].amax((0, 2, 3))).abs().max())
    return Row(
        f"a summary of 16 blocks of EfficientNet-Lite0 over {pictures} pictures, beside preparing them and the passes alone",
        taken.seconds["other"] / pictures,
        taken.seconds["ours"] / pictures,
        "picture",
        f"largest values {apart:.0e} apart",
    )


def crops(number: int) -> Iterator[Image.Image]:
    """Parts of the bundled photographs."""
    for place in range(number):
        shift, which = divmod(place, len(PHOTOGRAPHS))
        left, top = 7 * shift, 3 * shift
        yield Image.open(PHOTOGRAPHS[which].path).convert("RGB").crop((left, top, left + 256, top + 256))


ROWS: Sequence[Callable[[int], Row]] = (strongest_images, summarised_blocks)


def main() -> None:
    page = Page("units", __doc__, rounds=5)
    page.say(table(HEADS, [row(page.rounds).cells() for row in ROWS]))
    page.close()


if __name__ == "__main__":
    main()
