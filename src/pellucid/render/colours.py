"""Colours that mean the same to every eye: red is positive, white is zero, blue is negative.

The signed map is made in CIELAB: lightness falls evenly from white to the same value at both ends, so equal strengths
look equally strong, and the ends (those of RdBu at its 10 % and 90 % stops) stay apart in every kind of colour vision.
"""

import functools

import numpy as np
from skimage.color import lab2rgb, rgb2lab

POSITIVE, NEGATIVE = "#b2182b", "#2166ac"
OKABE_ITO = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#000000")
# Blue, orange, purple, green …: so that few classes stay apart where their colours are pale.
_DISTINCT = (0, 1, 3, 2, 4, 5, 6)
_STEPS = 128


@functools.cache
def signed_table() -> np.ndarray:
    """``[257, 3]`` sRGB bytes for values −1 … +1."""
    red, blue = (rgb2lab(np.array([[_rgb(colour)]]))[0, 0] for colour in (POSITIVE, NEGATIVE))
    lightness = (red[0] + blue[0]) / 2
    white = np.array([98.0, 0.0, 0.0])
    share = np.linspace(0, 1, _STEPS + 1)[:, None]
    arms = [white + share * (np.array([lightness, *end[1:]]) - white) for end in (blue, red)]
    table = np.concatenate([arms[0][:0:-1], arms[1]])
    return (lab2rgb(table[None])[0] * 255).round().astype(np.uint8)


def signed(values: np.ndarray) -> np.ndarray:
    """sRGB bytes ``[…, 3]`` for values in −1 … +1; values outside take the colour of the end."""
    index = np.rint((np.clip(values, -1, 1) + 1) * _STEPS).astype(int)
    return signed_table()[index]


def distinct(number: int) -> np.ndarray:
    """``[number, 3]`` sRGB bytes that can be told apart: those of Okabe and Ito, or for more than seven a circle of hues,
    light and dark in turn."""
    if number <= len(_DISTINCT):
        found = [_rgb(OKABE_ITO[place]) for place in _DISTINCT[:number]]
        return (np.array(found).reshape(-1, 3) * 255).round().astype(np.uint8)
    angles, lightness = 2 * np.pi * np.arange(number) / number, np.where(np.arange(number) % 2, 45.0, 70.0)
    lab = np.stack([lightness, 52 * np.cos(angles), 52 * np.sin(angles)], 1)
    return (lab2rgb(lab[None])[0] * 255).round().astype(np.uint8)


def mixed(colours: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """White mixed with ``shares`` (0 … 1, ``[…]``) of ``colours`` (``[…, 3]`` sRGB bytes)."""
    white = signed(np.zeros(())).astype(float)
    return (white + np.clip(shares, 0, 1)[..., None] * (colours - white)).round().astype(np.uint8)


def signed_hex(value: float) -> str:
    """The colour of one value as ``#rrggbb``."""
    return "#" + "".join(f"{channel:02x}" for channel in signed(np.array(value)))


def text_on(value: float) -> str:
    """Black or white, whichever is easier to read on the colour of ``value``."""
    return "#ffffff" if abs(value) > 0.85 else "#000000"


def _rgb(colour: str) -> list[float]:
    return [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
