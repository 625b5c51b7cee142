"""The gap matrix: each cell holds the methods that fit it, or the reason why there is none."""

import itertools

from pellucid.core.catalogue import catalogue
from pellucid.core.spec import Asker, Dimension, Modality
from pellucid.guide.gaps import Network, gaps, matrix

RECORDS = (
    {
        "id": "filters",
        "dimensions": ["visual"],
        "modalities": ["image"],
        "needs": ["gradients", "convolution"],
        "askers": ["developer"],
    },
    {
        "id": "cover",
        "dimensions": ["visual", "local"],
        "modalities": ["image", "text"],
        "needs": ["outputs"],
        "askers": ["developer", "auditor"],
    },
)


def cell(dimension, modality, network, asker):
    wanted = (dimension, modality, network, asker)
    return next(c for c in matrix(RECORDS) if (c.dimension, c.modality, c.network, c.asker) == wanted)


def test_every_combination_is_one_cell():
    places = [(c.dimension, c.modality, c.network, c.asker) for c in matrix(catalogue())]
    assert sorted(places) == sorted(itertools.product(Dimension, Modality, Network, Asker))


def test_an_empty_cell_has_a_reason_and_a_full_one_has_none():
    for records in (RECORDS, catalogue(), ()):
        for found in matrix(records):
            assert bool(found.methods) == (found.reason is None)
            assert found.reason != ""


def test_methods_stand_where_their_spec_puts_them():
    assert cell("visual", "image", Network.CONVOLUTIONAL, "developer").methods == ("filters", "cover")
    assert cell("visual", "image", Network.RECURRENT, "developer").methods == ("cover",)
    assert cell("visual", "image", Network.BLACK_BOX, "auditor").methods == ("cover",)


def test_the_reason_names_the_axis_on_which_the_last_methods_drop_out():
    assert cell("textual", "image", Network.BLACK_BOX, "auditor").reason == "no method speaks to the dimension textual"
    assert cell("local", "tabular", Network.BLACK_BOX, "auditor").reason == "not for inputs of kind tabular: cover"
    reason = cell("visual", "text", Network.ATTENTION, "domain expert").reason
    assert reason == "not made for the domain expert: cover"


def test_a_black_box_is_refused_what_needs_more_than_outputs():
    found = [c for c in matrix(RECORDS[:1]) if (c.dimension, c.modality, c.network) == ("visual", "image", "black box")]
    assert {c.reason for c in found} == {"not for a black box, which gives outputs only: filters"}


def test_gaps_cover_every_empty_cell_and_only_those():
    cells = matrix(RECORDS)
    empty = {(c.dimension, c.reason) for c in cells if c.reason is not None}
    assert {(gap.dimension, gap.reason) for gap in gaps(cells)} == empty
