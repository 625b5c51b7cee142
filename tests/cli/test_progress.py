"""Progress is shown on standard error, at a terminal only, and is gone when the work is done."""

import io
import sys

import pytest

from pellucid.cli import progress
from pellucid.core.meter import report


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def at_terminal(monkeypatch):
    """Make standard error a terminal, from inside the test: pytest puts its own in place until then."""

    def begin():
        monkeypatch.setattr(sys, "stderr", Terminal())
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", "100")
        return sys.stderr

    return begin


def work():
    for step in range(3):
        for part in range(1, 6):
            report(part, 5, f"[part] {part}")
        report(step, 3, f"step {step}")


def test_nested_work_is_shown_by_its_current_steps_on_standard_error_alone(at_terminal, capsys):
    said = at_terminal()
    with progress.shown():
        report(1, 3, "panel: occlusion")
        report(20, 729, "occlusion")
    assert "panel: occlusion" in said.getvalue()
    assert "20/729" in said.getvalue()
    assert capsys.readouterr().out == ""


def test_steps_of_the_same_length_share_a_bar_and_names_are_no_markup(at_terminal):
    said = at_terminal()
    with progress.shown():
        work()
        report(1, 5, "[part] again")
    frame, _, erased = said.getvalue().rpartition("\x1b[?25h")
    assert erased.count("\x1b[1A") == 2  # one line up for each bar that is taken away at the end
    last = "".join(frame.split("\n")[-3:])
    assert "[part] again" in last
    assert "step 2" in last


def test_an_interrupt_inside_is_passed_on(at_terminal):
    at_terminal()
    with pytest.raises(KeyboardInterrupt), progress.shown():
        raise KeyboardInterrupt


def test_without_a_terminal_nothing_is_said(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with progress.shown():
        work()
    assert sys.stderr.getvalue() == ""
