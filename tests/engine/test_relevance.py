"""Relevance is complete, the same for every way to write a network, and leaves the network alone."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from engine.networks import LRP0, Block, ResNet, closes, explained, seeded, sharp
from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.engine import relevance_operations
from pellucid.engine.relevance import propagate
from pellucid.engine.relevance_operations import OPERATIONS, Addition, Operation, Passing, register_operation
from pellucid.engine.rules import (
    COMPOSITES,
    AlphaBeta,
    Composite,
    Epsilon,
    Flat,
    Gamma,
    Norm,
    Pass,
    WSquare,
    ZBox,
    ZPlus,
)
from pellucid.engine.tape import Tape


def pixels(batch=1, side=32, dtype=torch.float64, seed=7):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, 3, side, side, generator=generator, dtype=dtype).clamp(-3, 3)


def input_times_gradient(model, point, target=0):
    point = point.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(point)[:, target].sum(), point)
    return (point * gradient).detach()


def assert_same(one, other, tolerance=1e-9):
    scale = float(other.abs().max())
    assert float((one - other).abs().max()) <= tolerance * scale


# Completeness.


@pytest.mark.parametrize("name", COMPOSITES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_unit_of_the_score_is_accounted_for(name, dtype):
    network = seeded(lambda: ResNet(stem=3), dtype=dtype)
    found = explained(network, pixels(2, dtype=dtype), name, target=[3, 1])
    assert closes(found, 1e-5 if dtype == torch.float32 else 1e-12)
    assert found.absorbed["bias"].abs().min() > 0


@pytest.mark.parametrize("trivial", [True, False], ids=["batch norms as they are made", "batch norms with values"])
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", COMPOSITES)
def test_the_account_of_resnet18_in_float32_closes(name, seed, trivial):
    network = seeded(lambda: ResNet(width=64, stages=4, classes=1000), seed=seed, dtype=torch.float32, trivial=trivial)
    found = explained(network, pixels(side=112, dtype=torch.float32, seed=seed), name)
    assert closes(found, 1e-5)


@pytest.mark.parametrize("name", ["epsilon", "epsilon-plus", "epsilon-gamma-box", "epsilon-alpha2-beta1"])
def test_without_biases_the_scores_sum_to_the_score(name):
    network = seeded(lambda: ResNet(norm=False, linear_bias=False))
    found = explained(network, pixels(2), sharp(name))
    torch.testing.assert_close(found.total, found.value, rtol=1e-5, atol=0)
    torch.testing.assert_close(found.reaching, torch.ones(2, dtype=torch.float64), rtol=0, atol=1e-5)


def test_with_biases_that_are_not_positive_relevance_under_z_plus_is_positive_and_complete():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2048, 4)
    )
    for module in network:
        if hasattr(module, "bias"):
            module.bias.data = -module.bias.data.abs()
    everywhere = Composite("z-plus", convolution=ZPlus(1e-14), linear=ZPlus(1e-14))
    point = pixels(side=20).abs()
    network = network.double()
    target = int(network(point).argmax())
    found = explained(network, point, everywhere, target=target)
    assert found.value.item() > 0
    assert found.scores.min() >= 0
    torch.testing.assert_close(found.total, found.value, rtol=1e-6, atol=0)


def test_a_foil_is_the_difference_of_two_propagations():
    network, point = seeded(lambda: ResNet(stem=3)), pixels()
    both = explained(network, point, "epsilon-plus", target=3, foil=5)
    one, other = (explained(network, point, "epsilon-plus", target=index) for index in (3, 5))
    torch.testing.assert_close(both.value, one.value - other.value)
    assert_same(both.scores, one.scores - other.scores)


def test_dropping_a_branch_of_a_sum_is_seen_in_the_account(monkeypatch):
    class Forgetful(Addition):
        def distribute(self, call, relevance, propagation):
            share = propagation.share(call, relevance, propagation.output(call))
            propagation.give(call.args[0], share * propagation.tensor(call.args[0]))

    monkeypatch.setitem(OPERATIONS, "aten.add", Forgetful(1, 1))
    found = explained(seeded(lambda: ResNet(stem=3)), pixels(), "epsilon")
    assert not closes(found, 1e-2)
    worst = max(found.layers, key=lambda layer: float(layer.residual.abs()))
    assert worst.operation == "aten.add"


def test_terms_that_nearly_cancel_are_flagged():
    class Cancelling(nn.Module):
        def forward(self, x):
            return (x * 1.0 + x * -0.999).sum(1, keepdim=True)

    found = explained(Cancelling(), torch.rand(1, 4, dtype=torch.float64) + 1, "epsilon")
    (layer,) = [layer for layer in found.layers if layer.operation == "aten.add"]
    assert layer.cancels
    assert layer.amplification.item() == pytest.approx(1.999 / 0.001, rel=1e-2)
    steady = explained(nn.Sequential(nn.Linear(4, 2).double()), torch.ones(1, 4, dtype=torch.float64), "epsilon")
    assert not any(layer.cancels for layer in steady.layers)


# One network, written in many ways.


class AsModules(nn.Module):
    """The plain twin: every activation, sum and call is a module or an expression of its own."""

    def __init__(self, weights):
        super().__init__()
        self.first, self.again, self.last = (copy.deepcopy(weights[name]) for name in ("first", "again", "last"))
        self.same = copy.deepcopy(weights["again"])
        self.relu, self.relu2, self.relu3 = nn.ReLU(), nn.ReLU(), nn.ReLU()

    def forward(self, x):
        one = self.relu(self.first(x))
        two = self.relu2(self.again(one))
        three = self.relu3(one + self.same(two))
        return self.last(torch.cat([three, two], 1).flatten(1))


class Reused(AsModules):
    """One module called twice, sums in place, functions in place of modules."""

    def forward(self, x):
        one = functional.relu(self.first(x), inplace=True)
        two = self.again(one)
        two.relu_()
        three = self.again(two)
        three += one
        torch.relu_(three)
        return functional.linear(torch.cat([three, two], 1).flatten(1), self.last.weight, self.last.bias)


class Buffered(AsModules):
    """Slices assigned to a buffer, views written through, memory used again."""

    def forward(self, x):
        one = self.first(x).clamp_(min=0)
        both = torch.zeros(len(x), 2 * one.shape[1], *one.shape[2:], dtype=x.dtype)
        upper, lower = both.chunk(2, 1)
        lower.copy_(self.again(one))
        lower[lower < 0] = 0
        upper[:] = self.same(lower)
        upper.add_(one)
        both.relu_()
        return self.last(both.flatten(1))


class Turned(AsModules):
    """Outputs whose shape is changed in place after they were computed, and before they are read."""

    def forward(self, x):
        one = self.first(x).relu_()
        two = self.again(one)
        two.transpose_(1, 3)
        two = two.relu().transpose_(3, 1)
        three = self.same(two).unsqueeze_(0).squeeze_(0)
        return self.last(torch.cat([(three + one).relu(), two], 1).flatten(1))


class Restless(AsModules):
    """Shapes changed in place, transposed and back, out arguments."""

    def forward(self, x):
        one = torch.relu(self.first(x))
        one.unsqueeze_(0).squeeze_(0)
        two = torch.empty_like(one)
        torch.clamp(self.again(one), min=0, out=two)
        three = torch.add(one, self.same(two)).permute(2, 3, 0, 1).contiguous().relu().permute(2, 3, 0, 1)
        joined = torch.stack([three, two], 1).reshape(len(x), -1)
        return self.last(joined)


@pytest.mark.parametrize("kind", [Reused, Buffered, Turned, Restless])
@pytest.mark.parametrize("name", COMPOSITES)
def test_a_network_gives_the_same_map_however_it_is_written(kind, name):
    torch.manual_seed(2)
    weights = {
        "first": nn.Conv2d(3, 4, 3, padding=1),
        "again": nn.Conv2d(4, 4, 3, padding=1),
        "last": nn.Linear(8 * 36, 5),
    }
    weights = {key: module.double() for key, module in weights.items()}
    point = pixels(2, side=6)
    plain, other = AsModules(weights), kind(weights)
    with torch.no_grad():
        assert_same(other(point), plain(point))
    expected = explained(plain, point, name, target=[1, 4])
    found = explained(other, point, name, target=[1, 4])
    assert_same(found.scores, expected.scores, 1e-6)
    assert closes(found, 1e-10)


def test_relevance_of_a_module_called_twice_is_that_of_two_modules():
    """The closed form: y = w(wx) has relevance wᵀwᵀ1 ⊙ x, whichever call a hook would remember."""
    torch.manual_seed(0)
    square = nn.Linear(3, 3, bias=False).double()
    network = nn.Sequential(square, square)
    point = torch.randn(1, 3, dtype=torch.float64)
    weight = square.weight.data
    expected = point * (weight @ weight)[0]
    torch.testing.assert_close(explained(network, point, LRP0).scores, expected, rtol=1e-9, atol=0)


class Swish(nn.Module):
    def forward(self, x):
        return functional.silu(self.conv(functional.gelu(self.first(x)))).mean((2, 3))

    def __init__(self):
        super().__init__()
        self.first, self.conv = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3)


@pytest.mark.parametrize(
    "activation",
    [
        nn.ReLU6(),
        nn.LeakyReLU(),
        nn.ELU(),
        nn.SELU(),
        nn.CELU(),
        nn.GELU(),
        nn.SiLU(),
        nn.Mish(),
        nn.Tanh(),
        nn.Sigmoid(),
    ]
    + [nn.Hardswish(), nn.Hardsigmoid(), nn.Softplus(), nn.LogSigmoid(), nn.PReLU(), nn.RReLU(), nn.Hardtanh()]
    + [nn.Threshold(0.1, 0.0), nn.Softshrink(), nn.Identity(), nn.Dropout()],
    ids=lambda module: type(module).__name__,
)
def test_activations_pass_relevance_on(activation):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 5), activation, nn.Linear(5, 3)).double().eval()
    point = torch.randn(2, 6, dtype=torch.float64)
    found = explained(network, point, "epsilon", target=[0, 2])
    assert closes(found, 1e-9)
    hidden = network[1](network[0](point))
    weight = network[2].weight.data[[0, 2]]
    value = network(point)[[0, 1], [0, 2]]
    middle = hidden * weight * (value / (value + 1e-6 * value.sign()))[:, None]
    before = network[0](point)
    shares = middle / torch.where(before < 0, before - 1e-6, before + 1e-6)
    torch.testing.assert_close(found.scores, point * (shares @ network[0].weight.data), rtol=1e-8, atol=1e-10)


LINEAR_STEPS = {
    "avg_pool2d": lambda x: functional.avg_pool2d(x, 2),
    "avg_pool with padding": lambda x: functional.avg_pool2d(x, 3, 2, 1),
    "adaptive_avg_pool2d": lambda x: functional.adaptive_avg_pool2d(x, 3),
    "max_pool2d": lambda x: functional.max_pool2d(x, 2),
    "max_pool1d": lambda x: functional.max_pool1d(x.flatten(2), 3),
    "max_pool3d": lambda x: functional.max_pool3d(x.unsqueeze(1), 2),
    "adaptive_max_pool2d": lambda x: functional.adaptive_max_pool2d(x, 2),
    "amax": lambda x: x.amax((2, 3)),
    "max over an axis": lambda x: x.max(1).values,
    "maximum": lambda x: torch.maximum(x[:, :1], x[:, 1:]),
    "minimum with a constant": lambda x: torch.minimum(x, x.new_full((), 99.0)),
    "nearest": lambda x: functional.interpolate(x, scale_factor=2),
    "bilinear": lambda x: functional.interpolate(x, scale_factor=2, mode="bilinear"),
    "zero padding": lambda x: functional.pad(x, (1, 2, 0, 1)),
    "cropping": lambda x: functional.pad(x, (-1, 0, -1, 0)),
    "reflection": lambda x: functional.pad(x, (1, 1, 1, 1), mode="reflect"),
    "circular padding": lambda x: functional.pad(x, (1, 1, 1, 1), mode="circular"),
    "unfold": lambda x: functional.unfold(x, 2),
    "strided windows": lambda x: x.unfold(2, 3, 2),
    "expand": lambda x: x.unsqueeze(1).expand(-1, 3, -1, -1, -1),
    "repeat": lambda x: x.repeat(1, 2, 1, 1),
    "roll": lambda x: x.roll(2, 3),
    "flip": lambda x: x.flip(2),
    "index": lambda x: x[:, [1, 0, 1]],
    "gather": lambda x: x.gather(2, torch.zeros(len(x), 3, 2, 4, dtype=torch.long)),
    "index_select": lambda x: x.index_select(3, torch.tensor([3, 0, 3])),
    "where": lambda x: torch.where(x > 0, x, torch.zeros_like(x)),
    "masked_fill": lambda x: x.masked_fill(x < 0, 0.0),
    "a mask as factor": lambda x: x * (x > 0),
    "sum": lambda x: x.sum((1, 3)),
    "mean": lambda x: x.mean(2, keepdim=True),
    "cumsum": lambda x: x.cumsum(2),
    "scaling": lambda x: x * -2.0 / torch.tensor([4.0, 5.0, 6.0], dtype=x.dtype).view(3, 1, 1),
    "negation": lambda x: -x,
    "difference": lambda x: x - x.flip(3) * 0.5,
    "weighted sum": lambda x: torch.add(x, x.flip(3), alpha=0.3),
    "sort": lambda x: x.sort(2).values,
    "topk": lambda x: x.topk(2, 3).values,
    "einsum": lambda x: torch.einsum("bchw,wk->bchk", x, torch.linspace(-1, 1, 12, dtype=x.dtype).view(4, 3)),
    "matrix product from the left": lambda x: torch.linspace(-1, 1, 12, dtype=x.dtype).view(3, 4) @ x,
    "matrix and vector": lambda x: x @ torch.linspace(-1, 2, 4, dtype=x.dtype),
    "pixel_shuffle": lambda x: functional.pixel_shuffle(x.repeat(1, 4, 1, 1), 2),
    "unbind and stack": lambda x: torch.stack(x.unbind(1)[::-1], 1),
    "chunks joined": lambda x: torch.cat(x.chunk(2, 2)[::-1], 2),
    "index_put": lambda x: x.clone().index_put((torch.arange(len(x)), torch.zeros(len(x), dtype=torch.long)), x[:, 1]),
    "scatter_add": lambda x: torch.zeros_like(x).scatter_add(2, torch.zeros_like(x, dtype=torch.long), x),
    "triangle": lambda x: x.tril(),
    "cast to float and back": lambda x: x.float().to(x.dtype),
}


@pytest.mark.parametrize("step", LINEAR_STEPS)
def test_without_epsilon_relevance_is_input_times_gradient(step):
    """True of every piecewise linear network without biases; here with one step of each kind between two maps."""

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(5)
            self.first = nn.Conv2d(3, 3, 3, padding=1, bias=False)
            self.double()

        def forward(self, x):
            found = LINEAR_STEPS[step](functional.leaky_relu(self.first(x))).flatten(1)
            weight = torch.linspace(-1, 1.3, found.shape[1] * 2, dtype=x.dtype).view(2, -1)
            return functional.linear(found, weight)

    network, point = Network(), pixels(2, side=4)
    lrp0 = Composite("lrp-0", convolution=Epsilon(0.0), linear=Epsilon(0.0), sum=Norm(0.0))
    found = explained(network, point, lrp0, target=1)
    tolerance = 1e-5 if "cast" in step else 1e-9
    assert_same(found.scores, input_times_gradient(network, point, 1), tolerance)
    torch.testing.assert_close(found.total, found.value, rtol=tolerance, atol=1e-12)


# Constants, and what absorbs.


def test_a_constant_addend_absorbs_its_share():
    found = explained(lambda x: (x + 3.0).sum(1, keepdim=True), torch.tensor([[1.0, 2.0]]).double(), "epsilon")
    assert found.absorbed["constant"].item() == pytest.approx(6, abs=1e-4)
    torch.testing.assert_close(found.scores, torch.tensor([[1.0, 2.0]]).double(), rtol=1e-5, atol=0)


def test_a_constant_among_joined_tensors_absorbs_its_relevance():
    ones = torch.ones(2, 1, dtype=torch.float64)
    for joined in (lambda x: torch.cat([x, ones], 1), lambda x: torch.stack([x[:, 0], ones[:, 0]], 1)):
        found = explained(lambda x, joined=joined: joined(x).sum(1, keepdim=True), 2 * ones, "epsilon")
        torch.testing.assert_close(found.absorbed["constant"], torch.ones(2).double(), rtol=1e-5, atol=0)
        torch.testing.assert_close(found.scores, 2 * ones, rtol=1e-5, atol=0)


@pytest.mark.parametrize(
    ("fill", "expected"),
    [
        (lambda x: x.masked_fill(x < 2, 5.0), 5),
        (lambda x: torch.where(x < 2, torch.full((), 7.0, dtype=x.dtype), x), 7),
        (lambda x: functional.pad(x, (1, 0), value=3.0), 3),
        (lambda x: x.index_fill(1, torch.tensor([0]), 4.0), 4),
        (lambda x: x.scatter(1, torch.tensor([[0], [0]]), 6.0), 6),
        (lambda x: torch.maximum(x, x.new_full((), 1.5)), 1.5),
        (lambda x: torch.minimum(-x, x.new_full((), -1.5)), -1.5),
    ],
)
def test_a_constant_that_fills_some_elements_absorbs_their_relevance(fill, expected):
    point = torch.tensor([[1.0, 2.0], [1.0, 3.0]], dtype=torch.float64)
    found = explained(lambda x: fill(x).sum(1, keepdim=True), point, "epsilon")
    torch.testing.assert_close(
        found.absorbed["constant"], torch.full((2,), float(expected)).double(), rtol=1e-5, atol=0
    )
    assert closes(found, 1e-9)


def test_cells_of_a_buffer_that_stay_constant_absorb_their_relevance():
    def model(x):
        buffer = torch.full((len(x), 4), 5.0, dtype=x.dtype)
        buffer[:, 1:3] = x
        return buffer.sum(1, keepdim=True)

    found = explained(model, torch.tensor([[1.0, 2.0], [3.0, 4.0]]).double(), "epsilon")
    torch.testing.assert_close(found.absorbed["constant"], torch.tensor([10.0, 10.0]).double(), rtol=1e-5, atol=0)
    torch.testing.assert_close(found.total, torch.tensor([3.0, 7.0]).double(), rtol=1e-5, atol=0)


def test_what_is_overwritten_gets_no_relevance():
    def model(x):
        y = x.clone()
        z = y * 2
        y.zero_()
        y[:, 0] = z[:, 1]
        y += 0.0
        return y.sum(1, keepdim=True)

    found = explained(model, torch.tensor([[1.0, 2.0]]).double(), "epsilon")
    torch.testing.assert_close(found.scores, torch.tensor([[0.0, 4.0]]).double(), rtol=1e-5, atol=1e-9)


def test_relevance_at_dead_factors_is_absorbed_as_zero():
    mask = torch.tensor([[0.0, 2.0]], dtype=torch.float64)
    flat = Composite("flat", convolution=Flat(), linear=Flat())
    weight = torch.ones(1, 2, dtype=torch.float64)

    def model(x):
        return functional.linear(functional.linear(x, torch.eye(2, dtype=x.dtype)) * mask, weight)

    found = explained(model, torch.ones(1, 2, dtype=torch.float64), flat)
    assert found.absorbed["zero"].item() == pytest.approx(1, rel=1e-5)


# Batch norm.


class BeforeConvolution(nn.Module):
    """DenseNet's order: batch norm, ReLU, convolution; and a batch norm whose input has another reader."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm, self.conv = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 3)

    def forward(self, x):
        stem = self.stem(x)
        return self.conv(functional.relu(self.norm(stem))).mean((2, 3)) + stem.mean((1, 2, 3))[:, None]


def folded(convolution, norm):
    """The same two as one convolution."""
    one = copy.deepcopy(convolution)
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    shape = (1, -1) if getattr(convolution, "transposed", False) else (-1, 1)
    one.weight.data = convolution.weight.data * scale.view(*shape, *[1] * (convolution.weight.ndim - 2))
    bias = 0 if convolution.bias is None else convolution.bias
    one.bias = nn.Parameter((bias - norm.running_mean) * scale + norm.bias)
    return one


def biased_by_hand(kind, module):
    """The same convolution or linear map, its bias added by an operation of its own."""

    def called(x):
        if kind == "conv2d":
            return functional.conv2d(x, module.weight) + module.bias.view(-1, 1, 1)
        if kind == "linear of rows":
            return x @ module.weight.T + module.bias
        found = torch.bmm(module.weight.expand(len(x), -1, -1), x)
        found += module.bias[:, None]
        return found

    return called


@pytest.mark.parametrize("rule", [Epsilon(), ZPlus(), Gamma(), AlphaBeta(), WSquare(), ZBox(-2.0, 2.0)], ids=repr)
@pytest.mark.parametrize(
    ("kind", "module", "shape"),
    [
        ("conv2d", nn.Conv2d(3, 4, 3), (2, 3, 5, 5)),
        ("linear of rows", nn.Linear(3, 4), (2, 5, 3)),
        ("matrix from the left", nn.Linear(3, 4), (2, 3, 5)),
    ],
)
def test_a_bias_that_is_added_by_hand_is_a_bias(kind, module, shape, rule):
    module, point = copy.deepcopy(module).double(), torch.randn(*shape, dtype=torch.float64)
    by_hand = biased_by_hand(kind, module)
    plain = module if kind != "matrix from the left" else lambda x: module(x.mT).mT
    seed = torch.randn_like(by_hand(point))
    everywhere = Composite("one rule", convolution=rule, linear=rule)
    found, expected = (explained(model, point, everywhere, seed=seed, module=module) for model in (by_hand, plain))
    assert_same(found.scores, expected.scores, 1e-9)
    for source in expected.absorbed:
        torch.testing.assert_close(found.absorbed[source], expected.absorbed[source], rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rule", [Epsilon(), ZPlus(), Gamma(), WSquare(), Flat(), ZBox(-2.0, 2.0)], ids=repr)
@pytest.mark.parametrize(
    ("make", "norm", "shape"),
    [
        (lambda bias: nn.Conv2d(3, 4, 3, bias=bias), nn.BatchNorm2d(4), (2, 3, 5, 5)),
        (lambda bias: nn.ConvTranspose2d(3, 4, 2, bias=bias), nn.BatchNorm2d(4), (2, 3, 3, 3)),
        (lambda bias: nn.Conv1d(3, 4, 3, bias=bias), nn.BatchNorm1d(4), (2, 3, 6)),
        (lambda bias: nn.Linear(3, 4, bias=bias), nn.BatchNorm1d(4), (2, 3)),
    ],
    ids=["conv2d", "transposed", "conv1d", "linear"],
)
def test_a_folded_batch_norm_is_one_with_its_convolution(make, norm, shape, rule, bias):
    network = seeded(lambda: nn.Sequential(make(bias), copy.deepcopy(norm)))
    network[1].weight.data[1:3] *= -1
    point = torch.randn(*shape, dtype=torch.float64)
    one = folded(network[0], network[1])
    seed = torch.randn_like(one(point))
    everywhere = Composite("one rule", convolution=rule, linear=rule)
    found, expected = (explained(model, point, everywhere, seed=seed) for model in (network, one))
    assert_same(found.scores, expected.scores, 1e-9)
    for source in expected.absorbed:
        torch.testing.assert_close(found.absorbed[source], expected.absorbed[source], rtol=1e-8, atol=1e-10)


def test_a_batch_norm_is_not_folded_where_something_else_reads_its_input():
    network = seeded(BeforeConvolution)
    network.norm.bias.data += 1
    found = explained(network, pixels(), "epsilon")
    assert closes(found, 1e-10)
    assert found.absorbed["batch-norm shift"].abs().item() > 0
    free = explained(network, pixels(), "epsilon", rules={"norm": Pass()})
    assert "batch-norm shift" not in free.absorbed
    assert closes(free, 1e-10)


def test_a_batch_norm_in_training_mode_is_refused():
    network = seeded(lambda: nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2), nn.Flatten())).train()
    with pytest.raises(NotAnswerable, match=r"native_batch_norm, called in '1' \(in training mode"):
        explained(network, pixels(2, side=5), "epsilon")


# The first layer.


class SamePadding(nn.Module):
    """Zeros before the first convolution, as a step of its own."""

    def __init__(self, split):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=0 if split else 1)
        self.split = split

    def forward(self, x):
        return self.conv(functional.pad(x, (1, 1, 1, 1)) if self.split else x).flatten(1).relu()


@pytest.mark.parametrize("rule", [ZBox(), Flat(), WSquare(), Epsilon(), ZPlus(), Gamma()], ids=repr)
def test_padding_before_the_first_convolution_is_part_of_it(rule):
    joined = seeded(lambda: SamePadding(False))
    apart = seeded(lambda: SamePadding(True))
    composite = Composite("first", convolution=Epsilon(), first_convolution=rule)
    seed = torch.randn_like(joined(pixels(2, side=5)))
    expected, found = (explained(model, pixels(2, side=5), composite, seed=seed) for model in (joined, apart))
    assert_same(found.scores, expected.scores, 1e-9)
    assert closes(found, 1e-9)


def test_a_normalisation_inside_the_model_moves_the_box_with_it():
    mean, spread = (
        torch.tensor([0.4, 0.5, 0.6]).double().view(3, 1, 1),
        torch.tensor([0.2, 0.3, -0.1]).double().view(3, 1, 1),
    )
    convolution = nn.Conv2d(3, 4, 3).double()
    raw = torch.rand(1, 3, 5, 5, dtype=torch.float64)

    class Normalising(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = convolution
            self.register_buffer("mean", mean)
            self.register_buffer("spread", spread)

        def forward(self, x):
            return self.conv((x - self.mean) / self.spread).flatten(1)

    outside = (raw - mean) / spread
    low, high = -mean / spread, (1 - mean) / spread
    seed = torch.randn(1, 36, dtype=torch.float64)
    composite = COMPOSITES["epsilon-gamma-box"]
    found = explained(Normalising(), raw, composite, seed=seed, low=0.0, high=1.0)
    plain = nn.Sequential(convolution, nn.Flatten())
    bounds = torch.minimum(low, high)[None], torch.maximum(low, high)[None]
    expected = explained(plain, outside, composite, seed=seed, low=bounds[0], high=bounds[1])
    assert_same(found.scores, expected.scores, 1e-9)
    assert closes(found, 1e-9)


def test_the_first_layer_is_the_first_on_each_path_and_not_the_first_by_name():
    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.late, self.one, self.two = nn.Conv2d(4, 2, 3), nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)

        def forward(self, x):
            return self.late(functional.relu(self.one(x)) + functional.relu(self.two(x))).flatten(1)

    found = explained(seeded(Branches), pixels(side=6), "epsilon-plus-flat")
    rules = {layer.place: layer.rule for layer in found.layers if layer.rule}
    assert rules == {"late": "ZPlus", "one": "Flat", "two": "Flat"}


def test_a_map_that_reads_what_another_wrote_over_the_input_is_not_first():
    class Overwriting(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(3, 3), nn.Linear(3, 3)

        def forward(self, x):
            found = x.clone()
            found.copy_(self.one(x))
            return self.two(found)

    found = explained(seeded(Overwriting), torch.rand(1, 3, dtype=torch.float64), "epsilon-plus-flat")
    assert {layer.place: layer.rule for layer in found.layers if layer.rule} == {"two": "Epsilon", "one": "Flat"}


def test_flat_reaches_through_a_buffer_only_where_the_input_is():
    class Framed(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 1, 3, bias=False)

        def forward(self, x):
            frame = torch.ones(len(x), 1, 5, 5, dtype=x.dtype)
            frame[:, :, 1:4, 1:4] = x
            return self.conv(frame).flatten(1)

    seed = torch.zeros(1, 9, dtype=torch.float64)
    seed[0, 0] = 1
    found = explained(seeded(Framed), torch.rand(1, 1, 3, 3).double(), "epsilon-plus-flat", seed=seed)
    expected = torch.zeros(3, 3, dtype=torch.float64)
    expected[:2, :2] = 0.25
    torch.testing.assert_close(found.scores[0, 0], expected, rtol=1e-5, atol=1e-12)


def test_an_average_before_a_first_layer_that_ignores_values_is_refused():
    network = seeded(lambda: nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(3, 2, 2), nn.Flatten()))
    with pytest.raises(NotAnswerable, match="avg_pool2d, called in '0'"):
        explained(network, pixels(side=6), "epsilon-plus-flat")
    assert closes(explained(network, pixels(side=6), "epsilon-plus"), 1e-9)


# Places: overrides and layers.


def test_a_rule_for_a_place_overrides_the_composite():
    network, point = seeded(lambda: ResNet(stem=3)), pixels()
    plain = explained(network, point, "epsilon")
    found = explained(network, point, "epsilon", rules={"layers.0.*": Gamma(), "layers.0.conv1": ZPlus()})
    rules = {layer.place: layer.rule for layer in found.layers if layer.rule}
    assert (rules["layers.0.conv1"], rules["layers.0.conv2"], rules["layers.1.conv1"]) == ("ZPlus", "Gamma", "Epsilon")
    assert float((found.scores - plain.scores).abs().max()) > 0
    assert closes(found, 1e-10)


def test_a_rule_may_be_for_one_call_of_a_module():
    square = nn.Linear(3, 3).double()
    network = nn.Sequential(square, nn.ReLU(), square)
    point = torch.rand(1, 3, dtype=torch.float64)
    found = explained(network, point, "epsilon", rules={"0#1": ZPlus()})
    assert [(layer.place, layer.rule) for layer in found.layers if layer.rule] == [("0#1", "ZPlus"), ("0", "Epsilon")]
    both = explained(network, point, "epsilon", rules={"0": ZPlus()})
    assert [layer.rule for layer in both.layers if layer.rule] == ["ZPlus", "ZPlus"]


def test_a_rule_for_a_place_that_has_none_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match="layers.0.conv1"):
        explained(seeded(lambda: ResNet(stem=3)), pixels(), "epsilon", rules={"layers.0.conv9": ZPlus()})


@pytest.mark.parametrize("name", ["epsilon", "epsilon-plus", "epsilon-gamma-box"])
def test_relevance_at_a_layer_is_complete_and_leads_to_that_of_the_input(name):
    network, point = seeded(lambda: ResNet(stem=3)), pixels(2)
    whole = explained(network, point, name, target=2)
    middle = explained(network, point, name, target=2, at="layers.3")
    assert middle.scores.shape == (2, 16, 4, 4)
    torch.testing.assert_close(middle.total + sum(middle.absorbed.values()), middle.value, rtol=1e-9, atol=0)

    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers, self.fc = network.layers[4:], network.fc

        def forward(self, x):
            return self.fc(torch.flatten(functional.adaptive_avg_pool2d(self.layers(x), 1), 1))

    class Tail(nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = nn.Sequential(network.conv1, network.bn1, nn.ReLU(), network.pool, network.layers[:4])

        def forward(self, x):
            return self.parts(x)

    composite = COMPOSITES[name]
    above = Composite("above", composite.convolution, composite.linear)
    inside = explained(Head(), Tail()(point).detach(), above, target=2)
    assert_same(middle.scores, inside.scores, 1e-9)
    below = explained(Tail(), point, name, seed=middle.scores)
    assert_same(whole.scores, below.scores, 1e-9)


def test_relevance_beside_a_layer_goes_to_other_paths():
    class Beside(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(3, 2), nn.Linear(3, 2)

        def forward(self, x):
            return self.one(x) + self.two(x)

    found = explained(seeded(Beside), torch.rand(2, 3, dtype=torch.float64), "epsilon", at="two")
    assert found.absorbed["other paths"].abs().min() > 0
    torch.testing.assert_close(found.total + sum(found.absorbed.values()), found.value, rtol=1e-10, atol=0)


def test_relevance_at_the_second_call_of_a_module_is_that_of_its_second_output():
    square = nn.Linear(3, 3, bias=False).double()
    network = nn.Sequential(square, square, nn.Linear(3, 2, bias=False).double())
    point = torch.rand(1, 3, dtype=torch.float64)
    for at, hidden in (("0", square(point)), ("0#1", square(square(point)))):
        rest = network[1:] if at == "0" else network[2:]
        found = explained(network, point, LRP0, at=at)
        torch.testing.assert_close(found.scores, input_times_gradient(rest, hidden), rtol=1e-8, atol=1e-12)


def test_a_layer_that_is_not_there_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match="layers.3"):
        explained(seeded(lambda: ResNet(stem=3)), pixels(), "epsilon", at="layer.3")


# Batches.


def test_examples_of_a_batch_do_not_see_each_other():
    network, points = seeded(lambda: ResNet(stem=3)), pixels(3)
    together = explained(network, points, "epsilon-gamma-box", target=[1, 2, 3])
    for row, target in enumerate([1, 2, 3]):
        alone = explained(network, points[row : row + 1], "epsilon-gamma-box", target=target)
        assert_same(together.scores[row], alone.scores[0], 1e-9)
        for source, amount in alone.absorbed.items():
            torch.testing.assert_close(together.absorbed[source][row], amount[0], rtol=1e-8, atol=1e-12)


class PositionsFirst(nn.Module):
    """``[batch, positions, features]`` turned to ``[positions, batch, features]``, flattened, and back."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.last = nn.Linear(4, 5), nn.Linear(5, 4), nn.Linear(4, 3)

    def forward(self, x):
        turned = functional.relu(self.one(x.transpose(0, 1)))
        rows = functional.relu(self.two(turned.reshape(-1, 5)))
        return self.last(rows.view(x.shape[1], len(x), 4).mean(0) + rows.view(x.shape[1], len(x), 4)[0])


def test_sums_stay_per_example_in_any_layout():
    network, points = seeded(PositionsFirst), torch.randn(3, 6, 4, dtype=torch.float64)
    together = explained(network, points, "epsilon", target=[0, 1, 2])
    assert closes(together, 1e-10)
    for row in range(3):
        alone = explained(network, points[row : row + 1], "epsilon", target=row)
        assert_same(together.scores[row], alone.scores[0], 1e-9)
        torch.testing.assert_close(together.absorbed["bias"][row], alone.absorbed["bias"][0], rtol=1e-8, atol=1e-12)


class RowsTogether(PositionsFirst):
    """All positions of all examples as rows of one matrix, the last examples written back by themselves."""

    def forward(self, x):
        rows = functional.relu(self.one(x.reshape(-1, 4)))
        rows = functional.relu(self.two(rows)).view(x.shape)
        rows[1:] = rows[1:].clone()
        return self.last(rows.mean(1))


def test_sums_stay_per_example_among_rows():
    network, points = seeded(RowsTogether), torch.randn(3, 6, 4, dtype=torch.float64)
    together = explained(network, points, "epsilon", target=[0, 1, 2])
    for row in range(3):
        alone = explained(network, points[row : row + 1], "epsilon", target=row)
        torch.testing.assert_close(together.absorbed["bias"][row], alone.absorbed["bias"][0], rtol=1e-8, atol=1e-12)


def test_a_constant_that_differs_by_position_is_an_addend_and_not_a_bias():
    weight, table = torch.randn(4, 2, dtype=torch.float64), torch.rand(6, 2, dtype=torch.float64)
    point = torch.randn(2, 6, 4, dtype=torch.float64)

    def model(x):
        return (x @ weight + table).sum(1)

    found = explained(model, point, LRP0)
    assert_same(found.scores, input_times_gradient(model, point))
    torch.testing.assert_close(found.absorbed["constant"], table.sum(0)[:1].expand(2), rtol=1e-8, atol=0)


def crossing(x):
    buffer = torch.zeros(2, 2, dtype=x.dtype)
    buffer[:, 0] = x[:, 0]
    buffer[0, :] = x[:, 1]
    return buffer


@pytest.mark.parametrize(
    ("mixing", "operation"),
    [
        (crossing, "copy"),
        (lambda x: x - x.mean(0, keepdim=True), "mean"),
        (lambda x: x.mean(0)[:, None], "mean"),
        (lambda x: x @ x.new_ones(2, 2).triu() + x.cumsum(0), "cumsum"),
        (lambda x: x.new_ones(2, 2) @ x, "mm"),
        (lambda x: x[[1, 0]], "index"),
        (lambda x: x.sort(0).values, "sort"),
        (lambda x: torch.cat([x[1:], x[:1]]), "cat"),
    ],
)
def test_examples_that_meet_are_refused_by_the_name_of_where(mixing, operation):
    with pytest.raises(NotAnswerable, match=rf"apart after aten\.{operation}; ask one example at a time"):
        explained(mixing, torch.rand(2, 2, dtype=torch.float64))


def test_a_batch_whose_examples_are_mixed_is_refused_and_one_example_is_not():
    network = nn.Linear(3, 2).double()

    def mixing(x):
        return network(x.flip(0)).flip(0)

    with pytest.raises(NotAnswerable, match="one example at a time"):
        explained(mixing, torch.rand(2, 3, dtype=torch.float64), "epsilon")
    assert closes(explained(mixing, torch.rand(1, 3, dtype=torch.float64), "epsilon"), 1e-9)


def test_a_slice_of_a_larger_batch_is_a_batch():
    network, points = seeded(PositionsFirst), torch.randn(5, 6, 4, dtype=torch.float64)
    found = explained(network, points[2:4], "epsilon")
    expected = explained(network, points[2:4].clone(), "epsilon")
    assert_same(found.scores, expected.scores)
    torch.testing.assert_close(found.absorbed["bias"], expected.absorbed["bias"])


# Precision.


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_model_in_half_precision_is_propagated_in_float32(dtype):
    network = seeded(lambda: ResNet(stem=3), dtype=torch.float32)
    point = pixels(2, dtype=torch.float32)
    expected = explained(network, point, "epsilon-plus", target=1)
    found = explained(network.to(dtype), point.to(dtype), "epsilon-plus", target=1)
    assert found.scores.dtype == torch.float32
    assert closes(found, 1e-4)
    assert float((found.scores - expected.scores).norm() / expected.scores.norm()) < 0.15


# Nothing is left behind.


def hooks_of(module):
    return [len(child._forward_hooks) + len(child._forward_pre_hooks) for child in module.modules()]


@pytest.mark.parametrize("fails", [False, True])
def test_the_network_and_torch_are_as_before(fails):
    class Failing(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = ResNet(stem=3)

        def forward(self, x):
            found = self.inner(x)
            if fails:
                raise RuntimeError("the model fails")
            return found

    torch.backends.mha.set_fastpath_enabled(True)
    network = seeded(Failing)
    network.inner.layers[1].train()
    network.inner.layers[1].bn1.eval(), network.inner.layers[1].bn2.eval()
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    flags = [child.training for child in network.modules()]
    versions = [parameter._version for parameter in network.parameters()]
    handle = network.inner.fc.register_forward_hook(lambda module, given, output: None)
    if fails:
        with pytest.raises(RuntimeError, match="the model fails"):
            explained(network, pixels(), "epsilon")
    else:
        explained(network, pixels(), "epsilon-gamma-box")
    assert sum(hooks_of(network)) == 1
    handle.remove()
    assert not torch.nn.modules.module._global_forward_hooks
    assert not torch.nn.modules.module._global_forward_pre_hooks
    assert torch._C._len_torch_dispatch_stack() == 0
    assert torch._C._len_torch_function_stack() == 0
    assert torch.is_grad_enabled()
    assert torch.backends.mha.get_fastpath_enabled()
    assert [child.training for child in network.modules()] == flags
    assert [parameter._version for parameter in network.parameters()] == versions
    assert all(parameter.grad is None for parameter in network.parameters())
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, state[name])


def test_the_taped_score_is_the_plain_score_to_the_bit():
    network, point = seeded(lambda: ResNet(stem=3), dtype=torch.float32), pixels(2, dtype=torch.float32)
    with torch.no_grad():
        plain = network(point)
    with Tape(point, network) as tape:
        taped = network(point)
    assert torch.equal(plain, taped)
    assert tape.calls
    assert not taped.requires_grad


def test_the_point_is_not_changed():
    point = pixels()
    kept = point.clone()
    explained(lambda x: functional.relu(x * 2).flatten(1), point, "epsilon")
    assert torch.equal(point, kept)


def test_a_model_that_changes_its_own_input_is_followed():
    def model(x):
        x.mul_(3.0).clamp_(min=0)
        return x.sum(1, keepdim=True)

    found = explained(model, torch.tensor([[1.0, -1.0, 2.0]]).double(), "epsilon")
    torch.testing.assert_close(found.scores, torch.tensor([[3.0, 0.0, 6.0]]).double(), rtol=1e-5, atol=1e-12)


# Refusals.


def test_an_operation_without_a_rule_is_refused_with_its_name_and_place_and_the_way_out():
    class Angle(nn.Module):
        def forward(self, x):
            return torch.atan2(x, x + 1)

    network = nn.Sequential(nn.Linear(3, 3), Angle()).double()
    with pytest.raises(NotAnswerable, match=r"aten\.atan2, called in '1'; teach it one with register_operation"):
        explained(network, torch.rand(1, 3, dtype=torch.float64))


def test_an_operation_without_a_rule_beside_the_score_is_no_obstacle():
    linear = nn.Linear(3, 2).double()

    def model(x):
        scores = linear(x)
        scores.softmax(1)
        torch.topk(scores, 1)
        return scores

    assert closes(explained(model, torch.rand(1, 3, dtype=torch.float64)), 1e-9)


def test_an_operation_can_be_taught():
    torch.manual_seed(0)
    linear, point = nn.Linear(3, 2, bias=False).double(), torch.rand(1, 3, dtype=torch.float64)

    def model(x):
        return torch.sinc(linear(x))

    with pytest.raises(NotAnswerable, match="sinc"):
        explained(model, point)
    register_operation("aten::sinc", Passing())
    try:
        found = explained(model, point)
        assert found.layers[0].operation == "aten.sinc"
        torch.testing.assert_close(found.total, found.value, rtol=1e-4, atol=0)
    finally:
        OPERATIONS.pop("aten.sinc")
    with pytest.raises(UsageError, match="takes an Operation"):
        register_operation("aten::sinc", relevance_operations.unanswerable)


def test_two_signals_share_their_product_evenly():
    point = torch.rand(2, 3, dtype=torch.float64)
    square = explained(lambda x: x * x, point, LRP0, target=1)
    torch.testing.assert_close(square.scores[:, 1], point[:, 1] ** 2, rtol=1e-9, atol=0)
    product = explained(lambda x: x[:, :1] * x[:, 1:], point, LRP0, target=0)
    torch.testing.assert_close(product.scores[:, 0], product.value / 2, rtol=1e-9, atol=0)
    torch.testing.assert_close(product.scores[:, 1], product.value / 2, rtol=1e-9, atol=0)


def test_a_quotient_by_what_is_no_norm_is_refused():
    with pytest.raises(NotAnswerable, match=r"aten\.div.*no norm"):
        explained(lambda x: x[:, :1] / x[:, 1:].tanh(), torch.rand(1, 3, dtype=torch.float64))
    with pytest.raises(NotAnswerable, match=r"aten\.div.*constant divided"):
        explained(lambda x: torch.ones(1, 3).double() / x, torch.rand(1, 3, dtype=torch.float64))


def test_a_matrix_product_that_mixes_the_examples_of_a_batch_is_refused():
    with pytest.raises(NotAnswerable, match="cannot be told apart"):
        explained(lambda x: x @ x.T, torch.rand(3, 3, dtype=torch.float64))


@pytest.mark.parametrize("used", [lambda both: both[1], sum])
def test_relevance_at_a_second_output_is_refused_unless_its_operation_knows_better(monkeypatch, used):
    monkeypatch.setitem(OPERATIONS, "aten.var_mean", Passing())
    with pytest.raises(NotAnswerable, match=r"aten\.var_mean \(relevance arrives at its second output\)"):
        explained(lambda x: used(torch.var_mean(x, 1, keepdim=True)), torch.rand(1, 3, dtype=torch.float64))


class Halves(Operation):
    """Two outputs that are the two halves of the input."""

    def distribute_all(self, call, relevances, propagation):
        filled = [part if part is not None else torch.zeros_like(relevances[0]) for part in relevances]
        propagation.give(call.args[0], torch.cat(filled, 1))


def test_an_operation_may_take_relevance_at_several_outputs(monkeypatch):
    monkeypatch.setitem(OPERATIONS, "aten.unsafe_chunk", Halves())
    monkeypatch.setitem(OPERATIONS, "aten.unsafe_split", Halves())
    point = torch.rand(1, 4, dtype=torch.float64)

    def model(x):
        one, two = (x * 2).unsafe_chunk(2, 1)
        return (one - two).sum(1, keepdim=True)

    found = explained(model, point, LRP0)
    expected = 2 * point * torch.tensor([1.0, 1.0, -1.0, -1.0], dtype=torch.float64)
    torch.testing.assert_close(found.scores, expected, rtol=1e-9, atol=0)
    assert closes(found, 1e-9)


@pytest.mark.filterwarnings("ignore:The reduce argument of torch.scatter")
def test_an_assignment_that_accumulates_is_refused():
    here = (torch.tensor([0, 0]), torch.tensor([1, 2]))
    with pytest.raises(NotAnswerable, match=r"aten\.index_put \(it accumulates\)"):
        explained(lambda x: (x * 1).index_put_(here, x[:, 0], accumulate=True), torch.rand(1, 3, dtype=torch.float64))
    with pytest.raises(NotAnswerable, match=r"aten\.scatter \(it accumulates\)"):
        explained(lambda x: x.scatter(1, torch.tensor([[0]]), x[:, :1], reduce="add"), torch.rand(1, 3).double())


def test_a_score_that_was_not_computed_from_the_point_is_refused():
    with pytest.raises(NotAnswerable, match="not computed from the point"):
        explained(lambda x: torch.ones(1, 2), torch.rand(1, 3))


def test_a_seed_of_another_shape_is_refused():
    point = torch.rand(1, 3)
    with Tape(point) as tape:
        scores = point * 2
    with pytest.raises(UsageError, match="shape of the scores"):
        propagate(tape, scores, torch.ones(1, 2), COMPOSITES["epsilon"])


@pytest.mark.parametrize(
    "point", [torch.ones(1, 3, dtype=torch.long), torch.ones(1, 1).expand(1, 3), torch.tensor(1.0)]
)
def test_a_point_that_cannot_carry_relevance_is_refused(point):
    with pytest.raises(UsageError, match="the point"):
        Tape(point)


def test_a_tape_records_once():
    tape, point = None, torch.rand(1, 3)
    with Tape(point) as tape:
        point * 2
    with pytest.raises(UsageError, match="once"), tape:
        pass


def test_a_block_has_every_operation_on_record():
    block = seeded(lambda: Block(3, 4, 2))
    found = explained(lambda x: block(x).flatten(1), pixels(side=8), "epsilon", module=block)
    assert [(layer.place, layer.operation) for layer in found.layers if layer.rule] == [
        ("project", "aten.convolution"),
        ("conv2", "aten.convolution"),
        ("conv1", "aten.convolution"),
    ]
