"""The code in the README and in CONTRIBUTING does what the text around it says."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

import pellucid as pl
from pellucid.core.method import METHODS, why_not
from pellucid.guide import generating

ROOT = Path(__file__).resolve().parents[2]


def block(document, heading, language="python"):
    """The first code block in the section of a document."""
    section = (ROOT / document).read_text(encoding="utf-8").split(f"## {heading}\n", 1)[1]
    return re.search(rf"```{language}\n(.*?)```", section, re.DOTALL).group(1)


def test_the_ten_lines_of_the_readme_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code = block("README.md", "In Python")
    assert len([line for line in code.splitlines() if line.strip()]) <= 12
    exec(compile(code, "README.md", "exec"), {})
    assert "Egyptian cat" in capsys.readouterr().out
    assert (tmp_path / "why.png").stat().st_size > 10_000
    assert (tmp_path / "why.pellucid").is_file()


def test_the_commands_of_the_readme_are_there():
    first_screen = "\n".join((ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:25])
    for command in ("scripts/demo", "scripts/test"):
        assert command in first_screen
        assert (ROOT / command).is_file()


@pytest.fixture
def contributed(tmp_path):
    """The method that CONTRIBUTING shows, loaded from a file of its own and forgotten afterwards."""
    path = tmp_path / "squared_gradient.py"
    path.write_text(block("CONTRIBUTING.md", "Add a method"), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("contributed.squared_gradient", path)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        yield module.SquaredGradient
    finally:
        METHODS.pop("squared-gradient", None)


def test_the_method_of_contributing_answers_and_is_in_the_catalogue(contributed):
    subject = pl.load("wine-mlp")
    query = pl.Decision(subject.task.example(), target=1)
    answer = contributed(scale=2.0)(subject, query)
    gradient = pl.methods.Gradient()(subject, query)
    assert answer.scores.allclose(2 * gradient.scores**2)
    assert answer.provenance.fields == {"scale": 2.0}

    record = next(r for r in json.loads(generating.document())["methods"] if r["id"] == "squared-gradient")
    assert (record["query"], record["result"]) == ("Decision", "Attribution")
    assert [field["name"] for field in record["fields"]] == ["scale"]
    assert record["fields"][0]["bounds"] == {"gt": 0}
    with pytest.raises(pl.UsageError, match="must be > 0"):
        contributed(scale=0.0)


def test_the_method_of_contributing_is_refused_where_it_cannot_answer(contributed):
    subject = pl.wrap(lambda batch: batch.sum(1, keepdim=True))
    assert "needs gradients" in why_not(contributed, subject)


def test_the_methods_are_as_they_were_afterwards():
    assert "squared-gradient" not in METHODS


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "docs/methods/index.md"])
def test_every_link_within_the_project_leads_somewhere(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#\s]+)\)", text) if ":" not in link]
    assert [link for link in links if not ((ROOT / document).parent / link).exists()] == []
