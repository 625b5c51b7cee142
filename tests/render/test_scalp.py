"""Maps of the scalp put electrodes where they lie on the head, and colours where the values are."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.core.errors import UsageError
from pellucid.render.scalp import positions, scalp

FINER = {f"{row}{number}" for row in ("AF", "PO") for number in (1, 2, 5, 6, 9, 10)}
LOWER = {"Nz", *(f"{row}{number}" for row in ("F", "FT", "TP", "P") for number in (9, 10))}
SIXTY_FOUR = [name for name in positions() if name not in FINER | LOWER]


def on_sphere(name):
    x, y = positions()[name]
    polar, turn = math.hypot(x, y) * math.pi / 2, math.atan2(x, y)
    return np.array([math.sin(polar) * math.sin(turn), math.sin(polar) * math.cos(turn), math.cos(polar)])


def apart(one, other):
    return math.degrees(math.acos(np.clip(on_sphere(one) @ on_sphere(other), -1, 1)))


def colour_at(picture, name, side=480):
    x, y = positions()[name]
    # Beside the name, whose letters would be read instead.
    spot = (round(side * (0.5 + 0.38 * x)), round(side * (0.5 - 0.38 * y)) - 9)
    return np.array(picture.getpixel(spot)).astype(int)


def test_the_usual_cap_has_sixty_four_electrodes():
    assert len(SIXTY_FOUR) == 64
    assert {"T9", "T10", "Iz", "FCz", "PO3"} <= set(SIXTY_FOUR)


def test_the_lines_of_the_head_are_divided_into_tenths():
    midline = ["Nz", "Fpz", "AFz", "Fz", "FCz", "Cz", "CPz", "Pz", "POz", "Oz", "Iz"]
    across = ["T9", "T7", "C5", "C3", "C1", "Cz", "C2", "C4", "C6", "T8", "T10"]
    ring = ["Fpz", "Fp2", "AF8", "F8", "FT8", "T8", "TP8", "P8", "PO8", "O2", "Oz"]
    for line, step in ((midline, 18), (across, 18), (ring, apart("Fpz", "Fp2"))):
        assert [apart(*pair) for pair in zip(line, line[1:], strict=False)] == pytest.approx([step] * 10, abs=1e-4)


@pytest.mark.parametrize("row", ["AF", "F", "P", "PO"])
def test_a_row_divides_the_arc_from_ring_to_midline_evenly(row):
    names = [f"{row}7", f"{row}5", f"{row}3", f"{row}1", f"{row}z"]
    steps = [apart(*pair) for pair in zip(names, names[1:], strict=False)]
    assert steps == pytest.approx([steps[0]] * 4, abs=1e-6)


def test_positions_agree_with_the_angles_that_eeg_programs_use():
    # Azimuth from the nose and inclination on a sphere whose ring lies at 90 degrees, rounded.
    for name, azimuth, inclination in (
        ("F4", 39, 60),
        ("FC2", 45, 31),
        ("PO4", 158, 74),
        ("CP6", 113, 71),
        ("F8", 54, 90),
    ):
        x, y = positions()[name]
        assert math.degrees(math.atan2(x, y)) == pytest.approx(azimuth, abs=4), name
        assert math.hypot(x, y) / 0.8 * 90 == pytest.approx(inclination, abs=4), name


def test_left_and_right_mirror_each_other_and_odd_is_left():
    for name, (x, y) in positions().items():
        number = name.lstrip("ACFINOPTRzp")
        if not number:
            assert x == pytest.approx(0, abs=1e-12)
            continue
        partner = name.removesuffix(number) + str(int(number) + (1 if int(number) % 2 else -1))
        assert (x < 0) == bool(int(number) % 2)
        assert positions()[partner] == pytest.approx((-x, y))


def test_what_is_positive_is_red_where_it_lies_and_nowhere_else():
    picture = scalp({name: float(name in ("O1", "Oz", "O2")) for name in SIXTY_FOUR})
    red, _, blue = colour_at(picture, "Oz")
    assert red - blue > 80
    assert np.ptp(colour_at(picture, "Fz")) < 12
    red, _, blue = colour_at(scalp({name: -float(name == "Fpz") for name in SIXTY_FOUR}), "Fpz")
    assert blue - red > 60


@settings(max_examples=20)
@given(st.floats(1e-6, 1e6))
def test_without_a_limit_only_the_pattern_counts(factor):
    values = dict(zip(("F3", "F4", "Pz", "Cz"), (1.0, -0.5, 0.25, 0.0), strict=True))
    drawn = scalp({name: value * factor for name, value in values.items()}, side=60)
    assert np.abs(np.asarray(drawn, dtype=int) - np.asarray(scalp(values, side=60), dtype=int)).max() <= 2


def test_a_shared_limit_makes_maps_comparable():
    weak = scalp(dict.fromkeys(SIXTY_FOUR, 0.1), limit=1.0)
    strong = scalp(dict.fromkeys(SIXTY_FOUR, 0.1))
    assert colour_at(weak, "Cz").min() > 200 > colour_at(strong, "Cz").min()


def test_nothing_but_zero_is_white():
    assert colour_at(scalp(dict.fromkeys(SIXTY_FOUR, 0.0)), "Cz").min() > 245


def test_names_are_read_in_any_case_and_former_names_are_known():
    modern = scalp({"T7": 1, "T8": -1, "Oz": 0.5}, marked=["Oz"])
    other = scalp({"t7..": 1, "T8": -1, "OZ": 0.5}, marked=["oz"])
    assert modern.tobytes() == other.tobytes()
    former = scalp({"T3": 1, "T4": -1, "Oz": 0.5})
    assert np.allclose(colour_at(former, "T7"), colour_at(modern, "T7"), atol=2)


def test_marked_electrodes_have_a_ring():
    values = dict.fromkeys(SIXTY_FOUR, 0.0)
    differing = np.asarray(scalp(values)) != np.asarray(scalp(values, marked=["Cz"]))
    rows, columns = np.nonzero(differing.any(axis=2))
    assert rows.mean() == pytest.approx(239.5, abs=1)
    assert columns.mean() == pytest.approx(239.5, abs=1)
    assert np.hypot(rows - 239.5, columns - 239.5).min() > 10


def test_an_unknown_electrode_is_refused_by_name():
    with pytest.raises(UsageError, match="no electrode 'Q3' in the 10-10 system"):
        scalp({"Q3": 1.0, "Cz": 0.0, "Pz": 0.0})


@pytest.mark.parametrize("names", [(), ("Cz",), ("Cz", "Pz"), ("Fz", "Cz", "Pz")])
def test_electrodes_on_one_line_do_not_make_a_map(names):
    with pytest.raises(UsageError, match="at least three electrodes that do not lie on one line"):
        scalp(dict.fromkeys(names, 1.0))
