"""Every method can be asked from the command line, with all its fields, and says what Python would say."""

import json

import pytest
import torch

import pellucid as pl
from pellucid.cli.run import ARGUMENTS
from pellucid.core.catalogue import catalogue


@pytest.fixture
def corner(model):
    return f"{model}:pictures"


@pytest.mark.parametrize("record", catalogue(), ids=lambda record: record["id"])
def test_every_method_has_a_command_that_names_each_field_with_its_default(pellucid, record):
    assert record["query"] in ARGUMENTS
    text = pellucid("run", record["id"], "--help").out
    flat = " ".join(text.replace("│", " ").split())
    assert " ".join(record["question"].split()) in flat
    for field in record["fields"]:
        assert f"--{field['name'].replace('_', '-')}" in text
        if field["default"] is not None and not isinstance(field["default"], list | dict):
            assert f"default {field['default']}" in flat


def test_no_field_of_a_method_hides_a_general_option():
    import inspect

    from pellucid.cli.run import _subject_and_answer

    general = set(inspect.signature(_subject_and_answer).parameters)
    for record in catalogue():
        own = set(inspect.signature(ARGUMENTS[record["query"]]).parameters)
        assert not (general | own) & {field["name"] for field in record["fields"]}, record["id"]


def test_the_answer_is_that_of_the_same_call_in_python(pellucid, corner, picture, tmp_path):
    saved = tmp_path / "why.pellucid"
    words = ["run", "occlusion", picture, "--subject", corner, "--window", "4,2", "--stride", "2", "--out", saved]
    answered = pellucid(*words, "--target", "corner", "--foil", "nothing", "--of", "log-probability")
    assert answered.code == 0, answered.err
    subject = pl.load(corner)
    decision = pl.Decision(picture, "corner", "nothing", "log-probability")
    expected = pl.methods.Occlusion(window=(4, 2), stride=2)(subject, decision)
    loaded = pl.Result.load(saved)
    torch.testing.assert_close(loaded.scores, expected.scores)
    torch.testing.assert_close(loaded.value, expected.value)
    assert loaded.provenance.fields == expected.provenance.fields
    assert loaded.provenance.query_fingerprint == expected.provenance.query_fingerprint
    assert "corner rather than nothing" in answered.out


def test_json_is_one_document_alone(pellucid, corner, picture):
    answered = pellucid("run", "gradient", picture, "--subject", corner, "--json")
    document = json.loads(answered.out)
    assert answered.err == ""
    assert document["kind"] == "Attribution"
    assert len(document["table"]) == 64
    assert document["provenance"]["method"] == "gradient"


def test_of_a_long_table_the_strongest_rows_are_printed(pellucid, corner, picture):
    answered = pellucid("run", "gradient", picture, "--subject", corner)
    printed = [line for line in answered.out.splitlines() if line.strip().startswith("0 ")]
    assert len(printed) == 20
    assert all(line.split()[-1] == "0.25" for line in printed[:16])
    assert "44 rows more" in answered.out


def test_a_picture_of_the_answer_is_saved(pellucid, corner, picture, tmp_path):
    from PIL import Image

    plot = tmp_path / "deep" / "why.png"
    assert pellucid("run", "occlusion", picture, "--subject", corner, "--plot", plot).code == 0
    with Image.open(plot) as image:
        assert image.format == "PNG"


def test_fields_may_be_given_as_names_numbers_and_seeds(pellucid, model):
    words = ["run", "lime", "3,4", "--subject", f"{model}:rows", "--samples", "64", "--seed", "5", "--json"]
    first, again = pellucid(*words), pellucid(*words)
    other = pellucid(*[word if word != "5" else "6" for word in words])
    assert first.code == 0, first.err
    fields = json.loads(first.out)["provenance"]["fields"]
    assert (fields["samples"], fields["seed"]) == (64, 5)
    assert json.loads(first.out)["table"] == json.loads(again.out)["table"]
    assert json.loads(first.out)["table"] != json.loads(other.out)["table"]


@pytest.mark.parametrize(
    ("named", "fields"),
    [
        ("input-x-gradient", {"method": "input-x-gradient"}),
        (
            '{"method": "occlusion", "window": 4}',
            {"method": "occlusion", "window": 4, "stride": None, "baseline": None, "refine": None},
        ),
    ],
)
def test_a_method_in_a_field_is_named_by_its_id_or_described(pellucid, corner, picture, named, fields):
    answered = pellucid("run", "smoothgrad", picture, "--subject", corner, "--samples", "3", "--inner", named, "--json")
    assert answered.code == 0, answered.err
    assert json.loads(answered.out)["provenance"]["fields"]["inner"] == fields


@pytest.mark.parametrize(
    ("words", "code", "hint"),
    [
        (["smoothgrad", "{picture}", "--inner", "occlusio"], 2, "did you mean 'occlusion'"),
        (["smoothgrad", "{picture}", "--inner", "region-perturbation"], 2, "answers a Decision with an Attribution"),
        (["expected-gradients", "{picture}", "--reference", "blurr"], 2, "did you mean 'blur'"),
        (["occlusion", "{picture}", "--window", "x"], 2, "it takes integer"),
        (["lime", "{picture}", "--samples", "1"], 2, "≥ 2"),
        (["gradient", "{picture}", "--values", "sign"], 2, "signed"),
        (["gradient"], 2, "name an input"),
        (["gradient", "{picture}", "--target", "cornr"], 2, "'corner'"),
        (["gradient", "{picture}", "--row", "1"], 2, "row of a table"),
        (["gradient", "{picture}", "--out", "why.txt"], 2, "end in .pellucid"),
        (["gradient", "{picture}", "--option", "crop"], 2, "name=value"),
        (["gradient", "missing.png"], 4, "there is no picture"),
        (["gradient", "{picture}", "--out", "{picture}/why.pellucid"], 6, "choose another folder"),
        (["region-perturbation", "{picture}"], 2, "--result"),
    ],
)
def test_what_cannot_be_done_is_one_line_with_its_code(pellucid, corner, picture, words, code, hint):
    named = [word.format(picture=picture) for word in words]
    answered = pellucid("run", *named, "--subject", corner)
    assert answered.code == code
    assert answered.one_line, answered
    assert hint in answered.err


def test_a_black_box_is_told_what_to_ask_instead_and_3(pellucid, model):
    answered = pellucid("run", "gradient", "3,4", "--subject", f"{model}:black_box")
    assert answered.code == 3
    assert answered.one_line
    assert "Ask: occlusion, lime" in answered.err


def test_a_model_that_fails_is_7(pellucid, model, picture):
    answered = pellucid("run", "gradient", picture, "--subject", f"{model}:broken")
    assert answered.code == 7
    assert answered.one_line
    assert "the moon is full" in answered.err


def test_where_it_cannot_write_it_says_so_before_it_loads_the_model(pellucid, model, picture):
    for option, name in (("--out", "why.pellucid"), ("--plot", "why.png")):
        words = ["run", "gradient", picture, "--subject", f"{model}:stopped", option, picture / name]
        assert pellucid(*words).code == 6


def test_nothing_is_written_where_the_call_fails(pellucid, corner, tmp_path):
    pellucid("run", "gradient", "missing.png", "--subject", corner, "--out", tmp_path / "a" / "why.pellucid")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def explained(pellucid, corner, picture, tmp_path):
    paths = []
    for method in ("gradient", "occlusion"):
        paths.append(tmp_path / f"{method}.pellucid")
        assert pellucid("run", method, picture, "--subject", corner, "--out", paths[-1]).code == 0
    return paths


def test_saved_explanations_are_judged_on_the_input_asked_again(pellucid, corner, picture, explained):
    results = [word for path in explained for word in ("--result", path)]
    quick = ["--region", "2", "--steps", "4", "--draws", "2"]
    answered = pellucid("run", "region-perturbation", picture, "--subject", corner, *results, *quick, "--json")
    assert answered.code == 0, answered.err
    names = [row["answer"] for row in json.loads(answered.out)["table"]]
    assert names[:2] == ["gradient", "occlusion"]
    assert any("control" in name for name in names)


def test_an_explanation_of_another_input_is_not_judged_on_this_one(pellucid, corner, explained, tmp_path):
    from PIL import Image

    dark = tmp_path / "dark.png"
    Image.new("L", (16, 16), 3).save(dark)
    answered = pellucid("run", "region-perturbation", dark, "--subject", corner, "--result", explained[0])
    assert answered.code == 4
    assert "does not explain this input" in answered.err


def test_an_explanation_of_another_subject_is_not_judged(pellucid, model, explained):
    answered = pellucid("run", "region-perturbation", "1,2", "--subject", f"{model}:rows", "--result", explained[0])
    assert answered.code == 4
    assert "explains corner-detector" in answered.err


@pytest.mark.parametrize("of", ["probability", "loss", "log-probability"])
def test_the_explained_quantity_is_recognised_by_its_value(pellucid, corner, picture, tmp_path, of):
    from pellucid.cli.run import _asked_again

    saved = tmp_path / "why.pellucid"
    pellucid("run", "gradient", picture, "--subject", corner, "--of", of, "--target", "corner", "--out", saved)
    subject = pl.load(corner)
    asked = _asked_again(subject, subject.prepare(picture), saved, pl.Result.load(saved))
    assert (asked.query.of, asked.query.target) == (of, [1])


def test_a_long_path_is_printed_in_one_piece(pellucid, corner, picture, tmp_path):
    saved = tmp_path / ("a-folder-with-a-long-name-" * 3) / "why.pellucid"
    answered = pellucid("run", "gradient", picture, "--subject", corner, "--out", saved)
    assert str(saved) in answered.out.split()


@pytest.fixture
def several(picture, tmp_path):
    """A folder of three pictures."""
    from PIL import Image

    folder = tmp_path / "several"
    folder.mkdir()
    with Image.open(picture) as opened:
        for number in range(3):
            opened.rotate(90 * number).save(folder / f"{number}.png")
    return folder


@pytest.mark.parametrize(("word", "index"), [("1", 1), ("1,2,3", (1, 2, 3)), (None, None)])
def test_a_unit_is_asked_about_a_folder_as_in_python(pellucid, model, several, tmp_path, word, index):
    saved, subject = tmp_path / "unit.pellucid", f"{model}:filters"
    words = ["run", "relevance-maximization", several, "--subject", subject, "--layer", "0", "--examples", "2"]
    answered = pellucid(*words, *([] if word is None else ["--index", word]), "--target", "b", "--out", saved)
    assert answered.code == 0, answered.err
    data = sorted(several.iterdir())
    query = pl.Unit("0", index, "b", data)
    expected = pl.methods.RelevanceMaximization(examples=2)(pl.load(subject), query)
    loaded = pl.Result.load(saved)
    assert loaded.table() == expected.table()
    assert loaded.provenance.query_fingerprint == expected.provenance.query_fingerprint
    assert "of 3 examples" in answered.out
    assert ("channel" in answered.out.split("\n")[0]) == (not isinstance(index, tuple))


def test_of_a_folder_some_pictures_can_be_taken(pellucid, model, several):
    words = ["run", "relevance-maximization", several, "--subject", f"{model}:filters", "--layer", "0", "--limit", "2"]
    assert "of 2 examples" in pellucid(*words).out


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["--layer", "9"], "no layer '9'"),
        (["--layer", "0", "--index", "x"], "--index takes a channel"),
        ([], "name a layer"),
    ],
)
def test_a_unit_that_is_none_is_one_line(pellucid, model, several, words, hint):
    answered = pellucid("run", "relevance-maximization", several, "--subject", f"{model}:filters", *words)
    assert answered.code == 2
    assert hint in answered.err


def test_several_classes_are_named_in_words(pellucid, corner, picture):
    words = ["run", "clear", picture, "--subject", corner, "--inner", "gradient", "--classes", "corner,nothing"]
    answered = pellucid(*words)
    assert answered.code == 0, answered.err
    assert "corner in 100%" in answered.out
