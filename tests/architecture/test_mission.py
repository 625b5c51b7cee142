"""The mission page keeps its word: what it calls done can be imported, asked, loaded or run."""

import dataclasses
import importlib
import os
import re
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

import pellucid as pl
from contract.asking import QUICK
from contract.cases import CASES, Workshop
from pellucid.cli.app import main
from pellucid.core.catalogue import catalogue
from pellucid.core.method import discover
from pellucid.engine.rules import COMPOSITES

ROOT = Path(__file__).resolve().parents[2]
STATES = {"to come", "done"}
ROWS = {"A": 13, "B": 12, "C": 8, "D": 4, "E": 5, "F": 10, "G": 4, "H": 7, "S": 8}
ROWS |= {"foundation": 9, "attribution": 10, "perturbation": 9, "evidence": 7, "units": 12}


@dataclass(frozen=True)
class Entry:
    """One line of a table: what it names, its section, its cells between name and state, and its state."""

    name: str
    section: str
    cells: tuple[str, ...]
    state: str


def entries():
    section, found = "", []
    for line in (ROOT / "docs" / "mission.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            section = line[3:]
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if not line.startswith("|") or set(line) <= set("| -") or cells[-1] == "state":
            continue
        found.append(Entry(cells[0].strip("`"), section, tuple(cells[1:-1]), cells[-1]))
    return found


NAMES = [entry for entry in entries() if entry.section == "Names"]
ROWS_OF_SYSTEMS = [entry for entry in entries() if re.fullmatch(r"[A-H]\d+", entry.name)]
DONE = [entry for entry in entries() if entry.state == "done"]


def test_every_row_is_still_there_and_has_a_state():
    names = {entry.name for entry in entries()}
    expected = {f"{letter}{n}" for letter, count in ROWS.items() if len(letter) == 1 for n in range(1, count + 1)}
    parts = [part for part in ROWS if len(part) > 1]
    expected |= {f"{part} {n}" for part in parts for n in range(1, ROWS[part] + 1)}
    assert expected <= names
    assert len(NAMES) >= 314
    assert {entry.state for entry in entries()} <= STATES
    assert len(names) == len(entries())


@pytest.mark.parametrize("entry", [e for e in NAMES if e.state == "done"], ids=lambda entry: entry.name)
def test_a_name_that_is_done_works(entry, tmp_path):
    (kind,) = entry.cells
    with ExitStack() as stack:
        WORKS[kind](entry.name, Workshop(tmp_path, stack))


@pytest.mark.parametrize("entry", [e for e in ROWS_OF_SYSTEMS if e.state == "done"], ids=lambda entry: entry.name)
def test_a_row_that_is_done_has_everything_it_names(entry):
    records = {record["id"]: record for record in catalogue()}
    serving = [record for record in records.values() if entry.name in record["serves"]]
    named = re.findall(r"`([^`]+)`", entry.cells[-1])
    for word in named:
        if word.startswith("pellucid "):
            works_as_a_verb(word, None)
        elif word == "foil":
            assert word in {field.name for field in dataclasses.fields(pl.Decision)}
        else:
            assert entry.name in records[word]["serves"]
    assert named
    assert serving or all(word.startswith("pellucid ") for word in named)
    assert "…" not in entry.cells[-1], "a row is done when all its ids are named"


def test_a_method_serves_rows_that_there_are():
    known = {entry.name for entry in ROWS_OF_SYSTEMS}
    assert {row for record in catalogue() for row in record["serves"]} <= known


def works_as_a_name(name, workshop):
    parts = name.split(".")
    found = importlib.import_module(parts[0])
    for place, part in enumerate(parts[1:], 1):
        fields = {field.name for field in dataclasses.fields(found)} if dataclasses.is_dataclass(found) else set()
        if part in fields:
            assert place == len(parts) - 1
            return
        found = getattr(found, part, None) or importlib.import_module(".".join(parts[: place + 1]))
    assert callable(found)


def works_as_a_rule(name, workshop):
    module, _, cls = name.rpartition(".")
    assert dataclasses.is_dataclass(getattr(importlib.import_module(module), cls))


def works_as_a_composite(name, workshop):
    assert name in COMPOSITES
    assert pl.methods.LRP(composite=name).composite == name


def works_as_a_method(name, workshop):
    (fields,) = (record["fields"] for record in catalogue() if record["id"] == name)
    quick = next((settings for key, settings in QUICK.items() if key.split()[0] == name), {})
    given = quick if any(field["required"] for field in fields) else {}
    assert type(pl.build({"method": name, **given})) is discover()[name]


def works_as_a_verb(name, workshop):
    words = name.split()[1:]
    assert main(words if words[0].startswith("--") else [*words, "--help"]) == 0


def works_as_a_subject(name, workshop):
    subject = pl.load(name)
    assert subject.name == name
    scores = subject.scores(subject.task.example())
    assert scores.shape[0] == 1
    assert bool(torch.isfinite(scores).all())


def works_as_a_subject_kind(name, workshop):
    made = {"onnx:": "onnx", "sklearn estimator": "forest", "python function": "brightness", "http endpoint": "http"}
    subject = tiny_classifier(workshop) if name == "hf:" else CASES[made[name]].make(workshop)
    inputs = "a warm film" if name == "hf:" else CASES[made[name]].inputs
    answer = pl.methods.Occlusion()(subject, pl.Decision(inputs))
    assert bool(answer.scores.abs().sum() > 0)


def tiny_classifier(workshop):
    """A Hugging Face folder with random weights, loaded by its path."""
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "warm", "film"]
    vocabulary = workshop.folder / "vocab.txt"
    vocabulary.write_text("\n".join(words) + "\n", encoding="utf-8")
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = BertForSequenceClassification(BertConfig(vocab_size=len(words), **sizes))
    model.save_pretrained(workshop.folder / "model")
    BertTokenizerFast(str(vocabulary)).save_pretrained(workshop.folder / "model")
    return pl.load(f"hf:{workshop.folder / 'model'}")


def works_as_a_script(name, workshop):
    path = ROOT / name
    assert os.access(path, os.X_OK)
    assert subprocess.run(["bash", "-n", str(path)], check=False).returncode == 0


WORKS = {
    "name": works_as_a_name,
    "rule": works_as_a_rule,
    "composite": works_as_a_composite,
    "method": works_as_a_method,
    "verb": works_as_a_verb,
    "subject": works_as_a_subject,
    "subject kind": works_as_a_subject_kind,
    "script": works_as_a_script,
}


@pytest.mark.parametrize("entry", NAMES, ids=lambda entry: entry.name)
def test_a_name_is_of_a_kind_that_can_be_checked(entry):
    assert entry.cells[0] in WORKS
