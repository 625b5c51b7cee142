"""The ascent of inputs against closed forms: rows never mix, silent units wake, constant ones are refused."""

import math

import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.core.errors import NotAnswerable
from pellucid.engine.canvases import Pixels, Spectrum
from pellucid.engine.optimize import adam, ascend, momentum, normalised, plain, power_norm, rms, total_variation
from pellucid.engine.shaping import in_box, jittered, on_sphere
from pellucid.engine.step_rules import rising, turning
from pellucid.engine.units import Units, layer_at


def subject_of(module, *shape):
    return pl.wrap(module.eval(), pl.tasks.TensorTask(shape=shape), name="network")


def linear(*weight, bias=0.0):
    module = nn.Linear(len(weight), 1).double()
    module.weight.data[:], module.bias.data[:] = torch.tensor([weight], dtype=torch.float64), bias
    return subject_of(nn.Sequential(module), len(weight))


def inputs_of(subject, start):
    return subject.prepare(torch.zeros_like(start))


def climbed(subject, start, *indices, layer="0", over="mean", **asked):
    """The course of an ascent of one unit per row from ``start``."""
    inputs = inputs_of(subject, start)
    units = Units(layer_at(subject, inputs, layer), indices or (0,) * len(start), over)
    return ascend(subject, inputs, units, Pixels(start), **({"steps": 50, "rule": plain(0.1)} | asked))


STEP = torch.tensor([0.0, 0, 1, 1]).expand(4, 4)
POINT = torch.zeros(4, 4).index_put((torch.tensor(1), torch.tensor(1)), torch.tensor(1.0))
RAMP = torch.arange(4.0)[:, None] + 2 * torch.arange(4.0)


@pytest.mark.parametrize(
    ("picture", "sums"),
    [(STEP, (4, 4, 4)), (POINT, (3.4142135624, 4, 4.8284271247)), (RAMP, (29.1246117975, 60, 127.6230589875))],
    ids=["step", "point", "ramp"],
)
def test_total_variation_of_known_pictures(picture, sums):
    for beta, expected in zip((1, 2, 3), sums, strict=True):
        assert float(total_variation(picture.double()[None], beta)) == pytest.approx(expected, rel=1e-8)


def test_total_variation_adds_over_channels_and_keeps_rows_apart():
    pictures = torch.stack([torch.stack([STEP, RAMP]), torch.stack([POINT, POINT])])
    assert total_variation(pictures, 2).tolist() == [64, 8]
    assert total_variation(torch.rand(3, 2, 1, 1)).tolist() == [0, 0, 0]


@pytest.mark.parametrize("beta", [0.5, 1.0, 1.5, 2.0, 3.0])
def test_the_gradient_of_the_total_variation_is_finite_where_nothing_varies_and_right_elsewhere(beta):
    flat = torch.zeros(1, 1, 3, 4, requires_grad=True)
    assert torch.autograd.grad(total_variation(flat, beta).sum(), flat)[0].tolist() == torch.zeros(1, 1, 3, 4).tolist()
    rough = torch.rand(1, 2, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: total_variation(x, beta), rough)


def test_power_norm_of_the_ramp():
    assert float(power_norm(RAMP[None].double(), 6)) == pytest.approx(1163224, rel=1e-12)


def test_on_a_sphere_a_linear_unit_is_largest_along_its_weights():
    found = climbed(
        linear(3, 4, bias=1), torch.tensor([[10.0, 0], [-6, 1]]).double(), after=[on_sphere(10)], rule=plain(1.0)
    )
    assert torch.allclose(found.images, torch.tensor([[6.0, 8], [6, 8]]).double(), atol=1e-4)
    assert found.values.tolist() == pytest.approx([51, 51], abs=1e-4)


@pytest.mark.parametrize("weight", [(1.0, -1.0), (0.1, 2.0, -0.1), (-0.3, -0.2, -0.1, 0.5)])
def test_in_a_box_a_linear_unit_is_largest_in_a_corner(weight):
    bounds = torch.zeros(len(weight)).double(), torch.ones(len(weight)).double()
    start = torch.full((1, len(weight)), 0.5).double()
    found = climbed(linear(*weight), start, after=[in_box(bounds)], steps=30, rule=plain(1.0))
    assert found.images[0].tolist() == [float(w > 0) for w in weight]


class Quadratic(nn.Module):
    """The quadratic form of a symmetric matrix."""

    def forward(self, x):
        return (x @ torch.tensor([[2.0, 1], [1, 3]]).to(x) * x).sum(1, keepdim=True)


def test_on_a_sphere_a_quadratic_form_is_largest_along_its_first_eigenvector():
    subject = subject_of(nn.Sequential(Quadratic()), 2)
    start = torch.tensor([[1.0, 0], [-0.3, -1]]).double()
    found = climbed(subject, start, after=[on_sphere(1)], steps=100)
    assert found.values.tolist() == pytest.approx([3.6180339887] * 2, abs=1e-6)
    assert found.images[0].tolist() == pytest.approx([0.5257311121, 0.8506508084], abs=1e-6)
    assert found.images[1].tolist() == pytest.approx([-0.5257311121, -0.8506508084], abs=1e-6)


def test_penalties_are_subtracted_as_they_are():
    penalty = lambda point: 0.5 * power_norm(point)  # noqa: E731
    found = climbed(linear(3, 4), torch.zeros(1, 2).double(), penalties=[penalty], steps=200)
    assert torch.allclose(found.images, torch.tensor([[3.0, 4]]).double(), atol=1e-6)
    assert float(found.values) == pytest.approx(25, abs=1e-4)


def test_the_course_is_told_step_by_step_and_the_best_is_kept():
    found = climbed(linear(1.0, 0.0), torch.zeros(1, 2).double(), steps=3, rule=plain(2.0))
    assert found.trace.tolist() == [[0, 2, 4]]
    assert found.values.tolist() == [6]
    assert found.best.tolist() == [[4, 0]]
    assert found.best_values.tolist() == [4]
    assert found.moved.tolist() == [True]
    down = climbed(linear(1.0, 0.0), torch.ones(1, 2).double(), steps=3, after=[lambda leaf, moment: leaf - 1])
    assert down.best.tolist() == [[1, 1]]


@pytest.mark.parametrize(
    ("rule", "step"),
    [
        (plain(0.5), [1.5, -2.0]),
        (normalised(0.5), [0.3, -0.4]),
        (normalised(0.5, "mean"), [0.5 * 3 / 3.5, -0.5 * 4 / 3.5]),
        (adam(0.5), [0.5, -0.5]),
        (rms(0.5, 0.75), [1.0, -1.0]),
        (momentum([0.5]), [1.5, -2.0]),
        (turning(0.5), [0.3, -0.4]),
        (rising(2.0, 1e8), [2 * 3 / 25, -2 * 4 / 25]),
        (rising(2.0, 0.01), [0.03, -0.04]),
        (rising(2.0, 1e8, 0.1), [0.05 * 3 / 25, -0.05 * 4 / 25]),
    ],
    ids=["plain", "normalised", "mean", "adam", "rms", "momentum", "turning", "rising", "limited", "late"],
)
def test_the_first_step_of_each_rule(rule, step):
    gradient = torch.tensor([[3.0, -4.0], [30.0, -40.0]]).double()
    found = rule()(gradient, torch.tensor([0.5, 0.5]).double(), 0)
    assert found[0].tolist() == pytest.approx(step, rel=2e-3)
    assert torch.allclose(rule()(gradient[1:], torch.tensor([0.5]).double(), 0), found[1:])


def test_momentum_starts_again_where_the_rate_changes():
    step = momentum([1.0, 1.0, 0.1, 0.1])()
    gradient = torch.ones(1, 1)
    assert [float(step(gradient, gradient, number)) for number in range(4)] == pytest.approx([1, 1.9, 0.1, 0.19])


def convolutions():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 4, 2), nn.ReLU(), nn.Flatten())


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("rule", [adam(0.05), normalised(0.1), rms(0.05), turning(0.1)])
def test_a_row_is_the_same_alone_in_a_batch_and_in_small_batches(rule):
    subject, start = subject_of(convolutions(), 2, 9, 7), noise(5, 2, 9, 7)
    asked = {"layer": "4", "steps": 6, "rule": rule, "transform": jittered()}
    together = climbed(subject, start, *range(4), 0, **asked)
    alone = [climbed(subject, start[row : row + 1], row % 4, **asked) for row in range(5)]
    with pl.byte_budget(1):
        small = climbed(subject, start, *range(4), 0, **asked)
    for name in ("images", "values", "trace", "best"):
        expected = getattr(together, name)
        assert torch.allclose(torch.cat([getattr(one, name) for one in alone]), expected, atol=1e-5), name
        assert torch.allclose(getattr(small, name), expected, atol=1e-5), name


def test_the_seed_decides_how_pictures_are_moved():
    subject, start = subject_of(convolutions(), 2, 9, 7), noise(1, 2, 9, 7)
    first, same, other = (
        climbed(subject, start, layer="4", steps=3, transform=jittered(), seed=seed).images for seed in (0, 0, 1)
    )
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("rectifier", [nn.ReLU(), nn.ReLU(inplace=True), nn.ReLU6(), nn.Threshold(0, 0)])
def test_a_unit_that_is_silent_at_the_start_is_woken(rectifier):
    module = nn.Sequential(nn.Linear(6, 3), rectifier)
    module[0].bias.data[:] = torch.tensor([-5.0, 5.0, -5.0])
    found = climbed(subject_of(module, 6), 0.1 * noise(3, 6), 0, 1, 2, layer="1", rule=normalised(0.5))
    assert found.trace[:, 0].tolist()[::2] == [0, 0]
    assert (found.values > 0).all()
    assert found.moved.all()


def test_a_unit_behind_silent_ones_is_woken_beside_one_that_is_not_silent():
    torch.manual_seed(2)
    module = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2), nn.ReLU())
    module[0].bias.data[:] = -4.0
    module[2].weight.data.abs_()
    module[2].bias.data[:] = torch.tensor([-1.0, 1.0])
    found = climbed(subject_of(module, 6), 0.1 * noise(2, 6), 0, 1, layer="3", rule=normalised(0.5), steps=80)
    assert found.trace[:, 0].tolist() == [0, 1]
    assert (found.values > torch.tensor([0.0, 1.0])).all()


def test_a_constant_unit_is_refused_and_beside_others_it_is_marked():
    module = nn.Sequential(nn.Linear(4, 2), nn.ReLU())
    module[0].weight.data[1] = 0
    subject = subject_of(module, 4)
    with pytest.raises(NotAnswerable, match=r"nothing in the input of network moves .* the unit may be constant"):
        climbed(subject, noise(2, 4), 1, 1, layer="1", steps=2)
    found = climbed(subject, noise(2, 4), 0, 1, layer="1", steps=2)
    assert found.moved.tolist() == [True, False]
    assert torch.equal(found.images[1], noise(2, 4)[1])


def test_what_is_no_longer_a_number_is_refused():
    with pytest.raises(NotAnswerable, match="no longer a number after 1 steps; take smaller steps"):
        climbed(subject_of(nn.Sequential(Quadratic()), 2), torch.ones(1, 2), rule=plain(math.inf))


class Refusing(nn.Module):
    """A module that cannot be called while it is ``closed``."""

    closed = False

    def forward(self, x):
        if self.closed:
            raise RuntimeError("called")
        return x


def left_on(module):
    """Everything that an ascent could leave behind."""
    hooks = [len(part._forward_hooks) + len(part._forward_pre_hooks) for part in module.modules()]
    return (
        hooks,
        [(p.requires_grad, p.grad is None) for p in module.parameters()],
        [m.training for m in module.modules()],
    )


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_left_behind(fails):
    module = convolutions()
    module[0].weight.requires_grad_(False)
    module.train()
    subject = pl.wrap(module, pl.tasks.TensorTask(shape=(2, 9, 7)), name="network")
    before, weights = left_on(module), [p.clone() for p in module.parameters()]
    stack = torch._C._len_torch_function_stack()

    def after(leaf, moment):
        if fails and moment.step == 1:
            raise KeyboardInterrupt
        return leaf

    try:
        climbed(subject, noise(2, 2, 9, 7), layer="4", steps=3, after=[after])
    except KeyboardInterrupt:
        assert fails
    assert left_on(module) == before
    assert torch._C._len_torch_function_stack() == stack
    assert torch.is_grad_enabled()
    assert all(torch.equal(old, new) for old, new in zip(weights, module.parameters(), strict=True))


def test_the_pass_ends_at_the_unit_s_layer_and_agrees_with_a_whole_one(monkeypatch):
    subject = subject_of(nn.Sequential(*convolutions()[:4], Refusing()), 2, 9, 7)
    start = noise(2, 2, 9, 7)
    inputs = inputs_of(subject, start)
    units = Units(layer_at(subject, inputs, "2"), (0, 1))
    ascend(subject, inputs, units, Pixels(start), steps=1, rule=plain(0.1))  # Whole passes are measured once.
    monkeypatch.setattr(Refusing, "closed", True)
    found = ascend(subject, inputs, units, Pixels(start), steps=3, rule=plain(0.1))
    partial = subject.run(inputs.at(found.images), capture=("2",), partial=True)
    assert partial.scores.shape == (2, 0)
    monkeypatch.setattr(Refusing, "closed", False)
    whole = subject.run(inputs.at(found.images), capture=("2",))
    assert whole.scores.shape[1] > 0
    assert torch.allclose(partial.activations["2"], whole.activations["2"], atol=1e-5)
    assert torch.allclose(units(whole), found.values, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 9, 7), (2, 8, 11), (3, 7, 8)])
def test_pictures_of_any_shape_rise_by_their_spectrum(shape):
    torch.manual_seed(0)
    subject = subject_of(nn.Sequential(nn.Conv2d(shape[0], 2, 3), nn.ReLU()), *shape)
    inputs = subject.prepare(torch.zeros(2, *shape))
    units = Units(layer_at(subject, inputs, "0"), (0, 1))
    bounds = torch.zeros(shape[0], 1, 1), torch.ones(shape[0], 1, 1)
    found = ascend(subject, inputs, units, Spectrum.noise([0, 1], shape, bounds), steps=20, rule=adam(0.1))
    assert found.images.shape == (2, *shape)
    assert (found.values > found.trace[:, 0]).all()
    assert found.images.min() >= 0
    assert found.images.max() <= 1
