"""The map: from what must be understood, and by whom, to the methods that serve it.

Everything here works on the plain records of the catalogue and imports no model library; only :func:`reasons`, which
asks a loaded subject, needs the methods themselves.
"""

import importlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pellucid.core.errors import UsageError, nearest
from pellucid.core.spec import Asker, Dimension, Scope, View

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Need:
    """Something a person must understand: the methods whose ``facet`` of the catalogue is among ``values`` serve it.

    ``terms`` are further words by which people ask for it.
    """

    id: str
    words: str
    facet: str
    values: frozenset[str]
    terms: str = ""

    def served_by(self, record: Record) -> bool:
        """Whether a method's record answers this need."""
        found = record[self.facet]
        return not self.values.isdisjoint([found] if isinstance(found, str) else found)

    def overlap(self, stems: frozenset[str]) -> int:
        """How many of these stems are this need's; those of its own words count twice."""
        return 2 * len(stems & _stems(f"{self.id} {self.words}")) + len(stems & _stems(self.terms))


def _asking(id: str, words: str, query: str, terms: str) -> Need:
    return Need(id, words, "query", frozenset({query}), terms)


NEEDS = (
    _asking(
        "decision",
        "one decision: why this output for this input?",
        "Decision",
        "explain predict prediction picture image text row answer class say said score pixel word column matter "
        "important attribution relevance saliency heat map",
    ),
    _asking(
        "trust",
        "an explanation itself: how far can it be trusted?",
        "Judgement",
        "judge good quality faithful faithfulness metric evaluate compare explanations heat maps reliable",
    ),
    _asking(
        "unit",
        "a part of the network: what has it learned to respond to?",
        "Unit",
        "neuron channel filter feature class image prototype layer cell learnt learn",
    ),
    _asking(
        "code",
        "a representation: what does it keep of an input, what does it lose?",
        "Code",
        "invert inversion reconstruct information kept lost remember",
    ),
    _asking(
        "arrangement",
        "the space inside the network: what lies near what?",
        "Representation",
        "arranged cluster neighbour similar embedding projection t-sne",
    ),
    _asking(
        "agreement",
        "several networks or layers: do they agree?",
        "Pair",
        "compare models checkpoints difference same convergent",
    ),
    _asking(
        "concept",
        "a human concept: does the model use it?",
        "Concepts",
        "idea stripes tcav measure size texture",
    ),
    _asking(
        "training",
        "the training: which cases made it so?",
        "Training",
        "data examples influence mislabelled harmful helpful",
    ),
    _asking(
        "population",
        "people or cases as a whole: how does the model behave over them?",
        "Population",
        "fair fairness bias group discrimination audit dataset",
    ),
    _asking(
        "understandable",
        "a model that can be understood from the start: train one",
        "Fit",
        "build rationale caption interpretable transparent simple own",
    ),
)


def facets() -> tuple[Need, ...]:
    """The scopes, dimensions and views as needs, for those who know their words."""
    named = (("scopes", Scope), ("dimensions", Dimension), ("view", View))
    by_word: dict[str, list[Need]] = {}
    for facet, kind in named:
        for value in kind:
            need = Need(str(value), f"{facet.removesuffix('s')}: {value}", facet, frozenset({str(value)}))
            by_word.setdefault(need.id, []).append(need)
    # A word that is both a scope and a dimension (decomposability) means the scope: the regions of the map.
    return tuple(needs[0] for word, needs in by_word.items() if word not in {need.id for need in NEEDS})


def understood(words: str) -> Need:
    """The need that ``words`` mean: its number in the list, its name, a scope or dimension, or free words about it.

    Free words are compared by their stems with the words of each need; ``UsageError`` lists the needs where none fits.
    """
    wanted = words.strip().casefold()
    if wanted.isdigit() and 1 <= int(wanted) <= len(NEEDS):
        return NEEDS[int(wanted) - 1]
    for need in (*NEEDS, *facets()):
        if wanted in (need.id, need.words.casefold()):
            return need
    asked = _stems(wanted)
    overlap = {
        need: len(asked & _stems(f"{need.id} {need.words}")) * 2 + len(asked & _stems(need.terms)) for need in NEEDS
    }
    best = max(NEEDS, key=overlap.__getitem__)
    if overlap[best]:
        return best
    known = "; ".join(f"{number} {need.words}" for number, need in enumerate(NEEDS, 1))
    raise UsageError(f"the map does not understand the need {words!r}; say one of these, or its number: {known}")


def asker_named(words: str) -> Asker:
    """One of the four askers, by name, by its number in the list, or by a part of its name (``expert``)."""
    wanted = words.strip().casefold().replace("-", " ")
    askers = list(Asker)
    if wanted.isdigit() and 1 <= int(wanted) <= len(askers):
        return askers[int(wanted) - 1]
    found = [asker for asker in askers if wanted and wanted in asker.value]
    if len(found) == 1:
        return found[0]
    raise UsageError(f"there is no asker {words!r}; {nearest(wanted, [asker.value for asker in askers])}")


@dataclass(frozen=True)
class Answer:
    """Whether one method serves, with the first reason why not."""

    record: Record
    reason: str | None

    @property
    def serves(self) -> bool:
        """Whether nothing speaks against the method."""
        return self.reason is None


def answers(
    records: Sequence[Record],
    need: Need | None = None,
    asker: Asker | None = None,
    inapplicable: Mapping[str, str | None] | None = None,
) -> tuple[Answer, ...]:
    """Every method with the reason why it does not serve this need, asker and subject, those that serve first.

    ``inapplicable`` holds what :func:`reasons` found for a subject.
    """
    found = [Answer(record, _reason(record, need, asker, inapplicable or {})) for record in records]
    return tuple(sorted(found, key=lambda answer: not answer.serves))


def reasons(records: Iterable[Record], subject: Any) -> dict[str, str | None]:
    """Per method id why it cannot be asked of this subject, or None where it can."""
    from pellucid.core.method import why_not

    classes = {record["id"]: getattr(importlib.import_module(record["module"]), record["class"]) for record in records}
    return {id: why_not(cls, subject) for id, cls in classes.items()}


def placed(records: Iterable[Record]) -> dict[frozenset[Scope], tuple[str, ...]]:
    """The ids of the methods in each region of the map; a region is the exact set of scopes."""
    regions: dict[frozenset[Scope], list[str]] = {}
    for record in records:
        regions.setdefault(frozenset(Scope(scope) for scope in record["scopes"]), []).append(record["id"])
    return {region: tuple(sorted(ids)) for region, ids in regions.items()}


def _reason(
    record: Record, need: Need | None, asker: Asker | None, inapplicable: Mapping[str, str | None]
) -> str | None:
    if need is not None and not need.served_by(record):
        return f"it is about {_need_of(record).words.partition(':')[0]}"
    if asker is not None and asker not in record["askers"]:
        return f"its answer is made for the {_listed(record['askers'])}, not for the {asker}"
    return inapplicable.get(record["id"])


def _need_of(record: Record) -> Need:
    return next(need for need in NEEDS if need.served_by(record))


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


_SMALL = re.compile(
    r"\b(a|an|and|are|by|can|does|do|for|has|how|i|in|is|it|itself|made|my|of|on|one|or|over|so|that|the|they|this|to|was"
    r"|what|which|who|with)\b"
)


def _stems(text: str) -> frozenset[str]:
    words = re.findall(r"[\w-]+", _SMALL.sub("", text.casefold()))
    return frozenset(re.sub(r"(ing|ed|es|s)$", "", word) for word in words)
