"""Passes are counted where they happen, and progress reaches whoever asked for it."""

import pytest

from pellucid.core import meter


def test_a_forward_pass_with_its_backward_pass_is_one_of_the_second_kind():
    with meter.metered() as passes:
        meter.count(forward=5)
        meter.count(backward=2)
    assert passes.evaluations() == {"F": 3, "B": 2}


def test_nested_blocks_all_count_and_nothing_counts_outside():
    meter.count(forward=100)
    with meter.metered() as outer:
        meter.count(forward=1)
        with meter.metered() as inner:
            meter.count(forward=2)
    meter.count(forward=100)
    assert (outer.forward, inner.forward) == (3, 2)


def test_progress_is_told_inside_the_block_only():
    told = []
    meter.report(0, 2, "before")
    with meter.reporting(lambda *step: told.append(step)):
        meter.report(1, 2, "work")
        with meter.reporting(None):
            meter.report(1, 1, "silent")
    meter.report(2, 2, "after")
    assert told == [(1, 2, "work")]


def test_a_listener_may_cancel_and_is_gone_afterwards():
    def cancel(done, total, what):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), meter.reporting(cancel):
        meter.report(1, 2, "work")
    meter.report(2, 2, "work")
    with meter.metered() as passes:
        meter.count(forward=1)
    assert passes.forward == 1
