"""The language of edits: statements apart by semicolons, words or quoted text, and values given to places."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from pellucid.core.errors import UsageError, nearest

_QUOTED = r'"[^"]*"|“[^”]*”'
_WORD = re.compile(rf"(?:{_QUOTED}|[^\s\"“])+")
_ASSIGNED = re.compile(rf"((?:{_QUOTED}|[^=\"“])*?)\s*([-+*]?=)\s*(.+)", re.DOTALL)
_SIGNS: dict[str, Callable[[float, float], float]] = {
    "=": lambda old, new: new,
    "+=": lambda old, new: old + new,
    "-=": lambda old, new: old - new,
    "*=": lambda old, new: old * new,
}


@dataclass(frozen=True)
class Assignment:
    """``place = value``; the sign may also add (``+=``), take off (``-=``) or multiply (``*=``)."""

    place: str
    sign: str
    value: str

    def number(self, old: float) -> float:
        """What the place holds afterwards. Raises ``UsageError`` where the value is no number."""
        try:
            return _SIGNS[self.sign](old, float(self.value))
        except ValueError as error:
            raise UsageError(f"{self.place} takes a number, not {self.value!r}") from error


def statements(script: str, apart: str = ";\n") -> list[str]:
    """The statements of a script, without quotes being broken; raises ``UsageError`` where there is none."""
    if script.count('"') % 2 or script.count("“") != script.count("”"):
        raise UsageError(f"the edit {script!r} opens a quotation that it does not close")
    found = [part.strip() for part in re.findall(rf"(?:{_QUOTED}|[^{apart}\"“])+", script)]
    found = [part for part in found if part]
    if not found:
        raise UsageError("the edit is empty; say what to change")
    return found


def words(statement: str) -> list[str]:
    """The words of a statement, what is quoted as one of them, still with its quotes."""
    return _WORD.findall(statement)


def unquoted(word: str) -> str:
    """A word or place without the quotes around it."""
    return word[1:-1] if len(word) > 1 and word[0] in '"“' and word[-1] in '"”' else word


def assignment(statement: str, example: str) -> Assignment:
    """A statement as an assignment; ``example`` is shown where it is none."""
    found = _ASSIGNED.fullmatch(statement)
    if found is None or not found[1].strip():
        raise UsageError(f"cannot read the edit {statement!r}; write it as {example}")
    return Assignment(unquoted(found[1].strip()), found[2], unquoted(found[3].strip()))


def verb(statement: str, known: tuple[str, ...]) -> tuple[str, list[str]]:
    """The first word of a statement, which must be among ``known``, and the words behind it."""
    first, *rest = words(statement)
    if first.casefold() not in known:
        raise UsageError(f"there is no edit {first!r}; {nearest(first, known)}")
    return first.casefold(), rest
