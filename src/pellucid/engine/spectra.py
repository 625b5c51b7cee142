"""How fine a picture is: its power by spatial frequency."""

import torch
from torch import Tensor

HIGH = 0.25


def power(images: Tensor) -> tuple[Tensor, Tensor]:
    """The power of pictures ``[rows, channels, height, width]`` without their mean, summed over channels, and its radial
    frequency in cycles per pixel: ``[rows, height, width]`` and ``[height, width]``, of the full spectrum."""
    centred = images.double() - images.double().mean((2, 3), keepdim=True)
    rows, columns = (torch.fft.fftfreq(side, dtype=torch.float64) for side in images.shape[2:])
    found = torch.fft.fft2(centred).abs().square().sum(1)
    return found, (rows[:, None].square() + columns.square()).sqrt()


def high_frequency_share(images: Tensor) -> Tensor:
    """The share of a picture's power above 0.25 cycles per pixel, ``[rows]``; 0 of a flat picture."""
    found, frequency = power(images)
    total = found.flatten(1).sum(1)
    return found[:, frequency > HIGH].sum(1) / total.clamp(min=torch.finfo(torch.float64).tiny)


def centroid(images: Tensor) -> Tensor:
    """The mean frequency of a picture's power in cycles per pixel, ``[rows]``."""
    found, frequency = power(images)
    return (found * frequency).flatten(1).sum(1) / found.flatten(1).sum(1).clamp(min=torch.finfo(torch.float64).tiny)
