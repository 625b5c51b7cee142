"""``pellucid explain`` writes a report and says what it found; bad input leaves nothing behind."""

import json

import pytest

import pellucid as pl

QUICK = ("--method", "gradient", "--budget", "40")


@pytest.fixture
def corner(model):
    return f"{model}:pictures"


def test_a_picture_gives_a_report_and_its_summary(pellucid, corner, picture, tmp_path):
    out = tmp_path / "report"
    answered = pellucid("explain", picture, "--subject", corner, "--out", out, *QUICK)
    assert (answered.code, answered.err) == (0, "")
    assert "Why corner?" in answered.out
    assert "report.html" in answered.out
    assert (out / "report.html").read_text().startswith("<!doctype html>")
    assert isinstance(pl.Result.load(out / "results" / "gradient.pellucid"), pl.Attribution)
    assert json.loads((out / "index.json").read_text())["methods"] == ["gradient"]


def test_json_is_one_document_alone(pellucid, corner, picture, tmp_path):
    answered = pellucid("explain", picture, "--subject", corner, "--out", tmp_path / "out", "--json", *QUICK)
    document = json.loads(answered.out)
    assert answered.err == ""
    assert document["target"]["label"] == "corner"
    assert document["report"] == str(tmp_path / "out" / "report.html")


def test_a_method_may_bring_its_fields_and_the_panel_keeps_their_order(pellucid, corner, picture, tmp_path):
    panel = ["--method", '{"method": "occlusion", "window": 4}', "--method", "gradient", "--budget", "40"]
    answered = pellucid("explain", picture, "--subject", corner, "--out", tmp_path / "out", "--json", *panel)
    assert json.loads(answered.out)["methods"] == ["occlusion", "gradient"]
    fields = pl.Result.load(tmp_path / "out" / "results" / "occlusion.pellucid").provenance.fields
    assert fields["window"] == 4


def test_target_and_foil_are_asked(pellucid, corner, picture, tmp_path):
    words = ["--target", "nothing", "--foil", "corner", "--json", *QUICK]
    answered = pellucid("explain", picture, "--subject", corner, "--out", tmp_path / "out", *words)
    document = json.loads(answered.out)
    assert (document["target"]["label"], document["foil"]["label"]) == ("nothing", "corner")


def test_inputs_are_kept_only_on_request(pellucid, corner, picture, tmp_path):
    for name, words in (("without", []), ("with", ["--keep-inputs"])):
        pellucid("explain", picture, "--subject", corner, "--out", tmp_path / name, *QUICK, *words)
    kept = [pl.Result.load(tmp_path / name / "results" / "report.pellucid").kept for name in ("without", "with")]
    assert kept[0] is None
    assert kept[1].startswith(b"\x89PNG")


def test_a_folder_gives_an_index_names_bad_files_and_goes_on_where_it_was(pellucid, corner, picture, tmp_path):
    (picture.parent / "page.jpg").write_text("<html></html>")
    (picture.parent / "index.csv").write_text("file,class_index\nbright.png,1\n")
    words = ["explain", picture.parent, "--subject", corner, "--out", tmp_path / "out", *QUICK]
    first = pellucid(*words)
    assert first.code == 0, first.err
    assert "1 pictures explained" in first.out
    assert "page.jpg" in first.out
    assert "1 of 1" in first.out
    assert (tmp_path / "out" / "index.html").is_file()
    again = pellucid(*words)
    assert "1 of them in an earlier run" in again.out


def test_several_pictures_are_a_run_of_many(pellucid, corner, picture, tmp_path):
    answered = pellucid("explain", picture, picture, "--subject", corner, "--out", tmp_path / "out", "--json", *QUICK)
    assert [row["file"] for row in json.loads(answered.out)["explained"]] == ["bright.png", "bright.png"]


def test_each_row_of_a_table_gets_a_report_or_the_one_that_is_picked(pellucid, model, tmp_path):
    table = tmp_path / "ward.csv"
    table.write_text("age,dose,name\n30,1,Ann\n40,2,Ben\n")
    words = ["explain", table, "--subject", f"{model}:rows", "--json", *QUICK]
    every = json.loads(pellucid(*words, "--out", tmp_path / "all").out)
    assert [entry["input"] for entry in every] == ["ward-row-0", "ward-row-1"]
    assert (tmp_path / "all" / "ward-row-1" / "report.html").is_file()
    picked = json.loads(pellucid(*words, "--out", tmp_path / "one", "--row", "1").out)
    assert picked["input"] == "ward-row-1"
    assert picked["top"] == every[1]["top"]


@pytest.mark.parametrize(
    ("words", "code", "hint"),
    [
        (["missing.png"], 4, "there is no picture"),
        (["{picture}", "--target", "cornr"], 2, "'corner'"),
        (["{picture}", "--method", "gradeint"], 2, "'gradient'"),
        (["{picture}", "--budget", "0"], 2, "--budget"),
        (["{picture}", "--seed", "x"], 2, "--seed"),
        (["{folder}"], 4, "no picture in"),
        ([], 2, "name an input"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_nothing_is_written(pellucid, corner, picture, tmp_path, words, code, hint):
    empty = tmp_path / "empty"
    empty.mkdir()
    out = tmp_path / "out"
    named = [word.format(picture=picture, folder=empty) for word in words]
    answered = pellucid("explain", *named, "--subject", corner, "--out", out)
    assert answered.code == code
    assert answered.one_line, answered
    assert hint in answered.err
    assert not out.exists()


def test_where_it_cannot_write_it_says_so_before_it_loads_the_model(pellucid, model, picture):
    answered = pellucid("explain", picture, "--subject", f"{model}:stopped", "--out", picture / "report")
    assert answered.code == 6
    assert answered.one_line


def test_an_interrupt_halfway_is_130_and_leaves_no_report(pellucid, model, picture, tmp_path):
    out = tmp_path / "out"
    answered = pellucid("explain", picture, "--subject", f"{model}:interrupted", "--out", out, *QUICK)
    assert answered.code == 130
    assert answered.one_line
    assert not list(out.rglob("*"))


def test_a_folder_of_which_nothing_can_be_explained_is_bad_input(pellucid, corner, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "page.jpg").write_text("<html></html>")
    answered = pellucid("explain", folder, "--subject", corner, "--out", tmp_path / "out", *QUICK)
    assert answered.code == 4
    assert "none of 1 pictures" in answered.err
