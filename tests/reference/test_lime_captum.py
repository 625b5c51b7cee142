"""LIME with Captum's settings: the lasso of the same rows is scikit-learn's, and many rows come to what Captum says."""

import numpy as np
import pytest
import torch
from captum.attr import Lime as CaptumLime
from sklearn.linear_model import Lasso

import pellucid as pl
from pellucid.methods import Lime
from pellucid.tasks.tensor import TensorTask

pytestmark = pytest.mark.reference

WEIGHTS = torch.tensor([2.0, -1.0, 0.5, 0.25, 3.0, -2.5, 0.1, 0.02], dtype=torch.float64)
POINT = torch.tensor([[1.0, 0.5, -1.0, 2.0, 0.7, -0.3, 1.5, 1.0]], dtype=torch.float64)


def curved(point):
    return point @ WEIGHTS + point[:, 0] * point[:, 4] + (3 * point[:, 1] * point[:, 5]).sin()


def asked(samples, **fields):
    seen = []

    def model(point):
        seen.append(point.clone())
        return curved(point)[:, None]

    subject = pl.wrap(model, TensorTask(output="value"), name="curved")
    result = Lime(samples=samples, preset="captum", **fields)(subject, pl.Decision(POINT))
    return result, torch.cat(seen)


@pytest.mark.parametrize("width", [None, 0.3])
def test_the_lasso_of_the_rows_that_were_drawn_is_the_one_of_scikit_learn(width):
    result, points = asked(25, kernel_width=width)
    rows = points[-26:-1] if torch.equal(points[-1:], POINT) else points[-25:]
    distance = 1 - torch.nn.functional.cosine_similarity(rows, POINT, dim=1, eps=0)
    weights = (-(distance.nan_to_num(1.0) ** 2) / (2 * (width or 1.0) ** 2)).exp()
    lasso = Lasso(alpha=0.01, tol=1e-10, max_iter=100_000)
    lasso.fit((rows != 0).double().numpy(), curved(rows).numpy(), sample_weight=weights.numpy())
    assert result.by_feature()[0].numpy() == pytest.approx(lasso.coef_, abs=1e-4)
    assert result.interval is None


def test_many_rows_come_to_what_captum_says():
    result, _ = asked(20_000)
    torch.manual_seed(0)
    expected = CaptumLime(curved).attribute(POINT, n_samples=20_000, perturbations_per_eval=1000)[0].numpy()
    assert np.abs(result.by_feature()[0].numpy() - expected).max() < 0.06
