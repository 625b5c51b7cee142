"""Words on the command line become the raw inputs that the subject's task takes."""

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import pellucid as pl
from pellucid.cli.inputs import given, method_described, subject_named, target_named
from pellucid.core.errors import BadInput, UsageError
from pellucid.core.spec import Modality


def a_subject(modality, **task):
    return SimpleNamespace(name="a subject", task=SimpleNamespace(modality=modality, **task))


ROWS, TEXT, PICTURES = map(a_subject, (Modality.TABULAR, Modality.TEXT, Modality.IMAGE))


@pytest.fixture
def standard_input(monkeypatch):
    def feed(content):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))

    return feed


def raws(subject, *words, row=None):
    return [entry.raw for entry in given(subject, words, row)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_each_line_of_a_table_is_a_row_named_by_its_header(tmp_path, delimiter):
    path = tmp_path / "people.csv"
    path.write_text("\ufeffage,name of dose\n30,1.5\n\n40,2.5\n".replace(",", delimiter))
    assert raws(ROWS, path.as_posix()) == [{"age": "30", "name of dose": "1.5"}, {"age": "40", "name of dose": "2.5"}]
    assert [entry.name for entry in given(ROWS, [path.as_posix()])] == ["people-row-0", "people-row-1"]


def test_one_row_of_a_table_is_picked_from_either_end(tmp_path):
    path = tmp_path / "people.csv"
    path.write_text("age\n30\n40\n50\n")
    assert raws(ROWS, str(path), row=1) == [{"age": "40"}]
    assert raws(ROWS, str(path), row=-1) == [{"age": "50"}]
    with pytest.raises(UsageError, match="rows 0 to 2"):
        raws(ROWS, str(path), row=3)


def test_a_table_without_a_header_gives_plain_rows(tmp_path):
    path = tmp_path / "numbers.csv"
    path.write_text("30, 1.5\n40, 2.5\n")
    assert raws(ROWS, str(path)) == [["30", "1.5"], ["40", "2.5"]]


def test_a_line_of_values_is_a_row():
    assert raws(ROWS, "30, 1.5") == [["30", "1.5"]]


def test_rows_come_from_standard_input(standard_input):
    standard_input(b"age\n30\n40\n")
    assert raws(ROWS, "/dev/stdin") == [{"age": "30"}, {"age": "40"}]


@pytest.mark.parametrize(
    ("content", "said"), [(b"age,dose\n30\n", "line 2"), (b"\n\n", "no row"), (b"age\n\xff\n", "not UTF-8")]
)
def test_a_damaged_table_is_refused(tmp_path, content, said):
    path = tmp_path / "damaged.csv"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=said):
        raws(ROWS, str(path))


def test_a_missing_table_is_refused_with_the_nearest_file(tmp_path):
    (tmp_path / "people.csv").write_text("age\n1\n")
    with pytest.raises(BadInput, match=r"people\.csv"):
        raws(ROWS, str(tmp_path / "poeple.csv"))
    with pytest.raises(BadInput, match="does not exist"):
        raws(ROWS, str(tmp_path / "nowhere" / "people.csv"))


def test_a_text_is_itself_or_a_file_of_it(tmp_path, standard_input):
    path = tmp_path / "review.txt"
    path.write_text("Not bad, née good.", encoding="utf-8")
    assert raws(TEXT, "Not bad.", str(path)) == ["Not bad.", "Not bad, née good."]
    standard_input("née".encode())
    assert raws(TEXT, "/dev/stdin") == ["née"]
    with pytest.raises(BadInput, match=r"there is no file missing\.txt"):
        raws(TEXT, "missing.txt")


def test_each_line_of_a_file_is_a_text_where_many_cases_are_asked_about(tmp_path):
    path = tmp_path / "reviews.txt"
    path.write_text("a warm film\n\n  cold and dull \n", encoding="utf-8")
    found = given(TEXT, [path.as_posix(), "a third"], lines=True)
    assert [entry.raw for entry in found] == ["a warm film", "cold and dull", "a third"]
    assert [entry.name for entry in found] == ["reviews-line-1", "reviews-line-2", "text-line-1"]
    assert len(given(TEXT, [path.as_posix()])) == 1


def test_a_text_longer_than_any_file_name_is_a_text():
    text = "word " * 2000
    assert raws(TEXT, text) == [text]


def test_a_picture_is_its_path_or_the_bytes_of_standard_input(tmp_path, standard_input):
    assert raws(PICTURES, "cat.png") == [Path("cat.png")]
    standard_input(b"\x89PNG")
    assert raws(PICTURES, "/dev/stdin") == [b"\x89PNG"]


def test_a_folder_is_its_pictures_or_some_of_them_evenly_spaced(tmp_path):
    for name in ("a.png", "b.jpg", "notes.txt", "c.png", "d.png"):
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in raws(PICTURES, str(tmp_path))] == ["a.png", "b.jpg", "c.png", "d.png"]
    found = given(PICTURES, (str(tmp_path), "other.png"), limit=2)
    assert [entry.name for entry in found] == ["a", "c", "other"]
    with pytest.raises(UsageError, match="at least one picture"):
        given(PICTURES, (str(tmp_path),), limit=0)
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="no picture in"):
        given(PICTURES, (str(tmp_path / "empty"),))


def test_arrays_are_read_without_running_code(tmp_path):
    subject = a_subject(Modality.SEQUENCE, vocabulary=None)
    np.save(tmp_path / "waves.npy", np.arange(6.0).reshape(3, 2))
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.testing.assert_array_equal(raws(subject, str(tmp_path / "waves.npy"))[0], np.arange(6.0).reshape(3, 2))
    with pytest.raises(BadInput, match=r"plain \.npy array"):
        raws(subject, str(tmp_path / "objects.npy"))
    with pytest.raises(BadInput, match=r"save one as \.npy"):
        raws(subject, "1,2,3")


def test_characters_are_read_like_text():
    assert raws(a_subject(Modality.SEQUENCE, vocabulary="abc"), "abba") == ["abba"]


@pytest.mark.parametrize(
    ("word", "target"),
    [
        (None, None),
        ("281", "281"),
        ("tench, Tinca tinca", "tench, Tinca tinca"),
        ("3,5", (3, 5)),
        ("-1,5", (-1, 5)),
    ],
)
def test_a_target_is_a_label_a_number_or_a_position_and_a_class(word, target):
    assert target_named(word) == target


def test_a_method_is_an_id_or_json():
    assert method_described("lime") == "lime"
    assert method_described('{"method": "lime", "samples": 9}') == {"method": "lime", "samples": 9}
    with pytest.raises(UsageError, match="not JSON"):
        method_described("{lime}")


def test_options_for_loading_are_read_as_json_or_text(monkeypatch):
    asked = {}
    monkeypatch.setattr(pl, "load", lambda name, **options: asked.update(options), raising=False)
    subject_named("x", ["crop=true", "longest=64", "output=logits", "max-size=1.5"])
    assert asked == {"crop": True, "longest": 64, "output": "logits", "max_size": 1.5}
