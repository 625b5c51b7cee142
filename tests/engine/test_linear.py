"""Weighted linear models: equal to dense least squares, and honest about how far they can be trusted."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.linear_model import Lasso

from pellucid.engine import linear


def make(rows=200, features=5, seed=0, noise=0.3):
    source = np.random.default_rng(seed)
    data = source.integers(0, 2, (rows, features)).astype(float)
    answers = data @ source.normal(size=features) + noise * source.normal(size=rows) + 2.0
    weights = source.uniform(0.1, 1.0, rows)
    return torch.from_numpy(data), torch.from_numpy(answers), torch.from_numpy(weights)


def gathered(data, answers, weights, block=64):
    moments = linear.Moments(data.shape[1])
    for part in torch.arange(len(data)).split(block):
        moments.add(data[part], answers[part], weights[part])
    return moments


def dense_ridge(data, answers, weights, penalty):
    """Least squares on rows scaled by the root of their weight, with one more row per coefficient for the penalty."""
    data, answers, root = data.numpy(), answers.numpy(), weights.sqrt().numpy()
    features = data.shape[1]
    left = np.vstack(
        [
            np.hstack([root[:, None], data * root[:, None]]),
            np.hstack([np.zeros((features, 1)), math.sqrt(penalty) * np.eye(features)]),
        ]
    )
    solution = np.linalg.lstsq(left, np.concatenate([answers * root, np.zeros(features)]), rcond=None)[0]
    return solution[0], solution[1:]


def weighted_r2(data, answers, weights):
    intercept, coefficients = dense_ridge(data, answers, weights, 0.0)
    residual = answers.numpy() - intercept - data.numpy() @ coefficients
    centred = answers.numpy() - np.average(answers.numpy(), weights=weights.numpy())
    return 1 - (weights.numpy() @ residual**2) / (weights.numpy() @ centred**2)


@pytest.mark.parametrize("penalty", [None, 0.01, 50.0])
def test_ridge_equals_dense_least_squares(penalty):
    data, answers, weights = make()
    given = () if penalty is None else (penalty,)
    model = linear.ridge(gathered(data, answers, weights), torch.arange(5), *given)
    intercept, coefficients = dense_ridge(data, answers, weights, *(given or (1.0,)))
    assert model.coefficients.numpy() == pytest.approx(coefficients, abs=1e-12)
    assert float(model.intercept) == pytest.approx(intercept, abs=1e-12)
    assert model.predict(data).numpy() == pytest.approx(intercept + data.numpy() @ coefficients, abs=1e-12)


@settings(deadline=None, max_examples=30)
@given(block=st.integers(1, 90), seed=st.integers(0, 1000))
def test_the_size_of_the_blocks_does_not_matter(block, seed):
    rows = make(rows=90, seed=seed)
    whole, parts = gathered(*rows, block=90), gathered(*rows, block=block)
    assert torch.allclose(whole.scatter, parts.scatter, rtol=1e-11, atol=1e-11)
    assert torch.allclose(whole.mean, parts.mean, rtol=1e-12, atol=1e-12)
    assert parts.effective == pytest.approx(float(rows[2].sum() ** 2 / rows[2].square().sum()), rel=1e-12)


def test_a_large_common_offset_costs_no_digits():
    data, answers, weights = make()
    offset = 2.0**27
    near = linear.ridge(gathered(data, answers, weights), torch.arange(5))
    far = linear.ridge(gathered(data, answers + offset, weights), torch.arange(5))
    assert torch.allclose(near.coefficients, far.coefficients, atol=1e-8)
    assert float(far.r2) == pytest.approx(float(near.r2), abs=1e-8)


def test_r2_is_the_weighted_share_of_explained_variation():
    data, answers, weights = make(noise=1.0)
    model = linear.ridge(gathered(data, answers, weights), torch.arange(5))
    residual = answers - model.predict(data)
    variation = answers - (weights @ answers) / weights.sum()
    expected = 1 - float(weights @ residual.square()) / float(weights @ variation.square())
    assert float(model.r2) == pytest.approx(expected, abs=1e-12)


def test_answers_that_do_not_vary_give_coefficients_of_zero():
    data, _, weights = make()
    moments = gathered(data, torch.full((200,), 1 / 3, dtype=torch.float64), weights)
    model = linear.ridge(moments, torch.arange(5))
    assert moments.constant
    assert float(model.r2) == 1
    assert model.coefficients.abs().max() < 1e-12


def test_answers_that_vary_little_around_a_large_number_are_not_constant():
    data, _, weights = make()
    assert not gathered(data, 1e6 + 1e-6 * data[:, 0], weights).constant


def test_forward_selection_adds_the_column_that_raises_r2_most():
    data, answers, weights = make(rows=80, features=7, seed=3, noise=1.5)
    expected: list[int] = []
    for _ in range(5):
        left = [column for column in range(7) if column not in expected]
        expected.append(max(left, key=lambda column: weighted_r2(data[:, [*expected, column]], answers, weights)))
    assert linear.forward_selection(gathered(data, answers, weights), 5).tolist() == expected


def test_forward_selection_breaks_ties_by_index_and_takes_copies_last():
    data, _, weights = make(features=4)
    data[:, 2] = data[:, 0]
    answers = data[:, 0] + 0.5 * data[:, 1]
    assert linear.forward_selection(gathered(data, answers, weights), 4).tolist() == [0, 1, 2, 3]


def test_highest_weights_orders_by_coefficient_times_instance():
    data, answers, weights = make()
    instance = torch.tensor([1.0, 0.0, 3.0, 1.0, 1.0], dtype=torch.float64)
    _, coefficients = dense_ridge(data, answers, weights, 0.01)
    expected = np.argsort(-np.abs(coefficients * instance.numpy()), kind="stable")[:4]
    assert linear.highest_weights(gathered(data, answers, weights), instance, 4).tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("terms", "method"), [(3, "forward"), (6, "forward"), (7, "weights"), (None, "all"), (99, "all")]
)
def test_up_to_six_terms_are_selected_forward(terms, method):
    data, answers, weights = make(rows=120, features=9, seed=5, noise=2.0)
    moments, instance = gathered(data, answers, weights), torch.ones(9, dtype=torch.float64)
    expected = {
        "forward": lambda: linear.forward_selection(moments, terms),
        "weights": lambda: linear.highest_weights(moments, instance, terms),
        "all": lambda: torch.arange(9),
    }[method]()
    assert linear.chosen(moments, instance, terms).tolist() == expected.tolist()


def test_intervals_are_the_leave_one_out_sandwich():
    data, answers, weights = make(rows=60, features=3, noise=1.0)
    moments = gathered(data, answers, weights)
    model = linear.ridge(moments, torch.arange(3))
    low, high = linear.interval([(data, answers, weights)], moments, model)

    design = np.hstack([np.ones((60, 1)), data.numpy()])
    root = np.sqrt(weights.numpy())
    inverse = np.linalg.inv(design.T @ (design * weights.numpy()[:, None]))
    fitted = inverse @ design.T @ (weights.numpy() * answers.numpy())
    hat = np.einsum("ij,jk,ik->i", design * root[:, None], inverse, design * root[:, None])
    error = weights.numpy() * (answers.numpy() - design @ fitted) / (1 - hat)
    deviation = np.sqrt(np.diag(inverse @ (design.T @ (design * error[:, None] ** 2)) @ inverse))[1:]
    reach = stats.t.ppf(0.975, moments.effective - 4) * deviation
    assert low.numpy() == pytest.approx(np.minimum(fitted[1:] - reach, model.coefficients.numpy()), abs=1e-10)
    assert high.numpy() == pytest.approx(np.maximum(fitted[1:] + reach, model.coefficients.numpy()), abs=1e-10)


def test_intervals_hold_the_long_run_coefficients_in_95_of_100_cases():
    masks = torch.tensor(list(itertools.product([0.0, 1.0], repeat=5)), dtype=torch.float64)
    function = masks[:, 0] * masks[:, 1] + torch.sin(3 * masks @ torch.arange(5).double()) + masks[:, 4]
    kernel = 0.2 + masks.mean(1)
    _, truth = dense_ridge(masks, function, kernel, 0.0)
    inside = []
    for seed in range(400):
        drawn = torch.randint(32, (120,), generator=torch.Generator().manual_seed(seed))
        block = (masks[drawn], function[drawn], kernel[drawn])
        moments = gathered(*block)
        low, high = linear.interval([block], moments, linear.ridge(moments, torch.arange(5)))
        inside.append((low.numpy() <= truth) & (truth <= high.numpy()))
    assert 0.94 <= np.mean(inside) <= 0.98


def test_the_interval_of_a_noiseless_linear_answer_spans_the_shrinkage_of_the_ridge():
    data, _, weights = make()
    truth = torch.tensor([1.0, -2.0, 0.0, 3.0, 0.5], dtype=torch.float64)
    block = (data, data @ truth, weights)
    moments = gathered(*block)
    model = linear.ridge(moments, torch.arange(5))
    low, high = linear.interval([block], moments, model)
    assert bool(((low - 1e-9 <= truth) & (truth <= high + 1e-9)).all())
    assert torch.allclose(high - low, (truth - model.coefficients).abs(), atol=1e-9)


def test_a_column_that_never_changes_is_unbounded_and_spares_the_others():
    data, answers, weights = make(features=4)
    data[:, 1] = 1.0
    moments = gathered(data, answers, weights)
    low, high = linear.interval([(data, answers, weights)], moments, linear.ridge(moments, torch.arange(4)))
    assert low.isinf().tolist() == high.isinf().tolist() == [False, True, False, False]


def test_columns_that_cannot_be_told_apart_are_unbounded():
    data, answers, weights = make(features=4)
    data[:, 1] = data[:, 0]
    moments = gathered(data, answers, weights)
    low, high = linear.interval([(data, answers, weights)], moments, linear.ridge(moments, torch.arange(4)))
    assert bool((low.isinf() & high.isinf()).all())


def test_too_little_weight_for_the_number_of_terms_leaves_coefficients_unbounded():
    data, answers, _ = make()
    weights = torch.full((200,), 1e-9, dtype=torch.float64)
    weights[0] = 1.0
    moments = gathered(data, answers, weights)
    low, _ = linear.interval([(data, answers, weights)], moments, linear.ridge(moments, torch.arange(5)))
    assert moments.effective == pytest.approx(1.0, abs=1e-3)
    assert bool(low.isinf().all())


def test_a_block_without_weight_changes_nothing_but_the_count():
    data, answers, weights = make()
    moments = gathered(data, answers, weights)
    before = moments.scatter.clone()
    moments.add(data, answers * 9, torch.zeros_like(weights))
    assert torch.equal(moments.scatter, before)
    assert moments.rows == 400


def test_the_lasso_is_that_of_scikit_learn():
    data, answers, weights = make(features=6)
    model = linear.lasso(gathered(data, answers, weights), torch.tensor([0, 1, 3, 4, 5]), 0.05)
    expected = Lasso(alpha=0.05, tol=1e-12, max_iter=100_000)
    expected.fit(data[:, [0, 1, 3, 4, 5]].numpy(), answers.numpy(), sample_weight=weights.numpy())
    assert model.coefficients.numpy() == pytest.approx(expected.coef_, abs=1e-5)
    assert float(model.intercept) == pytest.approx(float(expected.intercept_), abs=1e-5)
    assert 0 in model.coefficients.tolist()


@pytest.mark.parametrize("columns", [[], [2], [0, 2, 4]])
def test_what_columns_explain_is_their_own_r2(columns):
    data, answers, weights = make()
    expected = weighted_r2(data[:, columns], answers, weights)
    assert linear.explained(gathered(data, answers, weights), torch.tensor(columns)) == pytest.approx(
        expected, abs=1e-9
    )


def test_columns_that_are_copies_explain_no_more_than_one_of_them():
    data, answers, weights = make(features=3)
    data[:, 1] = data[:, 0]
    moments = gathered(data, answers, weights)
    both, one = (linear.explained(moments, torch.tensor(columns)) for columns in ([0, 1], [0]))
    assert both == pytest.approx(one, abs=1e-9)


def test_several_answers_have_the_moments_of_each():
    data, answers, weights = make()
    together = linear.Moments(5, 2)
    together.add(data, torch.stack([answers, -2 * answers.square()], 1), weights)
    alone = gathered(data, -2 * answers.square(), weights)
    assert torch.allclose(together.of(1).scatter, alone.scatter, rtol=1e-10)
    assert torch.allclose(together.of(1).mean, alone.mean, rtol=1e-10)
    assert together.of(1).effective == pytest.approx(alone.effective)


def test_intervals_of_rows_drawn_in_pairs_hold_the_long_run():
    weights = torch.randn(4, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def curved(masks):
        return torch.einsum("nf,fg,ng->n", masks, weights[0], masks) + (2 * masks @ weights[1, 0]).sin()

    every = torch.tensor(list(itertools.product([0.0, 1.0], repeat=6)), dtype=torch.float64)
    _, truth = dense_ridge(every, curved(every), 0.3 + every.mean(1), 0.0)
    inside = []
    for seed in range(300):
        half = torch.randint(2, (40, 6), generator=torch.Generator().manual_seed(seed)).double()
        masks = torch.stack([half, 1 - half], 1).view(-1, 6)
        block = (masks, curved(masks), 0.3 + masks.mean(1))
        moments = gathered(*block)
        low, high = linear.interval([block], moments, linear.ridge(moments, torch.arange(6)), together=2)
        inside.append((low.numpy() <= truth) & (truth <= high.numpy()))
    assert 0.93 <= np.mean(inside) <= 0.985
