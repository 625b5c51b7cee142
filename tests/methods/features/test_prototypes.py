"""Prototypes of a category: of planted clusters, by every choice, with coverage against random choices."""

import gzip
from pathlib import Path

import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.core.errors import BadInput, NotAnswerable, UsageError
from pellucid.engine.prototype_choice import discrepancy, greedy_prototypes, kernel, squared_distances
from pellucid.methods.features.prototypes import Prototypes

DATA = Path(__file__).resolve().parents[4] / "shared/data"
FILES = ("images-idx3-ubyte", "labels-idx1-ubyte")


class Corners(nn.Module):
    """Features are the input; class 1 lies to the right."""

    def __init__(self):
        super().__init__()
        self.features, self.head = nn.Linear(2, 2, bias=False), nn.Linear(2, 2)
        self.features.weight.data, self.head.weight.data = torch.eye(2), torch.tensor([[-1.0, 0.0], [1.0, 0.0]])
        self.head.bias.data = torch.tensor([10.0, -10.0])

    def forward(self, rows):
        return self.head(self.features(rows))


SUBJECT = pl.wrap(Corners().double(), labels=("left", "right"), name="corners")
CENTRES = torch.tensor([[0.0, 0.0], [0.0, 9.0], [20.0, 0.0], [20.0, 9.0], [20.0, 18.0]], dtype=torch.float64)


def clusters(each=12):
    noise = torch.randn(5 * each, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    return CENTRES.repeat_interleave(each, 0) + 0.4 * noise


def test_prototypes_of_a_class_are_those_of_its_members_alone():
    rows = clusters()
    found = Prototypes(number=3)(SUBJECT, pl.Unit(target="right", data=rows))
    assert found.groups == ("right",)
    assert found.layer == "features"
    assert {number // 12 for number in found.prototypes[0].tolist()} == {2, 3, 4}
    similar, width = kernel(squared_distances(rows[24:]))
    expected = greedy_prototypes(similar, 3)
    assert (found.prototypes[0] - 24).tolist() == expected.tolist()
    assert float(found.discrepancy[0]) == pytest.approx(discrepancy(similar, expected), abs=1e-9)
    assert float(found.discrepancy[0]) < float(found.random_discrepancy[0, 0])
    assert float(found.distance[0]) < float(found.random_distance[0, 0])
    assert float(found.widths) == pytest.approx(width)
    assert found.group.tolist() == [-1] * 24 + [0] * 36
    assert found.accuracy is None
    expected = SUBJECT.scores(rows).softmax(-1)[:, 1]
    torch.testing.assert_close(found.confidence, expected)


def test_every_class_has_its_own_and_the_nearest_tells_the_class():
    found = Prototypes(number=2)(SUBJECT, pl.Unit(data=clusters()))
    assert found.groups == ("left", "right")
    assert [len(chosen) for chosen in found.prototypes] == [2, 2]
    assert found.accuracy[0] == 1
    assert found.accuracy[1] < 1
    assert "tells 100.0% (93.6% to 100.0%) of the other examples their group" in found.summary()
    assert [row["role"] for row in found.table()] == (["prototype"] * 2 + ["criticism"] * 3) * 2


def test_other_choices_are_the_nearest_to_the_mean_the_most_confident_and_medoids():
    rows = clusters()
    right = rows[24:]
    asked = pl.Unit(target=1, data=rows)
    mean = Prototypes(choice="mean", number=2)(SUBJECT, asked).prototypes[0]
    apart = (right - right.mean(0)).norm(dim=1)
    assert (mean - 24).tolist() == apart.argsort()[:2].tolist()
    confident = Prototypes(choice="confident", number=2)(SUBJECT, asked)
    assert confident.prototypes[0].tolist() == confident.confidence.argsort(descending=True, stable=True)[:2].tolist()
    medoids = Prototypes(choice="medoids", number=3)(SUBJECT, asked)
    assert {number // 12 for number in medoids.prototypes[0].tolist()} == {2, 3, 4}


def test_members_may_be_all_of_the_data_or_those_of_which_it_is_true():
    rows = clusters(4)
    everything = Prototypes(members="all")(SUBJECT, pl.Unit(target=1, data=rows))
    assert everything.groups == ("right",)
    assert everything.size(0) == 20
    truth = torch.tensor([1] * 8 + [0] * 12)
    found = Prototypes(truth=truth, number=1)(SUBJECT, pl.Unit(target=1, data=rows))
    assert int(found.prototypes[0]) < 8
    assert Prototypes(members="all")(SUBJECT, pl.Unit(data=rows)).groups == ("all",)


def test_maps_are_averaged_over_their_places():
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    pictures = torch.randn(9, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    subject = pl.wrap(network, pl.tasks.Image(8, mean=(0.0,), deviation=(1.0,)), name="pooled")
    at_map = Prototypes(members="all", number=3)(subject, pl.Unit("1", data=pictures))
    pooled = Prototypes(members="all", number=3)(subject, pl.Unit(data=pictures))
    assert pooled.layer == "3"
    assert at_map.prototypes[0].tolist() == pooled.prototypes[0].tolist()
    picture = pooled.plot()
    assert picture.width > 128 * 6
    assert "Example" in pooled._repr_html_()


def test_one_example_stands_for_itself():
    found = Prototypes()(SUBJECT, pl.Unit(data=clusters(1)[:1]))
    assert found.prototypes[0].tolist() == [0]
    assert float(found.discrepancy) == 0
    assert len(found.criticisms[0]) == 0


def test_questions_without_an_answer_are_refused_in_words(monkeypatch):
    rows = clusters(2)
    with pytest.raises(UsageError, match="name data"):
        Prototypes()(SUBJECT, pl.Unit(target=1))
    with pytest.raises(UsageError, match="not of a unit"):
        Prototypes()(SUBJECT, pl.Unit("features", 1, data=rows))
    with pytest.raises(NotAnswerable, match="none of 4 examples is of 'right'"):
        Prototypes()(SUBJECT, pl.Unit(target=1, data=rows[:4]))
    with pytest.raises(UsageError, match="3 true classes for 10 examples"):
        Prototypes(truth=torch.zeros(3))(SUBJECT, pl.Unit(data=rows))
    with pytest.raises(NotAnswerable, match="name a layer"):
        Prototypes()(pl.wrap(nn.Linear(2, 2).double()), pl.Unit(data=rows))
    monkeypatch.setattr("pellucid.methods.features.prototypes._MOST", 9)
    with pytest.raises(BadInput, match="10 examples have more than 81 distances, which do not fit; take fewer"):
        Prototypes()(SUBJECT, pl.Unit(data=rows))


def test_prototypes_of_handwritten_digits_tell_the_others_their_class_better_than_random_ones():
    """One prototype for each digit; the most confident example of each is no better than a random one."""
    folder = DATA / "mnist-20k"
    if not folder.is_dir():
        pytest.skip("../shared/data/mnist-20k is not there")
    pictures, classes = (gzip.decompress((folder / f"t10k-{name}.gz").read_bytes()) for name in FILES)
    rows = torch.frombuffer(bytearray(pictures[16 : 16 + 784 * 400]), dtype=torch.uint8).view(-1, 1, 28, 28) / 255
    truth = torch.frombuffer(bytearray(classes[8:408]), dtype=torch.uint8).long()
    chosen = {}
    for choice in ("mmd", "confident"):
        method = Prototypes(choice=choice, number=1, criticisms=0, draws=40, truth=truth)
        chosen[choice] = method(pl.load("mnist-cnn"), pl.Unit(data=rows))
    assert float(chosen["mmd"].accuracy[1]) > float(chosen["mmd"].random_accuracy[2])
    assert bool((chosen["mmd"].discrepancy < chosen["mmd"].random_discrepancy[:, 0]).all())
    assert float(chosen["confident"].accuracy[0]) < float(chosen["mmd"].accuracy[1])
