"""What LIME costs at equal quality: beside the lime package, and beside the forward passes that it needs.

EfficientNet-Lite0 explains its first class in photographs of 224 × 224 pixels. Quality is the rank correlation of the
coefficients with those of a long run on the same superpixels: ours with ``--reference`` rows, whose widest 95 % interval
is told. Our rows are a prefix of one run, so that the number of rows at which ours is as good as the package's 1000
samples is read off (the smallest looked at, of steps of 32) and its cost is that of so many rows, superpixels included.
The package's default call has superpixels of its own and so no long run beside it: its quality is estimated from the two
halves of its samples (Spearman-Brown), and ours is held to it on our superpixels. Figures are CPU-seconds of one thread;
*bare* puts forward passes of the model as it was loaded in the place of those of the copy that was prepared.

Every photograph is measured once and kept in ``--keep``, so that a long benchmark can be taken up again.
"""

import argparse
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.harness import Page, alternating, mean_with_interval, table
from lime.lime_image import LimeImageExplainer
from scipy.stats import spearmanr
from torch import Tensor

import pellucid as pl
from pellucid.engine import linear
from pellucid.engine.coalitions import Game, draws_of, hidden_point, players
from pellucid.engine.neighbourhoods import around
from pellucid.engine.targets import resolve
from pellucid.guide.samples import PHOTOGRAPHS
from pellucid.methods import Lime

NAMES = ("chelsea", "coffee", "rocket", "flower", "astronaut")
SAMPLES = 1000
STEP = 32
PASSES = 24


def options(parser: argparse.ArgumentParser) -> None:
    """The arguments of this benchmark."""
    parser.add_argument("--reference", type=int, default=10_000, help="rows of the long run")
    parser.add_argument("--photographs", nargs="*", default=list(NAMES), help="which of the bundled photographs")
    parser.add_argument("--keep", type=Path, default=Path("lime-benchmark"), help="folder of what is measured already")


class Package(LimeImageExplainer):  # type: ignore[misc]
    """The package's explainer, which remembers what it drew and what it was told."""

    def data_labels(self, *given: Any, **options: Any) -> Any:
        self.data, self.labels = super().data_labels(*given, **options)
        return self.data, self.labels


def bare_model(subject: pl.Subject) -> Callable[[np.ndarray], np.ndarray]:
    """The network as a user of the lime package calls it: 8-bit pictures in, scores out."""
    network, task = subject.module, subject.task
    mean, deviation = torch.tensor(task.mean).view(1, -1, 1, 1), torch.tensor(task.deviation).view(1, -1, 1, 1)

    def classify(pictures: np.ndarray) -> np.ndarray:
        pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div(255)
        with torch.no_grad():
            return network((pixels - mean) / deviation).numpy()

    return classify


def rank_correlation(one: Any, other: Any) -> float:
    return float(spearmanr(np.asarray(one), np.asarray(other)).statistic)


def package(picture: np.ndarray, classify: Any, segments: np.ndarray | None) -> tuple[np.ndarray, float, float]:
    """lime's coefficients by segment, its CPU-seconds, and how well its halves agree, stepped up to the whole."""
    explainer = Package(random_state=0)
    segmentation = None if segments is None else lambda given: segments
    started = time.process_time()
    found = explainer.explain_instance(
        picture,
        classify,
        top_labels=1,
        num_samples=SAMPLES,
        segmentation_fn=segmentation,
        random_seed=0,
    )
    seconds = time.process_time() - started
    label = found.top_labels[0]
    terms = dict(found.local_exp[label])
    distances = 1 - np.sqrt(explainer.data.mean(1))
    weights = explainer.base.kernel_fn(distances)
    halves = [
        fitted(
            *(
                torch.from_numpy(np.asarray(of)[half::2]).double()
                for of in (explainer.data, explainer.labels[:, label], weights)
            )
        )
        for half in (0, 1)
    ]
    agree = rank_correlation(*halves)
    return np.array([terms[number] for number in range(len(terms))]), seconds, math.sqrt(2 * agree / (1 + agree))


def fitted(rows: Tensor, answers: Tensor, weights: Tensor) -> Tensor:
    moments = linear.Moments(rows.shape[1])
    moments.add(rows, answers, weights)
    return linear.ridge(moments, torch.arange(rows.shape[1])).coefficients


def prefixes(subject: pl.Subject, query: pl.Decision, reference: np.ndarray) -> tuple[dict[int, float], float]:
    """The rank correlation of our coefficients with the reference by number of rows, and the CPU-seconds of all rows."""
    started = time.process_time()
    answer = Lime(samples=SAMPLES)(subject, query)
    seconds = time.process_time() - started
    inputs = subject.prepare(query.inputs)
    features = players(subject, inputs, None)
    hidden = hidden_point(subject, inputs, features, None)
    game = Game(subject, inputs, resolve(subject, inputs, query), features, hidden)
    near = around(subject, inputs, features, hidden, 0, SAMPLES, draws_of(inputs, 0, 0, "lime"), "balanced", None)
    rows = near.draws.rows(slice(0, len(near.draws)))
    answers, weights = game(rows), near.weights(rows.double())
    assert np.allclose(fitted(rows.double(), answers, weights), answer.by_feature()[0], atol=1e-3)
    numbers = [*range(2 * STEP, len(rows), STEP), len(rows)]
    return {
        n: rank_correlation(fitted(rows[:n].double(), answers[:n], weights[:n]), reference) for n in numbers
    }, seconds


def forward_costs(subject: pl.Subject, inputs: pl.Inputs, rounds: int) -> tuple[float, float]:
    """CPU-seconds of one forward pass of the prepared and of the bare model, at the subject's own batch size."""
    size = subject.batch_size(inputs)
    batch = inputs.rows(torch.zeros(size, dtype=torch.long))

    def passes(original: bool) -> None:
        for _ in range(-(-PASSES // size)):
            subject.run(batch, original=original)

    found = alternating({"prepared": lambda: passes(False), "bare": lambda: passes(True)}, rounds)
    number = size * -(-PASSES // size)
    return found.seconds["prepared"] / number, found.seconds["bare"] / number


def measured(name: str, page: Page) -> dict[str, Any]:
    """One photograph, unless it has been measured already."""
    folder: Path = page.arguments.keep
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / f"{name}.json"
    if kept.exists():
        return dict(json.loads(kept.read_text(encoding="utf-8")))
    subject = pl.load("efficientnet-lite0")
    subject.module.eval()
    (path,) = (photograph.path for photograph in PHOTOGRAPHS if photograph.name == name)
    inputs = subject.prepare(str(path))
    query = pl.Decision(inputs)
    stored = folder / f"{name}.pellucid"
    if stored.exists():
        long = pl.Result.load(stored)
    else:
        long = Lime(samples=page.arguments.reference)(subject, query)
        long.save(stored)
    reference = long.by_feature()[0].numpy()
    half = (long.interval[1][0] - long.interval[0][0]).numpy() / 2
    segments = long.features.segments[0, 0].numpy()
    picture, classify = np.asarray(subject.task.picture(inputs.value[0])), bare_model(subject)
    prepared, bare = forward_costs(subject, inputs, page.rounds)
    curve, ours = prefixes(subject, query, reference)
    theirs, same, _ = package(picture, classify, segments)
    others, default, halves = package(picture, classify, None)
    found = {
        "explains": long.question(),
        "superpixels": len(reference),
        "reference": float(half.max() / np.abs(reference).max()),
        "r2": float(long.quality["r2"]),
        "prepared": prepared,
        "bare": bare,
        "curve": curve,
        "ours": ours,
        "same": {"seconds": same, "quality": rank_correlation(theirs, reference)},
        "default": {"seconds": default, "quality": halves, "superpixels": len(others)},
    }
    kept.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return dict(json.loads(kept.read_text(encoding="utf-8")))


def needed(found: dict[str, Any], quality: float) -> int:
    """The smallest number of our rows that is as good; all of them where none is."""
    numbers = [int(rows) for rows, reached in found["curve"].items() if reached >= quality]
    return min(numbers, default=SAMPLES)


def cost(found: dict[str, Any], rows: int, passes: str) -> float:
    """CPU-seconds of ours with so many rows: what does not depend on them, and a forward pass for each."""
    beside = found["ours"] - SAMPLES * found["prepared"]
    return float(max(beside, 0.0) + rows * found[passes])


def photographs(page: Page) -> None:
    found = {name: measured(name, page) for name in page.arguments.photographs}
    rows = [
        (
            name,
            of["explains"],
            of["superpixels"],
            f"± {of['reference']:.1%}",
            f"{of['r2']:.2f}",
            *(f"{of['curve'][rows]:.3f}" for rows in ("256", "512", "998")),
            f"{of['same']['quality']:.3f}",
            f"{of['default']['quality']:.3f} ({of['default']['superpixels']})",
        )
        for name, of in found.items()
    ]
    heads = (
        "photograph",
        "explains",
        "superpixels",
        "widest interval of the reference",
        "R²",
        "ours, 256 rows",
        "512",
        "998",
    )
    theirs = ("lime, the same superpixels, 1000", "lime, its default call, 1000 (superpixels)")
    page.say("## Rank correlation with the long run", table((*heads, *theirs), rows))
    lines, ratios = [], {(peer, passes): [] for peer in ("same", "default") for passes in ("prepared", "bare")}
    for name, of in found.items():
        cells: list[Any] = [name, f"{1000 * of['prepared']:.1f}", f"{1000 * of['bare']:.1f}"]
        for peer in ("same", "default"):
            rows_needed = needed(of, of[peer]["quality"])
            cells += [f"{of[peer]['seconds']:.1f}", rows_needed]
            for passes in ("prepared", "bare"):
                ratio = of[peer]["seconds"] / cost(of, rows_needed, passes)
                ratios[peer, passes].append(ratio)
                cells.append(f"{ratio:.2f} ×")
        lines.append(cells)
    lines.append(["**all**", "", "", "", "", *(mean_with_interval(ratios["same", p]) for p in ("prepared", "bare"))])
    lines[-1] += ["", "", *(mean_with_interval(ratios["default", p]) for p in ("prepared", "bare"))]
    heads = ("photograph", "F prepared, ms", "F bare, ms", "lime, same superpixels, CPU-s", "our rows for as good")
    more = ("lime / ours", "bare", "lime, default, CPU-s", "our rows for as good", "lime / ours", "bare")
    page.say("## Cost at equal rank correlation", table((*heads, *more), lines))


def fit(rows: Tensor, answers: Tensor, weights: Tensor, terms: int) -> np.ndarray:
    moments = linear.Moments(rows.shape[1])
    for part in torch.arange(len(rows)).split(1024):
        moments.add(rows[part], answers[part], weights[part])
    columns = linear.chosen(moments, rows[0], terms)
    return linear.ridge(moments, columns).scattered(rows.shape[1]).numpy()


def fit_of_the_package(rows: Tensor, answers: Tensor, weights: Tensor, terms: int) -> np.ndarray:
    from lime.lime_base import LimeBase

    base = LimeBase(lambda distances: distances)
    _, found, _, _ = base.explain_instance_with_data(
        rows.numpy(), answers[:, None].numpy(), weights.numpy(), 0, terms, feature_selection="auto"
    )
    coefficients = np.zeros(rows.shape[1])
    for feature, weight in found:
        coefficients[feature] = weight
    return coefficients


def fits(page: Page) -> None:
    source = torch.Generator().manual_seed(0)
    lines = []
    for samples, features, terms in ((1000, 50, 6), (1000, 50, 50), (5000, 200, 6), (5000, 200, 10)):
        rows = torch.randint(2, (samples, features), generator=source).double()
        answers = rows @ torch.randn(features, generator=source, dtype=torch.float64) + rows[:, 0] * rows[:, 1]
        weights = torch.rand(samples, generator=source, dtype=torch.float64)
        given = (rows, answers, weights, terms)
        found = alternating(
            {"ours": lambda given=given: fit(*given), "lime": lambda given=given: fit_of_the_package(*given)},
            page.rounds,
        )
        apart = np.abs(found.answers["ours"] - found.answers["lime"]).max()
        mine, theirs = (f"{1000 * found.seconds[name]:.1f}" for name in ("ours", "lime"))
        lines.append((samples, features, terms, mine, theirs, f"{found.units('lime', 'ours'):.0f}", f"{apart:.0e}"))
    differs = "largest difference of coefficients"
    heads = ("samples", "features", "terms kept", "ours, ms", "lime, ms", "lime / ours", differs)
    page.say("## The fit alone", table(heads, lines))


def main() -> None:
    page = Page("lime", __doc__, rounds=3, options=options)
    photographs(page)
    fits(page)
    page.close()


if __name__ == "__main__":
    main()
