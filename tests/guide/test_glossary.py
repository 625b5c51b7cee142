"""The glossary explains every word the product sorts methods by, and says whose meaning it is."""

import pytest

from pellucid.core.errors import UsageError
from pellucid.core.spec import Dimension, Scope
from pellucid.guide.glossary import GLOSSARY, term

NAMES = {
    Dimension.TEXTUAL: "textual explanation",
    Dimension.VISUAL: "visual explanation",
    Dimension.LOCAL: "local explanation",
    Dimension.BY_EXAMPLE: "explanation by example",
}


@pytest.mark.parametrize("word", [*Scope, *Dimension])
def test_every_scope_and_dimension_is_explained(word):
    assert term(NAMES.get(word, word)).meaning


@pytest.mark.parametrize("entry", GLOSSARY, ids=lambda entry: entry.word)
def test_every_word_says_whose_meaning_it_has(entry):
    assert entry.meaning.endswith(".")
    assert any(character.isdigit() for character in entry.after) or "Graziani" in entry.after


def test_words_are_unique_and_found_in_any_case():
    assert len({entry.word for entry in GLOSSARY}) == len(GLOSSARY) >= 12
    assert term("Algorithmic-Transparency").word == "algorithmic transparency"


def test_an_unknown_word_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match="'transparency'"):
        term("transparancy")
