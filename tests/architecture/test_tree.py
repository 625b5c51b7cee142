"""The tree keeps its shape: where things are, what they are called, and what they weigh."""

import ast
import subprocess
from pathlib import Path

import pytest

from pellucid.core.catalogue import catalogue
from pellucid.core.method import discover

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "pellucid"
METHODS = [record for record in catalogue() if record["module"].startswith("pellucid.")]
MEBIBYTE = 1024 * 1024


def tracked():
    """The files of the project as git knows them, or every file of a tree that came without git."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listing.returncode == 0:
        return [
            path for path in (ROOT / name.decode() for name in listing.stdout.split(b"\0") if name) if path.is_file()
        ]
    return [path for folder in ("src", "tests", "docs", "scripts") for path in (ROOT / folder).rglob("*.*")]


@pytest.mark.parametrize("record", METHODS, ids=lambda record: record["id"])
def test_a_method_has_its_file_its_test_and_its_page(record):
    _, *folders, module = record["module"].split(".")
    home = Path(*folders)
    assert module == record["id"].replace("-", "_")
    assert (SOURCE / home / f"{module}.py").is_file()
    assert (ROOT / "tests" / home / f"test_{module}.py").is_file()
    assert (ROOT / "docs" / "methods" / f"{record['id']}.md").is_file()


def test_the_catalogue_lists_every_method():
    ids = {name for name, cls in discover().items() if cls.__module__.startswith("pellucid.")}
    assert {record["id"] for record in METHODS} == ids


def test_no_file_is_a_drawer_for_things_without_a_name():
    names = {"utils", "util", "utilities", "common", "misc", "helpers", "helper", "tools", "stuff"}
    assert [str(path) for path in tracked() if path.stem.lower() in names] == []


def test_the_library_never_prints():
    printing = []
    for path in sorted(SOURCE.rglob("*.py")):
        if path.is_relative_to(SOURCE / "cli"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("print", "pprint"):
                printing.append(f"{path.name}:{node.lineno}")
    assert printing == []


def test_nothing_is_pickled():
    loading = []
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("torch.load", "pickle.load", "pickle.loads"):
                weights_only = any(
                    word.arg == "weights_only" and ast.unparse(word.value) == "True" for word in node.keywords
                )
                loading += [] if weights_only else [f"{path.name}:{node.lineno}"]
    assert loading == []


def test_weights_that_we_carry_are_small():
    heavy = [path.name for path in (SOURCE / "models" / "weights").iterdir() if path.stat().st_size > 3 * MEBIBYTE]
    assert heavy == []


def test_no_other_file_is_heavy():
    heavy = [str(path.relative_to(ROOT)) for path in tracked() if path.stat().st_size > 3 * MEBIBYTE]
    assert heavy == []


def test_text_ends_its_lines_the_same_way():
    suffixes = {".py", ".md", ".toml", ".txt", ".bib", ".json", ".css", ".html", ""}
    unclean = []
    for path in tracked():
        if path.suffix not in suffixes:
            continue
        content = path.read_bytes()
        trailing = any(line.rstrip(b" \t") != line for line in content.split(b"\n"))
        if b"\r" in content or trailing or (content and not content.endswith(b"\n")):
            unclean.append(str(path.relative_to(ROOT)))
    assert unclean == []


def test_code_says_nothing_of_the_machine_it_was_written_on():
    words = [b"/" + b"root/", b"/" + b"home/", b"TO" + b"DO", b"FIX" + b"ME"]
    found = [
        str(path.relative_to(ROOT))
        for path in tracked()
        if path.suffix in (".py", ".md", ".toml", ".bib", "") and any(word in path.read_bytes() for word in words)
    ]
    assert found == []
