"""What a whole evaluation costs beside its model calls: twelve methods, ten metrics, three controls, EfficientNet-Lite0.

The settings are those of the story *Which explanation to believe*. Model calls are all CPU-seconds inside a pass of the
network, or inside an explanation's method, whether the evaluation asks it or a metric asks it again. The rest is what
judging adds: orders, erased inputs, control maps, statistics, the page. CPU-seconds of one thread, photographs that come
with scikit-image and scikit-learn.
"""

import contextlib
import functools
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.harness import Page, table
from examples.which_explanation_to_believe import ASKING_AGAIN, ERASING, ON_PICTURES, REPLACED

import pellucid as pl
from pellucid.guide.samples import PHOTOGRAPHS
from pellucid.reports.evaluating import evaluate


class Inside:
    """CPU-seconds inside the outermost of the calls that are watched."""

    def __init__(self) -> None:
        self.seconds, self._depth = 0.0, 0

    @contextlib.contextmanager
    def watching(self, owner: type, name: str) -> Iterator[None]:
        """Count the calls of one function of a class."""
        original = getattr(owner, name)

        @functools.wraps(getattr(original, "__wrapped__", original))
        def watched(*arguments: Any, **options: Any) -> Any:
            self._depth += 1
            started = time.process_time()
            try:
                return original(*arguments, **options)
            finally:
                self._depth -= 1
                if not self._depth:
                    self.seconds += time.process_time() - started

        setattr(owner, name, watched)
        try:
            yield
        finally:
            setattr(owner, name, original)


def main() -> None:
    page = Page("evaluation", __doc__ or "", rounds=3)
    subject = pl.load("efficientnet-lite0")
    photographs = [photograph.path for photograph in PHOTOGRAPHS][: page.rounds + 1]
    methods = [pl.build(entry if isinstance(entry, dict) else {"method": entry}) for entry in ON_PICTURES]
    metrics = [*REPLACED, *ERASING, *ASKING_AGAIN, "entropy", "gini"]
    metrics = [{"random_maps": 1, **(entry if isinstance(entry, dict) else {"method": entry})} for entry in metrics]
    rows, shares = [], []
    for number, photograph in enumerate(photographs):
        inside = Inside()
        with contextlib.ExitStack() as stack:
            for owner, name in ((type(subject), "run"), *((type(method), "__call__") for method in methods)):
                stack.enter_context(inside.watching(owner, name))
            started = time.process_time()
            evaluate(subject, [photograph], methods, metrics)
            total = time.process_time() - started
        if number:  # the first warms up
            shares.append(total / inside.seconds)
            rows.append((number, f"{total:.1f}", f"{inside.seconds:.1f}", f"{shares[-1]:.2f} ×"))
    page.say(
        table(("photograph", "whole evaluation, CPU-s", "model calls, CPU-s", "whole / model calls"), rows),
        f"In the mean the whole costs {sum(shares) / len(shares):.2f} × its model calls.",
    )
    page.close()


if __name__ == "__main__":
    main()
