"""Facets of a unit that responds to two things are two, each with its own picture; of one thing, one."""

import dataclasses
import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.methods.features.multifaceted import Multifaceted
from pellucid.results.feature_images import AGREEMENT

WIDTH = 12


class Either(nn.Module):
    """The larger of two scalar products."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, rows):
        return (rows @ self.weight.T).amax(1, keepdim=True)


def planted(seed):
    """A subject of one unit, its two directions, rows around each of them, and rows around neither."""
    source = torch.Generator().manual_seed(seed)
    weight = nn.functional.normalize(torch.randn(2, WIDTH, generator=source), dim=1)
    rows = 3 * weight[torch.arange(60) % 2] + 0.3 * torch.randn(60, WIDTH, generator=source)
    task = pl.tasks.TensorTask(shape=(WIDTH,), output="value")
    subject = pl.wrap(nn.Sequential(Either(weight)), task, name="either")
    return subject, weight, torch.cat([rows, 0.3 * torch.randn(30, WIDTH, generator=source)])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_unit_of_two_modes_has_exactly_two_facets_that_point_along_them(seed):
    subject, weight, rows = planted(seed)
    result = Multifaceted(steps=30)(subject, pl.Unit("0", 0, data=rows))
    assert len(result) == 2
    cosines = nn.functional.normalize(result.images, dim=1) @ weight.T
    assert cosines.amax(1).min() >= 0.98
    assert cosines.argmax(1).sort().values.tolist() == [0, 1]
    assert result.captions == ("facet 1 (30 examples)", "facet 2 (30 examples)")
    kinds = [{int(name.rpartition("#")[2]) % 2 for name in members} for members in result.members]
    assert sorted(map(sorted, kinds)) == [[0], [1]]
    assert result.evidence[AGREEMENT].min() > 0.98
    assert result.stands_for(0)[0].startswith(f"It stands for 30 of the data: {result.members[0][0]}, ")
    assert result.stands_for(0)[0] in result._repr_html_()
    assert "Silhouettes of groups in the map, by their number: 2 0.9" in " ".join(result.notes)


def test_an_ascent_from_anywhere_finds_one_of_the_two_modes():
    subject, weight, _ = planted(0)
    found = pl.methods.FeatureImage(starts=20, steps=100)(subject, pl.Unit("0", 0)).images
    modes = (nn.functional.normalize(found, dim=1) @ weight.T).argmax(1)
    assert set(modes.tolist()) == {0, 1}


def test_a_unit_of_one_mode_has_one_facet():
    subject, weight, rows = planted(1)
    result = Multifaceted(steps=5)(subject, pl.Unit("0", 0, data=rows[0:60:2]))
    assert len(result) == 1
    subject.module[0].weight.data[1] = -weight[0]  # which no row excites
    rows = 3 * weight[0] + torch.randn(60, WIDTH, generator=torch.Generator().manual_seed(0))
    assert len(Multifaceted(steps=5)(subject, pl.Unit("0", 0, data=rows))) == 1


def test_the_same_seed_gives_the_same_bits_and_the_result_survives_a_file(tmp_path):
    subject, _, rows = planted(2)
    first, again = (Multifaceted(steps=5, seed=4)(subject, pl.Unit("0", 0, data=rows)) for _ in range(2))
    assert torch.equal(first.images, again.images)
    assert first.members == again.members
    read = pl.Result.load(first.save(tmp_path / "facets.pellucid"))
    assert read.members == first.members


def network(side=10):
    torch.manual_seed(0)
    parts = [nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3)]
    return pl.wrap(nn.Sequential(*parts), pl.tasks.Image(side, (0.0,), (1.0,), labels=("a", "b", "c")), name="small")


@pytest.fixture
def bars():
    """Pictures of an upright or a lying bar, with a little noise."""
    source = torch.Generator().manual_seed(0)
    pictures = 0.1 * torch.rand(40, 1, 10, 10, generator=source)
    pictures[::2, :, :, 2:4] += 0.8
    pictures[1::2, :, 6:8, :] += 0.8
    return pictures


@pytest.mark.parametrize(
    ("settings", "steps"), [({}, 60), ({"start": "centre", "steps": 4}, 4), ({"schedule": "octaves", "steps": 37}, 37)]
)
def test_pictures_have_facets_by_the_codes_of_the_layer_that_is_named(bars, settings, steps):
    subject = network()
    method = Multifaceted(codes="input", examples=40, over="max", starts=2, size=12, **settings)
    result = method(subject, pl.Unit("1", 0, data=bars))
    assert result.images.shape[1:] == (1, 12, 12)
    assert result.trace.shape[1] == steps
    assert "by the codes of the input itself" in result.notes[0]
    assert (result.images >= -1e-6).all()
    assert (result.images <= 1 + 1e-6).all()
    assert all(parameter.grad is None for parameter in subject.module.parameters())


def test_of_a_class_the_examples_are_those_that_are_decided_so(bars):
    subject = network()
    decided = subject.scores(subject.prepare(bars)).argmax(1)
    target = int(decided.mode().values)
    result = Multifaceted(steps=3, facets=1)(subject, pl.Unit(target=target, data=bars))
    assert result.captions == (f"facet 1 ({int((decided == target).sum())} examples)",)
    assert "layer '3', which the last layer reads" in result.notes[0]
    never = next(number for number in range(3) if not (decided == number).any())
    with pytest.raises(NotAnswerable, match="decides for none of the data that they are of class"):
        Multifaceted()(subject, pl.Unit(target=never, data=bars))


def test_what_cannot_be_answered_is_refused(bars):
    subject, _, rows = planted(0)
    with pytest.raises(UsageError, match="name data to find facets in"):
        Multifaceted()(subject, pl.Unit("0", 0))
    with torch.no_grad():
        subject.module[0].weight[:] = 0
    with pytest.raises(NotAnswerable, match="its gradient is zero"):
        Multifaceted(steps=2)(subject, pl.Unit("0", 0, data=rows[:5]))
    with pytest.raises(UsageError, match="different codes cannot be put into 9 facets"):
        Multifaceted(facets=9)(subject, pl.Unit("0", 0, data=rows[:4]))
    with pytest.raises(UsageError, match="are of pictures"):
        Multifaceted(start="centre", facets=1)(subject, pl.Unit("0", 0, data=rows))
    with pytest.raises(UsageError, match="did you mean"):
        Multifaceted(codes="11")(network(), pl.Unit("1", 0, data=bars))
    assert dataclasses.is_dataclass(Multifaceted)


MNIST = Path(__file__).resolve().parents[3] / "../shared/data/mnist-20k/t10k-images-idx3-ubyte.gz"


@pytest.mark.slow
@pytest.mark.skipif(not MNIST.exists(), reason="needs the test pictures of MNIST")
def test_handwritten_twos_are_looped_or_not_and_sevens_are_of_one_kind():
    raw = np.frombuffer(gzip.decompress(MNIST.read_bytes()), np.uint8, offset=16)
    pictures = torch.from_numpy(raw.copy()).view(-1, 1, 28, 28)[:1500].float() / 255
    subject = pl.load("mnist-cnn")
    twos, sevens = (Multifaceted(steps=30)(subject, pl.Unit(target=target, data=pictures)) for target in (2, 7))
    assert (len(twos), len(sevens)) == (2, 1)
    assert float(twos.evidence[AGREEMENT].min()) > 0.6
    means = torch.stack([pictures[[int(name.partition("#")[2]) for name in part]].mean(0) for part in twos.members])
    assert torch.cdist(twos.images.flatten(1), means.flatten(1)).argmin(1).tolist() == [0, 1]
