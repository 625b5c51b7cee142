"""Non-sensitivity: features that a model ignores and those that a map leaves out, counted where they differ."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import pellucid as pl
from metrics.reasked import judge, linear, network, rows
from pellucid.core.errors import NotAnswerable
from pellucid.core.subject import Features
from pellucid.methods import Gradient, InputXGradient, Occlusion
from pellucid.metrics import NonSensitivity


def made(decision, *maps):
    """Answers with given scores."""
    return pl.Judgement(
        [
            pl.Attribution(
                scores=scores[None],
                value=torch.zeros(1),
                features=Features("element", torch.arange(scores.numel()).view(1, *scores.shape)),
                query=decision,
            )
            for scores in maps
        ]
    )


@settings(max_examples=30, deadline=None)
@given(st.lists(st.booleans(), min_size=2, max_size=8), st.data())
def test_it_is_the_size_of_the_symmetric_difference(used, data):
    named = data.draw(st.lists(st.booleans(), min_size=len(used), max_size=len(used)))
    weights = torch.tensor(used, dtype=torch.float64) * 2
    scores = torch.tensor(named, dtype=torch.float64) * -3
    found = NonSensitivity()(linear(weights[None]), made(pl.Decision(rows(1, len(used))), scores))
    irrelevant = {n for n, flag in enumerate(named) if not flag} if any(named) else set(range(len(used)))
    ignored = {n for n, flag in enumerate(used) if not flag}
    assert float(found.value) == len(irrelevant ^ ignored)
    assert float(found.control["constant"][0]) == len(ignored)
    assert float(found.control["random"][0]) == len(ignored)


def test_gradients_of_a_linear_model_agree_with_it():
    subject = linear([[1.0, 0.0, -2.0, 0.0]])
    found = judge(NonSensitivity(), subject, pl.Decision(rows(3, 4)), Gradient(), InputXGradient(), Occlusion())
    assert torch.equal(found.per_example, torch.zeros(3, 3, dtype=torch.float64))


def test_an_input_that_is_zero_has_no_score_though_the_model_would_react():
    point = torch.tensor([[1.0, 0.0, 2.0]], dtype=torch.float64)
    found = judge(NonSensitivity(), linear([[1.0, 1.0, 1.0]]), pl.Decision(point), InputXGradient(), Gradient())
    assert found.value.tolist() == [1, 0]


def test_in_the_convention_of_quantus_a_black_element_cannot_be_missed():
    point = torch.tensor([[1.0, 0.0, 2.0]], dtype=torch.float64)
    metric = NonSensitivity(compat="quantus")
    found = judge(metric, linear([[1.0, 1.0, 1.0]]), pl.Decision(point), InputXGradient(), Gradient())
    assert found.value.tolist() == [0, 1]


def test_scores_that_cancel_within_a_feature_are_no_zero():
    decision = pl.Decision(rows(1, 4))
    groups = torch.tensor([[0, 0, 1, 1]])
    judgement = made(decision, torch.tensor([1.0, -1.0, 0.0, 0.0]))
    subject = linear([[1.0, 1.0, 0.0, 0.0]])
    assert float(NonSensitivity(features=groups)(subject, judgement).value) == 0


def test_every_feature_is_changed_alone_to_values_within_the_bounds():
    seen = []

    class Sum(torch.nn.Module):
        def forward(self, columns):
            seen.append(columns.detach().clone())
            return columns.sum(1, keepdim=True)

    task = pl.tasks.Tabular(["a", "b", "c"], output="value", reference=torch.tensor([[0.0, -1, 5], [2, 1, 5]]))
    subject = pl.wrap(Sum(), task, name="seen")
    answer = Occlusion()(subject, pl.Decision([{"a": 1, "b": 0, "c": 5}]))
    seen.clear()
    NonSensitivity(draws=4)(subject, pl.Judgement([answer]))
    points = torch.cat(seen).unique(dim=0)
    changed = (points != points.new_tensor([1, 0, 5])).sum(1)
    assert int(changed.max()) == 1
    assert int(changed.sum()) == 8  # the third column has a single value
    assert bool((points >= points.new_tensor([0, -1, 5])).all() and (points <= points.new_tensor([2, 1, 5])).all())


def test_all_maps_share_the_models_answers():
    subject, decision = network(), pl.Decision(rows(2))
    one = judge(NonSensitivity(draws=3), subject, decision, Gradient())
    two = judge(NonSensitivity(draws=3), subject, decision, Gradient(), InputXGradient())
    assert one.evaluations == {"F": 2 + 2 * (3 * 7), "B": 0}
    assert two.evaluations == one.evaluations


def test_texts_of_different_length_are_judged_by_their_own_words():
    subject = pl.load("lstm-sentiment")
    texts = ["a gripping and funny film", "dull"]
    together = judge(NonSensitivity(), subject, pl.Decision(texts), Gradient())
    alone = judge(NonSensitivity(), subject, pl.Decision(texts[1:]), Gradient())
    assert float(together.per_example[0, 1]) == float(alone.value)


def test_whole_numbers_are_refused():
    subject = pl.wrap(
        torch.nn.Embedding(5, 2).requires_grad_(False), pl.tasks.TensorTask(output="value"), name="lookup"
    )
    decision = pl.Decision(torch.tensor([[1]]), target=(0, 0))
    with pytest.raises(NotAnswerable, match="whole numbers"):
        NonSensitivity()(subject, made(decision, torch.ones(1)))
