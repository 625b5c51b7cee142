"""A context is compared by content, says itself in words, and refuses what says nothing."""

import json

import pytest

import pellucid as pl
from pellucid.core.catalogue import build
from pellucid.core.errors import NotAnswerable, NotComparable, UsageError
from pellucid.core.spec import Asker

TOLD = {"task": "decide whether to follow the advice", "asker": "domain expert", "query": "Is this patient ill?"}


def test_equal_content_is_an_equal_context_and_every_part_counts():
    context = pl.Context(**TOLD, knowledge=["age"], minutes=2)
    assert context == pl.Context(TOLD["task"], Asker.DOMAIN_EXPERT, TOLD["query"], ("age",), 2.0)
    assert hash(context) == hash(pl.Context(**TOLD, knowledge=("age",), minutes=2.0))
    others = [{"task": "audit"}, {"asker": "auditor"}, {"query": "Why?"}, {"knowledge": ()}, {"minutes": 3}]
    for other in others:
        assert context != pl.Context(**({**TOLD, "knowledge": ["age"], "minutes": 2} | other))


def test_it_says_who_does_what():
    said = str(pl.Context(**TOLD, knowledge=["age", "dose"], minutes=2))
    assert said == (
        "decide whether to follow the advice (domain expert, who knows that age and dose should count, within 2 minutes a "
        "question; asked: Is this patient ill?)"
    )


def test_of_a_query_the_question_is_kept_and_never_its_inputs():
    context = pl.Context("audit", "auditor", pl.Decision(["a secret"], target="ill", foil="well"))
    assert context.query == "Why this score for these inputs? (target ill, foil well, of score, at input)"
    assert "secret" not in str(context)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"asker": "boss"}, "boss"),
        ({"task": " "}, "task"),
        ({"query": ""}, "query"),
        ({"query": 3}, "say what is asked"),
        ({"minutes": 0}, "minutes"),
        ({"knowledge": "age"}, "name features in a list"),
    ],
)
def test_what_says_nothing_is_refused(wrong, said):
    with pytest.raises(UsageError, match=said):
        pl.Context(**(TOLD | wrong))


def test_a_method_takes_it_as_plain_data_from_a_command_line_or_a_file():
    plain = json.loads(json.dumps(TOLD))
    assert build({"method": "interpretation-score", "context": plain}).context == pl.Context(**TOLD)
    with pytest.raises(UsageError, match="no field 'who'"):
        build({"method": "interpretation-score", "context": {**plain, "who": "me"}})
    with pytest.raises(UsageError, match="needs asker and query"):
        build({"method": "interpretation-score", "context": {"task": "audit"}})


def test_what_cannot_be_compared_cannot_be_answered():
    assert issubclass(NotComparable, NotAnswerable)
    assert NotComparable.exit_code == 3
    assert pl.NotComparable is NotComparable
