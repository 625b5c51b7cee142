"""Everything that is known of one unit: what its page shows, and what another display of it would need."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from pellucid.core.record import record
from pellucid.core.result import Result
from pellucid.results.feature_images import FINE, FeatureImages

# Above this correlation two channels say nearly the same.
_ALIKE = 0.95
_NORMAL = 1.959964
_NOISE = 0.35


@record
@dataclass(frozen=True, eq=False, kw_only=True)
class UnitExample:
    """An example of the data that a unit responds to: ``activation`` at the ``place`` where it is strongest.

    ``region`` is what the unit sees of it there (top, left, bottom, right, in the network's own pixels). ``whole`` is the
    picture with the region framed, ``seen`` the region cut out, ``projected`` what excites the unit in it, sent back through
    the network, all as the bytes of small picture files; ``inside`` is the share of the projection in the region. Of a text
    or a row ``words`` says what it is, and ``span`` which characters of it lie at the place.
    """

    name: str
    activation: float
    place: tuple[int, ...]
    region: tuple[int, ...] | None = None
    whole: bytes | None = None
    seen: bytes | None = None
    projected: bytes | None = None
    inside: float | None = None
    words: str = ""
    span: tuple[int, ...] | None = None


@record
@dataclass(frozen=True, eq=False, kw_only=True)
class Histogram:
    """How many values lie between one of ``edges`` ``[bins + 1]`` and the next: ``counts`` ``[bins]``."""

    counts: Tensor
    edges: Tensor


@record
@dataclass(frozen=True, eq=False, kw_only=True)
class UnitPage(Result):
    """A channel of a layer: pictures made for it, its strongest examples, its statistics over data, its nearest relatives.

    ``activations`` of pictures and of examples are of the strongest place. ``pictures`` and ``facets`` are None where none
    can be made; ``notes`` then say why. ``nearest`` names the example that each picture is most like. ``statistics`` are over
    all places of all ``examples_seen`` examples, those of the strongest place under names that say so; ``similar`` are other
    channels of the layer with their correlation, the most similar first. ``failed`` says which of the data could not be read.

    Unlike other results the file holds small pictures of the examples: they are what the page is about. Keep it as you
    keep the data. ``key`` is the digest of everything that the content depends on.
    """

    subject: str
    layer: str
    kind: str
    channel: int
    channels: int
    extent: tuple[int, ...]
    label: str = ""
    pictures: FeatureImages | None = None
    nearest: tuple[str, ...] = ()
    examples: tuple[UnitExample, ...] = ()
    facets: FeatureImages | None = None
    statistics: Mapping[str, float] = field(default_factory=dict)
    constant: bool = False
    values: Histogram | None = None
    strongest: Histogram | None = None
    similar: tuple[tuple[int, float], ...] = ()
    examples_seen: int = 0
    failed: Mapping[str, str] = field(default_factory=dict)
    key: str = ""

    def check(self) -> None:
        if not 0 <= self.channel < self.channels:
            raise ValueError(f"channel {self.channel} of {self.channels}")
        if self.nearest and (self.pictures is None or len(self.nearest) != len(self.pictures)):
            raise ValueError(f"{len(self.nearest)} nearest examples are not of the pictures")

    @property
    def unit(self) -> str:
        """The unit as it is written on the command line, and its class where it stands for one."""
        return f"{self.layer}/{self.channel}" + (f" ({self.label})" if self.label else "")

    @property
    def dead(self) -> bool:
        """Whether it was 0 everywhere."""
        return self.constant and self.statistics.get("maximum") == 0

    def statements(self) -> list[str]:
        """What is to be known of the unit first, in plain words."""
        return [*self._over_data(), *self._of_pictures(), *self._of_relatives()]

    def summary(self) -> str:
        return "\n".join([f"{self.unit} of {self.subject}:", *self.statements(), *self.notes])

    def table(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = [{"what": name, "name": "", "value": v} for name, v in self.statistics.items()]
        rows += [{"what": "example", "name": one.name, "value": one.activation} for one in self.examples]
        for what, found in (("picture", self.pictures), ("facet", self.facets)):
            pairs = [] if found is None else zip(found.captions, found.activations.tolist(), strict=True)
            rows += [{"what": what, "name": caption, "value": value} for caption, value in pairs]
        return rows + [{"what": "similar", "name": f"{self.layer}/{n}", "value": value} for n, value in self.similar]

    def _over_data(self) -> list[str]:
        seen = f"{self.examples_seen} example{'' if self.examples_seen == 1 else 's'}"
        if self.dead:
            return [f"It is silent: 0 at every place of {seen}. What would excite it is not in this data."]
        if self.constant:
            value = self.statistics.get("maximum", 0.0)
            return [f"It is constant: {value:.4g} at every place of {seen}, so the order of the examples says nothing."]
        zero = self.statistics.get("share of zeros", 0.0)
        best = f"Of {seen} it responds most to {self.examples[0].name} ({self.examples[0].activation:.3g})"
        return [best + (f", and is zero at {zero:.0%} of all places." if zero >= 0.005 else ".")]

    def _of_pictures(self) -> list[str]:
        found = self.pictures
        if found is None:
            return []
        said, best = [], float(found.activations.max())
        most = self.statistics.get("maximum")
        if most is not None and most > 0 and best > 0:
            often = "about" if 0.95 <= best / most < 1.05 else f"{best / most:.2g} times"
            said.append(f"The best picture made for it excites it {often} as much as the best example.")
        elif best > 0:
            said.append(f"A picture made for it does excite it ({best:.3g}).")
        elif self.dead:
            said.append("None of the pictures made for it excites it either.")
        fine = [found.of(number, FINE) for number in range(len(found))]
        noisy = sum(value is not None and value > _NOISE for value in fine)
        if noisy:
            said.append(f"{noisy} of {len(found)} pictures are mostly fine texture, which may fool the network.")
        if self.facets is not None:
            number = len(self.facets)
            kinds = "one kind" if number == 1 else f"{number} different kinds"
            said.append(f"The examples that excite it are of {kinds}, as far as the network's codes tell them apart.")
        return said

    def _of_relatives(self) -> list[str]:
        twins = [number for number, value in self.similar if self._at_least(value) >= _ALIKE]
        if not twins:
            return []
        told = ", ".join(map(str, twins))
        return [
            f"It says nearly the same as channel{'' if len(twins) == 1 else 's'} {told} (correlation {_ALIKE} or more)."
        ]

    def _at_least(self, correlation: float) -> float:
        """The low end of a correlation's 95 % interval, by Fisher's transformation; each example counts once, however many
        places it has."""
        if self.examples_seen <= 3:
            return -1.0
        certain = min(correlation, 1 - 1e-12)
        return math.tanh(math.atanh(certain) - _NORMAL / math.sqrt(self.examples_seen - 3))
