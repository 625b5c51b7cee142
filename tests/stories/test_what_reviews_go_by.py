"""What reviews go by: the example reads its file, and picks sentences whose words it explains."""

from examples.what_reviews_go_by import picks, read


def test_sentences_and_labels_are_read_from_the_top(tmp_path):
    path = tmp_path / "reviews.txt"
    path.write_text("Wow... Loved this place.\t1\nCrust is not good.\t0\n\nNever again.\t0\n", encoding="utf-8")
    assert read(path, 2) == (["Wow... Loved this place.", "Crust is not good."], [1, 0])


def test_picked_sentences_show_words_that_speak_for_and_against():
    found = picks(["Great food", "Awful food", "Great service"], 2, 16)
    sums = dict(zip(found.names, found.total.tolist(), strict=True))
    assert sums["great"] > 0 > sums["awful"]
    assert len(found.picked) == 2
    assert float(found.covered[-1]) <= 1
