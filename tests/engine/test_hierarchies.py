"""Hierarchies: neighbours stay together, correlated columns too, and every feature is in them once."""

import pytest
import torch

import pellucid as pl
from pellucid.core.errors import UsageError
from pellucid.engine.coalitions import players
from pellucid.engine.hierarchies import checked, halves, joins, members


@pytest.mark.parametrize("number", [1, 2, 3, 8, 13])
def test_halves_join_neighbours_until_all_are_one(number):
    held = members(halves(number), number)
    assert held[-1].all()
    for group in held:
        places = group.nonzero()[:, 0]
        assert places.tolist() == list(range(int(places[0]), int(places[-1]) + 1))
    assert int(held.sum(1).max()) == number


def test_correlated_columns_are_joined_first():
    draws = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    draws[:, 2] = -draws[:, 0] + 0.01 * draws[:, 2]
    task = pl.tasks.Tabular(list("abcd"), reference=draws)
    subject = pl.wrap(lambda rows: rows, task)
    inputs = subject.prepare(draws[:1])
    tree = joins(subject, inputs, players(subject, inputs, None), 0)
    assert sorted(tree[0].tolist()) == [0, 2]
    assert members(tree, 4)[-1].all()


def test_cells_of_a_picture_are_joined_with_cells_beside_them():
    subject = pl.wrap(lambda pixels: pixels.mean((2, 3)), pl.tasks.Image(8))
    inputs = subject.prepare(torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)))
    features = players(subject, inputs, "grid", 16)
    tree = joins(subject, inputs, features, 0)
    for left, right in tree[:4].tolist():
        assert abs(left // 4 - right // 4) + abs(left % 4 - right % 4) == 1
    assert members(tree, 16)[-1].all()


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (torch.tensor([[0, 1]]), r"\[2, 2\]"),
        (torch.tensor([0, 1, 2]), r"\[2, 2\]"),
        (torch.tensor([[0, 4], [1, 2]]), "not there yet"),
        (torch.tensor([[0, 1], [0, 2]]), "twice"),
    ],
)
def test_what_is_no_hierarchy_is_refused(wanted, said):
    with pytest.raises(UsageError, match=said):
        checked(wanted, 3)


def test_a_linkage_of_scipy_is_a_hierarchy():
    linkage = torch.tensor([[0.0, 2.0, 0.3, 2.0], [1.0, 3.0, 0.9, 3.0]])
    assert checked(linkage, 3).tolist() == [[0, 2], [1, 3]]
