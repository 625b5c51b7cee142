"""Turns come as fast as they may and no faster."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from pellucid.core.errors import UsageError
from pellucid.subjects.pace import Pace, seconds_of


class Watch:
    def __init__(self):
        self.now, self.slept = 0.0, []

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def watch():
    return Watch()


def test_without_a_rate_nobody_waits(watch):
    pace = Pace(None, lambda: watch.now, watch.sleep)
    for _ in range(5):
        pace.turn()
    assert watch.slept == []


def test_turns_are_an_interval_apart_whatever_happens_between_them(watch):
    pace, moments = Pace(2.0, lambda: watch.now, watch.sleep), []
    for pause in (0.0, 0.1, 0.5, 3.0, 0.0):
        watch.now += pause
        pace.turn()
        moments.append(watch.now)
    assert moments == pytest.approx([0.0, 0.5, 1.0, 4.0, 4.5])


def test_waits_double_and_end(watch):
    pace = Pace(None, lambda: watch.now, watch.sleep)
    for attempt in range(12):
        pace.wait(attempt)
    assert watch.slept[:4] == [0.5, 1.0, 2.0, 4.0]
    assert max(watch.slept) == 300.0


def test_a_date_is_as_far_away_as_it_is():
    soon = datetime.now(UTC) + timedelta(seconds=90)
    assert seconds_of(format_datetime(soon, usegmt=True)) == pytest.approx(90, abs=5)


@pytest.mark.parametrize(("header", "seconds"), [(None, None), ("12", 12.0), ("0", 0.0), ("soon", None), ("", None)])
def test_a_number_of_seconds_is_read_and_nonsense_is_not(header, seconds):
    assert seconds_of(header) == seconds


@pytest.mark.parametrize("rate", [0, -3, float("nan")])
def test_an_impossible_rate_is_refused(rate):
    with pytest.raises(UsageError, match="above 0"):
        Pace(rate)
