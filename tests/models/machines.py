"""A machine of four visible and three hidden units, of which everything is known by enumeration."""

import torch

from pellucid.models import RBM


def small_machine() -> RBM:
    """In float64."""
    weights = [[1, -2, 0.5], [-1, 1, 2], [0.5, 0.5, -1], [2, -0.5, 0]]
    return RBM(
        *(torch.tensor(value, dtype=torch.float64) for value in (weights, [0.1, -0.2, 0, 0.3], [-0.1, 0.2, 0.4]))
    )
