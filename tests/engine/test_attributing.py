"""From scores to an answer: padding is zero, features have names a person can read, the question is on record."""

import torch
from torch import nn

import pellucid as pl
from pellucid.core.query import Decision
from pellucid.core.subject import Inputs
from pellucid.engine.attributing import attribution, readable_features
from pellucid.engine.targets import resolve

SCORES = torch.arange(1.0, 13.0, dtype=torch.float64).view(2, 3, 2)
MASK = torch.tensor([[True, True, False], [True, True, True]])


class PaddingMatters(nn.Module):
    """A sum over all positions, padding included: a model that ignores its mask."""

    def forward(self, sequence):
        return sequence.sum((1, 2))[:, None] * torch.tensor([1.0, -1.0], dtype=sequence.dtype)


def answered(at="input", **asked):
    task = pl.tasks.Sequence(channels=("left", "right"), labels=("yes", "no"))
    subject = pl.wrap(PaddingMatters(), task, name="sum")
    inputs = Inputs({"sequence": SCORES}, "sequence", MASK)
    query = Decision(inputs, at=at, **({"target": "no"} | asked))
    target = resolve(subject, inputs, query)
    return attribution(subject, inputs, query, target, SCORES, torch.ones(2))


def test_padding_scores_exactly_zero_whatever_the_model_made_of_it():
    answer = answered()
    assert not answer.scores[~MASK].any()
    assert torch.equal(answer.scores[MASK], SCORES[MASK])
    assert torch.equal(answer.mask, MASK)


def test_a_method_on_a_model_that_ignores_its_mask_gives_padding_no_score():
    task = pl.tasks.Sequence(channels=("left", "right"), labels=("yes", "no"))
    subject = pl.wrap(PaddingMatters(), task, name="sum")
    answer = pl.methods.Gradient()(subject, Decision([torch.ones(2, 2), torch.ones(3, 2)], target=0))
    assert answer.scores.tolist() == [[[1.0, 1.0], [1.0, 1.0], [0.0, 0.0]], [[1.0, 1.0]] * 3]


def test_the_question_is_on_record_in_words():
    answer = answered(foil="yes")
    assert answer.question() == "no rather than yes"
    assert answer.target.tolist() == [1, 1]
    assert answer.foil.tolist() == [0, 0]


def test_at_a_layer_channels_are_features_and_there_is_no_padding():
    answer = answered(at="layer")
    assert answer.mask is None
    assert torch.equal(answer.scores, SCORES)
    assert answer.features.kind == "channel"
    assert [sums.tolist() for sums in answer.by_feature()] == [[3.0, 7.0, 11.0], [15.0, 19.0, 23.0]]


def test_features_are_the_finest_that_a_person_can_read():
    cases = {
        "position": (pl.tasks.Sequence("ab"), "ab"),
        "column": (pl.tasks.Tabular(("a", "b")), [1, 2]),
        "pixel": (pl.tasks.Image(4), torch.zeros(1, 3, 4, 4)),
        "element": (None, torch.zeros(1, 3)),
    }
    for kind, (task, raw) in cases.items():
        subject = pl.wrap(nn.Identity(), task)
        assert readable_features(subject, subject.prepare(raw)).kind == kind
