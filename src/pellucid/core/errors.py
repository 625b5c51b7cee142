"""Errors that a user can act on: each says in one line what is wrong and names the way out.

The command line turns them into its exit codes; everything else that is raised is a defect of ours.
"""

import difflib
from collections.abc import Iterable
from typing import ClassVar


class PellucidError(Exception):
    """The root of every error that Pellucid raises on purpose."""

    exit_code: ClassVar[int] = 1


class UsageError(PellucidError):
    """The call itself is wrong: an unknown name, a field out of bounds, arguments that exclude each other."""

    exit_code = 2


class NotAnswerable(PellucidError):
    """The subject or the query does not allow an honest answer."""

    exit_code = 3


class NotComparable(NotAnswerable):
    """Explanations between which no distance means anything: of different kinds, places or questions, or scored in
    different contexts."""


class BadInput(PellucidError):
    """A file, picture, table or tensor that cannot be used as it is."""

    exit_code = 4


class MissingExtra(PellucidError):
    """An optional package is needed; the message holds the one command that installs it."""

    exit_code = 5


class CannotWrite(PellucidError):
    """A result cannot be written where it was asked for."""

    exit_code = 6


class SubjectFailed(PellucidError):
    """The model itself raised an error, or answered with NaN or a wrong shape."""

    exit_code = 7


class ExpectationFailed(PellucidError):
    """An expectation or gate does not hold."""

    exit_code = 8


def nearest(word: str, known: Iterable[str], count: int = 3) -> str:
    """A clause that names the closest known words, for the end of an error message."""
    known = list(known)
    folded = {entry.casefold(): entry for entry in known}
    close = difflib.get_close_matches(word.casefold(), folded, n=count, cutoff=0.5)
    contained = [entry for entry in known if word and word.casefold() in entry.casefold()]
    found = list(dict.fromkeys([*contained[:count], *(folded[match] for match in close)]))[:count]
    if found:
        return "did you mean " + " or ".join(repr(entry) for entry in found) + "?"
    # Names of single characters, such as a line break or a comma, can be told apart in quotes only.
    shown = [name if name.isprintable() and name.strip(" ,") == name else repr(name) for name in known[:12]]
    return f"known: {', '.join(shown)}{' …' if len(known) > 12 else ''}" if known else "none are known"
