"""What a map of ten classes costs beside a map of one, and whether its responses are those of each class asked alone.

CLEAR over relevance (``epsilon-plus``). *One map* is the same relevance for one class, *ten maps* are asked one after the
other. Handwritten digits are a network so small that the work around its operations counts; a photograph is not.
"""

from collections.abc import Callable
from typing import Any

import torch
from benchmarks.harness import Page, alternating, distance, table
from skimage import data
from sklearn.datasets import load_digits
from torch import Tensor

import pellucid as pl
from pellucid.methods import LRP, Clear

CLASSES = 10
HEADS = ("network", "classes", "one map, CPU-ms", "ten maps, CPU-ms", "CLEAR, CPU-ms", "CLEAR / one map")
HEADS = (*HEADS, "relative L2 distance to ten maps")


def digit() -> Tensor:
    """One handwritten digit, as the digit network reads it."""
    return torch.tensor(load_digits().images[:1] / 16).float()[:, None]


def measured(name: str, raw: Any, rounds: int) -> tuple[Any, ...]:
    """One row of the table."""
    subject, inner = pl.load(name), LRP(composite="epsilon-plus")
    inputs = subject.prepare(raw)
    classes = tuple(subject.scores(inputs)[0].argsort(descending=True)[:CLASSES].tolist())
    clear = Clear(inner=inner, classes=classes)

    def one(target: int) -> Tensor:
        return inner(subject, pl.Decision(inputs, target=target)).scores

    contenders: dict[str, Callable[[], Any]] = {
        "one": lambda: one(classes[0]),
        "ten": lambda: torch.cat([one(target) for target in classes]),
        "clear": lambda: clear(subject, pl.Decision(inputs)).responses[0],
    }
    found = alternating(contenders, rounds)
    single, ten, together = (1000 * found.seconds[contender] for contender in contenders)
    return (
        name,
        CLASSES,
        f"{single:.1f}",
        f"{ten:.1f}",
        f"{together:.1f}",
        f"{together / single:.2f} ×",
        f"{distance(found.answers['clear'], found.answers['ten']):.1e}",
    )


def main() -> None:
    page = Page("clear", __doc__, rounds=9)
    subjects = {"digits-cnn": digit(), "efficientnet-lite0": data.chelsea()}
    page.say(table(HEADS, [measured(name, raw, page.rounds) for name, raw in subjects.items()]))
    page.close()


if __name__ == "__main__":
    main()
