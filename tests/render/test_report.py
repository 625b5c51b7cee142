"""The drawing of the map in a report puts every method where it belongs."""

import itertools
import math

import pytest

from pellucid.render.report import _RADIUS, _SCOPES, place_of

SETS = [names for count in (1, 2, 4) for names in itertools.combinations(_SCOPES, count)]
# Of circles in a square no point lies in two that are opposite each other without lying in the two others.
DRAWABLE = [names for names in SETS if set(names) not in (set(list(_SCOPES)[::3]), set(list(_SCOPES)[1:3]))]


@pytest.mark.parametrize("names", DRAWABLE, ids=" and ".join)
def test_a_dot_lies_inside_its_own_scopes_and_no_other(names):
    spot = place_of(names, [])
    assert {name for name, centre in _SCOPES.items() if math.dist(spot, centre) < _RADIUS} == set(names)


def test_dots_of_the_same_scope_do_not_cover_each_other():
    placed = []
    for _ in range(6):
        placed.append(place_of(["explainability"], placed))
    assert min(math.dist(one, other) for one, other in itertools.combinations(placed, 2)) > 20
