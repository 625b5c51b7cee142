"""Noisy linear imputation: what the linear system says, solved densely, and what follows from it."""

import numpy as np
import pytest
import torch

from pellucid.engine.imputation import imputed

SILENT = torch.zeros(())


def draws(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def densely(picture, removed):
    """Each removed pixel as the mean of its neighbours, by a dense system that is written out pixel by pixel."""
    channels, height, width = picture.shape
    system, known = np.eye(height * width), np.zeros((height * width, channels))
    pixels, gone = picture.flatten(1).T.numpy(), removed.numpy()
    for row in range(height):
        for column in range(width):
            here = row * width + column
            if not gone[here]:
                known[here] = pixels[here]
                continue
            near = [
                (row + down, column + right) for down in (-1, 0, 1) for right in (-1, 0, 1) if (down, right) != (0, 0)
            ]
            near = [(r, c) for r, c in near if 0 <= r < height and 0 <= c < width]
            weights = [1 / 6 if r == row or c == column else 1 / 12 for r, c in near]
            for (r, c), weight in zip(near, weights, strict=True):
                system[here, r * width + c] -= weight / sum(weights)
    return torch.from_numpy(np.linalg.solve(system, known)).T.view(picture.shape)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("shape", [(1, 6, 7), (3, 5, 4), (2, 1, 8)])
def test_every_removed_pixel_is_the_mean_of_its_neighbours(shape, share):
    picture = draws(*shape)
    order = draws(shape[1] * shape[2], seed=1).argsort().argsort()
    removed = order < max(1, int(share * len(order)))
    assert torch.allclose(imputed(picture, removed[None], SILENT)[0], densely(picture, removed), atol=1e-10)


def test_what_remains_stays_as_it_is_and_nothing_leaves_the_range_of_the_picture():
    picture, removed = draws(3, 9, 9), draws(4, 81, seed=2) < 0.7
    found = imputed(picture, removed, SILENT)
    kept = ~removed.view(4, 1, 9, 9).expand(-1, 3, -1, -1)
    assert torch.equal(found[kept], picture.expand(4, -1, -1, -1)[kept])
    assert float(found.min()) >= float(picture.min()) - 1e-12
    assert float(found.max()) <= float(picture.max()) + 1e-12


def test_a_plane_picture_is_restored_inside():
    rows, columns = torch.meshgrid(torch.arange(9.0), torch.arange(9.0), indexing="ij")
    picture = (2 * rows - columns)[None].double()
    removed = torch.zeros(9, 9, dtype=torch.bool)
    removed[2:7, 3:6] = True
    assert torch.allclose(imputed(picture, removed.view(1, -1), SILENT)[0], picture, atol=1e-10)


def test_noise_lies_on_removed_pixels_only():
    picture, noise, removed = draws(1, 6, 6), draws(1, 6, 6, seed=1), draws(1, 36, seed=2) < 0.5
    difference = imputed(picture, removed, noise) - imputed(picture, removed, SILENT)
    assert torch.allclose(difference[0, 0].flatten(), noise.flatten() * removed[0])


def test_nothing_removed_is_the_picture_in_its_own_precision():
    picture = draws(1, 4, 4).float()
    found = imputed(picture, torch.zeros(1, 16, dtype=torch.bool), torch.ones(1, 4, 4))
    assert torch.equal(found[0], picture)
    assert found.dtype == torch.float32
