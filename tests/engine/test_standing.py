"""Who is better: Holm's procedure, paired tests that keep their level and find what is planted, intervals and ranks."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import wilcoxon

from pellucid.engine.standing import agreement, holm, mean_intervals, mean_ranks, paired, paired_tests

SHARES = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def table(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_holm_adjusts_as_by_hand():
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(SHARES)
def test_holm_rejects_exactly_what_the_step_down_procedure_rejects(found):
    p_values = np.array(found)
    rejected = np.zeros(len(p_values), dtype=bool)
    for step, place in enumerate(np.argsort(p_values, kind="stable")):
        if p_values[place] * (len(p_values) - step) >= 0.05:
            break
        rejected[place] = True
    assert ((holm(p_values) < 0.05) == rejected).all()


@given(SHARES)
def test_holm_never_lowers_a_p_value_and_keeps_their_order(found):
    p_values, adjusted = np.array(found), holm(np.array(found))
    assert (adjusted >= p_values).all()
    assert (np.diff(adjusted[np.argsort(p_values, kind="stable")]) >= 0).all()


def test_a_single_pair_is_tested_as_by_scipy_and_the_table_is_symmetric():
    values = table(1, 2, 30)
    found = paired_tests(values)[0]
    assert float(found[0, 1]) == pytest.approx(wilcoxon(values[0, 0].numpy(), values[0, 1].numpy()).pvalue)
    assert float(found[0, 1]) == float(found[1, 0])
    assert bool(found.diagonal().isnan().all())


def test_rows_that_are_equal_do_not_differ_and_few_examples_say_nothing():
    values = table(1, 1, 30).expand(1, 2, 30)
    assert float(paired_tests(values)[0, 0, 1]) == 1.0
    assert bool(paired_tests(table(2, 3, 5)).isnan().all())


def test_what_is_planted_is_found_and_rows_that_are_alike_rarely_differ():
    planted = table(3, 4, 60)
    planted[:, 0] += 1.5
    found = paired_tests(planted)
    assert bool((found[:, 0, 1:] < 0.05).all())
    wrong = [bool((paired_tests(table(2, 4, 40, seed=seed)) < 0.05).any()) for seed in range(150)]
    assert np.mean(wrong) <= 0.08  # 5 % over all pairs of a table; Holm allows no more


def test_examples_and_rows_that_were_not_judged_are_left_out_for_all():
    values = table(3, 10)
    values[1] = torch.nan
    values[2, 4] = torch.nan
    rows, kept = paired(values)
    assert rows.tolist() == [0, 2]
    assert kept.shape == (2, 9)
    found = mean_intervals(values, 0)
    assert bool(found[1].isnan().all())
    assert float(found[0, 0]) == pytest.approx(float(np.delete(values[0].numpy(), 4).mean()))


def test_intervals_of_means_hold_the_truth_in_95_of_100():
    held = [
        low <= 0 <= high for _, low, high in (mean_intervals(table(1, 80, seed=s), s)[0].tolist() for s in range(300))
    ]
    assert 0.91 <= np.mean(held) <= 0.98


def test_a_row_that_is_always_best_has_rank_one_for_certain_and_ties_share_a_rank():
    goods = table(2, 3, 40)
    goods[:, 2] = 10
    assert mean_ranks(goods, 0)[2].tolist() == [1, 1, 1]
    same = torch.ones(2, 3, 40, dtype=torch.float64)
    assert mean_ranks(same, 0)[:, 0].tolist() == [2, 2, 2]


def test_a_row_that_one_metric_did_not_judge_has_no_mean_rank():
    goods = table(2, 3, 20)
    goods[1, 0] = torch.nan
    found = mean_ranks(goods, 0)
    assert bool(found[0].isnan().all())
    assert sorted(found[1:, 0].tolist()) == [1, 2] or found[1:, 0].tolist() == [1.5, 1.5]


def test_metrics_that_order_rows_alike_agree_and_those_that_reverse_them_disagree():
    one = table(1, 5, 30)
    found = agreement(torch.cat([one, 3 * one + 1, -one]))
    assert found[0].tolist() == pytest.approx([1, 1, -1])
    assert bool(agreement(torch.ones(2, 4, 6, dtype=torch.float64)).isnan().all())
