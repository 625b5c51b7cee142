"""Heat maps say where the evidence lies, in colour and in words."""

import numpy as np
import pytest
import torch
from PIL import Image

import pellucid as pl
from pellucid.core.subject import Features
from pellucid.render.heatmap import overlay, places, plane
from pellucid.results.attribution import Attribution


def picture_attribution(scores, features=None):
    shape = scores.shape
    pixels = torch.arange(shape[2] * shape[3]).view(1, 1, *shape[2:])
    return Attribution(scores=scores, value=torch.ones(1), features=features or Features("pixel", pixels))


def test_shares_of_the_nine_places_sum_to_one_on_each_side():
    rows = places(np.random.default_rng(0).normal(size=(30, 45)))
    assert sum(row["for"] for row in rows) == pytest.approx(1)
    assert sum(row["against"] for row in rows) == pytest.approx(1)


def test_evidence_in_one_corner_is_named():
    values = np.zeros((9, 9))
    values[7, 1] = 2.0
    values[0, 8] = -1.0
    rows = {row["place"]: row for row in places(values)}
    assert rows["bottom left"]["for"] == 1
    assert rows["top right"]["against"] == 1


def test_a_region_is_shown_with_its_own_score_whatever_its_size():
    segments = torch.zeros(1, 1, 4, 4, dtype=torch.long)
    segments[..., :1, :1] = 1
    features = Features("superpixel", segments)
    scores = features.spread([torch.tensor([2.0, 2.0])], torch.zeros(1, 3, 4, 4))
    assert np.allclose(plane(picture_attribution(scores, features)), 2.0)


def test_a_map_keeps_to_the_part_of_the_picture_that_the_network_saw():
    picture = Image.new("RGB", (40, 20), "white")
    shown = np.asarray(overlay(np.ones((8, 8)), picture, (10, 0, 30, 20))).astype(int)
    assert shown[10, 20, 0] - shown[10, 20, 2] > 60
    assert np.ptp(shown[:, :8], axis=2).max() <= 6


def test_a_saved_attribution_shows_itself_without_its_picture(tmp_path):
    result = picture_attribution(torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)))
    loaded = pl.Result.load(result.save(tmp_path / "why.pellucid"))
    assert loaded.plot().size == (336, 336)
    page = loaded._repr_html_()
    assert "<script" not in page
    assert 'src="http' not in page
    assert "alt='Heat map" in page
