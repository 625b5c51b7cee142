"""Walking back over a tape: autograd's gradient on any graph, rules where one is wanted, refusals by name."""

import contextlib

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

import pellucid as pl
from engine.networks import ResNet, seeded
from engine.programs import STEPS, WIDTH, Program
from pellucid.core.errors import NotAnswerable
from pellucid.core.query import Unit
from pellucid.engine.backward import taped_quantity, walked_back
from pellucid.engine.gradients import gradients, point_value
from pellucid.engine.tape import Tape
from pellucid.engine.targets import resolve


def autograd(model, point):
    leaf = point.clone().requires_grad_()
    return torch.autograd.grad(model(leaf).sum(), leaf)[0]


def walked(model, point, **more):
    with Tape(point, model if isinstance(model, nn.Module) else None) as tape:
        values = model(point)
    return walked_back(tape, values, **more)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(steps=STEPS, seed=st.integers(0, 1000))
def test_the_walk_over_a_random_program_is_its_gradient(steps, seed):
    torch.manual_seed(seed)
    program, point = Program(steps), torch.randn(2, WIDTH, dtype=torch.float64)
    try:
        expected = autograd(program, point)
    except RuntimeError as error:
        # Autograd cannot differentiate what overwrites a value it needs; the tape can, but there is nothing to compare.
        assume("modified by an inplace operation" not in str(error))
        raise
    torch.testing.assert_close(walked(program, point), expected, rtol=1e-10, atol=1e-12)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(steps=STEPS, seed=st.integers(0, 1000))
def test_the_walk_over_a_random_program_is_its_finite_difference(steps, seed):
    """Also where autograd refuses because a value it needs was overwritten."""
    torch.manual_seed(seed)
    program, point = Program(steps), torch.randn(1, WIDTH, dtype=torch.float64)
    along, step = torch.randn_like(point), 1e-6
    with torch.no_grad():
        ahead, behind = (program(point + way * step * along).sum() for way in (1, -1))
        near = (program(point + step / 2 * along).sum() - program(point - step / 2 * along).sum()) / step
    difference = (ahead - behind) / (2 * step)
    assume(abs(float(near - difference)) <= 1e-6 * max(1.0, abs(float(near))))  # no kink between them
    slope = (walked(program, point) * along).sum()
    assert float(slope) == pytest.approx(float(difference), rel=1e-4, abs=1e-4)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation="gelu")

    def forward(self, x):
        return self.layer(x.flatten(2).mT[:, :6])[..., :3].sum((1, 2))


class Recurrent(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.layer = kind(8, 5, num_layers=2, batch_first=True)

    def forward(self, x):
        return self.layer(x.flatten(2).mT[:, :4])[0][:, -1].sum(1)


class Applied(nn.Module):
    """A convolution, and then a function."""

    def __init__(self, function):
        super().__init__()
        self.convolution, self.function = nn.Conv2d(8, 6, 3, padding=1), function

    def forward(self, x):
        return self.function(self.convolution(x))


NETWORKS = {
    "dilated, grouped": lambda: nn.Conv2d(8, 4, 3, 2, 2, 2, groups=2, padding_mode="reflect"),
    "transposed": lambda: nn.ConvTranspose2d(8, 3, 3, 2, 1, 1, groups=1),
    "no bias": lambda: nn.Conv2d(8, 4, 1, bias=False),
    "weights from the input": lambda: Applied(lambda h: functional.conv2d(h, h[:2, :, :3, :3].relu())),
    "batch norm": lambda: nn.Sequential(nn.Conv2d(8, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True)),
    "batch norm of the batch": lambda: Applied(lambda h: functional.batch_norm(h, None, None, training=True).relu()),
    "pooling": lambda: nn.Sequential(nn.MaxPool2d(3, 2, 1, ceil_mode=True), nn.AvgPool2d(2), nn.AdaptiveMaxPool2d(1)),
    "plain pooling": lambda: Applied(lambda h: functional.max_pool2d(h, 2)),
    "upsampling": lambda: nn.Upsample(scale_factor=1.5, mode="bilinear"),
    "gates": lambda: Applied(lambda h: functional.glu(h, 1) * functional.silu(h[:, :3])),
    "matrices": lambda: Applied(lambda h: torch.baddbmm(h[:, 0], h[:, 1], h[:, 2]) @ h[:, 3].softmax(-1)),
    "scaled matrices": lambda: Applied(lambda h: torch.baddbmm(h[:, 0], h[:, 1], h[:, 2], beta=2, alpha=0.5)),
    "vectors": lambda: Applied(lambda h: torch.stack([torch.mv(e[0], e[1, 0]) @ e[2] for e in h])),
    "einsum": lambda: Applied(lambda h: torch.einsum("bchw,bdhw->bcd", h, h)),
    "spectrum": lambda: Applied(lambda h: torch.fft.rfft2(h).abs().square()),
    "reductions": lambda: Applied(lambda h: h.std(1) + h.logsumexp(1) + h.median(1).values + h.cumsum(1)[:, 2]),
    "expanded": lambda: Applied(lambda h: h[:, :1].expand(-1, 3, -1, -1) * torch.arange(3.0).view(1, 3, 1, 1)),
    "attention": Attention,
    "lstm": lambda: Recurrent(nn.LSTM),
    "gru": lambda: Recurrent(nn.GRU),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_walk_is_autograds_gradient(name):
    network = seeded(NETWORKS[name])
    point = torch.randn(2, 8, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = autograd(network, point)
    torch.testing.assert_close(walked(network, point), expected, rtol=1e-9, atol=1e-12 * float(expected.abs().max()))


def test_the_walk_over_a_resnet_is_its_gradient_in_both_precisions():
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        network, point = seeded(ResNet, dtype=dtype), torch.randn(2, 3, 33, 31).to(dtype)
        found, expected = walked(network, point), autograd(network, point)
        assert found.dtype == dtype
        assert float((found - expected).abs().max()) <= tolerance * float(expected.abs().max())


def test_a_half_precision_network_is_walked_in_single_precision():
    network = seeded(
        lambda: nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.LayerNorm(8), nn.Linear(8, 1)), dtype=torch.bfloat16
    )
    point = torch.randn(3, 6, dtype=torch.bfloat16)
    found = walked(network, point)
    expected = autograd(network.float(), point.float())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0, atol=0.02 * float(expected.abs().max()))


@torch.inference_mode()
def test_the_walk_works_inside_inference_mode():
    matrix = torch.randn(4, 4, dtype=torch.float64)
    point = torch.randn(2, 4, dtype=torch.float64)
    found = walked(lambda x: (x @ matrix).softmax(1)[:, 0], point)
    with torch.inference_mode(False):
        matrix = matrix.clone()
        expected = autograd(lambda x: (x @ matrix).softmax(1)[:, 0], point.clone())
    torch.testing.assert_close(found.clone(), expected)


def test_the_derivative_is_that_of_what_was_computed_whatever_autograd_is_told():
    point = torch.tensor([[2.0, -3.0]], dtype=torch.float64)
    assert walked(lambda x: (x * x.detach()).sum(1), point).tolist() == [[4, -6]]
    assert autograd(lambda x: (x * x.detach()).sum(1), point).tolist() == [[2, -3]]


def test_an_operation_without_a_derivative_passes_nothing_on():
    point = torch.tensor([[0.4, 1.6]], dtype=torch.float64)
    assert walked(lambda x: x.floor().sum(1), point).tolist() == [[0, 0]]
    assert walked(lambda x: (x * x.argmax(1, keepdim=True)).sum(1), point).tolist() == [[1, 1]]
    assert walked(lambda x: (x * (x > 1)).sum(1), point).tolist() == [[0, 1]]


@torch.library.custom_op("pellucid_tests::doubled", mutates_args=())
def doubled(x: torch.Tensor) -> torch.Tensor:
    return x * 2


@torch.library.custom_op("pellucid_tests::tripled", mutates_args=())
def tripled(x: torch.Tensor) -> torch.Tensor:
    return x * 3


tripled.register_autograd(lambda context, gradient: gradient * 3)
BARE = torch.library.Library("pellucid_bare", "DEF")
BARE.define("quadrupled(Tensor x) -> Tensor")
BARE.impl("quadrupled", lambda x: torch.from_numpy(x.detach().numpy() * 4), "CPU")


def test_a_foreign_operation_needs_a_derivative():
    point = torch.ones(1, 2, dtype=torch.float64)
    assert walked(lambda x: tripled(x).sum(1), point).tolist() == [[3, 3]]
    with pytest.raises(NotAnswerable, match="pellucid_tests.doubled cannot be differentiated"):
        walked(lambda x: doubled(x).sum(1), point)
    with pytest.raises(NotAnswerable, match="pellucid_bare.quadrupled has no derivative; ask occlusion"):
        walked(lambda x: torch.ops.pellucid_bare.quadrupled(x).sum(1), point)


def test_an_operation_that_torch_cannot_differentiate_is_refused_by_name():
    half = torch.tensor(0.5, dtype=torch.float64)
    with pytest.raises(NotAnswerable, match=r"aten.heaviside .*derivative"):
        walked(lambda x: torch.heaviside(x, half).sum(1), torch.ones(1, 2, dtype=torch.float64))
    with pytest.raises(NotAnswerable, match=r"aten.igamma cannot be differentiated \(.*not implemented"):
        walked(lambda x: torch.igamma(x, half).sum(1), torch.ones(1, 2, dtype=torch.float64))


def test_a_score_without_the_point_is_refused():
    with pytest.raises(NotAnswerable, match="not computed from the point"):
        walked(lambda x: torch.ones(len(x)), torch.ones(1, 2))


def test_a_rule_holds_for_an_operation_in_all_its_forms():
    def passing(call, amounts, read):
        return [(call.args[0], amounts[0])]

    module = nn.ReLU(inplace=True)

    def model(x):
        first = functional.relu(x) + torch.relu_(x * 1.0) + module(x * 1.0)
        return (first + x.clamp(min=0)).sum(1)

    point = -torch.ones(1, 3, dtype=torch.float64)
    assert walked(model, point).tolist() == [[0, 0, 0]]
    assert walked(model, point, rules={"aten.relu": passing}).tolist() == [[3, 3, 3]]


class Nested(nn.Module):
    """A block that is called twice, an identity beside its own input, and an activation in place after a layer."""

    def __init__(self):
        super().__init__()
        self.first, self.block, self.last = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.same = nn.Identity()

    def forward(self, x):
        hidden = self.first(x)
        hidden.relu_()
        hidden = hidden + 2 * self.same(hidden)
        return self.last(self.block(self.block(hidden).tanh()).sigmoid())


@pytest.mark.parametrize("at", ["input", "first", "same", "block", "block#1", "last"])
@pytest.mark.parametrize(
    "asked",
    [{"target": 1}, {"target": [0, 2], "foil": 1}, {"target": 0, "of": "probability"}, {"target": 1, "of": "loss"}],
)
def test_the_taped_question_has_the_gradient_of_the_plain_one(at, asked):
    subject = pl.wrap(seeded(Nested))
    decision = pl.Decision(torch.randn(2, 6, dtype=torch.float64), at=at, **asked)
    inputs = subject.prepare(decision.inputs)
    target = resolve(subject, inputs, decision)
    expected = gradients(subject, inputs, target, at)
    with taped_quantity(subject, inputs, target, at, point_value(subject, inputs, at)) as (tape, values):
        found = walked_back(tape, values)
    torch.testing.assert_close(values, expected.values)
    torch.testing.assert_close(found, expected.gradient, rtol=1e-10, atol=1e-14)
    assert not tape.calls


@pytest.mark.parametrize("at", ["input", "first", "block"])
def test_a_unit_is_a_quantity_like_any_other(at):
    subject = pl.wrap(seeded(Nested))
    decision = pl.Decision(torch.randn(2, 6, dtype=torch.float64), of=Unit("block", 2), at=at)
    inputs = subject.prepare(decision.inputs)
    target = resolve(subject, inputs, decision)
    with taped_quantity(subject, inputs, target, at, point_value(subject, inputs, at)) as (tape, values):
        found = walked_back(tape, values)
    expected = gradients(subject, inputs, target, at)
    torch.testing.assert_close(values, expected.values)
    torch.testing.assert_close(found, expected.gradient)


def test_the_tape_is_forgotten_after_an_error_too():
    subject = pl.wrap(seeded(Nested))
    inputs = subject.prepare(torch.randn(2, 6, dtype=torch.float64))
    target = resolve(subject, inputs, pl.Decision(inputs, 0))
    with contextlib.suppress(RuntimeError), taped_quantity(subject, inputs, target, "input", inputs.value) as (tape, _):
        held = len(tape.calls)
        raise RuntimeError
    assert held > 0
    assert not tape.calls
