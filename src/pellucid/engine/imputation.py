"""Noisy linear imputation: removed pixels become weighted means of their neighbours, so that nothing shows where they were.

Each removed pixel equals the mean of its neighbours, removed or not, with weight 1/6 for those that share a side and 1/12
for the diagonal ones (rong2022consistent): a sparse linear system for each set of removed pixels.
"""

import functools

import numpy as np
import torch
from scipy.sparse import csr_array, diags_array
from scipy.sparse.linalg import splu
from torch import Tensor

_WEIGHTS = {
    (down, right): 1 / 6 if 0 in (down, right) else 1 / 12
    for down in (-1, 0, 1)
    for right in (-1, 0, 1)
    if (down, right) != (0, 0)
}


def imputed(picture: Tensor, removed: Tensor, noise: Tensor) -> Tensor:
    """One ``picture`` ``[channels, height, width]`` without the pixels of each row of ``removed`` (``[n, height × width]``,
    bool): ``[n, channels, height, width]``.

    ``noise``, in the shape of the picture, is added where a pixel was removed. At least one pixel must remain.
    """
    pixels = picture.double().flatten(1).T.numpy()
    neighbours, laplacian = _grid(*picture.shape[1:])
    found = np.repeat(pixels[None], len(removed), axis=0)
    for row, gone in enumerate(removed.numpy()):
        places = np.flatnonzero(gone)
        if len(places):
            known = (neighbours @ np.where(gone[:, None], 0, pixels))[places]
            found[row, places] = _solved(laplacian[places][:, places], known)
    made = torch.from_numpy(found).transpose(1, 2).view(-1, *picture.shape)
    return (made + noise.double() * removed.view(-1, 1, *picture.shape[1:])).to(picture.dtype)


def _solved(system: csr_array, known: np.ndarray) -> np.ndarray:
    # Symmetric and diagonally dominant: no pivoting is needed.
    factors = splu(system.tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0, options={"SymmetricMode": True})
    return np.asarray(factors.solve(known))


@functools.lru_cache(maxsize=4)
def _grid(height: int, width: int) -> tuple[csr_array, csr_array]:
    """The weights of each pixel's neighbours, and the system in which each is their mean."""
    number = height * width
    rows, columns = np.divmod(np.arange(number), width)
    entries = []
    for (down, right), weight in _WEIGHTS.items():
        row, column = rows + down, columns + right
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        places = np.flatnonzero(inside)
        entries.append((places, places + down * width + right, np.full(len(places), weight)))
    here, there, weights = (np.concatenate(parts) for parts in zip(*entries, strict=True))
    neighbours = csr_array((weights, (here, there)), shape=(number, number))
    return neighbours, csr_array(diags_array(neighbours.sum(1)) - neighbours)
