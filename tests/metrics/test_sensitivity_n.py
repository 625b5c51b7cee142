"""Sensitivity-n: exactly one for linear contributions at every size, and a curve over the share of features."""

import pytest
import torch

import pellucid as pl
from metrics.plain_rows import letters, made, rows, wrapped
from pellucid.core.errors import UsageError
from pellucid.methods import Gradient, InputXGradient
from pellucid.metrics import SensitivityN


def test_contributions_of_a_linear_model_have_it_for_every_n_and_its_gradient_has_not():
    (weights,) = rows(1, 40, 0)
    subject = wrapped(lambda point: (point * weights).sum(1, keepdim=True))
    decision = pl.Decision(rows(3, 40))
    answers = [method(subject, decision) for method in (InputXGradient(), Gradient())]
    found = SensitivityN(subsets=30)(subject, pl.Judgement(answers))
    assert torch.allclose(found.curve[0], torch.ones(7, dtype=torch.float64), atol=1e-12)
    assert torch.allclose(found.per_example[0], torch.ones(3, dtype=torch.float64), atol=1e-12)
    assert float(found.value[1]) < 0.5


def test_a_sum_of_products_is_additive_only_up_to_single_features():
    """``x₁x₂ + x₃x₄ + …``: erasing one feature loses its product, which input × gradient tells; two may share one."""
    subject = wrapped(lambda point: point.unflatten(1, (-1, 2)).prod(2).sum(1, keepdim=True))
    decision = pl.Decision(rows(2, 12))
    answer = InputXGradient()(subject, decision)
    found = SensitivityN(shares=(1 / 12, 0.5), subsets=200)(subject, pl.Judgement([answer]))
    assert float(found.curve[0, 0]) == pytest.approx(1, abs=1e-12)
    assert float(found.curve[0, 1]) < 0.99
    assert torch.allclose(found.value, found.curve[:1].mean(1))


def test_the_curve_is_the_correlation_over_all_sets_where_these_are_few():
    subject = wrapped(lambda point: (point.cumsum(1).tanh() * point).sum(1, keepdim=True))
    inputs, scores = rows(1, 5), rows(1, 5, seed=2)
    found = SensitivityN(shares=(0.01, 0.4, 0.99))(subject, pl.Judgement([made(pl.Decision(inputs), scores)]))
    for place, size in enumerate((1, 2, 4)):
        sets = torch.combinations(torch.arange(5), size).view(-1, size)
        erased = torch.stack([inputs[0].index_fill(0, chosen, 0) for chosen in sets])
        falls = (subject.scores(inputs) - subject.scores(erased))[:, 0]
        expected = torch.corrcoef(torch.stack([scores[0][sets].sum(1), falls]))[0, 1]
        assert float(found.curve[0, place]) == pytest.approx(float(expected), abs=1e-12)


def test_texts_of_different_length_have_their_own_sizes():
    subject = letters(torch.arange(6.0))
    decision = pl.Decision(["fadebead", "be", "a"])
    found = SensitivityN()(subject, pl.Judgement([InputXGradient()(subject, decision)]))
    assert found.per_example[0].tolist() == pytest.approx([1, 1, 0], abs=1e-6)
    assert found.control["constant"].tolist() == [0, 0, 0]
    assert found.curve.shape == (3, 7)


def test_shares_beyond_the_ends_are_refused():
    for shares in ((), (0.0, 0.5), (0.5, 1.0)):
        with pytest.raises(UsageError, match="between 0 and 1"):
            SensitivityN(shares=shares)
