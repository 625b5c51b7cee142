"""What keeps an optimised picture in a set or makes it smoother: operations after a step, and transformations before it."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, conv2d, grid_sample, pad

from pellucid.engine.canvases import Bounds
from pellucid.engine.optimize import After, Moment, Transform


def in_box(bounds: Bounds) -> After:
    """The nearest point between the bounds."""
    return lambda leaf, moment: leaf if bounds is None else leaf.clamp(*(bound.to(leaf) for bound in bounds))


def on_sphere(norm: float) -> After:
    """The nearest point of this norm."""
    return lambda leaf, moment: leaf * (norm / _norms(leaf))


def in_ball(norm: float) -> After:
    """The nearest point of at most this norm."""
    return lambda leaf, moment: leaf * (norm / _norms(leaf)).clamp(max=1)


def decayed(share: float) -> After:
    """Every value nearer to zero by this share of it."""
    return lambda leaf, moment: leaf * (1 - share)


def blurred(radius: float, every: int) -> After:
    """A Gaussian blur of standard deviation ``radius`` at every so many steps, borders repeated."""
    return lambda leaf, moment: leaf if moment.step % every else gaussian_blur(leaf, radius)


def clipped(by: Literal["size", "norm", "contribution", "contribution size"], percentile: float) -> After:
    """Zero where a picture matters least (yosinski2015understanding): single values by their ``size``; pixels by the
    ``norm`` of their channels, by what they contribute to the unit (``−Σ value · gradient`` is what would be lost), or by
    its absolute size. ``percentile`` of them are set to zero."""

    def operation(leaf: Tensor, moment: Moment) -> Tensor:
        match by:
            case "size":
                weight = leaf.abs()
            case "norm":
                weight = leaf.norm(dim=1, keepdim=True)
            case _:
                weight = (leaf * moment.gradient).sum(1, keepdim=True)
                weight = weight.abs() if by == "contribution size" else weight
        least = torch.quantile(weight.flatten(1), percentile / 100, dim=1)
        return leaf * (weight >= least.view(-1, *[1] * (leaf.ndim - 1)))

    return operation


def denoised(weights: Sequence[float], steps: int = 100, small: float = 1e-3) -> After:
    """Total variation taken out by split Bregman iterations (goldstein2009split), with a weight for each step: the smaller
    it is the smoother the picture."""

    def operation(leaf: Tensor, moment: Moment) -> Tensor:
        from skimage.restoration import denoise_tv_bregman

        weight = weights[min(moment.step, len(weights) - 1)]
        # Channel by channel: of a single one it would drop the axis.
        planes = [
            denoise_tv_bregman(plane.double().numpy(), weight, max_num_iter=steps, eps=small, isotropic=False)
            for plane in leaf.flatten(0, 1)
        ]
        return torch.stack([torch.as_tensor(plane) for plane in planes]).view(leaf.shape).to(leaf)

    return operation


def gaussian_blur(images: Tensor, radius: float) -> Tensor:
    """A Gaussian blur of pictures ``[rows, channels, height, width]``, borders repeated."""
    reach = max(1, round(3 * radius))
    line = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, dtype=images.dtype) / radius).square())
    line = (line / line.sum()).view(1, 1, -1)
    channels = images.shape[1]
    rows = conv2d(
        pad(images, (reach, reach, 0, 0), "replicate"), line[:, :, None].expand(channels, 1, 1, -1), groups=channels
    )
    kernel = line[:, :, :, None].expand(channels, 1, -1, 1)
    return conv2d(pad(rows, (0, 0, reach, reach), "replicate"), kernel, groups=channels)


def jittered(shift: float = 0.1, angle: float = 10.0, scale: float = 0.2) -> Transform:
    """Pictures moved by up to ``shift`` of their sides, turned by up to ``angle`` degrees and scaled by up to ``scale``, in
    one sampling; what lies beyond the border is mirrored."""

    def transform(point: Tensor, draws: Sequence[torch.Generator]) -> Tensor:
        uniform = torch.stack([2 * torch.rand(4, generator=draw) - 1 for draw in draws]).to(point)
        turn = uniform[:, 0] * angle * torch.pi / 180
        size = 1 + uniform[:, 1] * scale
        ratio = point.shape[-2] / point.shape[-1]
        rows = torch.stack([size * turn.cos(), -size * turn.sin() * ratio, 2 * shift * uniform[:, 2]], 1)
        columns = torch.stack([size * turn.sin() / ratio, size * turn.cos(), 2 * shift * uniform[:, 3]], 1)
        grid = affine_grid(torch.stack([rows, columns], 1), list(point.shape), align_corners=False)
        return grid_sample(point, grid, "bilinear", "reflection", align_corners=False)

    return transform


def _norms(leaf: Tensor) -> Tensor:
    norms = leaf.flatten(1).norm(dim=1).clamp(min=torch.finfo(leaf.dtype).tiny)
    return norms.view(-1, *[1] * (leaf.ndim - 1))
