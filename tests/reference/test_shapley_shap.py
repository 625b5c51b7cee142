"""Shapley and Owen values agree with the shap package where both are exact, and ours is nearer where neither is."""

import warnings

import numpy as np
import pytest
import torch

import pellucid as pl
from methods.shapley.games import asked, network, table
from methods.shapley.test_kernel_shap import apart, perceptron
from pellucid.methods import ExactShapley, KernelShap, PartitionShap, PermutationShap

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it asks matplotlib for what will be gone
    import shap

pytestmark = [pytest.mark.reference, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


def of_rows(worth):
    return lambda rows: worth(torch.from_numpy(np.asarray(rows, dtype=np.float64))).numpy()


def theirs(explainer, players):
    return torch.from_numpy(np.asarray(explainer(np.ones((1, players))).values[0], dtype=np.float64))


@pytest.mark.parametrize("players", [3, 6, 9])
def test_exact_values_are_equal(players):
    worth = table(players, players)
    explainer = shap.explainers.Exact(of_rows(worth), shap.maskers.Independent(np.zeros((1, players))))
    found = asked(ExactShapley(baseline=0.0), worth, players).scores[0]
    torch.testing.assert_close(found, theirs(explainer, players), rtol=0, atol=1e-9)


def test_the_kernel_regression_with_every_coalition_is_equal():
    worth = table(1, 8)
    explainer = shap.KernelExplainer(of_rows(worth), np.zeros((1, 8)))
    expected = explainer.shap_values(np.ones((1, 8)), nsamples=2**8, l1_reg=False, silent=True)[0]
    found = asked(KernelShap(baseline=0.0), worth, 8).scores[0]
    torch.testing.assert_close(found, torch.from_numpy(expected), rtol=0, atol=1e-8)


LINKAGES = {
    "balanced": [[0, 1, 0.1, 2], [2, 3, 0.1, 2], [4, 5, 0.1, 2], [6, 7, 0.5, 4], [8, 9, 1, 6]],
    "leaning": [[2, 4, 0.1, 2], [0, 6, 0.2, 3], [1, 7, 0.3, 4], [3, 8, 0.4, 5], [5, 9, 0.5, 6]],
}


@pytest.mark.parametrize("shape", LINKAGES)
def test_owen_values_are_equal(shape):
    worth, linkage = table(2, 6), np.array(LINKAGES[shape], dtype=np.float64)
    masker = shap.maskers.Partition(np.zeros((1, 6)), clustering=linkage)
    explainer = shap.explainers.Partition(of_rows(worth), masker)
    found = asked(PartitionShap(baseline=0.0, hierarchy=torch.from_numpy(linkage)), worth, 6).scores[0]
    torch.testing.assert_close(found, theirs(explainer, 6), rtol=0, atol=1e-6)


def test_permutations_are_equal_where_only_pairs_interact():
    mixed = torch.randn(6, 6, generator=torch.Generator().manual_seed(0)).double().triu(1)

    def worth(rows):
        return ((rows @ mixed) * rows).sum(1) + rows[:, 0]

    explainer = shap.explainers.Permutation(of_rows(worth), shap.maskers.Independent(np.zeros((1, 6))), seed=0)
    found = asked(PermutationShap(baseline=0.0), worth, 6).scores[0]
    torch.testing.assert_close(found, theirs(explainer, 6), rtol=0, atol=1e-9)


def test_with_as_many_coalitions_ours_is_nearer_to_a_network_than_the_kernel_explainer():
    ours, peers = [], []
    for seed in range(4):
        worth, exact = perceptron(seed)
        ours.append(apart(asked(KernelShap(baseline=0.0, budget=300, tolerance=1e-9), worth, 12), exact))
        explainer = shap.KernelExplainer(of_rows(worth), np.zeros((1, 12)), seed=seed)
        found = explainer.shap_values(np.ones((1, 12)), nsamples=300, l1_reg=False, silent=True)[0]
        peers.append(float((torch.from_numpy(found) - exact).norm() / exact.norm()))
    assert sum(ours) < 0.8 * sum(peers)


def test_a_network_of_several_rows_has_equal_values_for_a_class():
    net, _ = network(3, 6, outputs=3)
    rows = torch.randn(2, 6, generator=torch.Generator().manual_seed(1)).double()
    with torch.no_grad():
        explainer = shap.explainers.Exact(
            lambda batch: net(torch.from_numpy(batch)).detach().numpy()[:, 1],
            shap.maskers.Independent(np.zeros((1, 6))),
        )
        expected = torch.from_numpy(explainer(rows.numpy()).values)
    found = ExactShapley(baseline=0.0)(pl.wrap(net), pl.Decision(rows, target=1))
    torch.testing.assert_close(found.scores, expected, rtol=0, atol=1e-9)
