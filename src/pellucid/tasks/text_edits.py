"""Edits of texts: words replaced, deleted or inserted, and the differences between two texts."""

import difflib
import re
from collections.abc import Callable

from pellucid.core.errors import UsageError, nearest
from pellucid.core.subject import Edit
from pellucid.tasks.editing import statements, unquoted, verb

_VERBS = ("replace", "delete", "insert")
_BY = ("with", "by", "->", "→", "=>")
_WORDS = re.compile(r"\w+(?:['’-]\w+)*")


def text_edits(raw: str, script: str) -> tuple[Edit, ...]:
    """``replace A with B``, ``delete A``, ``insert A before B`` (or ``after B``, ``at start``, ``at end``).

    A and B are words, or more in quotes; every place where they stand as whole words is meant, or the ``n``-th alone with
    ``A#n``. Capitals count only where the text has the word in both ways.
    """
    found: list[Edit] = []
    text = raw
    for statement in statements(script):
        edit = _edit(text, statement)
        text = edit.apply(text)
        found.append(edit)
    return tuple(found)


def text_changes(raw: str, other: str, pattern: str = r"\s*\S+|\s+$") -> tuple[Edit, ...]:
    """What was replaced, deleted and inserted between two texts, from the end to the beginning.

    In this order no change moves the places of those that follow. ``pattern`` matches the pieces that are compared.
    """
    old, new = (re.findall(pattern, text) for text in (raw, other))
    starts = [0]
    for piece in old:
        starts.append(starts[-1] + len(piece))
    codes = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return tuple(
        _spliced(starts[a], starts[b], "".join(old[a:b]), "".join(new[c:d]))
        for kind, a, b, c, d in reversed(codes)
        if kind != "equal"
    )


def _spliced(start: int, end: int, gone: str, given: str) -> Edit:
    shown, new = gone.strip() or gone, given.strip() or given
    said = f"replace “{shown}” with “{new}”" if gone and given else f"delete “{shown}”" if gone else f"insert “{new}”"
    return Edit(said, lambda text: text[:start] + given + text[end:])


def _edit(text: str, statement: str) -> Edit:
    name, rest = verb(statement, _VERBS)
    match name, [word.casefold() for word in rest]:
        case "replace", [_, by, _] if by in _BY:
            return _replacing(text, rest[0], lambda word: unquoted(rest[2]), None)
        case "delete", [_]:
            return _replacing(text, rest[0], lambda word: "", f"delete “{_named(rest[0])}”")
        case "insert", [_, "at", ("start" | "beginning" | "end") as where]:
            new = unquoted(rest[0])
            said = f"insert “{new}” at the {'end' if where == 'end' else 'start'}"
            return Edit(said, lambda raw: f"{raw} {new}" if where == "end" else f"{new} {raw}")
        case "insert", [_, ("before" | "after") as side, _]:
            new, anchor = unquoted(rest[0]), unquoted(_named(rest[2]))
            before = side == "before"
            both = lambda word: f"{new} {word}" if before else f"{word} {new}"  # noqa: E731
            return _replacing(text, rest[2], both, f"insert “{new}” {side} “{anchor}”")
    raise UsageError(
        f"cannot read the edit {statement!r}; write replace A with B, delete A, or insert A before B (after B, at start, "
        "at end), and more than one word in quotes"
    )


def _replacing(text: str, wanted: str, new: Callable[[str], str], said: str | None) -> Edit:
    """What ``new`` makes of a word, as the text has it, in its place; with nothing the space before it goes too."""
    word, _, number = wanted.rpartition("#") if re.fullmatch(r".+#\d+", wanted, re.DOTALL) else (wanted, "", "")
    word = unquoted(word)
    pattern = _whole(word, text)
    places = len(pattern.findall(text))
    if not places:
        raise UsageError(f"the text has no {word!r}; {nearest(word, dict.fromkeys(_WORDS.findall(text)))}")
    chosen = int(number) if number else None
    if chosen is not None and not 1 <= chosen <= places:
        raise UsageError(f"the text has {word!r} {places} times; there is no {wanted}")
    said = said or f"replace “{word}” with “{new(word)}”"
    if places > 1:
        said += f" (place {chosen} of {places})" if chosen else f" ({places} places)"

    def apply(raw: str) -> str:
        seen = 0

        def put(match: re.Match[str]) -> str:
            nonlocal seen
            seen += 1
            if chosen is not None and seen != chosen:
                return match[0]
            given = new(match[2])
            return match[1] + given if given else ""

        return pattern.sub(put, raw).strip()

    return Edit(said, apply)


def _whole(word: str, text: str) -> re.Pattern[str]:
    """A pattern of the word, with the space before it as a group, in its capitals where the text has these."""
    before, after = (r"(?<!\w)" if word[:1].isalnum() else ""), (r"(?!\w)" if word[-1:].isalnum() else "")
    pattern = rf"(\s*){before}({re.escape(word)}){after}"
    exact = re.compile(pattern)
    return exact if exact.search(text) else re.compile(pattern, re.IGNORECASE)


def _named(word: str) -> str:
    first, mark, number = word.rpartition("#")
    return unquoted(first) if mark and number.isdigit() and first else unquoted(word)
