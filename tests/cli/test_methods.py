"""The list of methods, alone or for one subject."""

import json

from pellucid.core.catalogue import catalogue


def flat(text):
    return " ".join(text.split())


def test_every_method_is_listed_with_question_cost_and_caveat(pellucid):
    text = flat(pellucid("methods").out)
    for record in catalogue():
        assert record["id"] in text
        assert flat(record["question"]) in text
        assert flat(record["caveat"]) in text
        assert flat(record["cost"]) in text


def test_as_json_it_is_the_catalogue(pellucid):
    assert json.loads(pellucid("methods", "--json").out) == list(catalogue())


def test_for_a_subject_each_method_applies_or_says_why_not(pellucid, model):
    found = json.loads(pellucid("methods", "--subject", f"{model}:black_box", "--json").out)
    verdicts = {record["id"]: (record["applies"], record["reason"]) for record in found}
    assert verdicts["occlusion"] == (True, None)
    applies, reason = verdicts["gradient"]
    assert not applies
    assert reason == "needs gradients; this subject offers outputs only"
    text = flat(pellucid("methods", "--subject", f"{model}:black_box").out)
    assert f"Does not apply: {reason}." in text
