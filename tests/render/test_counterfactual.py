"""Counterfactuals shown: values of rows, panels of pictures, frames of swaps; names are escaped and no script is needed."""

import numpy as np
import pytest
import torch
from PIL import Image

import pellucid as pl
from pellucid.core.subject import Features
from pellucid.render.counterfactual import difference, pixels
from pellucid.results.counterfactual import RegionSwaps
from results.test_counterfactual import made


def pictured(**changes):
    inputs, points = torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 1, 4, 4)
    inputs[0, 0, 0, 0] = points[0, 0, 0, 3, 3] = 1
    fields = {
        "inputs": inputs,
        "points": points,
        "features": Features("pixel", torch.arange(16).view(1, 1, 4, 4)),
        "factor": torch.ones(1, 1, 1).double(),
        "offset": torch.zeros(1, 1, 1).double(),
        "choices": {},
        "elements": (),
    }
    return made(**(fields | changes))


def swapped():
    cells = (torch.tensor([[5, 0, 2], [0, 0, 15]]),)
    swaps = RegionSwaps(layer="conv", grid=(4, 4), cells=cells, gaps=(torch.tensor([-2.0, -1.0, 1.0]),))
    return pictured(swaps=swaps, factor=None, offset=None)


def test_pixels_are_the_light_that_was_seen():
    result = pictured()
    assert pixels(result, result.inputs[0])[0, 0].tolist() == [255, 255, 255]
    assert pixels(result, result.points[0, 0])[0, 0].tolist() == [0, 0, 0]


def test_what_gets_lighter_is_red_and_what_gets_darker_blue():
    colours = difference(pictured(), 0, 0).astype(int)
    lighter, darker, same = colours[3, 3], colours[0, 0], colours[1, 1]
    assert lighter[0] > lighter[2] + 50
    assert darker[2] > darker[0] + 50
    assert same.min() > 240


def test_a_picture_has_three_panels_and_a_row_its_values():
    panels, lines = pictured().plot(), made().plot()
    assert panels.width == 3 * 234 + 10
    assert lines.width == 720
    assert np.asarray(lines.convert("L")).min() < 100
    assert np.asarray(made(found=torch.tensor([[False]]), reason=("no",)).plot()).size


def test_swapped_regions_are_framed_in_both_pictures():
    other = Image.new("RGB", (4, 4), "black")
    drawn = np.asarray(swapped().plot(distractor=other)).astype(int)
    top = drawn.shape[0] - 224 - 32
    orange = (abs(drawn - np.array([213, 94, 0])).sum(2) < 12)[top:]
    left, right = orange[:, :234], orange[:, 234:]
    assert left[:224, 10:234].any()
    assert right.any()
    # The first swap's cell is in the second row and column of the left picture.
    assert left[56 : 56 + 56, 10 + 56 : 10 + 112].sum() > 200
    assert left[112 + 10 :, 10:].sum() == 0


def test_a_page_tells_everything_without_scripts_and_escapes_names():
    evil = Features("column", torch.tensor([[0, 1, 2, 2]]), (("<script>", "hours", "job"),))
    for result in (made(features=evil), pictured(), swapped()):
        html = result._repr_html_()
        assert "<script" not in html
        assert "asked of the model again" in html
        assert result.answered(0, 0) in html
    assert "&lt;script&gt;" in made(features=evil)._repr_html_()
    assert pictured()._repr_html_().count("<img alt='") == 3


def test_what_was_not_found_is_said_on_the_page_with_the_closest_attempt():
    html = pictured(found=torch.tensor([[False]]), reason=("no admissible change reaches it",))._repr_html_()
    assert "None was found: no admissible change reaches it." in html
    assert "closest attempt" in html


@pytest.mark.parametrize("number", [0, 1])
def test_each_of_several_can_be_drawn(number):
    several = made(
        points=torch.tensor([[[0.7, -0.5, 0.0, 1.0], [0.1, 0.5, 1.0, 0.0]]]),
        after=torch.tensor([[[0.4, 0.6], [0.3, 0.7]]]),
        found=torch.tensor([[True, True]]),
        kept=torch.tensor([[True, True]]),
        distance=torch.tensor([[1.6, 2.0]]),
    )
    assert several.plot(number=number).size == several.plot(number=number).size
    assert len(several.summary().split("\n")) == 2
    assert isinstance(several, pl.Counterfactuals)
