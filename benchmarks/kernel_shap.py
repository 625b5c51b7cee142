"""How many coalitions KernelSHAP needs for the same error, beside Captum and shap.

Everybody is asked for the Shapley values of the same games, with the same number of coalitions. The error is the L2
distance to the reference, relative to it. Perceptrons of 12 features (32 and 32 hidden units, seeded weights) have an
exact reference; pictures of 44 superpixels (seeded convolutional networks of three layers, parts hidden by their mean
colour) one of a weighted regression on 30,000 random pairs of coalitions, in ten parts whose spread tells its own error.
shap's selection of features is off (`l1_reg=False`): it would leave some out. A ratio is the number of
coalitions at which the peer's error, interpolated in logarithms between the numbers shown, has fallen to ours, over ours;
its 95 % interval is over seeds, of the mean over games. "> 8" means that with its largest number the peer did not get
there for every seed.
"""

import itertools
import logging
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from benchmarks.harness import Page, table
from PIL import Image
from scipy.stats import t as student
from skimage import data
from torch import Tensor, nn

import pellucid as pl
from pellucid.core.subject import Features
from pellucid.engine.coalition_pairs import complementary_pairs
from pellucid.engine.coalitions import Game, hidden_point, players
from pellucid.engine.shapley import coalitions, kernel_regression, shapley_values
from pellucid.engine.targets import resolve
from pellucid.methods import KernelShap
from pellucid.tasks.tensor import TensorTask

NUMBERS = (100, 200, 500, 1000)
FURTHER = {"Captum": (2000,), "shap": (2000, 4000), "ours": ()}
SEGMENTS = 44
PHOTOGRAPHS = ("chelsea", "astronaut", "rocket")
Worth = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Contest:
    """A game, as a function of masks ``[n, players]``, and the Shapley values it is held against."""

    worth: Worth
    players: int
    reference: Tensor

    def error(self, found: Tensor) -> float:
        return float((found - self.reference).norm() / self.reference.norm())

    def ours(self, number: int, seed: int) -> float:
        subject = pl.wrap(lambda rows: self.worth(rows > 0.5)[:, None], TensorTask(output="value"))
        ones = torch.ones(1, self.players, dtype=torch.float64)
        answer = KernelShap(baseline=0.0, budget=number, tolerance=1e-12, seed=seed)(subject, pl.Decision(ones))
        return self.error(answer.scores[0])

    def captum(self, number: int, seed: int) -> float:
        from captum.attr import KernelShap as Peer

        torch.manual_seed(seed)
        peer = Peer(lambda rows: self.worth(rows > 0.5))
        ones = torch.ones(1, self.players, dtype=torch.float64)
        found = peer.attribute(ones, torch.zeros_like(ones), n_samples=number, perturbations_per_eval=100)
        return self.error(found[0].double())

    def shap(self, number: int, seed: int) -> float:
        from shap import KernelExplainer

        explainer = KernelExplainer(
            lambda rows: self.worth(torch.from_numpy(rows) > 0.5).numpy(), np.zeros((1, self.players)), seed=seed
        )
        found = explainer.shap_values(np.ones((1, self.players)), nsamples=number, l1_reg=False, silent=True)
        return self.error(torch.from_numpy(found[0]))


def perceptron(seed: int, features: int = 12) -> Contest:
    """A seeded network; what it says of all 4096 coalitions is looked up."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(features, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1)).double()
    row = torch.randn(features, dtype=torch.float64)
    with torch.no_grad():
        values = net(coalitions(features).double() * row)[:, 0]
    places = 2 ** torch.arange(features)
    return Contest(lambda masks: values[(masks.long() * places).sum(1)], features, shapley_values(values))


def picture(name: str, seed: int) -> tuple[Contest, float]:
    """A photograph of 44 superpixels in front of a seeded network, with the error of its reference."""
    torch.manual_seed(seed)
    layers = [
        layer
        for before, after in ((3, 16), (16, 32), (32, 32))
        for layer in (nn.Conv2d(before, after, 3, 2, 1), nn.ReLU())
    ]
    subject = pl.wrap(
        nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(128, 10)).eval(), pl.tasks.Image(48)
    )
    inputs, features = segmented(subject, getattr(data, name)())
    hidden = hidden_point(subject, inputs, features, None)
    game = Game(subject, inputs, resolve(subject, inputs, pl.Decision(inputs)), features, hidden)
    reference, spread = regression(game)
    return Contest(game, SEGMENTS, reference), spread


def segmented(subject: pl.Subject, photograph: np.ndarray) -> tuple[pl.Inputs, Features]:
    """The photograph, without as many columns at its left as it takes for some number of superpixels to be 44."""
    for left, wanted in itertools.product(range(0, 240, 24), range(40, 61)):
        inputs = subject.prepare(Image.fromarray(photograph[:, left:]))
        features = players(subject, inputs, None, wanted)
        if features.counts()[0] == SEGMENTS:
            return inputs, features
    raise ValueError(f"no part of the photograph has {SEGMENTS} superpixels")


def regression(game: Game, pairs: int = 30_000, parts: int = 10) -> tuple[Tensor, float]:
    """Shapley values from a regression on random pairs of all sizes, and the relative error that its parts tell."""
    draws = complementary_pairs(game.features, torch.Generator().manual_seed(2**40))
    single = torch.stack(list(itertools.islice(draws, game.features)))
    masks = torch.stack(list(itertools.islice(draws, pairs)))
    nothing, everything = game.ends()
    found = []
    for part in range(parts):
        shown = torch.cat([single, masks[part::parts]])
        both = torch.cat([shown, ~shown])
        size = both.sum(1)
        # Sizes are drawn alike, so that a coalition stands for what the kernel gives to its whole size.
        kernel = 1.0 / (size * (game.features - size)).double()
        drawn = torch.bincount(size, minlength=game.features).double()[size]
        found.append(kernel_regression(both, game(both), kernel / drawn, nothing, everything))
    each = torch.stack(found)
    mean = each.mean(0)
    return mean, float((each.std(0) / math.sqrt(parts)).norm() / mean.norm())


def reached(curve: dict[int, float], error: float) -> float:
    """The number at which a curve of errors falls to one, interpolated in logarithms; infinite where it does not."""
    numbers = sorted(curve)
    for before, after in itertools.pairwise(numbers):
        if curve[after] <= error <= curve[before]:
            share = math.log(curve[before] / error) / math.log(curve[before] / curve[after])
            return before * (after / before) ** share
    return numbers[0] if error > curve[numbers[0]] else math.inf


def told(ratios: list[float]) -> str:
    """The mean of ratios over seeds with its 95 % interval, both of logarithms."""
    finite = [ratio for ratio in ratios if math.isfinite(ratio)]
    if len(finite) < len(ratios):
        return ""
    logs = np.log(ratios)
    half = student.ppf(0.975, len(logs) - 1) * logs.std(ddof=1) / math.sqrt(len(logs))
    return f"{np.exp(logs.mean()):.1f} [{np.exp(logs.mean() - half):.1f}, {np.exp(logs.mean() + half):.1f}]"


def compared(page: Page, contests: list[Contest]) -> None:
    """Errors of all contenders for all numbers, and how many more coalitions the peers take."""

    @cache
    def mean_error(name: str, number: int, seed: int) -> float:
        return float(np.mean([getattr(contest, name.lower())(number, seed) for contest in contests]))

    names = ("ours", "shap", "Captum")
    seeds = range(page.rounds)
    lines = []
    for number in NUMBERS:
        errors = [f"{np.mean([mean_error(name, number, seed) for seed in seeds]):.4f}" for name in names]
        ratios = []
        for name in names[1:]:
            ladder = (*NUMBERS, *FURTHER[name])
            found = [
                reached({n: mean_error(name, n, seed) for n in ladder}, mean_error("ours", number, seed)) / number
                for seed in seeds
            ]
            ratios.append(told(found) or f"> {ladder[-1] / number:g}")
        lines.append((number, *errors, *ratios))
    for number in sorted({n for further in FURTHER.values() for n in further}):
        errors = [
            f"{np.mean([mean_error(name, number, seed) for seed in seeds]):.4f}" if number in FURTHER[name] else ""
            for name in names
        ]
        lines.append((number, *errors, "", ""))
    heads = ("coalitions", "error, ours", "shap", "Captum", "shap needs, ×", "Captum needs, ×")
    page.say(table(heads, lines))


def main() -> None:
    page = Page("kernel_shap", __doc__, rounds=4)
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")  # both peers warn about themselves
    page.say("## Perceptrons of 12 features", "Five networks, exact reference.")
    compared(page, [perceptron(seed) for seed in range(5)])
    found = [picture(name, seed) for seed, name in enumerate(PHOTOGRAPHS)]
    spreads = ", ".join(f"{spread:.4f}" for _, spread in found)
    page.say(
        f"## Pictures of {SEGMENTS} superpixels",
        f"{len(found)} photographs, each with a network of its own; relative errors of the references: {spreads}.",
    )
    compared(page, [contest for contest, _ in found])
    page.close()


if __name__ == "__main__":
    main()
