"""How every benchmark measures: ours and the peers' in turn, CPU-seconds, costs in F and B, answers compared.

A benchmark is a module with a ``main`` that makes a :class:`Page`, lets contenders take turns, and says tables to the
page. ``scripts/bench NAME`` runs it; with ``--write`` the page is kept in ``docs/benchmarks/NAME.md``.
"""

import argparse
import math
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from scipy.stats import t as student
from torch import Tensor

PAGES = Path(__file__).resolve().parent.parent / "docs" / "benchmarks"


@dataclass(frozen=True)
class Timings:
    """Median CPU-seconds of each contender, and its last answer."""

    seconds: Mapping[str, float]
    answers: Mapping[str, Any]

    def units(self, name: str, unit: str) -> float:
        """What a contender costs in the cost of another: F or B, where ``unit`` is the contender that makes one."""
        return self.seconds[name] / self.seconds[unit]


def alternating(
    contenders: Mapping[str, Callable[[], Any]], rounds: int, clock: Callable[[], float] = time.process_time
) -> Timings:
    """Let all contenders take turns, so that a busy moment of the machine does not fall on one of them alone.

    The first round warms up and is not counted.
    """
    if rounds < 1:
        raise ValueError("at least one round is counted")
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    answers: dict[str, Any] = {}
    for number in range(rounds + 1):
        for name, work in contenders.items():
            started = clock()
            answers[name] = work()
            if number:
                seconds[name].append(clock() - started)
    return Timings({name: statistics.median(times) for name, times in seconds.items()}, answers)


def distance(one: Tensor, other: Tensor) -> float:
    """How far answers lie apart: the L2 norm of their difference, relative to the second."""
    return float((one - other).norm() / other.norm())


def mean_with_interval(ratios: Sequence[float]) -> str:
    """The geometric mean of several ratios, and its 95 % interval where they are more than one and differ."""
    logs = [math.log(ratio) for ratio in ratios]
    middle = statistics.mean(logs)
    if len(set(logs)) == 1:
        return f"{math.exp(middle):.2f} ×"
    reach = float(student.ppf(0.975, len(logs) - 1)) * statistics.stdev(logs) / math.sqrt(len(logs))
    return f"{math.exp(middle):.2f} × [{math.exp(middle - reach):.2f}, {math.exp(middle + reach):.2f}]"


def table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table in Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    if any(len(line) != len(heads) for line in lines):
        raise ValueError(f"every row of a table has {len(heads)} cells: {', '.join(heads)}")
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


class Page:
    """What a benchmark says, printed at once and kept where that is asked for.

    Making one reads the command line and lets torch use one thread, as every CPU-second here is of one thread.
    ``options`` adds a benchmark's own arguments to the parser.
    """

    def __init__(
        self,
        name: str,
        description: str,
        *,
        rounds: int,
        options: Callable[[argparse.ArgumentParser], Any] = lambda parser: None,
        given: Sequence[str] | None = None,
    ) -> None:
        parser = argparse.ArgumentParser(prog=f"scripts/bench {name}", description=description)
        parser.add_argument("--rounds", type=int, default=rounds, help="turns that are counted")
        parser.add_argument("--write", action="store_true", help="keep the page in docs/benchmarks")
        options(parser)
        self.arguments = parser.parse_args(given)
        self.name, self._said = name, [f"# {name.replace('_', ' ').capitalize()}", description.strip()]
        os.environ["TQDM_DISABLE"] = "1"  # some peers draw progress bars
        torch.set_num_threads(1)
        self.say(
            f"Measured with {self.arguments.rounds} rounds on {platform.machine()}, one thread, torch "
            f"{torch.__version__}, Python {platform.python_version()}."
        )

    @property
    def rounds(self) -> int:
        """How many turns are counted."""
        return int(self.arguments.rounds)

    def say(self, *blocks: str) -> None:
        """Print paragraphs or tables, and remember them."""
        for block in blocks:
            print(block, end="\n\n", flush=True)
            self._said.append(block)

    def close(self, folder: Path = PAGES) -> None:
        """Write the page where that was asked for."""
        if self.arguments.write:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{self.name}.md").write_text("\n\n".join(self._said) + "\n", encoding="utf-8")
