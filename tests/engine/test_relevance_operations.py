"""Operations that networks use beside weights, one by one: every unit of relevance that arrives is accounted for."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from engine.networks import LRP0, closes, explained


def unpooled(dimensions):
    """The maximum of each window, put back where it was."""
    pool, unpool = (getattr(functional, f"max_{name}{dimensions}d") for name in ("pool", "unpool"))
    return lambda x: unpool(*pool(x, 2, return_indices=True), 2)


SHAPES = {1: (3, 12), 2: (3, 8, 8), 3: (3, 6, 6, 6)}
OPERATIONS = {
    **{f"LPPool{d}d": (getattr(nn, f"LPPool{d}d")(2, 2), SHAPES[d]) for d in (1, 2, 3)},
    **{f"max_unpool{d}d": (unpooled(d), SHAPES[d]) for d in (1, 2, 3)},
    **{f"FractionalMaxPool{d}d": (getattr(nn, f"FractionalMaxPool{d}d")(2, output_size=3), SHAPES[d]) for d in (2, 3)},
    **{f"AdaptiveAvgPool{d}d": (getattr(nn, f"AdaptiveAvgPool{d}d")(3), SHAPES[d]) for d in (1, 2, 3)},
    **{f"AdaptiveMaxPool{d}d": (getattr(nn, f"AdaptiveMaxPool{d}d")(3), SHAPES[d]) for d in (1, 2, 3)},
    "LocalResponseNorm": (nn.LocalResponseNorm(3), (3, 8, 8)),
    "GLU": (nn.GLU(1), (4, 4)),
    "gated by another branch": (lambda x: functional.silu(x[:, :2]) * x[:, 2:], (4,)),
    "cosine similarity": (lambda x: functional.cosine_similarity(x[:, :3], x[:, 3:])[:, None], (6,)),
    "unit length": (functional.normalize, (6,)),
    "square": (lambda x: x**2, (6,)),
    "outer product": (lambda x: x[:, :, None] * x[:, None, :], (4,)),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_nothing_is_lost(name):
    operation, shape = OPERATIONS[name]
    torch.manual_seed(0)

    def model(x):
        found = operation(x).flatten(1)
        return torch.stack([found.sum(1), found[:, 0]], 1)

    relevance = explained(model, torch.randn(2, *shape).double(), LRP0, target=1)
    assert closes(relevance, 1e-8)
    assert (relevance.total - relevance.value).abs().max() < 1e-8


def test_of_a_gated_unit_the_signal_takes_all():
    point = torch.randn(2, 6).double()
    found = explained(nn.GLU(1), point, LRP0, target=1)
    expected = torch.zeros_like(point)
    expected[:, 1] = point[:, 1] * torch.sigmoid(point[:, 4])
    torch.testing.assert_close(found.scores, expected, rtol=1e-9, atol=1e-12)
