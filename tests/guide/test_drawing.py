"""The drawing is a true picture of four overlapping sets: every overlap is there, every name inside its own."""

import itertools

import pytest

from pellucid.core.catalogue import catalogue
from pellucid.core.spec import Scope
from pellucid.guide.drawing import LINES, drawing
from pellucid.guide.map import placed

REGIONS = [frozenset(chosen) for size in range(1, 5) for chosen in itertools.combinations(Scope, size)]
ONE_EACH = {region: (f"n{number:02}",) for number, region in enumerate(REGIONS)}


def borders(text, scope):
    """Left, top, right and bottom of a scope, found in the text alone by the border that its title lies on."""
    lines = text.split("\n")
    row = next(number for number, line in enumerate(lines) if f" {scope.value.upper()} " in line)
    heavy = LINES[scope].weight == 2
    column = lines[row].index(f" {scope.value.upper()} ")
    starts, ends = ("┏┗", "┓┛") if heavy else ("┌└", "┐┘")
    left = max(at for at in range(column + 1) if lines[row][at] in starts)
    right = min(at for at in range(column, len(lines[row])) if lines[row][at] in ends)
    at_bottom = lines[row][left] in "┗└"
    corner = starts[0] if at_bottom else starts[1]
    rows = range(row - 1, -1, -1) if at_bottom else range(row + 1, len(lines))
    other = next(number for number in rows if len(lines[number]) > left and lines[number][left] == corner)
    return (left, other, right, row) if at_bottom else (left, row, right, other)


def inside(text, name, box):
    lines = text.split("\n")
    row = next(number for number, line in enumerate(lines) if name in line)
    column = lines[row].index(name)
    left, top, right, bottom = box
    return left < column and column + len(name) <= right and top < row < bottom


@pytest.mark.parametrize("width", [80, 81, 97, 120])
def test_each_name_lies_inside_exactly_the_borders_of_its_scopes(width):
    text = drawing(ONE_EACH, width)
    boxes = {scope: borders(text, scope) for scope in Scope}
    for region, (name,) in ONE_EACH.items():
        assert {scope for scope in Scope if inside(text, name, boxes[scope])} == region, name


@pytest.mark.parametrize("width", [80, 100])
def test_the_drawing_fills_the_width_and_never_exceeds_it(width):
    long = dict.fromkeys(REGIONS, ("activation-maximization", "region-perturbation", "lrp") * 2)
    assert max(map(len, drawing(long, width).split("\n"))) == width
    assert max(map(len, drawing({}, width).split("\n"))) == width


def test_the_four_scopes_can_be_told_apart_without_colour():
    assert len({(line.horizontal, line.vertical, line.weight) for line in LINES.values()}) == 4
    assert "\x1b" not in drawing(ONE_EACH)


def test_a_long_name_is_broken_at_hyphens_and_none_of_it_is_lost():
    only = frozenset({Scope.TRANSPARENCY, Scope.DECOMPOSABILITY})
    crowd = dict.fromkeys(REGIONS, ("a-very-long-name-of-a-method",))
    crowd[only] = ("first-second-third-fourth-fifth",)
    text = drawing(crowd)
    found = [
        part
        for line in text.split("\n")
        for part in ("first-", "second-", "third-", "fourth-", "fifth")
        if part in line
    ]
    assert found == ["first-", "second-", "third-", "fourth-", "fifth"]


def test_every_method_of_the_product_is_on_the_map():
    text = drawing(placed(catalogue()), width=160)  # where it is narrow, long names break at their hyphens
    for record in catalogue():
        assert record["id"] in text
