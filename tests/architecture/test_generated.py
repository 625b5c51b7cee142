"""What is made from the methods is fresh, and every paper that is cited is known."""

import re
from pathlib import Path

import pytest
from scripts.generate import REFERENCES, cited, generated, references, stale

from pellucid.core.catalogue import catalogue

ROOT = Path(__file__).resolve().parents[2]
KEY = re.compile(r"\b[a-z]+(?:19|20)\d\d[a-z]+\b")


@pytest.fixture(scope="module")
def papers():
    return references(REFERENCES.read_text(encoding="utf-8"))


def test_the_catalogue_and_the_pages_are_fresh():
    assert [str(path.relative_to(ROOT)) for path in stale(generated())] == [], "scripts/check --fix makes them anew"


def test_every_paper_that_is_cited_is_known(papers):
    sources = {path: KEY.findall(path.read_text(encoding="utf-8")) for path in (ROOT / "src").rglob("*.py")}
    missing = {f"{path.name}: {key}" for path, keys in sources.items() for key in keys if key not in papers}
    assert missing == set()
    assert [key for record in catalogue() for key in record["references"] if key not in papers] == []


def test_every_paper_that_is_known_is_cited(papers):
    folders = ("src", "tests", "examples", "benchmarks", "scripts")
    code = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs" / "stories").glob("*.md")]
    written = "".join(path.read_text(encoding="utf-8") for path in [*code, *pages])
    assert sorted(key for key in papers if key not in written) == []


def test_every_paper_says_who_wrote_what_and_when(papers):
    assert len(papers) > 10
    assert {key: [f for f in ("author", "title", "year") if f not in entry] for key, entry in papers.items()} == {
        key: [] for key in papers
    }
    assert all(re.fullmatch(r"(19|20)\d\d", entry["year"]) for entry in papers.values())
    assert list(papers) == sorted(papers)


def test_a_paper_is_cited_with_authors_year_title_and_place(papers):
    assert cited(papers["ribeiro2016should"]).startswith(
        "Marco Tulio Ribeiro, Sameer Singh and Carlos Guestrin (2016). “Why should I trust you?”: explaining"
    )


def test_a_paper_that_is_listed_twice_is_an_error():
    entry = "@misc{one2000paper,\n  author = {One},\n  title = {Paper},\n  year = {2000}\n}\n"
    with pytest.raises(ValueError, match="one2000paper twice"):
        references(entry + entry)
