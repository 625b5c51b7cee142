"""Network dissection: a planted detector is labelled, chance is not believed, and ratios are those of brute force."""

import pytest
import torch
from torch import nn
from torch.nn import functional

import pellucid as pl
from pellucid.core.errors import BadInput, NotAnswerable, UsageError
from pellucid.methods.features.network_dissection import NetworkDissection

PICTURES = 40


def scenes():
    """Pictures of grey noise with a red and a green square somewhere, and where these are."""
    source = torch.Generator().manual_seed(4)
    pictures = 0.3 * torch.rand(PICTURES, 1, 24, 24, generator=source).expand(-1, 3, -1, -1).clone()
    masks = torch.zeros(2, PICTURES, 24, 24, dtype=torch.bool)
    for colour in range(2):
        for example in range(PICTURES):
            row, column = torch.randint(0, 19, (2,), generator=source).tolist()
            pictures[example, :, row : row + 5, column : column + 5] = 0
            pictures[example, colour, row : row + 5, column : column + 5] = 1
            masks[:, example, row : row + 5, column : column + 5] = False
            masks[colour, example, row : row + 5, column : column + 5] = True
    noise = torch.rand(PICTURES, 24, 24, generator=source) > 0.9
    return pictures, {"red square": masks[0], "green square": masks[1], "noise": noise}


class Detectors(nn.Module):
    """Unit 0 answers to red, unit 1 to nothing, unit 2 to green, unit 3 to grey."""

    def __init__(self):
        super().__init__()
        self.colours, self.relu, self.head = nn.Conv2d(3, 4, 1, bias=False), nn.ReLU(), nn.Linear(4, 2)
        weights = [[1.0, -1.0, -1.0], [0.0, 0.0, 0.0], [-1.0, 1.0, -1.0], [-0.3, -0.3, 1.0]]
        self.colours.weight.data = torch.tensor(weights)[:, :, None, None]

    def forward(self, pictures):
        return self.head(self.relu(self.colours(pictures)).mean((2, 3)))


def subject():
    task = pl.tasks.Image(24, mean=(0.0,) * 3, deviation=(1.0,) * 3, labels=("a", "b"))
    return pl.wrap(Detectors().eval(), task, name="detectors")


def test_a_planted_detector_gets_its_label_and_the_others_none_that_stands():
    pictures, concepts = scenes()
    share = float(concepts["red square"].float().mean())
    found = NetworkDissection(concepts=concepts, share=share, draws=199)(subject(), pl.Unit("relu", data=pictures))
    standing = [place for place in found.labelled() if found.stands(place)]
    assert {place: found.concept(place) for place in standing} == {0: "red square", 2: "green square"}
    assert float(found.ratios[0, 0]) > 0.95
    assert float(found.p_values[0]) == pytest.approx(1 / 200)
    assert not found.ratios[1].any()
    assert found.concept(1) is None
    assert found.examples.shape[1] == 5
    assert "2 labels, of 2 concepts, are better than by chance" in found.summary()
    assert found.plot().width > 5 * 128


def test_ratios_are_those_of_enlarged_maps_above_the_exact_quantile():
    pictures, concepts = scenes()
    network = nn.Sequential(nn.Conv2d(3, 5, 5, stride=4), nn.Flatten(), nn.Linear(125, 2)).eval()
    asked = pl.wrap(network, subject().task, name="strided")
    with pl.byte_budget(30_000):
        found = NetworkDissection(concepts=concepts, share=0.02, side=12)(asked, pl.Unit("0", data=pictures))
    maps = network[0](pictures).detach()
    values = maps.transpose(0, 1).flatten(1)
    thresholds = values.sort(1, descending=True).values[:, int(0.02 * values.shape[1])]
    torch.testing.assert_close(found.thresholds, thresholds)
    above = functional.interpolate(maps, size=(12, 12), mode="bilinear") > thresholds[:, None, None]
    for number, masks in enumerate(concepts.values()):
        small = functional.adaptive_avg_pool2d(masks.float()[:, None], 12)[:, 0] >= 0.5
        for unit in range(5):
            shared, union = (above[:, unit] & small).sum(), (above[:, unit] | small).sum()
            assert float(found.ratios[unit, number]) == pytest.approx(float(shared) / max(float(union), 1), abs=0.01)
    torch.testing.assert_close(found.peaks, maps.amax((2, 3)))
    one = NetworkDissection(concepts=concepts, share=0.02, side=12)(asked, pl.Unit("0", 3, data=pictures))
    assert one.units.tolist() == [3]
    torch.testing.assert_close(one.ratios[0], found.ratios[3])


def test_masks_that_are_the_same_everywhere_are_never_better_than_chance():
    pictures, _ = scenes()
    everywhere = {"left half": torch.arange(24).expand(24, 24) < 12}
    found = NetworkDissection(concepts=everywhere, least=0, draws=9)(subject(), pl.Unit("relu", data=pictures))
    assert len(found.labelled()) >= 2
    assert bool((found.p_values == 1).all())


def test_questions_without_an_answer_are_refused_in_words(tmp_path):
    pictures, concepts = scenes()
    method = NetworkDissection(concepts=concepts)
    with pytest.raises(UsageError, match="name a layer and the data"):
        method(subject(), pl.Unit("relu"))
    with pytest.raises(NotAnswerable, match="has no maps but"):
        method(subject(), pl.Unit("head", data=pictures))
    with pytest.raises(UsageError, match="name a channel"):
        method(subject(), pl.Unit("relu", (0, 1, 1), data=pictures))
    with pytest.raises(UsageError, match="leave the target out"):
        method(subject(), pl.Unit("relu", target=1, data=pictures))
    with pytest.raises(BadInput, match=r"give \[3, height, width\]"):
        method(subject(), pl.Unit("relu", data=pictures[:3]))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(BadInput, match="masks and pictures would not fit"):
        method(subject(), pl.Unit("relu", data=[pictures[:1], str(tmp_path / "broken.png")]))
