"""A network that sees only a planted patch: the map that knows it wins by every metric of faithfulness and place."""

import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.core.subject import Features

SIDE, PATCH = 16, (slice(5, 9), slice(8, 12))
GRID = (torch.arange(SIDE)[:, None] // 4 * 4 + torch.arange(SIDE) // 4)[None]
# Not monotonicity: more light never lowers this score, so restoring in any order is monotone.
METRICS = {
    "region-perturbation": {"region": 4, "steps": 4, "draws": 2, "replacement": "zero"},
    "pixel-flipping": {},
    "insertion": {"cover": "zero"},
    "deletion": {},
    "selectivity": {},
    "irof": {"features": GRID, "cover": "zero"},
    "road": {"measure": "score"},
    "sufficiency": {},
    "comprehensiveness": {},
    "sensitivity-n": {},
    "faithfulness-correlation": {},
    "faithfulness-estimate": {},
    "infidelity": {},
    "effective-complexity": {},
    "pointing-game": {},
    "mass-accuracy": {},
    "rank-accuracy": {},
    "top-k-intersection": {},
    "non-sensitivity": {},
}


class Patch(nn.Module):
    """How bright the patch is, felt more and more weakly."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.1, dtype=torch.float64))

    def forward(self, pixels):
        return torch.log1p(self.scale * pixels[:, 0][(slice(None), *PATCH)].sum((1, 2)))[:, None]


def judged(contrast):
    """The oracle's map and one of noise; ``contrast`` is how much brighter the patch is than what is beside it."""
    subject = pl.wrap(Patch(), pl.tasks.Image(SIDE, (0.0,), (1.0,), output="value"), name="patch")
    draws = torch.Generator().manual_seed(0)
    inputs = torch.rand(12, 1, SIDE, SIDE, generator=draws, dtype=torch.float64) * 0.5 + 0.5 - contrast
    inputs[(slice(None), 0, *PATCH)] += contrast
    decision = pl.Decision(inputs)
    mask = torch.zeros(12, SIDE, SIDE, dtype=torch.bool)
    mask[(slice(None), *PATCH)] = True
    oracle = pl.methods.InputXGradient()(subject, decision)
    pixels = Features("pixel", torch.arange(SIDE * SIDE).view(1, 1, SIDE, SIDE).expand(12, 1, SIDE, SIDE))
    noise = torch.randn(inputs.shape, generator=draws, dtype=torch.float64) * oracle.scores.abs().mean()
    other = pl.Attribution(scores=noise, value=oracle.value, features=pixels, query=decision)
    return subject, pl.Judgement([oracle, other], reference=mask)


@pytest.mark.parametrize("metric", METRICS)
def test_the_oracle_is_better_than_noise_and_than_every_control(metric):
    # Where a pixel is imputed from its neighbours, a patch as bright as these would hardly change.
    subject, asked = judged(0.5 if metric == "road" else 0.0)
    found = pl.build({"method": metric, **METRICS[metric]})(subject, asked)
    oracle, noise = found.interval.tolist()
    assert (oracle[0] > noise[1]) if found.higher_is_better else (oracle[1] < noise[0])
    assert all(found.beats("input-x-gradient", control) for control in found.control)
