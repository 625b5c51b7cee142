"""Activation maximisation: analytic optima of every set, and a deep belief net whose starts agree."""

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import pellucid as pl
from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.methods.transparency.activation_maximization import BROUGHT, MEDIAN, ActivationMaximization
from pellucid.models import DBN

EXACT = {"steps": 250, "starts": 3}


class Unit(nn.Module):
    """A layer ``unit`` of any functions of the input."""

    def __init__(self, *functions):
        super().__init__()
        self.functions, self.unit = functions, nn.Identity()
        self.scale = nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, x):
        return self.unit(self.scale * torch.stack([function(x) for function in self.functions], 1))


def asked(function, shape=(2,)):
    functions = (function,) if callable(function) else function
    return pl.wrap(Unit(*functions), pl.tasks.TensorTask(shape=shape, output="value"))


def weighted(*weights, bias=0.0):
    return lambda x: x.flatten(1) @ torch.tensor(weights, dtype=x.dtype) + bias


def optimum(function, shape=(2,), **fields):
    return ActivationMaximization(**{**EXACT, **fields})(asked(function, shape), pl.Unit("unit", 0))


@pytest.mark.parametrize("constraint", ["sphere", "ball"])
def test_a_linear_unit_on_a_sphere_is_largest_along_its_weights(constraint):
    found = optimum(weighted(3, 4, bias=1.0), norm=10.0, constraint=constraint)
    torch.testing.assert_close(found.images, torch.tensor([[6.0, 8.0]]), atol=1e-4, rtol=0)
    assert float(found.activations) == pytest.approx(51, abs=1e-4)
    assert float(found.evidence[MEDIAN]) == pytest.approx(1, abs=1e-6)


def test_a_linear_unit_in_a_box_is_largest_in_the_corner_of_its_signs():
    found = optimum(weighted(2, -0.01, 0.3, -5), (4,), constraint="box", steps=60)
    assert found.images.tolist() == [[1.0, 0.0, 1.0, 0.0]]


def test_a_quadratic_unit_on_the_sphere_is_largest_along_its_first_eigenvector():
    matrix = torch.tensor([[2.0, 1.0], [1.0, 3.0]], dtype=torch.float64)
    found = optimum(lambda x: ((x @ matrix) * x).sum(1), norm=1.0)
    assert float(found.activations) == pytest.approx(3.6180339887, abs=1e-6)
    torch.testing.assert_close(found.images.abs(), torch.tensor([[0.5257311, 0.8506508]]), atol=1e-4, rtol=0)


def test_a_penalised_linear_unit_has_its_optimum_at_half_its_weights_over_the_penalty():
    found = optimum(weighted(3, -4), constraint="none", penalty=0.5, norm=1.0)
    torch.testing.assert_close(found.images, torch.tensor([[3.0, -4.0]]), atol=1e-4, rtol=0)


def test_penalised_differences_of_neighbours_give_the_smoothed_weights():
    weights = torch.randn(12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = optimum(weighted(*weights.tolist()), (1, 3, 4), constraint="none", penalty=0.5, smoothness=2.0, norm=1.0)
    laplacian = torch.zeros(12, 12, dtype=torch.float64)
    for row in range(3):
        for column in range(4):
            for other in [(row + 1, column), (row, column + 1)]:
                if other[0] < 3 and other[1] < 4:
                    difference = torch.zeros(12, dtype=torch.float64)
                    difference[4 * row + column], difference[4 * other[0] + other[1]] = 1, -1
                    laplacian += torch.outer(difference, difference)
    expected = torch.linalg.solve(2 * (0.5 * torch.eye(12) + 2.0 * laplacian), weights)
    torch.testing.assert_close(found.images.flatten().double(), expected, atol=1e-4, rtol=0)


def two_hills(x):
    """Hills of height 2 around (1, 0) and 1 around (−1, 0)."""
    near = lambda place: (-4 * (x - torch.tensor(place).to(x)).square().sum(1)).exp()  # noqa: E731
    return 2 * near([1.0, 0.0]) + near([-1.0, 0.0])


def test_the_highest_hill_is_shown_and_that_starts_do_not_agree_is_told():
    method = ActivationMaximization(norm=1.0, shown=9)
    found = method(asked(two_hills), pl.Unit("unit", 0))
    assert found.images.shape == (9, 2)
    torch.testing.assert_close(found.images[0], torch.tensor([1.0, 0.0]), atol=1e-3, rtol=0)
    torch.testing.assert_close(found.images[-1], torch.tensor([-1.0, 0.0]), atol=1e-3, rtol=0)
    assert found.activations.tolist() == sorted(found.activations.tolist(), reverse=True)
    right = int((found.images[:, 0] > 0).sum())
    cosines = [1.0] * (right * (right - 1) // 2 + (9 - right) * (8 - right) // 2) + [-1.0] * (right * (9 - right))
    assert float(found.evidence[MEDIAN][0]) == pytest.approx(float(torch.tensor(cosines).median()), abs=1e-3)
    assert sorted(found.captions) == [f"start {number}" for number in range(1, 10)]
    alone = ActivationMaximization(norm=1.0)(asked(two_hills), pl.Unit("unit", 0))
    assert torch.equal(alone.images[0], found.images[0])
    assert bool(
        ActivationMaximization(norm=1.0, starts=1)(asked(two_hills), pl.Unit("unit", 0)).evidence[MEDIAN].isnan()
    )


def test_a_unit_is_the_same_alone_and_with_its_layer_and_for_the_same_seed():
    functions = asked((weighted(1, 2), two_hills, weighted(-1, 1)))
    quick = {"norm": 2.0, "steps": 20}
    whole = ActivationMaximization(**quick)(functions, pl.Unit("unit"))
    alone = ActivationMaximization(**quick)(functions, pl.Unit("unit", 1))
    torch.testing.assert_close(whole.images[1], alone.images[0], atol=1e-6, rtol=0)
    torch.manual_seed(3)
    assert torch.equal(whole.images, ActivationMaximization(**quick)(functions, pl.Unit("unit")).images)
    starts = [ActivationMaximization(norm=2.0, steps=1, shown=9, seed=s)(functions, pl.Unit("unit", 0)) for s in (0, 1)]
    distances = torch.cdist(starts[0].images, starts[1].images)
    assert float(distances.min()) > 1e-4  # no start of one seed is a start of the next


def test_the_norm_is_the_mean_of_the_data_and_the_data_are_compared_on_the_same_sphere():
    data = torch.tensor([[30.0, 40.0], [0.0, -10.0], [0.0, 0.0]])
    found = ActivationMaximization(**EXACT)(asked(weighted(3, 4)), pl.Unit("unit", 0, data=data))
    torch.testing.assert_close(
        found.images, torch.tensor([[12.0, 16.0]]), atol=1e-3, rtol=0
    )  # of norm (50 + 10 + 0) / 3
    assert float(found.evidence["maximum over the data"]) == pytest.approx(250)
    assert float(found.evidence[BROUGHT]) == pytest.approx(100, abs=1e-3)


def test_a_squeezed_unit_is_asked_before_it_saturates():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 3), nn.Sigmoid())
    module[0].weight.data *= 100
    subject = pl.wrap(module, pl.tasks.TensorTask(shape=(4,), output="value"))
    found = ActivationMaximization(norm=5.0)(subject, pl.Unit("1", 2))
    assert found.units == ("0/2",)
    assert found.notes == ("Asked at '0', which '1' squeezes.",)
    cosine = torch.nn.functional.cosine_similarity(found.images[0], module[0].weight[2].detach(), dim=0)
    assert float(cosine) > 0.99999


def test_a_class_is_asked_by_its_logit():
    torch.manual_seed(0)
    module = nn.Linear(4, 3)
    subject = pl.wrap(nn.Sequential(module), pl.tasks.TensorTask(shape=(4,)), labels=("a", "b", "c"))
    found = ActivationMaximization(norm=2.0, **EXACT)(subject, pl.Unit(target="b"))
    expected = 2 * torch.nn.functional.normalize(module.weight[1].detach(), dim=0)
    torch.testing.assert_close(found.images[0], expected, atol=1e-4, rtol=0)


def test_questions_without_an_answer_are_refused():
    with pytest.raises(UsageError, match="give the norm, or data"):
        ActivationMaximization()(asked(weighted(3, 4)), pl.Unit("unit", 0))
    with pytest.raises(UsageError, match="name a layer and a unit"):
        ActivationMaximization(norm=1.0)(asked(weighted(3, 4)), pl.Unit())
    with pytest.raises(UsageError, match="no unit 1"):
        ActivationMaximization(norm=1.0)(asked(weighted(3, 4)), pl.Unit("unit", 1))
    with pytest.raises(UsageError, match="no neighbouring pixels"):
        optimum(weighted(3, 4), norm=1.0, smoothness=1.0)
    with pytest.raises(NotAnswerable, match="constant"):
        optimum(weighted(0, 0), norm=1.0)


@pytest.fixture(scope="module")
def digits():
    images = torch.tensor(load_digits().images / 16, dtype=torch.float32)[:, None]
    net = DBN.fit(images, (100, 50))
    return net, images, pl.wrap(net, pl.tasks.TensorTask(shape=(1, 8, 8), output="value"))


@pytest.mark.parametrize("layer", [0, 1])
def test_nine_starts_agree_on_units_of_a_deep_belief_net_of_digits(digits, layer):
    net, images, subject = digits
    found = ActivationMaximization()(subject, pl.Unit(f"layers.{layer}", data=images))
    assert float((found.evidence[MEDIAN] > 0.9).double().mean()) >= 0.8
    assert bool((found.activations >= found.evidence[BROUGHT]).all())
    if layer == 0:
        cosines = torch.nn.functional.cosine_similarity(found.images.flatten(1), net.machine(0).weights.T.detach())
        assert float(cosines.min()) > 0.99
