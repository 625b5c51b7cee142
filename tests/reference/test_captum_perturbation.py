"""Feature ablation, feature permutation and Shapley values agree with Captum."""

import captum.attr
import pytest
import torch

import pellucid as pl
from methods.shapley.games import network
from pellucid.methods import ExactShapley, FeatureAblation, KernelShap, Permutation

pytestmark = pytest.mark.reference


def rows(number, width=6):
    return torch.randn(number, width, generator=torch.Generator().manual_seed(1)).double()


@pytest.mark.parametrize("groups", [None, torch.tensor([0, 0, 1, 2, 1, 3])])
def test_features_and_groups_of_them_lose_the_same(groups):
    net, _ = network(0, 6, outputs=3)
    baseline = torch.full((1, 6), 0.25, dtype=torch.float64)
    theirs = captum.attr.FeatureAblation(net).attribute(rows(3), baseline, target=2, feature_mask=groups)
    ours = FeatureAblation(baseline=0.25, features=groups)(pl.wrap(net), pl.Decision(rows(3), target=2))
    first = torch.arange(6) if groups is None else torch.tensor([0, 2, 3, 5])  # each element has its group's whole fall
    expected = theirs.detach()[:, first]
    torch.testing.assert_close(torch.stack(ours.by_feature()), expected, rtol=0, atol=1e-12)


def test_permuting_within_the_batch_in_all_rotations_is_the_mean_over_its_rows():
    net, _ = network(1, 6, outputs=3)
    batch = rows(5)

    def rotated(steps):
        def permute(values, mask):
            values = values.clone()
            columns = mask[0].bool()
            values[:, columns] = values.roll(steps, 0)[:, columns]
            return values

        return captum.attr.FeaturePermutation(net, permute).attribute(batch, target=1).detach()

    theirs = torch.stack([rotated(steps) for steps in range(5)]).mean(0)
    ours = Permutation(rows=batch)(pl.wrap(net), pl.Decision(batch, target=1))
    torch.testing.assert_close(ours.scores, theirs, rtol=0, atol=1e-12)


def test_shapley_values_over_all_orders_are_equal():
    net, _ = network(2, 5, outputs=2)
    batch = rows(2, 5)
    theirs = captum.attr.ShapleyValues(net).attribute(batch, torch.zeros(1, 5).double(), target=0).detach()
    exact = ExactShapley(baseline=0.0)(pl.wrap(net), pl.Decision(batch, target=0))
    kernel = KernelShap(baseline=0.0)(pl.wrap(net), pl.Decision(batch, target=0))
    torch.testing.assert_close(exact.scores, theirs.double(), rtol=0, atol=1e-6)  # Captum answers in single precision
    torch.testing.assert_close(kernel.scores, theirs.double(), rtol=0, atol=1e-6)
