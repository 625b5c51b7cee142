"""Proximal descent: minima that are known in closed form, each row by itself."""

import torch

from pellucid.engine.proximal import Cost, descend

ENDLESS = torch.full((4,), torch.inf).double()


def quadratic(curves, middle):
    """``Σ curve · (u − middle)²`` per row."""

    def loss(offsets, rows):
        return (curves[rows, None] * (offsets - middle).square()).sum(1)

    def loss_and_slopes(offsets, rows):
        return loss(offsets, rows), 2 * curves[rows, None] * (offsets - middle)

    return loss, loss_and_slopes


def test_the_minimum_is_the_soft_threshold_within_the_bounds():
    curves, middle = torch.tensor([0.01, 1.0, 1e4]).double(), torch.tensor([3.0, -2.0, 0.001, 0.5]).double()
    cost = Cost(0.3, 0.5, -ENDLESS, torch.tensor([1.0, torch.inf, torch.inf, torch.inf]).double())
    found, rests = descend(*quadratic(curves, middle), cost, torch.zeros(3, 4).double(), 2000, 1e-10)
    pull = 2 * curves[:, None] * middle
    expected = pull.sign() * (pull.abs() - 0.3).clamp(min=0) / (2 * curves[:, None] + 2 * 0.5)
    assert bool(rests.all())
    assert torch.allclose(found, expected.clamp(max=cost.high), atol=1e-7)
    assert bool((found[0, 2:] == 0).all())


def test_rows_do_not_depend_on_each_other():
    curves, middle = torch.tensor([0.5, 3.0]).double(), torch.tensor([1.0, -1.0, 2.0, 0.0]).double()
    cost, starts = Cost(0.1, 0.0, -ENDLESS, ENDLESS), torch.tensor([[0.0] * 4, [5.0] * 4]).double()
    together = descend(*quadratic(curves, middle), cost, starts, 50, 1e-9)[0]
    for row in range(2):
        part = slice(row, row + 1)
        alone = descend(*quadratic(curves[part], middle), cost, starts[part], 50, 1e-9)[0]
        assert torch.equal(alone[0], together[row])


def test_a_descent_that_is_cut_off_says_so():
    curves, middle = torch.tensor([1.0]).double(), torch.ones(4).double()
    cost = Cost(0.1, 0.0, -ENDLESS, ENDLESS)
    assert descend(*quadratic(curves, middle), cost, torch.zeros(1, 4).double(), 1, 1e-12)[1].tolist() == [False]
