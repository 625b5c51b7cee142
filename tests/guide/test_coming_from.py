"""What the pages for people from other libraries say of ours: the code runs, the commands answer, the names are there."""

import re
from pathlib import Path

import pytest
from skimage import data

import pellucid as pl
from pellucid import methods, metrics
from pellucid.cli.app import main
from pellucid.engine import rules

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("captum", "grad-cam", "lime", "quantus", "shap", "zennit")


def page(name):
    return (ROOT / "docs" / "coming-from" / f"{name}.md").read_text(encoding="utf-8")


def blocks(name, *whose):
    """The pieces of code of a page whose first line says whose they are."""
    found = re.findall(r"```python\n# (.*?)\n(.*?)```", page(name), re.DOTALL)
    return [code for owner, code in found if owner in whose]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the files that the pages name."""
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    Image.fromarray(data.cat()).save(tmp_path / "cat.jpg")
    subject = pl.load("wine-mlp")
    row = subject.task.row(subject.task.reference[0])
    lines = [",".join(row), ",".join(f"{value:g}" for value in row.values())]
    (tmp_path / "row.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("name", PAGES)
def test_our_side_of_the_page_runs(name, folder):
    code = blocks(name, "both", "Pellucid")
    assert len(code) >= 2
    names = {}
    for piece in code:
        exec(compile(piece, f"{name}.md", "exec"), names)
    assert isinstance(names["why"], pl.Attribution)


@pytest.mark.parametrize("name", PAGES)
def test_the_commands_of_the_page_answer(name, folder, capsys):
    import shlex

    (commands,) = re.findall(r"```sh\n(.*?)```", page(name), re.DOTALL)
    for line in commands.strip().splitlines():
        program, *words = shlex.split(line)
        assert program == "pellucid"
        assert main(words) == 0
        assert capsys.readouterr().out
        if "--plot" in words:
            assert (folder / "why.png").stat().st_size > 1000


@pytest.mark.parametrize("name", PAGES)
def test_the_names_on_our_side_of_the_table_are_there(name):
    known = {*dir(methods), *dir(metrics), *vars(rules), *pl.__all__}
    right = [line.split(" | ")[-1] for line in page(name).splitlines() if line.startswith("| ")]
    named = re.findall(r"`(?:pl\.metrics\.|pl\.)?([A-Z]\w+)[(`]", " ".join(right))
    assert named
    assert [word for word in named if word not in known] == []


@pytest.mark.parametrize("name", PAGES)
def test_the_links_of_the_page_lead_somewhere(name):
    links = re.findall(r"\]\(([^)#\s]+)\)", page(name))
    assert [link for link in links if not (ROOT / "docs" / "coming-from" / link).exists()] == []
