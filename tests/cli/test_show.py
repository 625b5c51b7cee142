"""One page per method, saved result, subject and word."""

import dataclasses
import json

import pytest
import torch

import pellucid as pl
from pellucid.core.catalogue import catalogue
from pellucid.guide.glossary import GLOSSARY
from pellucid.subjects.zoo import ZOO


def flat(text):
    return " ".join(text.split())


@pytest.mark.parametrize("record", catalogue(), ids=lambda record: record["id"])
def test_the_page_of_a_method_holds_what_the_catalogue_knows(pellucid, record):
    text = flat(pellucid("show", record["id"]).out)
    for key in ("title", "question", "caveat", "cost", "summary"):
        assert flat(record[key]) in text, key
    for key in ("references", "serves", "alternatives", "scopes", "needs"):
        assert all(word in text for word in record[key]), key
    assert all(f"--{field['name'].replace('_', '-')}" in text for field in record["fields"])


def test_as_json_the_page_is_the_record(pellucid):
    assert json.loads(pellucid("show", "occlusion", "--json").out) == next(
        r for r in catalogue() if r["id"] == "occlusion"
    )


@pytest.mark.parametrize("entry", GLOSSARY, ids=lambda entry: entry.word)
def test_a_word_is_explained_with_whose_meaning_it_is(pellucid, entry):
    text = flat(pellucid("show", entry.word).out)
    assert entry.meaning in text
    assert entry.after in text
    assert entry.elsewhere in text


def test_a_word_as_json_holds_the_same(pellucid):
    entry = GLOSSARY[0]
    assert json.loads(pellucid("show", entry.word, "--json").out) == dataclasses.asdict(entry)


@pytest.mark.parametrize("name", ZOO)
def test_a_subject_of_the_zoo_is_described_without_loading_it(pellucid, name):
    page = json.loads(pellucid("show", name, "--json").out)
    assert page["name"] == name
    assert len(page["about"]) > 20
    assert "device" in page["options"]


def test_a_subject_of_ones_own_is_loaded_and_described(pellucid, model):
    page = json.loads(pellucid("show", f"{model}:rows", "--json").out)
    assert page["name"] == "ward"
    assert page["labels"] == 2
    assert page["task"]["columns"] == ["age", "dose"]


@pytest.fixture
def saved(model, tmp_path):
    result = pl.methods.Gradient()(pl.load(f"{model}:rows"), pl.Decision([3.0, 4.0]))
    return result, result.save(tmp_path / "why.pellucid")


def test_a_saved_result_is_shown_with_its_provenance(pellucid, saved):
    result, path = saved
    text = flat(pellucid("show", path).out)
    assert flat(result.summary()) in text
    assert result.provenance.subject_fingerprint in text
    assert result.provenance.query_fingerprint in text
    assert torch.__version__ in text


def test_a_saved_result_as_json_holds_its_table(pellucid, saved):
    result, path = saved
    document = json.loads(pellucid("show", path, "--json").out)
    assert document["table"] == [dict(row) for row in result.table()]
    assert document["provenance"]["method"] == "gradient"


@pytest.mark.parametrize(
    ("name", "code", "hint"),
    [("oclusion", 2, "'occlusion'"), ("missing.pellucid", 4, "no result file"), ("efficientnet-lite", 2, "lite0")],
)
def test_what_is_not_there_is_refused_with_the_nearest(pellucid, name, code, hint):
    answered = pellucid("show", name)
    assert answered.code == code
    assert answered.one_line
    assert hint in answered.err


def test_a_damaged_result_and_another_kind_of_file_are_refused(pellucid, picture, tmp_path):
    damaged = tmp_path / "damaged.pellucid"
    damaged.write_bytes(b"\x80\x04.")
    assert pellucid("show", damaged).code == 4
    answered = pellucid("show", picture)
    assert answered.code == 4
    assert "pellucid explain" in answered.err
