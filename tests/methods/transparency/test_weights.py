"""Weights as pictures: planted dead and double filters, folded batch norm, orders, and rows of a table."""

import math

import pytest
import torch
from torch import nn

import pellucid as pl
from engine.networks import seeded
from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.engine.weight_layers import weight_layer
from pellucid.engine.weight_rows import alike, by_likeness, effective_rank
from pellucid.methods.transparency.weights import Weights


def network():
    parts = [nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 6, 3, groups=2), nn.Flatten()]
    return nn.Sequential(*parts, nn.Linear(6 * 6 * 6, 4)).double()


def subject(module=None):
    task = pl.tasks.Image(8, labels=("a", "b", "c", "d"))
    return pl.wrap(seeded(network) if module is None else module, task, name="planted")


def test_filters_that_read_colours_are_shown_as_they_are():
    asked = subject()
    found = Weights()(asked, pl.Unit())
    assert (found.layer, found.form) == ("0", "colour")
    assert torch.equal(found.maps, asked.module[0].weight.detach())
    alone = Weights()(asked, pl.Unit("0", 5))
    assert torch.equal(alone.maps[0], asked.module[0].weight[5].detach())
    assert alone.shown.tolist() == [5]


def test_planted_dead_and_double_filters_are_found_and_nothing_else():
    module = seeded(network)
    with torch.no_grad():
        module[0].weight[2] = 1e-5
        module[0].weight[6] = 3 * module[0].weight[1]
        module[0].weight[7] = -module[0].weight[4]
    found = Weights()(subject(module), pl.Unit("0"))
    assert found.dead.tolist() == [2]
    assert found.duplicates.tolist() == [[1, 6]]
    assert float(found.cosines) == pytest.approx(1)
    assert found.table()[6]["like"] == 1
    assert "1 dead (2); 1 pairs of one direction (1 = 6)" in found.summary()


def test_slices_are_the_strongest_inputs_of_each_group():
    asked = subject()
    weight = asked.module[3].weight.detach()
    found = Weights(slices=2)(asked, pl.Unit("3"))
    for unit in range(6):
        order = weight[unit].flatten(1).norm(dim=1).argsort(descending=True)[:2]
        assert found.inputs[unit].tolist() == (order + (4 if unit >= 3 else 0)).tolist()
        assert torch.equal(found.maps[unit], weight[unit][order])
    everything = Weights(slices=2)(asked, pl.Unit("3", 4))
    assert sorted(everything.inputs[0].tolist()) == [4, 5, 6, 7]


def test_folded_weights_are_those_of_both_layers_together():
    module = seeded(network).eval()
    with torch.no_grad():
        module[1].running_var.uniform_(0.5, 2, generator=torch.Generator().manual_seed(1))
        module[1].weight.uniform_(-2, 2, generator=torch.Generator().manual_seed(2))
    folded = Weights(fold=True)(subject(module), pl.Unit("0")).maps
    one, other = torch.randn(2, 1, 3, 8, 8, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    together = module[1](module[0](one)) - module[1](module[0](other))
    torch.testing.assert_close(nn.functional.conv2d(one - other, folded, padding=1), together)
    with pytest.raises(NotAnswerable, match="no batch norm follows layer '3'"):
        Weights(fold=True)(subject(module), pl.Unit("3"))


def test_a_weight_map_is_only_reordered_and_its_blocks_come_together():
    weight = torch.zeros(24, 10, dtype=torch.float64)
    weight[::2, ::2] = 1
    weight[1::2, 1::2] = 1
    module = nn.Sequential(nn.Flatten(), nn.Linear(10, 24, bias=False).double(), nn.Linear(24, 2).double())
    module[1].weight.data = weight
    found = Weights()(pl.wrap(module), pl.Unit("1"))
    assert torch.equal(found.maps, weight[found.shown][:, found.inputs])
    assert sorted(found.shown.tolist()) == list(range(24))
    changes = (found.maps[1:] != found.maps[:-1]).any(1).sum() + (found.maps[:, 1:] != found.maps[:, :-1]).any(0).sum()
    assert int(changes) == 2
    assert found.facts["effective rank"] == pytest.approx(2)


def test_the_first_linear_layer_of_a_picture_is_shown_as_pictures():
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 5), nn.ReLU(), nn.Linear(5, 4)).double()
    found = Weights()(subject(module), pl.Unit())
    assert found.form == "colour"
    assert torch.equal(found.maps, module[1].weight.detach().view(5, 3, 8, 8))


def test_a_class_is_its_row_of_the_last_layer_by_size():
    asked = subject()
    found = Weights()(asked, pl.Unit(target="c"))
    assert (found.layer, found.shown.tolist(), found.name(2)) == ("5", [2], "c")
    assert torch.equal(found.maps[0], asked.module[5].weight[2].detach()[found.inputs])
    assert bool((found.maps[0].abs().diff() <= 0).all())
    with pytest.raises(UsageError, match="either a class"):
        Weights()(asked, pl.Unit("5", 1, target="c"))


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.head = nn.Embedding(30, 6), nn.Linear(6, 2)

    def forward(self, rows):
        return self.head(rows.mean(1))


def test_the_nearest_rows_of_a_table_are_those_of_brute_force():
    asked = pl.wrap(seeded(Reader).double(), pl.tasks.Sequence([chr(97 + n) for n in range(26)] + list("0123")))
    found = Weights(token="c", neighbours=5)(asked, pl.Unit())
    cosines = nn.functional.cosine_similarity(asked.module.table.weight, asked.module.table.weight[2:3])
    order = [row for row in cosines.argsort(descending=True).tolist() if row != 2][:5]
    assert found.near.tolist() == order
    torch.testing.assert_close(found.nearness, cosines[order].detach())
    assert found.shown.tolist() == [2, *order]
    assert "Nearest to c: " in found.summary()
    with pytest.raises(UsageError, match="no token 'Q'"):
        Weights(token="Q")(asked, pl.Unit())
    whole = Weights()(asked, pl.Unit())
    centred = asked.module.table.weight.detach() - asked.module.table.weight.detach().mean(0)
    expected = torch.linalg.svdvals(centred)[:2].square()
    torch.testing.assert_close(whole.maps.square().sum(0), expected)
    torch.testing.assert_close(whole.axes, expected / centred.square().sum())


def test_the_effective_rank_is_the_number_of_equal_singular_values():
    basis = torch.linalg.qr(torch.randn(9, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64))[0]
    assert effective_rank(5 * basis[:4]) == pytest.approx(4)
    assert effective_rank(torch.zeros(3, 3)) == 0
    shares = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64)
    assert effective_rank(shares.diag()) == pytest.approx(math.exp(1.5 * math.log(2)))


def test_pairs_are_those_of_all_cosines_whatever_the_block():
    rows = torch.randn(2100, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    pairs, cosines = alike(rows, 0.99999)
    everything = nn.functional.normalize(rows) @ nn.functional.normalize(rows).T
    expected = (everything.triu(1) > 0.99999).nonzero()
    assert {tuple(pair) for pair in pairs.tolist()} == {tuple(pair) for pair in expected.tolist()}
    assert len(pairs) > 5
    assert bool((cosines.diff() <= 0).all())
    assert sorted(by_likeness(rows).tolist()) == list(range(2100))


def test_parameters_can_be_named_and_other_names_are_refused_with_the_nearest():
    module = nn.Sequential(nn.LSTM(5, 4, batch_first=True), nn.Flatten())
    asked = pl.wrap(module, pl.tasks.Sequence(list("abcde")), output=0)
    assert weight_layer(asked, "0.weight_ih_l0").weight.shape == (16, 5)
    with pytest.raises(UsageError, match="holds several weights; name one of them: 0.weight_ih_l0, 0.weight_hh_l0"):
        weight_layer(asked, "0")
    assert weight_layer(subject(), "3.weight").groups == 2
    nested = pl.wrap(nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 3))))
    with pytest.raises(UsageError, match="layer '0' holds several weights; name one of them: 0.0, 0.1"):
        weight_layer(nested, "0")
    with pytest.raises(UsageError, match="layer '1' has no weights"):
        weight_layer(asked, "1")
    with pytest.raises(UsageError, match="has no layer '0.weight_ih'; did you mean '0.weight_ih_l0'"):
        weight_layer(asked, "0.weight_ih")
    with pytest.raises(UsageError, match="units 0 to 7, and no unit 8"):
        Weights()(subject(), pl.Unit("0", 8))
    with pytest.raises(NotAnswerable, match="no layer has weights"):
        Weights()(pl.wrap(nn.Flatten()), pl.Unit())
