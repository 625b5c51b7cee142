"""How small a part of an ImageNet network keeps the class of a photograph, confirmed by running that part alone.

EfficientNet-Lite0 and photographs of as many different classes, taken in a seeded random order: no picture is left out.
A route keeps the class it was found for by construction, or is the whole network; so it is run again here, by hooks that
share no code with the method, and what counts is how small it is, whether random routes of the same size do as well, and
whether it answers with its class whatever picture it is shown. Everything outside a route holds what it holds for a
picture of the mean colour. F is one forward pass of one picture.
"""

import argparse
import csv
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from benchmarks.harness import Page, table
from torch import Tensor, nn

import pellucid as pl
from pellucid.methods.attribution.pathway import Pathway
from pellucid.results.route import Route

OTHERS = 10
PHOTOGRAPHS = Path(__file__).resolve().parents[2] / "shared/data/imagenet-500-samples"


@dataclass(frozen=True)
class Answer:
    """One picture's route, and what running it again by hand gave."""

    route: Route
    whole: int
    alone: int
    fooled: int

    @property
    def kept(self) -> int:
        """How many channels the route has."""
        return int(self.route.kept[0])

    @property
    def seconds(self) -> float:
        """What it cost in CPU-seconds."""
        assert self.route.provenance is not None
        return self.route.provenance.cost["cpu_seconds"]

    @property
    def keeps(self) -> bool:
        """Whether the route, run by hand, gives the class that the network gives."""
        return self.alone == self.whole


def options(parser: argparse.ArgumentParser) -> None:
    """The arguments of this benchmark."""
    parser.add_argument("--data", type=Path, default=PHOTOGRAPHS, help="folder with index.csv and images/")
    parser.add_argument("--pictures", type=int, default=100)
    parser.add_argument("--budget", type=int, default=100, help="passes of the search per picture")
    parser.add_argument("--routes", type=Path, help="folder where routes are kept, and not searched for again")
    parser.add_argument(
        "--thorough", type=int, default=2, help="pictures that are also searched until no channel is left over"
    )
    parser.add_argument("--zeros", type=int, default=10, help="pictures whose other channels are also set to zero")


def pictures(folder: Path, count: int) -> list[Path]:
    """Photographs in a seeded random order, one per class."""
    with (folder / "index.csv").open(encoding="utf-8") as file:
        rows = list({row["class_index"]: row for row in csv.DictReader(file)}.values())
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0)).tolist()
    return [folder / "images" / Path(rows[number]["file"]).name for number in order[:count]]


@contextmanager
def hooked(network: nn.Module, hooks: Mapping[str, Any]) -> Iterator[None]:
    handles = [network.get_submodule(name).register_forward_hook(hook) for name, hook in hooks.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def classes(network: nn.Module, pixels: Tensor, route: Route, zeros: bool) -> list[int]:
    """The classes that a network gives to pictures through the route of the first only, by plain hooks."""
    silent: dict[str, Tensor] = {}
    names = [layer.name for layer in route.layers]
    neutral = pixels[:1].mean((2, 3), keepdim=True).expand_as(pixels[:1])
    with torch.no_grad():
        with hooked(network, {name: lambda m, i, o, name=name: silent.__setitem__(name, o) for name in names}):
            network(neutral)

        def only(layer: Any) -> Any:
            kept = layer.kept[0].view(1, -1, 1, 1)
            off = torch.zeros(()) if zeros else silent[layer.name]
            return lambda module, given, output: torch.where(kept, output, off)

        with hooked(network, {layer.name: only(layer) for layer in route.layers}):
            return [int(network(one[None])[0].argmax()) for one in pixels]


def answered(subject: pl.Subject, method: Pathway, picture: Path, others: Tensor, kept: Path | None) -> Answer:
    """Find one picture's route, unless it is ``kept`` in a file, and run it again."""
    if kept is not None and kept.is_file():
        route = Route.load(kept)
    else:
        route = method(subject, pl.Decision(str(picture)))
        if kept is not None:
            route.save(kept)
    pixels = subject.prepare(str(picture)).value
    network = subject.module
    assert network is not None
    with torch.no_grad():
        whole = int(network(pixels)[0].argmax())
    alone, *rest = classes(network, torch.cat([pixels, others]), route, method.ablation == "zero")
    return Answer(route, whole, alone, sum(one == whole for one in rest))


def spread(values: Sequence[float], form: str = "{:.0f}") -> str:
    """Median and range."""
    return f"{form.format(statistics.median(values))} ({form.format(min(values))} … {form.format(max(values))})"


def row(name: str, found: Sequence[Answer]) -> tuple[Any, ...]:
    """One line of the first table."""
    channels = found[0].route.channels
    return (
        name,
        len(found),
        f"{sum(one.keeps for one in found)} of {len(found)}",
        f"{spread([one.kept for one in found])} of {channels}",
        f"{statistics.median(one.kept / channels for one in found):.0%}",
        sum(bool(one.route.minimal[0]) for one in found),
        f"{statistics.mean(float(one.route.control[0, 0]) for one in found):.1%}",
        f"{sum(bool(one.route.necessary[0]) for one in found)} of {len(found)}",
        f"{sum(one.fooled for one in found)} of {OTHERS * len(found)}",
        spread([float(one.route.evaluations["F"]) for one in found]),
        spread([float(one.route.evaluations["B"]) for one in found]),
        spread([one.seconds for one in found], "{:.1f}"),
    )


HEADS = (
    "search", "pictures", "route keeps the class", "channels kept, median (range)", "share", "minimal",
    "random routes that keep it", "lost without the route", "other pictures that get its class", "F", "B", "CPU-s",
)  # fmt: skip


def by_layer(found: Sequence[Answer]) -> str:
    """How many channels of each layer are kept."""
    rows = []
    for number, layer in enumerate(found[0].route.layers):
        kept = [float(one.route.layers[number].kept[0].sum()) for one in found]
        share = statistics.median(float(one.route.layers[number].share[0]) for one in found)
        rows.append((layer.name, layer.channels, spread(kept), f"{share:.0%}"))
    return table(("layer", "channels", "kept, median (range)", "of the layer's relevance, median"), rows)


def main() -> None:
    page = Page("pathway", __doc__, rounds=1, options=options)
    asked = page.arguments
    if not asked.data.is_dir():
        print(f"skipped: no photographs at {asked.data}; name them with --data", file=sys.stderr)
        return
    subject = pl.load("efficientnet-lite0")
    chosen = pictures(asked.data, asked.pictures + OTHERS)
    others = torch.cat([subject.prepare(str(picture)).value for picture in chosen[asked.pictures :]])
    searches = {
        f"budget {asked.budget}": (Pathway(budget=asked.budget, draws=20, links=0), asked.pictures),
        "until minimal": (Pathway(budget=10**6, draws=20, links=0), asked.thorough),
        f"zeros, budget {asked.budget}": (
            Pathway(budget=asked.budget, draws=20, links=0, ablation="zero"),
            asked.zeros,
        ),
    }
    found: dict[str, list[Answer]] = {}
    for name, (method, count) in searches.items():
        for number, picture in enumerate(chosen[:count]):
            file = None if asked.routes is None else asked.routes / name.replace(" ", "-") / f"{picture.stem}.pellucid"
            found.setdefault(name, []).append(answered(subject, method, picture, others, file))
            latest = found[name][-1]
            print(f"{name}: {number + 1} of {count}: {latest.kept} kept, {latest.keeps}", file=sys.stderr, flush=True)
    page.say(table(HEADS, [row(name, answers) for name, answers in found.items()]))
    first = next(iter(found.values()))
    page.say(*_sentences(first), by_layer(first))
    page.close()


def _sentences(found: Sequence[Answer]) -> list[str]:
    failed = [one.route.question() for one in found if not one.keeps]
    empty = [one.route.question() for one in found if not one.kept]
    most = [one.route.question() for one in found if one.kept > 0.9 * one.route.channels]
    return [
        f"Where the route alone does not give the class: {', '.join(failed) or 'nowhere'}.",
        f"Where nothing had to be kept, because the neutral picture gets the same class: {', '.join(empty) or 'nowhere'}.",
        f"Where more than nine tenths had to be kept: {', '.join(most) or 'nowhere'}.",
        "How many channels of each layer are kept with the first search, and what part of the layer's relevance in the "
        "whole network they had:",
    ]


if __name__ == "__main__":
    main()
