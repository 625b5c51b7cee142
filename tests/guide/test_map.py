"""The map answers from the catalogue's records alone: which methods serve, and for each other one why not."""

import itertools
from typing import get_args

import pytest

from pellucid.core import query
from pellucid.core.catalogue import catalogue
from pellucid.core.errors import UsageError
from pellucid.core.spec import Asker, Scope
from pellucid.guide.map import NEEDS, answers, asker_named, facets, placed, reasons, understood


def a_record(id, **changes):
    return {
        "id": id,
        "query": "Decision",
        "scopes": ["explainability"],
        "dimensions": ["local"],
        "view": "decision",
        "askers": ["developer"],
        **changes,
    }


RECORDS = (
    a_record("map"),
    a_record("sentence", dimensions=["textual"], askers=["affected person", "developer"]),
    a_record("unit", query="Unit", view="model", scopes=["decomposability", "translatability"], dimensions=["visual"]),
    a_record("judge", query="Judgement"),
)


def serving(found):
    return [answer.record["id"] for answer in found if answer.serves]


def test_every_kind_of_query_answers_exactly_one_need():
    for kind in get_args(query.Query):
        assert [need.id for need in NEEDS if kind.__name__ in need.values], kind
    values = list(itertools.chain.from_iterable(need.values for need in NEEDS))
    assert sorted(values) == sorted(kind.__name__ for kind in get_args(query.Query))


def test_without_a_need_every_method_serves():
    assert serving(answers(RECORDS)) == ["map", "sentence", "unit", "judge"]


def test_a_need_is_served_by_the_methods_of_its_query_and_the_others_say_what_they_are_about():
    found = answers(RECORDS, understood("decision"))
    assert serving(found) == ["map", "sentence"]
    reason = {answer.record["id"]: answer.reason for answer in found}
    assert reason["unit"] == "it is about a part of the network"
    assert reason["judge"] == "it is about an explanation itself"


def test_methods_that_serve_come_first_and_none_is_lost():
    found = answers(RECORDS, understood("unit"))
    assert [answer.record["id"] for answer in found] == ["unit", "map", "sentence", "judge"]


def test_an_asker_leaves_out_methods_that_are_not_made_for_them():
    found = answers(RECORDS, asker=Asker.AFFECTED_PERSON)
    assert serving(found) == ["sentence"]
    assert found[1].reason == "its answer is made for the developer, not for the affected person"


def test_what_a_subject_cannot_do_is_a_reason():
    found = answers(RECORDS, inapplicable={"map": "needs gradients", "sentence": None})
    assert "map" not in serving(found)
    assert {answer.reason for answer in found if not answer.serves} == {"needs gradients"}


@pytest.mark.parametrize("need", NEEDS, ids=lambda need: need.id)
def test_a_need_is_understood_by_number_name_and_its_own_words(need):
    assert understood(str(NEEDS.index(need) + 1)) is need
    assert understood(need.id) is need
    assert understood(f" {need.words.upper()} ") is need


@pytest.mark.parametrize(
    ("words", "id"),
    [
        ("why did it say cat", "decision"),
        ("which pixels matter", "decision"),
        ("how good is this heat map", "trust"),
        ("can I trust the explanation", "trust"),
        ("what does this neuron see", "unit"),
        ("is it fair", "population"),
        ("mislabelled data", "training"),
        ("do my two models agree", "agreement"),
        ("does it use stripes", "concept"),
        ("nearest neighbours", "arrangement"),
    ],
)
def test_a_need_is_understood_from_free_words(words, id):
    assert understood(words).id == id


def test_a_scope_or_a_dimension_is_a_need_too():
    assert serving(answers(RECORDS, understood("translatability"))) == ["unit"]
    assert serving(answers(RECORDS, understood("textual"))) == ["sentence"]


def test_a_word_that_is_scope_and_dimension_means_the_scope():
    assert [need.facet for need in facets() if need.id == "decomposability"] == ["scopes"]
    assert len({need.id for need in facets()}) == len(facets())


def test_words_that_mean_nothing_here_are_refused_with_the_list_of_needs():
    with pytest.raises(UsageError) as refusal:
        understood("zzz")
    assert all(need.words in str(refusal.value) for need in NEEDS)


def test_an_asker_is_named_by_number_or_part():
    assert asker_named("2") is Asker.DOMAIN_EXPERT
    assert asker_named("Expert") is Asker.DOMAIN_EXPERT
    assert asker_named("affected-person") is Asker.AFFECTED_PERSON
    with pytest.raises(UsageError, match="auditor"):
        asker_named("auditr")


def test_every_method_is_placed_in_the_region_of_exactly_its_scopes():
    regions = placed(catalogue())
    for record in catalogue():
        holding = [scopes for scopes, ids in regions.items() if record["id"] in ids]
        assert holding == [frozenset(Scope(scope) for scope in record["scopes"])]


def test_reasons_are_those_the_methods_themselves_would_give():
    import torch

    import pellucid as pl
    from pellucid.core.method import why_not
    from pellucid.methods import Gradient

    black_box = pl.wrap(lambda batch: torch.stack([batch.sum(1), -batch.sum(1)], 1), pl.tasks.Tabular(["a", "b"]))
    found = reasons(catalogue(), black_box)
    assert found["gradient"] == why_not(Gradient, black_box)
    assert "gradients" in found["gradient"]
    assert found["occlusion"] is None
