"""Decoders as data: what they draw after loading, their words, and fields that contradict each other."""

import dataclasses

import numpy as np
import pytest
import torch

import pellucid as pl
from pellucid.core.errors import UsageError
from pellucid.engine.decoders import new_decoder, stage_sizes
from pellucid.tasks.image import Image

CODE, PICTURE = (4, 3, 3), (1, 12, 12)


def made(**changes):
    sizes = stage_sizes(CODE, PICTURE)
    fields = {
        "layer": "pool",
        "code": CODE,
        "sizes": sizes,
        "weights": new_decoder(CODE, PICTURE, sizes, 8, torch.Generator().manual_seed(0)),
        "scale": 2.0,
        "mean": torch.zeros(CODE),
        "deviation": torch.ones(CODE),
        "lowest": torch.zeros(CODE),
        "held_out": torch.tensor([1, 4, 5]),
        "errors": torch.tensor([[0.1, 0.2, 0.3], [0.01, 0.02, 0.03]]),
        "intervals": torch.tensor([[0.2, 0.1, 0.3], [0.02, 0.01, 0.03]]),
        "reconstructions": torch.rand(3, *PICTURE, generator=torch.Generator().manual_seed(1)),
        "curves": {"picture": torch.tensor([2.0, 1.0])},
        "low": torch.zeros(1, 1, 1),
        "high": torch.ones(1, 1, 1),
    }
    return pl.Decoder(**(fields | changes))


def test_a_loaded_decoder_draws_the_same(tmp_path):
    decoder = made()
    loaded = pl.Decoder.load(decoder.save(tmp_path / "decoder.pellucid"))
    codes = torch.randn(2, *CODE, generator=torch.Generator().manual_seed(2))
    assert torch.equal(loaded(codes), decoder(codes))
    assert loaded(codes).shape == (2, *PICTURE)
    assert loaded.picture == PICTURE
    assert 0 < loaded(codes).min() < loaded(codes).max() < 1
    with pytest.raises(UsageError, match="codes of shape"):
        loaded(codes.flatten(1))


def test_the_scale_divides_codes_and_without_bounds_nothing_is_squeezed():
    codes = torch.randn(2, *CODE, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(made(scale=4.0)(2 * codes), made()(codes))
    torch.testing.assert_close(made(low=None, high=None)(codes).sigmoid(), made()(codes))


def test_table_and_words_tell_what_is_missed():
    decoder = made()
    assert [row["example"] for row in decoder.table()] == [1, 4, 5]
    assert decoder.table()[1]["picture"] == pytest.approx(0.2)
    said = decoder.summary()
    assert "20.0% (95 % interval 10.0% … 30.0%)" in said
    assert "trained for 2 steps" in said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"mean": torch.zeros(4)}, "mean is"),
        ({"errors": torch.zeros(2, 2)}, "rows that were held out"),
        ({"low": None}, "bounded on both sides"),
        ({"weights": {"code.weight": torch.zeros(1)}}, "the weights lack"),
        ({"sizes": ()}, "at least one size"),
    ],
)
def test_fields_that_contradict_each_other_are_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        made(**changes)


def test_the_sheet_shows_reconstructions_and_where_they_are_known_the_pictures_above():
    decoder = made()
    alone = np.asarray(decoder.plot())
    pictures = list(torch.rand(6, 12, 12, generator=torch.Generator().manual_seed(3)).mul(255).byte().numpy())
    given = Image(12, mean=(0.0,), deviation=(1.0,)).prepare(pictures)
    beside = np.asarray(dataclasses.replace(decoder, query=pl.Fit(given)).plot())
    assert beside.shape[0] == alone.shape[0] + 128 + 8
    assert beside.shape[1] == alone.shape[1]
    tile = beside[34 : 34 + 128, 120 : 120 + 128, 0]
    shown = tile[5::11, 5::11][:12, :12].astype(float)
    assert np.corrcoef(shown.ravel(), pictures[1].ravel())[0, 1] > 0.9
    page = decoder._repr_html_()
    assert "held out" in page
    assert "<img alt=" in page
