"""Where the network looks: relevance by electrode and by frequency, and how often chance would look there too."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from examples.eyes.network import HERTZ, FromSpectrum, spectrum
from torch import Tensor, nn

import pellucid as pl
from pellucid.engine.rules import Epsilon
from pellucid.render.scalp import positions

LABELS = ("open", "closed")
OPEN, CLOSED = range(2)
BACK, ALPHA = ("O1", "Oz", "O2"), (8.0, 12.0)
LRP, STRENGTH = "LRP, ε", "signal alone"
_BY_EPSILON = {"from_spectrum.synthesis": Epsilon()}  # the transform is exact: no rule may blur it

METHODS: Mapping[str, tuple[Any, Any]] = {
    LRP: (pl.methods.LRP(composite="epsilon"), pl.methods.LRP(composite="epsilon", rules=_BY_EPSILON)),
    "LRP, ε and z⁺": (
        pl.methods.LRP(composite="epsilon-plus"),
        pl.methods.LRP(composite="epsilon-plus", rules=_BY_EPSILON),
    ),
    "gradient × input": (pl.methods.InputXGradient(), pl.methods.InputXGradient()),
    "gradient, absolute": (pl.methods.Gradient(values="absolute"), pl.methods.Gradient(values="absolute")),
}


def by_time(method: str, network: nn.Module, windows: Tensor, label: int, names: Sequence[str]) -> Tensor:
    """Scores for this label rather than the other, [B, samples, electrodes]; the signal alone counts its squares."""
    if method == STRENGTH:
        return (windows - windows.mean(1, keepdim=True)) ** 2
    subject = pl.wrap(network, pl.tasks.Sequence(channels=names, labels=LABELS), name="eyes")
    return METHODS[method][0](subject, pl.Decision(windows, target=label, foil=1 - label)).scores


def by_frequency(method: str, network: nn.Module, windows: Tensor, label: int) -> Tensor:
    """As ``by_time``, but [B, frequencies, electrodes]: an inverse Fourier transform is put before the network, whose input
    then are frequencies, and both parts of a coefficient are added."""
    coefficients = spectrum(windows)
    scores = coefficients**2
    if method != STRENGTH:
        whole = nn.Sequential()
        whole.add_module("from_spectrum", FromSpectrum(windows.shape[1]))
        whole.add_module("network", network)
        subject = pl.wrap(whole.eval(), pl.tasks.TensorTask(labels=LABELS), name="eyes by frequency")
        scores = METHODS[method][1](subject, pl.Decision(coefficients, target=label, foil=1 - label)).scores
    real, imaginary = scores.chunk(2, dim=1)
    return real + imaginary


def positive(scores: Tensor, axis: int) -> np.ndarray:
    """What speaks for the label: each segment's scores summed over ``axis``, their positive part, mean over segments."""
    return scores.double().sum(axis).clamp(min=0).mean(0).numpy()


def numbers_of(chosen: Sequence[str], names: Sequence[str]) -> frozenset[int]:
    """Which of the recording's electrodes these are, in any case."""
    wanted = {name.lower() for name in chosen}
    return frozenset(number for number, name in enumerate(names) if name.lower() in wanted)


def neighbours(names: Sequence[str]) -> list[frozenset[int]]:
    """Every triple of an electrode and two of the four nearest to it."""
    places = {name.lower(): place for name, place in positions().items()}
    spots = np.array([places[name.lower()] for name in names])
    found = set()
    for spot in spots:
        nearest = np.argsort(np.hypot(*(spots - spot).T), kind="stable")[:5].tolist()
        found |= {frozenset([nearest[0], *pair]) for pair in itertools.combinations(nearest[1:], 2)}
    return sorted(found, key=sorted)


def chance_of_electrodes(amounts: np.ndarray, chosen: frozenset[int], groups: Sequence[frozenset[int]]) -> float:
    """The share of the groups of electrodes (the chosen one among them) that hold at least as much as the chosen one: the
    p-value of an exact permutation test."""
    held = np.array([sum(amounts[number] for number in sorted(group)) for group in (chosen, *groups)])
    return float(np.mean(held[1:] >= held[0] * (1 - 1e-12)))


def triples(names: Sequence[str]) -> list[frozenset[int]]:
    """Every three electrodes, wherever they lie."""
    return [frozenset(triple) for triple in itertools.combinations(range(len(names)), 3)]


def chance_of_band(amounts: np.ndarray, band: tuple[float, float] = ALPHA) -> float:
    """The share of all bands of this width above 0 Hz that hold at least as much as this one: again an exact test."""
    inside = in_band(band)
    held = np.convolve(amounts, np.ones(int(inside.sum())), mode="valid")
    return float(np.mean(held[1:] >= held[int(inside.argmax())] * (1 - 1e-12)))


def in_band(band: tuple[float, float]) -> np.ndarray:
    """Which of the frequencies lie in the band, ends included."""
    return (band[0] <= HERTZ) & (band[1] >= HERTZ)


def without(windows: Tensor, band: tuple[float, float], electrodes: Sequence[int] | None = None) -> Tensor:
    """The windows with this band taken out, of all electrodes or of some."""
    found = torch.fft.rfft(windows.double(), dim=1)
    places = range(windows.shape[2]) if electrodes is None else electrodes
    for place in places:
        found[:, torch.from_numpy(in_band(band)), place] = 0
    return torch.fft.irfft(found, windows.shape[1], dim=1).float()
