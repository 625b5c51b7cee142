"""Class responses as data: dominance by feature, shares, the attribution of each class, what is refused."""

import pytest
import torch

import pellucid as pl
from pellucid.core.errors import BadInput
from pellucid.core.subject import Features
from pellucid.results.class_response import ClassResponse

# Two words of two tokens each, a special token first, padding last.
SEGMENTS = torch.tensor([[-1, 0, 0, 1, 1, -1]])[:, :, None]
RESPONSES = torch.tensor([[[9, 1, 2, -1, -1, 0], [9, -1, 1, 2, 1, 0], [0, 0, 0, -2, -2, 0]]]).double()[..., None]


def made(**changes):
    fields = {
        "responses": RESPONSES,
        "classes": torch.tensor([[4, 0, 2]]),
        "value": torch.tensor([[1.0, 2.0, 3.0]]),
        "features": Features("word", SEGMENTS, (("good", "day"),), (((0, 4), (5, 8)),)),
        "labels": ("a", "b", "c", "d", "e"),
        "mask": torch.tensor([[True] * 5 + [False]]),
    }
    return ClassResponse(**(fields | changes))


def test_dominance_is_by_feature_and_outside_of_features_there_is_none():
    found = made()
    assert found.by_feature()[0].tolist() == [[3.0, -2.0], [0.0, 3.0], [0.0, -4.0]]
    assert found.dominant_response[0, :, 0].tolist() == [0, 3, 3, 3, 3, 0]
    assert found.dominant_class[0, :, 0].tolist() == [-1, 4, 4, 0, 0, -1]


def test_shares_are_of_the_positive_dominant_response():
    assert made().shares().tolist() == [[0.5, 0.5, 0.0]]
    nothing = made(responses=-RESPONSES.abs())
    assert nothing.shares().tolist() == [[0.0, 0.0, 0.0]]
    assert "none" in nothing.summary()


def test_table_and_summary_name_classes_and_features():
    assert [(row["class"], row["dominates"], row["strongest"]) for row in made().table()] == [
        ("e", 0.5, "good"),
        ("a", 0.5, "day"),
        ("c", 0.0, "good"),
    ]
    assert made().summary() == "Of what speaks for any of the classes, most speaks for e in 50%, a in 50%"


def test_one_class_is_an_attribution_of_its_own():
    one = made(converged=torch.tensor([[True, False, True]])).of_class(1)
    assert isinstance(one, pl.Attribution)
    assert torch.equal(one.scores, RESPONSES[:, 1])
    assert (one.target.tolist(), one.value.tolist(), one.converged.tolist()) == ([0], [2.0], [False])
    assert one.question() == "a"


@pytest.mark.parametrize(
    "changes",
    [{"classes": torch.tensor([[1, 2]])}, {"value": torch.ones(2, 3)}, {"residual": torch.ones(1, 2)}]
    + [{"features": Features("element", torch.zeros(2, 6, 1, dtype=torch.long))}],
)
def test_fields_that_contradict_each_other_are_refused_also_from_a_file(changes, tmp_path):
    with pytest.raises(ValueError, match=r"responses are of|features have"):
        made(**changes)
    path = made().save(tmp_path / "answer.pellucid")
    assert pl.Result.load(path).table() == made().table()
    with pytest.raises(BadInput, match="not Attribution"):
        pl.Attribution.load(path)
