"""In what situation an explanation is read: what must be done with it, who reads, and what is asked."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pellucid.core.content import by_content
from pellucid.core.errors import UsageError, nearest
from pellucid.core.query import Query
from pellucid.core.record import record
from pellucid.core.spec import Asker

_MISSING = {"task": "must be done with the explanation", "query": "is asked of it"}
_SAID = ("target", "foil", "of", "at", "layer", "outcome")


@record
@by_content
@dataclass(frozen=True, eq=False, init=False)
class Context:
    """What makes explanations of different kinds comparable: how they are interpreted, not what they hold.

    ``task`` says what must be done with the explanation, ``asker`` who does it (by value too: ``"auditor"``), ``query`` what
    is asked, as a sentence; of a query that a method answers its question is kept, never its inputs. ``knowledge`` names
    features that the asker knows to matter, ``minutes`` is the time that the asker has for each question.

    Contexts are equal where all of this is. What was scored in one says nothing about another.
    """

    task: str
    asker: Asker
    query: str
    knowledge: tuple[str, ...] = ()
    minutes: float | None = None

    def __init__(
        self,
        task: str,
        asker: Asker | str,
        query: str | Query,
        knowledge: Sequence[str] = (),
        minutes: float | None = None,
    ) -> None:
        if isinstance(knowledge, str):
            raise UsageError(f"Context(knowledge={knowledge!r}): name features in a list")
        said = query if isinstance(query, str) else _question(query)
        for name, value in (("task", task), ("query", said)):
            if not isinstance(value, str) or not value.strip():
                raise UsageError(f"Context({name}={value!r}): say in a sentence what {_MISSING[name]}")
        if minutes is not None and not minutes > 0:
            raise UsageError(f"Context(minutes={minutes!r}): it must be > 0")
        values: dict[str, Any] = {"task": task, "asker": _asker(asker), "query": said}
        values |= {"knowledge": tuple(knowledge), "minutes": None if minutes is None else float(minutes)}
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __str__(self) -> str:
        known = f", who knows that {_listed(self.knowledge)} should count" if self.knowledge else ""
        time = "" if self.minutes is None else f", within {_minutes(self.minutes)} a question"
        return f"{self.task} ({self.asker.value}{known}{time}; asked: {self.query})"


def described(description: Mapping[str, Any]) -> Context:
    """A context from plain data, as a command line or a file gives it: ``{"task": …, "asker": …, "query": …}``."""
    fields = {name: value for name, value in description.items() if name != "rule"}
    known = [field.name for field in dataclasses.fields(Context)]
    for name in fields:
        if name not in known:
            raise UsageError(f"a context has no field {name!r}; {nearest(name, known)}")
    missing = [name for name in ("task", "asker", "query") if name not in fields]
    if missing:
        raise UsageError(f"a context needs {_listed(missing)}: who does what with the explanation, and what is asked")
    return Context(**fields)


def _asker(asker: Asker | str) -> Asker:
    try:
        return Asker(asker)
    except ValueError as error:
        known = [one.value for one in Asker]
        raise UsageError(f"Context(asker={asker!r}): {nearest(str(asker), known)}") from error


def _question(query: Query) -> str:
    if not isinstance(query, get_args(Query)):
        raise UsageError(f"Context(query={query!r}): say what is asked in a sentence, or give a query")
    asked = {name: getattr(query, name, None) for name in _SAID}
    told = ", ".join(f"{name} {value}" for name, value in asked.items() if isinstance(value, str | int))
    question = (type(query).__doc__ or "").split("\n")[0]
    return f"{question} ({told})" if told else question


def _minutes(number: float) -> str:
    return f"{number:g} minute{'' if number == 1 else 's'}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]
