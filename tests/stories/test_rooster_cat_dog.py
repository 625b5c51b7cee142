"""The story of rooster, cat and dog: what is said of the maps is what is in them, and the parts are told apart."""

from pathlib import Path

import numpy as np
import pytest
import torch
from examples.rooster_cat_dog import (
    CLASSES,
    PHOTOGRAPHS,
    Photograph,
    Seen,
    beside,
    maps,
    page,
    photographs,
    picture,
    quartered,
    scale,
    tell,
)
from PIL import Image
from torch import nn

import pellucid as pl
from engine.networks import seeded
from pellucid.core.subject import Features
from pellucid.render.colours import distinct, signed

DATA = Path(__file__).resolve().parents[2] / "../shared/data"


def square(colour):
    return Image.new("RGB", (40, 30), colour)


class Colours(nn.Module):
    """Sees red as class 7, green as 285 and blue as 162, place by place."""

    def __init__(self):
        super().__init__()
        self.filters = nn.Conv2d(3, 300, 1, bias=False)
        self.filters.weight.data.zero_()
        for channel, number in enumerate(CLASSES.values()):
            self.filters.weight.data[number, :, 0, 0] = torch.tensor([-1.0, -1.0, -1.0])
            self.filters.weight.data[number, channel] = 2.0

    def forward(self, pixels):
        return self.filters(pixels).relu().mean((2, 3))


@pytest.fixture(scope="module")
def subject():
    task = pl.tasks.Image(32, mean=(0.0,) * 3, deviation=(1.0,) * 3, labels=tuple(f"class <{n}>" for n in range(300)))
    return pl.wrap(seeded(Colours, dtype=torch.float32), task, name="colours")


@pytest.fixture(scope="module")
def found(subject):
    red, green, blue, white = map(square, ("red", "lime", "blue", "white"))
    return tell(subject, [Photograph("a red square", red), beside(green, blue), quartered(red, green, blue, white)])


def test_each_part_is_won_by_what_is_in_it(found):
    assert found[0].shares() == pytest.approx({"rooster": 1, "cat": 0, "dog": 0}, abs=1e-6)
    assert found[0].right() == {}
    assert found[1].right() == pytest.approx({"cat": 1, "dog": 1}, abs=0.05)
    assert found[2].right() == pytest.approx({"rooster": 1, "cat": 1, "dog": 1}, abs=0.05)
    assert found[0].predicted == "class <7>"


def test_the_right_share_counts_only_what_speaks_for_some_class_in_the_part():
    responses = torch.zeros(1, 3, 1, 2, 4)
    responses[0, 1, 0, :, :2] = torch.tensor([[3.0, 0.0], [0.0, 0.0]])
    responses[0, 2, 0, :, :2] = torch.tensor([[0.0, 1.0], [-9.0, 0.0]])
    responses[0, 2, 0, :, 2:] = 2.0
    response = pl.ClassResponse(
        responses=responses,
        classes=torch.tensor([list(CLASSES.values())]),
        value=torch.ones(1, 3),
        features=Features("pixel", torch.arange(8).view(1, 1, 2, 4)),
    )
    seen = Seen(beside(square("red"), square("blue")), "x", 0.5, response)
    assert seen.right() == pytest.approx({"cat": 0.75, "dog": 1.0})


def test_maps_of_all_photographs_share_one_scale_and_three_hues(found):
    largest = scale(found)
    class_map, *of_classes = maps(found[2], largest, over=False)
    pixels = np.asarray(class_map).astype(int)
    side = pixels.shape[0] // 2
    for number, (row, column) in enumerate(((0, 0), (0, 1), (1, 0))):
        middle = pixels[row * side + side // 2, column * side + side // 2]
        distances = np.abs(distinct(3).astype(int) - middle).sum(1)
        assert distances.argmin() == number
    white = signed(np.zeros(())).astype(int)
    assert np.abs(pixels[side + side // 2, side + side // 2] - white).max() <= 3
    assert len(of_classes) == 3


def test_the_page_tells_every_photograph_its_numbers_and_its_caveat(found):
    text = page(found)
    assert text.count("<img") == 5 * len(found)
    assert "class &lt;7&gt;" in text
    assert "class <7>" not in text
    assert "do not add up" in text
    for seen in found:
        assert f"<h2>{seen.photograph.name}</h2>" in text
        assert f"{seen.shares()['cat']:.0%} for cat" in text


def test_the_picture_holds_the_maps_and_no_photograph(found):
    drawn = np.asarray(picture(found)).astype(int)
    assert drawn.shape[1] > 4 * 140
    pure = (drawn == np.array([255, 0, 0])).all(-1)
    assert not pure.any()


def test_a_folder_of_other_pictures_is_taken_as_it_is(tmp_path):
    square("red").save(tmp_path / "mine.png")
    assert [photograph.name for photograph in photographs(tmp_path)] == ["mine"]


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / next(iter(PHOTOGRAPHS))).is_file(), reason="the photographs of ImageNet are not here")
def test_on_the_photographs_each_animal_is_seen_where_it_is():
    asked = photographs(DATA)
    found = dict(
        zip((photograph.name for photograph in asked), tell(pl.load("efficientnet-lite0"), asked), strict=True)
    )
    own = {
        "a pheasant, filed as cock": "rooster",
        "a hen": "rooster",
        "a cat": "cat",
        "half a cat": "cat",
        "a dog": "dog",
    }
    for name, animal in own.items():
        assert found[name].shares()[animal] > 0.95
    for name in ("a cat beside a dog", "all four"):
        assert min(found[name].right().values()) >= 0.9
    scooter = found["a motor scooter"].response.dominant_response.clamp(min=0).sum()
    assert all(
        seen.response.dominant_response.clamp(min=0).sum() > 3 * scooter
        for seen in found.values()
        if seen is not found["a motor scooter"]
    )
