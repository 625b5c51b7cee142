"""Whether STREAK chooses as well as greedy search, and what it costs beside LIME.

EfficientNet-Lite0 and photographs of as many different classes, taken in a seeded random order: none is left out. Both
look for 5 superpixels that keep the first class likely on grey ground; greedy search asks about every superpixel beside
those chosen so far. The value of a choice is the score with it, the logarithm of its probability, or the probability itself,
less that of the grey ground.

Speed is measured on the photographs of the benchmark of LIME, beside the CPU-seconds that the lime package took there
for 1000 samples (``--keep`` is its folder): on the same superpixels, and in its default call. *IoU* is the overlap in
pixels with the 5 superpixels of highest coefficient in LIME's long run on the same superpixels.
"""

import argparse
import csv
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from benchmarks import lime
from benchmarks.harness import Page, mean_with_interval, table

import pellucid as pl
from pellucid.engine.coalitions import Game, hidden_point, players
from pellucid.engine.targets import resolve
from pellucid.guide.samples import PHOTOGRAPHS
from pellucid.methods import Streak

PICTURES = Path(__file__).resolve().parents[2] / "shared/data/imagenet-500-samples"
K = 5
QUANTITIES = ("log-probability", "probability")


def options(parser: argparse.ArgumentParser) -> None:
    """The arguments of this benchmark."""
    lime.options(parser)
    parser.add_argument("--data", type=Path, default=PICTURES, help="folder with index.csv and images/")
    parser.add_argument("--pictures", type=int, default=20, help="how many of them")


def pictures(folder: Path, number: int) -> list[Path]:
    """Pictures in a seeded random order."""
    with (folder / "index.csv").open(encoding="utf-8", newline="") as lines:
        names = [next(iter(row.values())) for row in csv.DictReader(lines)]
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(0)).tolist()
    return [folder / "images" / Path(names[place]).name for place in order[:number]]


def greedy(subject: pl.Subject, query: pl.Decision) -> tuple[float, int]:
    """The value of the greedy choice, and how many sets were asked about."""
    inputs = query.inputs
    features = players(subject, inputs, None)
    low, high = subject.task.bounds(inputs)
    grey = ((low + high) / 2).to(inputs.value)
    hidden = hidden_point(subject, inputs, features, grey)
    game = Game(subject, inputs, resolve(subject, inputs, query), features, hidden)
    shown = torch.zeros(game.features, dtype=torch.bool)
    for _ in range(K):
        candidates = shown | torch.eye(game.features, dtype=torch.bool)
        values = game(candidates[~shown])
        shown = candidates[~shown][int(values.argmax())]
    return float(game(shown[None])[0]) - game.ends()[0], game.asked


def compared(path: Path, of: Any, page: Page) -> dict[str, Any]:
    """One picture by STREAK and by greedy search, unless that is known already."""
    kept = page.arguments.keep / f"greedy-{of}-{path.stem}.json"
    if not kept.exists():
        subject = pl.load("efficientnet-lite0")
        query = pl.Decision(subject.prepare(str(path)), of=of)
        found = Streak(k=K)(subject, query)
        best, others = greedy(subject, query)
        value, sets = float(found.quality["value"]), int(found.quality["evaluations"])
        page.arguments.keep.mkdir(parents=True, exist_ok=True)
        told = {"explains": found.question(), "value": value, "best": best, "sets": sets, "others": others}
        kept.write_text(json.dumps(told), encoding="utf-8")
    return dict(json.loads(kept.read_text(encoding="utf-8")))


def against_greedy(of_what: str, page: Page) -> None:
    paths = pictures(page.arguments.data, page.arguments.pictures)
    found = {path.stem: compared(path, of_what, page) for path in paths}
    ratios = [of["value"] / of["best"] if of["best"] > 0 else 1.0 for of in found.values()]
    lines = [
        (name, of["explains"], f"{of['value']:.3f}", f"{of['best']:.3f}", f"{ratio:.2f}", of["sets"], of["others"])
        for (name, of), ratio in zip(found.items(), ratios, strict=True)
    ]
    heads = ("picture", "explains", "value of STREAK", "of greedy search", "ratio", "sets asked", "by greedy search")
    enough = sum(ratio >= 0.9 for ratio in ratios)
    sets, others = (statistics.mean(of[name] for of in found.values()) for name in ("sets", "others"))
    page.say(
        f"## Beside greedy search: {of_what}",
        table(heads, lines),
        f"The ratio is {statistics.mean(ratios):.2f} in the mean and {min(ratios):.2f} at least; {enough} of "
        f"{len(ratios)} are 0.9 or more. STREAK asked about {sets:.0f} sets in the mean, greedy search about {others:.0f}.",
    )


def overlap(found: Any, long: Any) -> float:
    """The share of pixels that are in both choices, of those that are in either."""
    segments = found.features.segments[0, 0]
    chosen = set(found.by_feature()[0].nonzero()[:, 0].tolist())
    best = set(long.by_feature()[0].argsort(descending=True)[:K].tolist())
    sizes = segments.flatten().bincount()
    return float(sizes[list(chosen & best)].sum() / sizes[list(chosen | best)].sum())


def speed(page: Page) -> None:
    subject = pl.load("efficientnet-lite0")
    lines, ratios = [], {"same": [], "default": []}
    for name in page.arguments.photographs:
        theirs = lime.measured(name, page)
        long = pl.Result.load(page.arguments.keep / f"{name}.pellucid")
        (path,) = (photograph.path for photograph in PHOTOGRAPHS if photograph.name == name)
        inputs = subject.prepare(str(path))
        for of in QUANTITIES:
            seconds = []
            for _ in range(page.rounds):
                started = time.process_time()
                found = Streak(k=K)(subject, pl.Decision(inputs, of=of))
                seconds.append(time.process_time() - started)
            took = statistics.median(seconds)
            cells = [name, of, int(found.quality["evaluations"]), f"{took:.2f}"]
            for peer in ("same", "default"):
                ratio = theirs[peer]["seconds"] / took
                ratios[peer].append(ratio)
                cells += [f"{theirs[peer]['seconds']:.1f}", f"{ratio:.1f} ×"]
            lines.append([*cells, f"{overlap(found, long):.2f}"])
    lines.append(
        [
            "**all**",
            "",
            "",
            "",
            "",
            mean_with_interval(ratios["same"]),
            "",
            mean_with_interval(ratios["default"]),
            "",
        ]
    )
    heads = ("photograph", "of", "sets asked", "STREAK, CPU-s", "lime, same superpixels", "lime / STREAK")
    page.say("## Beside LIME", table((*heads, "lime, default call", "lime / STREAK", "IoU"), lines))


def main() -> None:
    page = Page("streak", __doc__, rounds=3, options=options)
    for of in ("score", *QUANTITIES):
        against_greedy(of, page)
    speed(page)
    page.close()


if __name__ == "__main__":
    main()
