"""Which explanation to believe? Photographs, sentences and rows of a table, each by one command.

    python -m examples.which_explanation_to_believe photographs --data FOLDER --out FOLDER
    python -m examples.which_explanation_to_believe sentences --data FOLDER --out FOLDER
    python -m examples.which_explanation_to_believe incomes --data FOLDER --out FOLDER

Photographs are any folder of pictures; sentences come from the Stanford Sentiment Treebank (``test.txt``;
socher2013recursive), incomes from the census data Adult (``adult.csv`` and ``adult.test.csv``). What is not a folder of
pictures is first written as the plain file that ``pellucid evaluate`` reads. The command is printed, then run: a run that
was stopped goes on where it was. A photograph takes half a minute of one core, a sentence three seconds, a row less.
"""

import argparse
import csv
import json
import shlex
from pathlib import Path
from typing import Any

from examples.changes.incomes import incomes, network
from examples.words.trees import read_trees

import pellucid as pl
from pellucid.cli.app import main as pellucid

SENTENCES, ROWS, PHOTOGRAPHS = 500, 200, 100

REPLACED = [
    {"method": "region-perturbation", "region": 20, "steps": 20, "draws": 1, "replacement": name}
    for name in ("uniform", "blur")
]
ON_PICTURES = [
    *("gradient", "input-x-gradient", "guided-backprop", "deconvnet"),
    {"method": "smoothgrad", "samples": 5},
    {"method": "integrated-gradients", "tolerance": 0.2, "max_steps": 32},
    "lrp",
    {"method": "lrp", "composite": "epsilon-gamma-box"},
    *("excitation-backprop", "grad-cam", "guided-grad-cam", "layer-cam"),
]
ON_WORDS = [
    *("gradient", "input-x-gradient"),
    {"method": "integrated-gradients", "tolerance": 0.2, "max_steps": 32},
    {"method": "lrp", "composite": "epsilon"},
    *("attention-rollout", "occlusion"),
    {"method": "lime", "samples": 60},
]
ON_COLUMNS = [
    *("gradient", "input-x-gradient", "integrated-gradients", "deeplift"),
    {"method": "lrp", "composite": "epsilon"},
    *("occlusion", "lime", "kernel-shap"),
]
ERASING = [*({"method": name, "steps": 10} for name in ("insertion", "deletion")), "comprehensiveness", "sufficiency"]
ASKING_AGAIN = [{"method": "max-sensitivity", "copies": 1}, {"method": "parameter-randomisation", "layers": 1}]


def income_network(folder: str) -> pl.Subject:
    """The small network of the census, trained anew: the same in every run."""
    return network(incomes(Path(folder))[0])


def photographs(data: Path, out: Path) -> list[str]:
    """The command for a folder of pictures, and EfficientNet-Lite0."""
    metrics = [*REPLACED, *ERASING, *ASKING_AGAIN, "entropy", "gini"]
    return command("efficientnet-lite0", data, ON_PICTURES, metrics, out, "--limit", str(PHOTOGRAPHS))


def sentences(data: Path, out: Path) -> list[str]:
    """The command for sentences, which are written one to a line, and the small sentiment network."""
    trees = read_trees(data / "test.txt")
    chosen = [trees[number * len(trees) // SENTENCES].text for number in range(SENTENCES)]
    path = out / "sentences.txt"
    path.write_text("\n".join(chosen) + "\n", encoding="utf-8")
    return command("minilm-sentiment", path, ON_WORDS, [*ERASING, ASKING_AGAIN[1], "gini"], out)


def people(data: Path, out: Path) -> list[str]:
    """The command for held-out rows of the census, and the network of :func:`income_network`."""
    table = incomes(data)[1]
    path = out / "people.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(table.columns)
        lines.writerows(row.tolist() for row in table.rows[:: len(table.rows) // ROWS][:ROWS])
    judges = [*ERASING, "sensitivity-n", "faithfulness-estimate", *ASKING_AGAIN, "gini"]
    subject = "examples.which_explanation_to_believe:income_network"
    return command(subject, path, ON_COLUMNS, judges, out, "--option", f"folder={data}")


def command(subject: str, data: Path, methods: list[Any], metrics: list[Any], out: Path, *more: str) -> list[str]:
    """The words of ``pellucid evaluate``."""
    words = ["evaluate", "--subject", subject, "--data", str(data), "--out", str(out)]
    for option, entries in (("--method", methods), ("--metric", metrics)):
        words += [word for entry in entries for word in (option, _word(entry))]
    return [*words, *more]


def _word(entry: Any) -> str:
    return entry if isinstance(entry, str) else json.dumps(entry)


WHAT = {"photographs": photographs, "sentences": sentences, "incomes": people}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=WHAT, help="what is explained")
    parser.add_argument("--data", type=Path, required=True, help="the folder with the data")
    parser.add_argument("--out", type=Path, required=True, help="the folder for the report")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    words = WHAT[arguments.what](arguments.data, arguments.out)
    print(shlex.join(["pellucid", *words]), flush=True)
    return pellucid(words)


if __name__ == "__main__":
    raise SystemExit(main())
