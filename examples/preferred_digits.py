"""What would each digit look like that a network prefers, and does anyone else agree?

    python -m examples.preferred_digits --data FOLDER --picture FILE

FOLDER holds the digits of MNIST as for scripts/train_mnist.py. A generator is trained from the answers of ``mnist-cnn``, and
draws the digits that its classes prefer (after nguyen2016synthesizing). Beside them are plain pixels that excite the same
classes as much. A second network, of another architecture and trained here from another seed, says what it sees. Prints
the numbers and draws the picture. With ``--folder`` the training of the generator goes on where it was stopped.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from scripts.train_mnist import training_digits
from torch import Tensor, nn

import pellucid as pl
from pellucid.engine.generating import range_distance
from pellucid.methods import ClassImage, GeneratorAM, TrainDecoder
from pellucid.methods.inversion.generator_am import RANGE
from pellucid.render.picture_rows import Row, as_picture, picture_rows

PROBABILITY, RANK = "probability in the second network", "rank in the second network"
NEAREST = "distance to the nearest example"
DIGITS = range(10)
TOGETHER = ((3, 8), (4, 9), (1, 7))


@dataclass(frozen=True)
class Arm:
    """One picture per digit: how it excites its class, whether the second network gives it that class, how far it is from
    the nearest training digit and from what the generator can draw."""

    name: str
    images: Tensor
    activations: Tensor
    recognised: Tensor
    nearest: Tensor
    outside: Tensor

    def __str__(self) -> str:
        return (
            f"{self.name}: recognised by the second network {int(self.recognised.sum())} of 10; mean activation "
            f"{float(self.activations.mean()):.1f}; distance to the nearest training digit {float(self.nearest.mean()):.3f}; "
            f"to the generator's range {float(self.outside.max()):.1g} at most"
        )


def second_network(pictures: Tensor, labels: Tensor, seed: int = 5, steps: int = 1000) -> pl.Subject:
    """Strided convolutions with tanh, trained from another seed: nothing in common with ``mnist-cnn`` but the digits."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = [nn.Conv2d(1, 12, 5, 2, 2), nn.Tanh(), nn.Conv2d(12, 24, 5, 2, 2), nn.Tanh(), nn.Flatten()]
        network = nn.Sequential(*layers, nn.Linear(24 * 49, 64), nn.Tanh(), nn.Linear(64, 10))
        adam = torch.optim.Adam(network.parameters(), 2e-3)
        for _ in range(steps):
            rows = torch.randint(len(pictures), (64,))
            adam.zero_grad()
            nn.functional.cross_entropy(network(pictures[rows]), labels[rows]).backward()
            adam.step()
    task = pl.tasks.Image(28, mean=(0.0,), deviation=(1.0,), labels=tuple(map(str, DIGITS)))
    return pl.wrap(network.eval().requires_grad_(False), task, name="second network")


def drawn(subject: pl.Subject, decoder: pl.Decoder, second: pl.Subject, data: Tensor, seed: int = 0) -> Arm:
    """The digits that the generator draws, one per class."""
    method = GeneratorAM(decoder, starts=1, second=second, seed=seed)
    return joined("by the generator", [method(subject, pl.Unit(target=digit, data=data)) for digit in DIGITS])


def pixels(subject: pl.Subject, wanted: Tensor, decoder: pl.Decoder, second: pl.Subject, data: Tensor) -> Arm:
    """Plain pixels, moved until each excites its class as much as ``wanted``."""
    found = []
    for digit in DIGITS:
        method = {"parametrisation": "pixel", "starts": 1, "size": 28, "second": second}
        trace = ClassImage(**method, steps=200)(subject, pl.Unit(target=digit)).trace[0]
        enough = int((trace >= wanted[digit]).nonzero()[0])
        found.append(ClassImage(**method, steps=max(1, enough))(subject, pl.Unit(target=digit, data=data)))
    images = torch.cat([result.images for result in found])
    codes = subject.run(subject.prepare(images), capture=(decoder.layer,)).activations[decoder.layer]
    return joined("plain pixels", found, range_distance(decoder, images, codes, steps=200))


def joined(name: str, found: list[pl.FeatureImages], outside: Tensor | None = None) -> Arm:
    """The results of ten classes as one arm."""

    def of(evidence: str) -> Tensor:
        return torch.cat([result.evidence[evidence] for result in found])

    images, activations = (torch.cat([getattr(r, field) for r in found]) for field in ("images", "activations"))
    return Arm(name, images, activations, of(RANK) == 1, of(NEAREST), of(RANGE) if outside is None else outside)


def both(subject: pl.Subject, decoder: pl.Decoder) -> list[pl.FeatureImages]:
    """Pictures that excite two classes at once."""
    return [GeneratorAM(decoder, also=(b,), starts=1)(subject, pl.Unit(target=a)) for a, b in TOGETHER]


def picture(arms: list[Arm], second: pl.Subject, pairs: list[pl.FeatureImages]) -> Image.Image:
    """A row per arm, each picture with what the second network sees; below, two classes at once."""
    rows = []
    for arm in arms:
        seen = second.scores(arm.images).softmax(1)
        believed = zip(arm.activations.tolist(), seen.argmax(1).tolist(), seen.amax(1).tolist(), strict=True)
        told = [
            f"prefers {digit}: {activation:.0f}\nseen as {other} ({chance:.0%})"
            for digit, (activation, other, chance) in enumerate(believed)
        ]
        rows.append(
            Row(arm.name.replace(" ", "\n", 1), [as_picture(image, *_bounds(image)) for image in arm.images], told)
        )
    shown = [as_picture(result.images[0], *_bounds(result.images[0])) for result in pairs]
    rows.append(Row("two classes\nat once", shown, [f"{a} and {b}" for a, b in TOGETHER]))
    return picture_rows("What each class of mnist-cnn prefers, and what a second network sees in it", rows)


def _bounds(image: Tensor) -> tuple[Tensor, Tensor]:
    return torch.zeros(()), torch.ones(())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder with the digits")
    parser.add_argument("--picture", type=Path, default=Path("preferred-digits.png"), help="where the picture goes")
    parser.add_argument("--decoder", type=Path, help="a trained generator, or where to save the one that is trained")
    parser.add_argument("--steps", type=int, default=1500, help="steps of the generator's training")
    parser.add_argument("--folder", help="where its training is kept, to go on after a stop")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    digits, labels = training_digits(arguments.data)
    subject, second = pl.load("mnist-cnn"), second_network(digits, labels)
    if arguments.decoder is not None and arguments.decoder.exists():
        decoder = pl.Decoder.load(arguments.decoder)
    else:
        method = TrainDecoder("classifier", steps=arguments.steps, folder=arguments.folder)
        decoder = method(subject, pl.Fit(digits))
        if arguments.decoder is not None:
            decoder.save(arguments.decoder)
    print(decoder.summary())
    generated = drawn(subject, decoder, second, digits)
    plain = pixels(subject, generated.activations, decoder, second, digits)
    print(generated, plain, sep="\n")
    pairs = both(subject, decoder)
    for result in pairs:
        chances = subject.scores(result.images).softmax(1)[0].topk(2)
        told = " and ".join(f"{int(n)} ({float(p):.0%})" for n, p in zip(chances.indices, chances.values, strict=True))
        print(f"{result.units[0]}: mnist-cnn answers {told}")
    picture([generated, plain], second, pairs).save(arguments.picture)


if __name__ == "__main__":
    main()
