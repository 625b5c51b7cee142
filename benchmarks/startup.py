"""How long the command line takes before it says anything, and whether it imports what it does not need.

Each command runs in a process of its own, ``rounds`` times; figures are medians. The limit holds for those that only
read the catalogue. It fails where a limit is missed.
"""

import os
import statistics
import subprocess
import sys
import time

from benchmarks.harness import Page, table

LIMIT = 0.3
HEAVY = ("torch", "numpy", "skimage")
COMMANDS = (
    [],
    ["--help"],
    ["--version"],
    ["methods"],
    ["map"],
    ["map", "--need", "one decision", "--asker", "developer"],
    ["map", "--gaps"],
    ["show", "lime"],
    ["show", "efficientnet-lite0"],
    ["show", "transparency"],
    ["run", "lime", "--help"],
    ["explain", "--help"],
)
PROGRAM = "import sys; from pellucid.cli.app import main; sys.exit(main())"
PROBE = (
    "import sys; from pellucid.cli.app import main; main();"
    f"print(*[name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
)


def run(program: str, words: list[str]) -> tuple[float, float, str]:
    """Wall seconds, CPU-seconds and standard error of one process."""
    before, started = os.times(), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=True
    )
    wall, after = time.perf_counter() - started, os.times()
    cpu = after.children_user - before.children_user + after.children_system - before.children_system
    return wall, cpu, done.stderr


def main() -> int:
    page = Page("startup", __doc__, rounds=10)
    timed: dict[int, list[tuple[float, float]]] = {number: [] for number in range(len(COMMANDS))}
    # The commands take turns, so that a busy moment of the machine does not fall on one of them alone.
    for turn in range(page.rounds + 1):
        for number, words in enumerate(COMMANDS):
            wall, cpu, _ = run(PROGRAM, words)
            if turn:
                timed[number].append((wall, cpu))
    missed, rows = 0, []
    for number, words in enumerate(COMMANDS):
        walls, cpus = zip(*timed[number], strict=True)
        heavy = run(PROBE, words)[2].strip()
        wall, cpu = statistics.median(walls), statistics.median(cpus)
        missed += wall > LIMIT or bool(heavy)
        command = " ".join(["pellucid", *words])
        rows.append((f"`{command}`", f"{wall:.2f}", f"{cpu:.2f}", f"{max(walls):.2f}", heavy or "none"))
    page.say(f"The limit is {LIMIT} s of wall time.")
    page.say(table(("command", "wall, s", "CPU, s", "slowest, s", "imports it should not"), rows))
    page.close()
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
