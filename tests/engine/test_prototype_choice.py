"""Prototypes and criticisms: greedy choices against all subsets, and closed forms on planted clusters."""

import itertools
import math

import pytest
import torch

from pellucid.engine.prototype_choice import (
    discrepancy,
    greedy_criticisms,
    greedy_medoids,
    greedy_prototypes,
    kernel,
    spread,
    squared_distances,
)


def points(number, seed=0, width=2):
    return torch.randn(number, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def objective(similar, chosen):
    """What kim2016examples maximise: the discrepancy without the part that does not depend on the choice."""
    return float(2 * similar[:, chosen].mean() - similar[chosen][:, chosen].mean())


def test_the_kernel_has_the_median_distance_as_its_width():
    line = torch.tensor([[0.0], [1.0], [3.0]])
    similar, width = kernel(squared_distances(line))
    assert width == pytest.approx(2)
    assert float(similar[0, 2]) == pytest.approx(math.exp(-9 / 8))
    same, one = kernel(squared_distances(torch.zeros(3, 2)))
    assert one == 1
    assert bool((same == 1).all())


@pytest.mark.parametrize("seed", range(6))
def test_greedy_prototypes_reach_the_guaranteed_share_of_the_best_of_all_subsets(seed):
    similar, _ = kernel(squared_distances(points(9, seed)))
    found = greedy_prototypes(similar, 3).tolist()
    best = max(objective(similar, list(chosen)) for chosen in itertools.combinations(range(9), 3))
    assert objective(similar, found) >= (1 - 1 / math.e) * best
    first = max(range(9), key=lambda place: objective(similar, [place]))
    second = max(set(range(9)) - {first}, key=lambda place: objective(similar, [first, place]))
    assert found[:2] == [first, second]
    assert discrepancy(similar, torch.tensor(found)) == pytest.approx(
        float(similar.mean()) - objective(similar, found), abs=1e-12
    )


def test_the_discrepancy_falls_with_every_prototype_and_ends_at_nothing():
    similar = (-squared_distances(points(30, 3)) / (2 * 0.05**2)).exp()  # narrow, which makes the objective monotone
    order = greedy_prototypes(similar, 30)
    falls = [discrepancy(similar, order[:size]) for size in range(1, 31)]
    assert sorted(order.tolist()) == list(range(30))
    assert all(after < before for before, after in itertools.pairwise(falls))
    assert falls[-1] == pytest.approx(0, abs=1e-12)


def test_each_planted_cluster_gets_a_prototype_and_outliers_are_criticised():
    centres = torch.tensor([[0.0, 0.0], [20.0, 0.0], [0.0, 20.0]], dtype=torch.float64)
    rows = torch.cat([centres.repeat_interleave(10, 0) + 0.3 * points(30, 1), torch.tensor([[20.0, 20.0]]).double()])
    squared = squared_distances(rows)
    similar = (-squared / (2 * 2.0**2)).exp()
    prototypes = greedy_prototypes(similar, 3)
    assert {number // 10 for number in prototypes.tolist()} == {0, 1, 2}
    assert greedy_criticisms(similar, prototypes, 1).tolist() == [30]
    medoids = greedy_medoids(squared, 4).tolist()
    assert {min(number // 10, 3) for number in medoids} == {0, 1, 2, 3}


def test_criticisms_are_greedy_for_the_witness_and_the_log_determinant():
    similar, _ = kernel(squared_distances(points(8, 5)))
    prototypes = greedy_prototypes(similar, 2)
    witness = (similar.mean(0) - similar[prototypes].mean(0)).abs()

    def worth(chosen):
        return float(witness[chosen].sum() + torch.logdet(similar[chosen][:, chosen]))

    chosen = []
    for _ in range(3):
        left = sorted(set(range(8)) - set(prototypes.tolist()) - set(chosen))
        chosen.append(max(left, key=lambda place: worth([*chosen, place])))
    assert greedy_criticisms(similar, prototypes, 3).tolist() == chosen


def test_medoids_are_greedy_for_the_distance_to_the_nearest():
    squared = squared_distances(points(12, 7))
    found = greedy_medoids(squared, 3)
    assert int(found[0]) == int(squared.sqrt().sum(1).argmin())
    costs = [spread(squared, torch.tensor([*found[:2].tolist(), place])) for place in range(12)]
    assert spread(squared, found) == pytest.approx(min(costs))
    assert spread(squared, torch.arange(12)) == 0
