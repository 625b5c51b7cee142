"""File size: what Pillow writes of the grey heatmap, small for plain maps and large for noise."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

import pellucid as pl
from metrics.plain_rows import linear, made, pictures_of, rows
from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.metrics import FileSize

SIDE = 24


def judged(scores, **fields):
    subject = pictures_of(lambda point: point.flatten(1).sum(1, keepdim=True), SIDE, scores.shape[1])
    inputs = rows(1, scores[0].numel(), 7).view(1, *scores.shape[1:]).expand(len(scores), -1, -1, -1)
    return FileSize(**fields)(subject, pl.Judgement([made(pl.Decision(inputs), scores)]))


def random_scores(channels=1):
    return rows(1, channels * SIDE**2, 3).view(1, channels, SIDE, SIDE)


@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_it_is_the_size_of_the_grey_picture_that_holds_the_map(kind):
    scores = random_scores(3)
    heat = scores.sum(1)[0].numpy()
    grey = np.round((heat / np.abs(heat).max() + 1) * 127.5).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(grey).save(file, kind)
    found = judged(scores, format=kind)
    assert float(found.value) == len(file.getvalue())
    assert not found.higher_is_better


@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_a_plain_map_is_smaller_than_a_square_is_smaller_than_noise(kind):
    square = torch.zeros(1, 1, SIDE, SIDE, dtype=torch.float64)
    square[..., 5:13, 8:17] = 1
    sizes = [float(judged(scores, format=kind).value) for scores in (torch.zeros_like(square), square, random_scores())]
    assert sizes[0] < sizes[1] < sizes[2]


def test_control_rows_are_drawn_too_and_random_maps_are_what_noise_is():
    found = judged(random_scores(), random_maps=20)
    _, low, high = found.control["random"].tolist()
    assert low <= float(found.value) <= high  # noise cannot be compressed: every map of it may be as large
    assert found.control["constant"][0] < low


def test_the_scale_of_a_map_does_not_matter():
    scores = random_scores()
    found = judged(torch.cat([scores, scores * 2**-30, scores * 2**30]))
    assert len(set(found.per_example[0].tolist())) == 1


def test_other_than_pictures_and_other_formats_are_refused():
    subject, _ = linear(5)
    with pytest.raises(NotAnswerable, match="does not apply to inputs of kind tensor"):
        FileSize()(subject, pl.Judgement([made(pl.Decision(rows(1, 5)), rows(1, 5))]))
    with pytest.raises(UsageError, match="png"):
        FileSize(format="gif")
