"""The benchmarks' harness: turns are fair, medians are medians, tables and pages hold what was said."""

import itertools

import pytest
import torch
from benchmarks.harness import Page, alternating, distance, mean_with_interval, table


def test_contenders_take_turns_and_the_first_round_is_not_counted():
    ticks, order = itertools.count(), []
    lengths = {"ours": iter([100, 1, 5, 3]), "theirs": iter([100, 2, 2, 8])}
    now = [0.0]

    def work(name):
        order.append(name)
        now[0] += next(lengths[name])
        return next(ticks)

    contenders = {name: lambda name=name: work(name) for name in lengths}
    found = alternating(contenders, 3, clock=lambda: now[0])
    assert order == ["ours", "theirs"] * 4
    assert found.seconds == {"ours": 3.0, "theirs": 2.0}
    assert found.answers == {"ours": 6, "theirs": 7}
    assert found.units("ours", "theirs") == 1.5


def test_ratios_are_averaged_in_logarithms_with_an_interval():
    assert mean_with_interval([2.0, 8.0]).startswith("4.00 × [")
    low, high = mean_with_interval([2.0, 3.0, 4.0]).partition("[")[2].rstrip("]").split(", ")
    assert float(low) * float(high) == pytest.approx(24 ** (2 / 3), rel=0.01)
    assert mean_with_interval([3.0]) == "3.00 ×"


def test_no_round_at_all_is_refused():
    with pytest.raises(ValueError, match="at least one round"):
        alternating({}, 0)


def test_distance_is_relative_to_the_second():
    assert distance(torch.tensor([3.0, 0.0]), torch.tensor([0.0, 4.0])) == pytest.approx(1.25)


def test_a_table_has_a_cell_for_every_head():
    assert table(("a", "b"), [(1, 2)]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
    with pytest.raises(ValueError, match="2 cells: a, b"):
        table(("a", "b"), [(1,)])


@pytest.mark.parametrize("write", [True, False])
def test_a_page_is_kept_only_when_asked(tmp_path, capsys, write):
    threads = torch.get_num_threads()
    try:
        page = Page("some_name", "What it asks.", rounds=7, given=["--write"] if write else [])
        assert (page.rounds, torch.get_num_threads()) == (7, 1)
    finally:
        torch.set_num_threads(threads)
    page.say("the result")
    page.close(tmp_path)
    assert "the result" in capsys.readouterr().out
    kept = [path.read_text(encoding="utf-8") for path in tmp_path.iterdir()]
    assert len(kept) == write
    assert all(text.startswith("# Some name\n\nWhat it asks.\n") and text.endswith("the result\n") for text in kept)
