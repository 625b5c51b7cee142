"""Canvases: what is optimised in the place of pixels, and how the point is drawn from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pellucid.core.seeds import generator

Parametrisation = Literal["fft", "pixel"]
Bounds = tuple[Tensor, Tensor] | None
# How the colours of natural pictures vary together, as a root of their covariance with columns of norm at most 1
# (olah2017feature): independent numbers times this are colours as they occur.
_COLOURS = torch.tensor([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])

CLEAR, NATURAL = 1.5, 1.0


@dataclass(frozen=True)
class Pixels:
    """The point itself."""

    leaf: Tensor

    def draw(self, leaf: Tensor) -> Tensor:
        """As it is."""
        return leaf


@dataclass(frozen=True)
class Levels:
    """Pixels in levels from 0 to 255, less one ``mean`` or one per channel, whatever the network's own scale is: recipes
    are written for these."""

    leaf: Tensor
    bounds: Bounds
    mean: float | Tensor = 0.0

    def draw(self, leaf: Tensor) -> Tensor:
        """The point; of a space without bounds the levels themselves."""
        if self.bounds is None:
            return leaf + self.mean
        low, high = (bound.to(leaf) for bound in self.bounds)
        return low + (high - low) * (leaf + self.mean) / 255

    def of(self, point: Tensor) -> Tensor:
        """The levels of a point."""
        if self.bounds is None:
            return point - self.mean
        low, high = (bound.to(point) for bound in self.bounds)
        return (point - low) / (high - low) * 255 - self.mean


class Spectrum:
    """The discrete Fourier transform of each channel, scaled so that coarse waves move first, in colours that do not depend
    on each other, and squeezed between the bounds of a point ``[channels, height, width]`` (olah2017feature).

    The scale falls as frequency to the power of ``−steepness``; 1 gives all frequencies of photographs the same weight. With
    1.5, of the same mean, pictures of 128 pixels are clearer, and a second network takes them for the class more often.
    """

    def __init__(self, leaf: Tensor, shape: tuple[int, ...], bounds: Bounds, steepness: float = CLEAR) -> None:
        self.leaf, self._shape, self._bounds = leaf, shape, bounds
        natural = 1 / frequencies(shape[-2:]).clamp(min=1 / max(shape[-2:]))
        steep = natural**steepness
        self._scale = steep * (natural.mean() / steep.mean())

    def draw(self, leaf: Tensor) -> Tensor:
        """Pictures ``[rows, channels, height, width]`` of coefficients ``[rows, channels, height, width // 2 + 1, 2]``."""
        scaled = torch.view_as_complex(leaf.contiguous()) * self._scale.to(leaf)
        planes = torch.fft.irfft2(scaled, s=self._shape[-2:], norm="ortho")
        return bounded(coloured(planes / 4), self._bounds)

    @classmethod
    def noise(
        cls,
        seeds: Sequence[int],
        shape: tuple[int, ...],
        bounds: Bounds,
        strength: float = 0.01,
        steepness: float = CLEAR,
    ) -> "Spectrum":
        """A start with small random coefficients, drawn for each seed on its own."""
        size = (*shape[:-1], shape[-1] // 2 + 1, 2)
        return cls(strength * drawn(seeds, size), shape, bounds, steepness)

    @classmethod
    def of(cls, images: Tensor, bounds: Bounds) -> "Spectrum":
        """A start that draws these pictures, as far as they lie inside the bounds."""
        planes = _uncoloured(_unbounded(images, bounds)) * 4
        shape = tuple(images.shape[1:])
        canvas = cls(torch.empty(0), shape, bounds)
        leaf = torch.view_as_real(torch.fft.rfft2(planes, norm="ortho") / canvas._scale.to(images))
        return cls(leaf, shape, bounds)


class Magnitudes:
    """The phases of a spectrum whose magnitudes stay those of natural pictures (fel2023maco).

    ``magnitude`` is ``[channels, height, width // 2 + 1]``.
    """

    def __init__(self, leaf: Tensor, magnitude: Tensor, shape: tuple[int, ...], bounds: Bounds) -> None:
        self.leaf, self._shape, self._bounds, self._magnitude = leaf, shape, bounds, magnitude

    def draw(self, leaf: Tensor) -> Tensor:
        """Pictures of the phases."""
        spectrum = torch.polar(self._magnitude.to(leaf).expand_as(leaf), leaf)
        planes = torch.fft.irfft2(spectrum, s=self._shape[-2:], norm="ortho")
        return bounded(coloured(planes), self._bounds)

    @classmethod
    def noise(
        cls, seeds: Sequence[int], shape: tuple[int, ...], bounds: Bounds, magnitude: Tensor | None = None
    ) -> "Magnitudes":
        """A start with phases that are random; without magnitudes they fall with the frequency, as in photographs."""
        if magnitude is None:
            falling = 1 / frequencies(shape[-2:]).clamp(min=1 / max(shape[-2:]))
            falling = falling * (shape[-2] * shape[-1] / 2 / falling.square().sum()).sqrt()  # planes of variance 1
            magnitude = falling.expand(shape[0], -1, -1)
        phases = 2 * torch.pi * (drawn(seeds, (*shape[:-1], shape[-1] // 2 + 1)).sigmoid() - 0.5)
        return cls(phases, magnitude, shape, bounds)


def frequencies(sides: tuple[int, ...]) -> Tensor:
    """The radial frequency of each coefficient of half a spectrum, in cycles per pixel: ``[height, width // 2 + 1]``."""
    rows, columns = torch.fft.fftfreq(sides[0]), torch.fft.rfftfreq(sides[1])
    return (rows[:, None].square() + columns.square()).sqrt()


def drawn(seeds: Sequence[int], shape: tuple[int, ...]) -> Tensor:
    """Normal numbers ``[seeds, …shape]``, those of each seed on their own."""
    like = torch.zeros(1)
    return torch.stack([torch.randn(shape, generator=generator(seed, "start", like)) for seed in seeds])


def coloured(planes: Tensor) -> Tensor:
    """Independent planes as colours that vary together as in natural pictures; other than three channels as they are."""
    return torch.einsum("co,n o h w -> n c h w".replace(" ", ""), _mixing(planes), planes) if _rgb(planes) else planes


def bounded(values: Tensor, bounds: Bounds) -> Tensor:
    """Any numbers squeezed between the bounds of a point, 0 in the middle."""
    if bounds is None:
        return values
    low, high = (bound.to(values) for bound in bounds)
    return low + (high - low) * values.sigmoid()


def _unbounded(images: Tensor, bounds: Bounds) -> Tensor:
    if bounds is None:
        return images
    low, high = (bound.to(images) for bound in bounds)
    return ((images - low) / (high - low)).clamp(1e-3, 1 - 1e-3).logit()


def _uncoloured(planes: Tensor) -> Tensor:
    if not _rgb(planes):
        return planes
    return torch.einsum("co,nohw->nchw", torch.linalg.inv(_mixing(planes)), planes)


def _rgb(planes: Tensor) -> bool:
    return planes.ndim == 4 and planes.shape[1] == 3


def _mixing(like: Tensor) -> Tensor:
    return (_COLOURS / _COLOURS.norm(dim=0).max()).to(like)


def mean_magnitude(images: Tensor, shape: tuple[int, ...], bounds: Bounds) -> Tensor:
    """The mean magnitude of the spectra of pictures at the size of ``shape``, ``[channels, height, width // 2 + 1]``, as
    :class:`Magnitudes` takes it."""
    fitted = torch.nn.functional.interpolate(images, shape[-2:], mode="bilinear", antialias=True)
    return torch.fft.rfft2(_uncoloured(_unbounded(fitted, bounds)), norm="ortho").abs().mean(0)
