"""``pellucid check`` prints what was found and fails only for a model that cannot be used."""

import json


def test_a_good_model_is_described_and_0(pellucid, model):
    answered = pellucid("check", f"{model}:rows", "--data", "1,2", "--data", "3,4")
    assert (answered.code, answered.err) == (0, "")
    for word in ("ward", "2: ill; well", "row 2", "F ", "B ", "No problem was found."):
        assert word in answered.out


def test_json_is_one_document_with_every_finding(pellucid, model):
    document = json.loads(pellucid("check", f"{model}:pictures", "--json").out)
    assert document["name"] == "corner-detector"
    assert document["failed"] is False
    assert document["inputs"] == {"pixels": [1, 8, 8]}
    assert document["outputs"] == [2]
    assert document["speed"]["backward"] > 0


def test_a_model_that_raises_is_7_and_the_report_is_still_printed(pellucid, model):
    answered = pellucid("check", f"{model}:broken")
    assert answered.code == 7
    assert "the moon is full" in " ".join(answered.out.split())
    document = json.loads(pellucid("check", f"{model}:broken", "--json").out)
    assert document["failed"] is True
    assert document["problems"][0]["severity"] == "failure"


def test_pictures_of_ones_own_are_shown_whole_and_cropped(pellucid, model, picture):
    answered = pellucid("check", f"{model}:pictures", "--data", picture)
    assert answered.code == 0
    assert "bright" in answered.out
    assert "cropped (crop=true)" in answered.out


def test_a_model_that_does_not_exist_is_usage(pellucid):
    answered = pellucid("check", "efficientnet-lit0")
    assert answered.code == 2
    assert answered.one_line
    assert "'efficientnet-lite0'" in answered.err
