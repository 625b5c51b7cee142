"""The signed colours mean the same to every eye."""

import numpy as np
import pytest
from skimage.color import rgb2lab

from pellucid.render.colours import signed, signed_hex, signed_table, text_on

# Machado, Oliveira & Fernandes 2009, severity 1.0, on linear light.
VISIONS = {
    "normal": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def seen(rgb, vision):
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ np.array(VISIONS[vision]).T, 0, 1)
    return rgb2lab(np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)[None, None])[0, 0]


@pytest.mark.parametrize("vision", VISIONS)
def test_both_ends_and_white_stay_apart_in_every_vision(vision):
    low, middle, high = (seen(signed_table()[place] / 255, vision) for place in (0, 128, 256))
    assert np.linalg.norm(high - low) >= 50
    assert np.linalg.norm(high - middle) >= 40
    assert np.linalg.norm(low - middle) >= 40


def test_lightness_falls_evenly_and_equally_on_both_arms():
    lightness = rgb2lab(signed_table()[None] / 255)[0, :, 0]
    assert np.all(np.diff(lightness[:129]) > 0)
    assert np.all(np.diff(lightness[128:]) < 0)
    assert np.abs(lightness - lightness[::-1]).max() < 1.0


def test_zero_is_white_and_values_outside_take_the_end():
    assert signed(np.array(0.0)).min() > 245
    assert (signed(np.array([5.0, -5.0])) == signed(np.array([1.0, -1.0]))).all()


def test_red_is_positive():
    red, blue = signed(np.array(1.0)).astype(int), signed(np.array(-1.0)).astype(int)
    assert red[0] > red[2] + 80
    assert blue[2] > blue[0] + 80


def test_text_can_be_read_on_every_colour():
    def luminance(colour):
        rgb = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    for value in np.linspace(-1, 1, 41):
        light, dark = sorted((luminance(signed_hex(value)), luminance(text_on(value))), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, value
