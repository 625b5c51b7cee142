"""Feature images: synthetic inputs that excite units, each with the evidence of how far to trust it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from pellucid.core.record import record
from pellucid.core.result import Result

# What may be known of a synthetic picture; each ``[images]``, NaN where it was not measured.
MAXIMUM, PERCENTILE = "maximum over the data", "99.9th percentile over the data"
FINE = "high-frequency share"
AGREEMENT = "agreement over starts"
PROBABILITY, TRANSFER, RANK = "probability", "probability in the second network", "rank in the second network"
DISTANCE, NEAREST = "distance to the nearest example", "nearest example"

_NOISE, _APART, _CERTAIN, _NAMED = 0.35, 0.2, 0.5, 6


@record
@dataclass(frozen=True, eq=False, kw_only=True)
class FeatureImages(Result):
    """``images`` ``[images, …point]`` in the network's own space, that excite ``units`` (one name per image) to
    ``activations`` ``[images]``.

    ``low`` and ``high`` are the bounds of the space where it has any; ``captions`` say which start, facet or recipe
    an image comes from; ``trace`` ``[images, steps]`` is the activation on the way; ``interval`` ``[images, …point]``
    is half the 95 % interval of images that are estimates, NaN in others; ``members`` are the names of the examples
    that each image stands for, where it stands for some. ``evidence`` holds one number per image by name, NaN where
    it was not measured: the activation's maximum and 99.9th percentile over data; the share of the picture's power
    above 0.25 cycles per pixel; the mean cosine with the pictures that other starts gave the same unit, shifted as
    fits best; the probability of the class here and in a second network, and its rank there; the root mean square
    distance (bounds 0 to 1) to the nearest example of the data, and that one's number.
    """

    images: Tensor
    units: tuple[str, ...]
    captions: tuple[str, ...]
    activations: Tensor
    low: Tensor | None = None
    high: Tensor | None = None
    evidence: Mapping[str, Tensor] = field(default_factory=dict)
    trace: Tensor | None = None
    interval: Tensor | None = None
    members: tuple[tuple[str, ...], ...] | None = None
    evaluations: Mapping[str, int] = field(default_factory=dict)

    def check(self) -> None:
        sizes = {len(self.images), len(self.units), len(self.captions), len(self.activations)}
        sizes |= {len(values) for values in self.evidence.values()}
        if len(sizes) != 1:
            raise ValueError(f"images, units, captions, activations and evidence are of {sorted(sizes)} images")
        if self.members is not None and len(self.members) != len(self.images):
            raise ValueError(f"members of {len(self.members)} images, not of {len(self.images)}")
        if self.interval is not None and self.interval.shape != self.images.shape:
            raise ValueError(f"intervals {tuple(self.interval.shape)} are not of images {tuple(self.images.shape)}")

    def __len__(self) -> int:
        return len(self.images)

    def shown(self) -> Tensor:
        """The images with every value between 0 and 1: by their bounds, or each by its own smallest and largest value."""
        if self.low is None or self.high is None:
            flat = self.images.flatten(1)
            low, high = (end.view(-1, *[1] * (self.images.ndim - 1)) for end in (flat.amin(1), flat.amax(1)))
            return (self.images - low) / (high - low).clamp(min=1e-12)
        return ((self.images - self.low) / (self.high - self.low)).clamp(0, 1)

    def of(self, image: int, name: str) -> float | None:
        """One piece of evidence of one image; None where it was not measured."""
        values = self.evidence.get(name)
        value = None if values is None else float(values[image])
        return None if value is None or value != value else value

    def stands_for(self, image: int) -> tuple[str, ...]:
        """The first of the examples that one image stands for, in a sentence; empty where there are none."""
        if self.members is None:
            return ()
        names = self.members[image]
        more = "" if len(names) <= _NAMED else ", …"
        return (f"It stands for {len(names)} of the data: {', '.join(names[:_NAMED])}{more}.",)

    def caveats(self, image: int) -> tuple[str, ...]:
        """How far to trust one image, in plain words."""
        said, activation, most = [], float(self.activations[image]), self.of(image, MAXIMUM)
        if most is None:
            said.append("No data were given: whether anything real excites the unit as much is not known.")
        elif activation > most:
            times = f", {activation / most:.1f} times" if most > 0 else ""
            said.append(f"It excites the unit more than any of the data{times}: nothing that was seen looks like this.")
        else:
            said.append("Some of the data excite the unit more than this picture does.")
        if (fine := self.of(image, FINE)) is not None and fine > _NOISE:
            said.append(f"{fine:.0%} of its power is fine texture: it may fool the network rather than show a feature.")
        if (agreement := self.of(image, AGREEMENT)) is not None and agreement < _APART:
            said.append(
                f"Other starts gave other pictures (cosine {agreement:.2f}): this is one of many that would do."
            )
        if (transfer := self.of(image, TRANSFER)) is not None:
            rank = self.of(image, RANK)
            told = f"A second network gives it the same class with probability {transfer:.2g}"
            said.append(told + ("." if rank is None else f" (rank {int(rank)})."))
            if transfer < _CERTAIN:
                said.append("That network sees less of the class in it: part of it speaks to this network alone.")
        return tuple(said)

    def table(self) -> list[dict[str, Any]]:
        return [
            {
                "unit": unit,
                "image": caption,
                "activation": float(self.activations[number]),
                **{name: self.of(number, name) for name in self.evidence},
            }
            for number, (unit, caption) in enumerate(zip(self.units, self.captions, strict=True))
        ]

    def summary(self) -> str:
        lines = []
        for unit in dict.fromkeys(self.units):
            numbers = [number for number, name in enumerate(self.units) if name == unit]
            best = max(numbers, key=lambda number: float(self.activations[number]))
            made = "one picture" if len(numbers) == 1 else f"{len(numbers)} pictures, of the strongest"
            known = [f"{name} {value:.3g}" for name in self.evidence if (value := self.of(best, name)) is not None]
            told = "; ".join([f"activation {float(self.activations[best]):.4g}", *known])
            lines.append(f"{unit}: {made}: {told}. {' '.join(self.caveats(best))}")
        return "\n".join([*lines, *self.notes])
