"""The picture and the page of several classes: hue is the class, intensity the dominant response, names beside colours."""

import numpy as np
import torch
from PIL import Image

import pellucid as pl
from pellucid.core.subject import Features
from pellucid.render.class_response import class_map
from pellucid.render.colours import distinct, mixed, signed


def of_picture(side=60):
    """Class 0 speaks in the left half, class 1 half as strongly in the right; nothing in the lowest rows."""
    responses = torch.zeros(1, 2, 3, side, side)
    responses[:, 0, :, : side - 10, : side // 2] = 1.0
    responses[:, 1, :, : side - 10, side // 2 :] = 0.5
    pixels = torch.arange(side * side).view(1, 1, side, side)
    return pl.ClassResponse(
        responses=responses,
        classes=torch.tensor([[7, 285]]),
        value=torch.ones(1, 2),
        features=Features("pixel", pixels),
        labels=tuple(f"class <{number}>" for number in range(300)),
    )


def test_hue_is_the_dominant_class_and_intensity_its_response():
    white = Image.new("RGB", (60, 60), "white")
    drawn = np.asarray(class_map(of_picture(), 0, white)).astype(int)
    first, second = distinct(2)
    assert np.abs(drawn[20, 10] - first).max() <= 2
    assert np.abs(drawn[20, 50] - mixed(second, np.array(0.5))).max() <= 4
    assert np.abs(drawn[58, 30] - signed(np.zeros(()))).max() <= 2


def test_the_picture_has_a_legend_below_the_map():
    drawn = of_picture().plot()
    assert drawn.height > 300
    below = np.asarray(drawn)[301:]
    for colour in distinct(2):
        assert (below == colour).all(-1).sum() > 100


def test_the_page_shows_each_class_with_its_colour_and_escapes_names():
    page = of_picture()._repr_html_()
    assert page.count("<img") == 3
    assert "class &lt;7&gt;" in page
    assert "<7>" not in page
    for colour in distinct(2):
        assert "#" + "".join(f"{channel:02x}" for channel in colour) in page
    assert page.count("full colour: ") == 2
    scales = {part.split(" or more")[0] for part in page.split("full colour: ")[1:]}
    assert len(scales) == 1


def test_words_stand_on_the_colour_of_their_class():
    response = pl.ClassResponse(
        responses=torch.tensor([[[2.0, 0.0], [0.0, 1.0]]]),
        classes=torch.tensor([[0, 1]]),
        value=torch.ones(1, 2),
        features=Features("word", torch.tensor([[0, 1]]), (("good", "<bad>"),), (((0, 4), (5, 10)),)),
        labels=("positive", "negative"),
        query=pl.Decision("good <bad>"),
    )
    page = response._repr_html_()
    full, half = distinct(2)[0], mixed(distinct(2)[1], np.array(0.5))
    assert f"background:rgb({full[0]}, {full[1]}, {full[2]})'>good" in page
    assert f"background:rgb({half[0]}, {half[1]}, {half[2]})'>&lt;bad&gt;" in page
    assert np.asarray(response.plot()).shape[0] > 50


def test_any_number_of_classes_has_colours_that_differ():
    for number in (1, 3, 7, 8, 10, 20):
        colours = distinct(number).astype(int)
        assert colours.shape == (number, 3)
        apart = np.abs(colours[:, None] - colours[None]).sum(-1) + 1000 * np.eye(number, dtype=int)
        assert apart.min() > 20
