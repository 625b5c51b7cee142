"""The drawing of a route shows what the result says, and nothing more."""

import re
from html import escape
from xml.etree import ElementTree

import pytest
import torch
from PIL import Image

import pellucid as pl
from pellucid.render.colours import NEGATIVE, POSITIVE
from pellucid.render.route import graph, svg
from pellucid.results.route import RouteLayer


def layer(name, kept, relevance, links=(), flow=()):
    kept, relevance = torch.tensor(kept).bool(), torch.tensor(relevance).double()
    together = torch.tensor(links).long().view(-1, 3)
    return RouteLayer(
        name,
        "ReLU",
        (kept.shape[1], 4, 4),
        True,
        kept,
        relevance,
        torch.tensor([0.5, 0.5]),
        together,
        torch.tensor(flow).double(),
    )


def route(**changes):
    """Two examples through two layers; the second one's route is empty."""
    layers = (
        layer("first", [[1, 1, 0], [0, 0, 0]], [[3.0, -1.0, 0.0], [0.0] * 3]),
        layer(
            "second",
            [[1, 0, 1, 0], [0] * 4],
            [[2.0, 0, 6.0, 0], [0.0] * 4],
            [[0, 0, 0], [0, 2, 0], [0, 2, 1]],
            [2.0, 4.0, -1.0],
        ),
    )
    fields = {
        "layers": layers,
        "value": torch.tensor([[9.0, 4.0, 1.0, 0.0], [5.0, 5.0, 5.0, 5.0]]),
        "slack": torch.tensor([[1.0, 0.4, -0.5, -1.0], [1.0, 1.0, 1.0, 1.0]]).double(),
        "answer": torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]]),
        "decided": torch.tensor([True, True]),
        "share": torch.zeros(2).double(),
        "minimal": torch.tensor([False, True]),
        "control": torch.tensor([[0.1, 0.0, 0.4], [1.0, 0.7, 1.0]]).double(),
        "control_value": torch.tensor([2.0, 5.0]),
        "draws": 10,
        "target": torch.tensor([0, 1]),
        "labels": ("cat & dog", "<b>bird</b>"),
    }
    return pl.Route(**(fields | changes))


def drawing(result, example):
    return ElementTree.fromstring(svg(result, example))


def test_every_kept_channel_is_a_dot_with_its_number_and_its_colour():
    dots = drawing(route(), 0).findall("circle")
    assert [(dot.get("fill"), dot.find("title").text.split(":")[0]) for dot in dots] == [
        (POSITIVE, "channel 0 of first"),
        (NEGATIVE, "channel 1 of first"),
        (POSITIVE, "channel 2 of second"),
        (POSITIVE, "channel 0 of second"),
    ]
    sizes = [float(dot.get("r")) for dot in dots]
    assert sizes[0] / sizes[1] == pytest.approx(3**0.5, rel=0.02)


def test_lines_join_channels_that_relevance_flows_between_the_strongest_widest():
    found = graph(route(), 0)
    between = [(line.start.label, line.end.label, line.strength, line.colour) for line in found.lines]
    assert between[-3:] == [("0", "0", 0.5, POSITIVE), ("0", "2", 1.0, POSITIVE), ("1", "2", 0.25, NEGATIVE)]
    assert {(start, end) for start, end, *_ in between[:4]} == {
        ("input", "0"),
        ("input", "1"),
        ("0", "cat & dog"),
        ("2", "cat & dog"),
    }


def test_below_each_layer_stands_how_many_channels_are_kept_of_how_many():
    words = [text.text for text in drawing(route(), 0).findall("text")]
    for layer, kept, channels in (("first", "2", "of 3"), ("second", "2", "of 4")):
        assert layer in words
        assert words[words.index(channels) - 1] == kept


def test_of_a_long_name_the_end_is_written_and_the_whole_is_in_the_title():
    long = layer("encoder.encoder.layer.11", [[1], [1]], [[1.0], [1.0]])
    text = next(t for t in drawing(route(layers=(long,)), 0).findall("text") if t.text == "layer.11")
    assert text.find("title").text == "encoder.encoder.layer.11: ReLU"


def test_an_empty_route_has_no_dots_and_says_so():
    assert not drawing(route(), 1).findall("circle")
    assert "needs no channel" in route().statements(1)[0]
    assert len(route().statements(1)) == 1


def test_at_most_eight_dots_of_a_layer_are_drawn_the_strongest():
    many = layer("first", [[1] * 20, [1] * 20], torch.arange(40).view(2, 20).tolist())
    result = route(layers=(many, route().layers[1]))
    assert {dot.label for dot in graph(result, 0).dots if "first" in dot.title} == {str(n) for n in range(12, 20)}


def test_the_picture_shows_the_same_dots_in_the_same_places():
    result = route()
    drawn, found = result.plot(), graph(result, 0)
    assert drawn.size == (found.width, found.height)
    for dot in found.dots:
        colour = drawn.getpixel((round(dot.x), round(dot.y)))
        expected = tuple(int(dot.colour[start : start + 2], 16) for start in (1, 3, 5))
        assert max(abs(one - other) for one, other in zip(colour, expected, strict=True)) < 12
    with_input = result.plot(picture=Image.new("RGB", (60, 60), (0, 200, 0)))
    first = found.ends[0]
    assert with_input.getpixel((round(first.x) - 20, round(first.y))) == (0, 200, 0)


def test_the_page_says_what_the_result_says_and_escapes_what_it_is_told():
    page = route()._repr_html_()
    assert "<script" not in page
    assert "<b>bird</b>" not in page
    for told in route().statements(0):
        assert escape(told) in page
    assert re.findall(r"<tr><th scope='row'>([^<]*)</th>", page)[:5] == [
        "whole network",
        "route only",
        "without the route",
        "nothing",
        "random routes",
    ]


def test_fields_that_contradict_each_other_are_refused():
    for name, value in (
        ("layers", ()),
        ("value", torch.zeros(2, 3)),
        ("minimal", torch.tensor([True])),
        ("layers", (layer("first", [[1, 1, 0]], [[3.0, -1.0, 0.0]]),)),
    ):
        with pytest.raises(ValueError, match=r"layer|value|minimal|examples"):
            route(**{name: value})


def test_what_holds_of_the_route_is_read_off_its_numbers():
    result = route()
    assert result.kept.tolist() == [4, 0]
    assert result.channels == 7
    assert result.sufficient.tolist() == [True, True]
    assert result.necessary.tolist() == [True, False]
    assert result.lead.tolist() == pytest.approx([0.4, 1.0])
    assert result.layers[0].parts(0).tolist() == [0.75, -0.25, 0.0]
    assert "The budget ended" in result.summary()
    assert "with 40% of its lead" in result.summary()
