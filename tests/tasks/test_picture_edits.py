"""Edits of pictures: exactly the pixels that were meant, and refusals that say how to write them."""

import numpy as np
import pytest
from PIL import Image

from pellucid.core.errors import UsageError
from pellucid.tasks.picture_edits import picture_changes, picture_edits

RAMP = np.arange(8 * 6 * 3, dtype=np.uint8).reshape(6, 8, 3)
PICTURE = Image.fromarray(RAMP)


def after(script, picture=PICTURE):
    for edit in picture_edits(picture, script):
        picture = edit.apply(picture)
    return np.asarray(picture)


@pytest.mark.parametrize(
    ("fill", "colour"),
    [("black", 0), ("white", 255), ("#102030", (16, 32, 48)), ("red", (255, 0, 0)), ("", None), ("mean", None)],
)
def test_a_box_is_filled_and_nothing_else_changes(fill, colour):
    changed = after(f"box 2,1,5,4 {fill}")
    part = RAMP[1:4, 2:5]
    expected = part.reshape(-1, 3).mean(0).round() if colour is None else colour
    assert (changed[1:4, 2:5] == np.asarray(expected, dtype=np.uint8)).all()
    outside = np.ones((6, 8), dtype=bool)
    outside[1:4, 2:5] = False
    assert (changed[outside] == RAMP[outside]).all()


def test_a_blurred_box_keeps_the_outside():
    board = (np.indices((6, 8)).sum(0) % 2 * 255).astype(np.uint8)
    changed = after("box 2,1,6,5 blur", Image.fromarray(board))
    assert (changed[0] == board[0]).all()
    assert np.ptp(changed[1:5, 2:6]) < 200


def test_places_in_per_cent_are_those_in_pixels():
    assert (after("box 25%,0%,75%,50% black") == after("box (2, 0, 6, 3) black")).all()


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("flip", RAMP[:, ::-1]),
        ("flip vertical", RAMP[::-1]),
        ("crop 2,1,6,5", RAMP[1:5, 2:6]),
        ("rotate 90", np.rot90(RAMP)),
        ("brightness 0", np.zeros_like(RAMP)),
        ("brightness 1; contrast 1", RAMP),
    ],
)
def test_light_turns_and_cuts_are_what_they_say(script, expected):
    assert (after(script) == expected).all()


def test_a_picture_without_colours_keeps_its_channels():
    assert after("grey").shape == RAMP.shape
    assert (after("grey")[..., 0] == after("grey")[..., 2]).all()


def test_pictures_of_one_channel_are_edited_too():
    grey = PICTURE.convert("L")
    assert (after("box 0,0,2,2 white", grey)[:2, :2] == 255).all()
    assert after("rotate 10; blur 1; grey", grey).ndim == 2


def test_boxes_are_checked_against_the_picture_as_the_edits_before_leave_it():
    with pytest.raises(UsageError, match="no part of a picture of 3 × 6 pixels"):
        picture_edits(PICTURE, "crop 0,0,3,6; box 2,1,5,4 black")
    _crop, box = picture_edits(PICTURE, "crop 1,0,8,6; box 2,1,7,4 black")
    assert np.asarray(box.apply(PICTURE)).shape == RAMP.shape


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("box 2,1,5", "write it as box LEFT,TOP,RIGHT,BOTTOM FILL"),
        ("box 5,1,2,4", "no part of a picture of 8 × 6"),
        ("box 0,0,9,6", "no part of a picture"),
        ("box 0,0,4,4 blu", "no colour 'blu' to fill with; did you mean 'blur'"),
        ("crop 0,0,4,4 black", "write it as crop"),
        ("brightness", "write it as brightness 1.5"),
        ("brightness much", "write it as brightness 1.5"),
        ("brightness -1", "a number of 0 to 1000"),
        ("flip sideways", "flip, or flip vertical"),
        ("brighten 2", "no edit 'brighten'; did you mean 'brightness'"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_way_to_write_it(script, said):
    with pytest.raises(UsageError, match=said):
        picture_edits(PICTURE, script)


def test_another_picture_is_one_edit_and_the_same_is_none():
    (edit,) = picture_changes(PICTURE, PICTURE.rotate(90))
    assert np.asarray(edit.apply(PICTURE)).tolist() == np.asarray(PICTURE.rotate(90)).tolist()
    assert picture_changes(PICTURE, PICTURE.copy()) == ()
