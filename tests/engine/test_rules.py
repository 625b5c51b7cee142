"""Rules against published vectors and against the sums they are defined by, written out term by term."""

import pytest
import torch
from torch import nn

from engine.networks import LRP0, explained
from pellucid.core.errors import UsageError
from pellucid.engine.rules import (
    AlphaBeta,
    Composite,
    Epsilon,
    Flat,
    Gamma,
    Norm,
    Pass,
    WSquare,
    ZBox,
    ZMinus,
    ZPlus,
    composite,
)

TINY = 1e-12


def everywhere(rule):
    return Composite("one rule", convolution=rule, linear=rule)


def linear(weight, bias=None):
    module = nn.Linear(len(weight[0]), len(weight), bias=bias is not None).double()
    module.weight.data = torch.tensor(weight, dtype=torch.float64)
    if bias is not None:
        module.bias.data = torch.tensor(bias, dtype=torch.float64)
    return module


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Epsilon(TINY), [0.2, -0.3, 1.3]),
        (Epsilon(TINY, zero_bias=True), [0, -2 / 3, 5 / 3]),
        (ZPlus(TINY), [1.2, 1.2, -1.7]),
        (ZBox(-3.0, 3.0, TINY), [13 / 15, 0.8, -2 / 3]),
        (Flat(TINY), [1 / 3, 1 / 3, 1 / 3]),
    ],
)
def test_a_linear_map_gives_the_published_relevances(rule, expected):
    module = linear([[1, -2, 0.5], [-1, 3, 2]], [0.5, -1])
    point = torch.tensor([[2.0, -1, 1]], dtype=torch.float64)
    found = explained(module, point, everywhere(rule), seed=torch.tensor([[3.0, -2]], dtype=torch.float64))
    torch.testing.assert_close(found.scores[0], torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-7)


def two_layers(first_weight=2.0, inplace=False):
    first = [[2.0, 2, 2]] * 3
    first[0] = [first_weight, 2.0, 2.0]
    return nn.Sequential(linear(first), nn.ReLU(inplace=inplace), linear([[3.0, 3, 3]]))


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize(
    ("first_weight", "rules", "expected"),
    [
        (2.0, {}, [18, 36, 54]),
        (-2.0, {"0": Gamma(1.0, TINY), "2": Gamma(0.25, TINY)}, [28 / 3, 104 / 3, 52]),
        (-2.0, {"*": ZPlus(TINY)}, [12, 33.6, 50.4]),
        (-2.0, {"0": Pass(), "2": Epsilon(TINY)}, [24, 36, 36]),
    ],
)
def test_two_layers_give_the_published_relevances(first_weight, rules, expected, inplace):
    point = torch.tensor([[1.0, 2, 3], [3, 6, 9]], dtype=torch.float64)
    found = explained(two_layers(first_weight, inplace), point, LRP0, rules=rules)
    expected = torch.tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(found.scores, torch.stack([expected, 3 * expected]), rtol=0, atol=1e-7)


def test_one_convolution_gives_the_published_relevances():
    convolution = nn.Conv2d(1, 2, 3).double()
    convolution.weight.data.fill_(1)
    convolution.bias.data = torch.tensor([-50.0, -75.0], dtype=torch.float64)
    network = nn.Sequential(convolution, nn.ReLU(), nn.Flatten(), linear([[1.0] * 5 + [-1.0] * 3] * 4), nn.ReLU())
    found = explained(network, torch.arange(16, dtype=torch.float64).view(1, 1, 4, 4), LRP0)
    expected = [[0, 1, 2, 3], [0, 5, 6, 7], [0, 9, 10, 11], [0, 0, 0, 0]]
    assert found.value.item() == 54
    torch.testing.assert_close(found.scores[0, 0], torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-7)


MAPS = {
    "linear": (lambda bias: nn.Linear(5, 4, bias=bias), (5,)),
    "conv1d": (lambda bias: nn.Conv1d(2, 3, 3, padding=1, bias=bias), (2, 5)),
    "conv2d": (lambda bias: nn.Conv2d(2, 4, 3, stride=2, padding=1, groups=2, bias=bias), (2, 5, 4)),
    "conv2d dilated": (lambda bias: nn.Conv2d(2, 3, 2, dilation=2, bias=bias), (2, 4, 4)),
    "conv3d": (lambda bias: nn.Conv3d(2, 2, 2, bias=bias), (2, 3, 3, 2)),
    "transposed conv1d": (lambda bias: nn.ConvTranspose1d(2, 3, 2, stride=2, bias=bias), (2, 4)),
    "transposed conv2d": (
        lambda bias: nn.ConvTranspose2d(4, 2, 3, stride=2, padding=1, groups=2, bias=bias),
        (4, 3, 3),
    ),
}

RULES = [
    Epsilon(0.1),
    Epsilon(0.0),
    Epsilon(1e-6, zero_bias=True),
    Norm(1e-3),
    Gamma(0.25, 1e-3),
    Gamma(2.0, 1e-6, zero_bias=True),
    ZPlus(1e-3),
    ZPlus(1e-6, zero_bias=True),
    ZMinus(1e-3),
    ZMinus(1e-6, zero_bias=True),
    AlphaBeta(2.0, 1.0, 1e-3),
    AlphaBeta(1.5, 0.5, 1e-6, zero_bias=True),
    ZBox(-1.5, 2.0, 1e-3),
    WSquare(1e-3),
    WSquare(1e-6, zero_bias=True),
    Flat(1e-3),
]


def matrix_of(module, shape):
    """The dense matrix of a linear operation, its bias per output, and 1 where input and output are connected."""
    size = torch.Size(shape).numel()
    basis = torch.eye(size, dtype=torch.float64).view(size, *shape)
    with torch.no_grad():
        bias = module(torch.zeros(1, *shape, dtype=torch.float64)).flatten()
        matrix = (module(basis).flatten(1) - bias).T
        kept = module.weight.data.clone()
        module.weight.data = torch.ones_like(kept)
        connected = (module(basis).flatten(1) - bias).T
        module.weight.data = kept
    return matrix, bias, connected


def stabilised(value, epsilon):
    return value + epsilon if value >= 0 else value - epsilon


def shared(terms, bias, epsilon, amount):
    """``amount`` divided among ``terms``; what the bias and the stabiliser get; all of it dead if nothing divides it."""
    total = float(terms.sum() + bias)
    below = stabilised(total, epsilon)
    if below == 0:
        return torch.zeros_like(terms), 0.0, 0.0
    return terms * (amount / below), bias * amount / below, (below - total) * amount / below


def written_out(rule, matrix, bias, connected, point, arriving):
    """One example: every output's relevance divided among its terms by the definition of the rule."""
    received, to_bias, to_stabiliser = torch.zeros_like(point), 0.0, 0.0
    plus, minus = point.clamp(min=0), point.clamp(max=0)
    for weights, shift, ones, amount in zip(matrix, bias.tolist(), connected, arriving.tolist(), strict=True):
        up, down = weights.clamp(min=0), weights.clamp(max=0)
        z = float((weights * point).sum() + shift)
        shift = 0.0 if getattr(rule, "zero_bias", False) else shift
        raised, lowered = max(shift, 0.0), min(shift, 0.0)
        epsilon = rule.epsilon if isinstance(rule, Epsilon) else rule.stabilizer
        match rule:
            case Epsilon() | Norm():
                parts = [(weights * point, shift, amount)]
            case Gamma(gamma=g) if z > 0:
                parts = [(plus * (weights + g * up) + minus * (weights + g * down), shift + g * raised, amount)]
            case Gamma(gamma=g) if z < 0:
                parts = [(plus * (weights + g * down) + minus * (weights + g * up), shift + g * lowered, amount)]
            case Gamma():
                parts = []
            case ZPlus():
                parts = [(plus * up + minus * down, raised, amount)]
            case ZMinus():
                parts = [(plus * down + minus * up, lowered, amount)]
            case AlphaBeta():
                parts = [
                    (plus * up + minus * down, raised, rule.alpha * amount),
                    (plus * down + minus * up, lowered, -rule.beta * amount),
                ]
            case ZBox():
                parts = [(point * weights - rule.low * up - rule.high * down, 0.0, amount)]
            case WSquare():
                parts = [(weights**2, shift**2, amount)]
            case Flat():
                parts = [(ones, 0.0, amount)]
        for terms, offset, part in parts:
            given, biased, stable = shared(terms, offset, epsilon, part)
            received, to_bias, to_stabiliser = received + given, to_bias + biased, to_stabiliser + stable
    return received, to_bias, to_stabiliser


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("kind", MAPS)
@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_every_rule_divides_relevance_by_its_definition(rule, kind, bias):
    torch.manual_seed(3)
    make, shape = MAPS[kind]
    module = make(bias).double()
    point = torch.randn(2, *shape, dtype=torch.float64)
    point.view(-1)[::7] = 0
    seed = torch.randn_like(module(point))
    found = explained(module, point, everywhere(rule), seed=seed)
    for example in range(2):
        given, to_bias, to_stabiliser = written_out(
            rule, *matrix_of(module, shape), point[example].flatten(), seed[example].flatten()
        )
        torch.testing.assert_close(found.scores[example].flatten(), given, rtol=1e-9, atol=1e-11)
        nothing = torch.zeros(2, dtype=torch.float64)
        for source, expected in (("bias", to_bias), ("stabiliser", to_stabiliser)):
            assert found.absorbed.get(source, nothing)[example].item() == pytest.approx(expected, rel=1e-8, abs=1e-10)
    assert found.residual.abs().max() < 1e-10


@pytest.mark.parametrize("rule", [Gamma(), ZPlus(), AlphaBeta()], ids=repr)
def test_an_input_without_negative_values_takes_the_same_rule(rule):
    torch.manual_seed(1)
    module = nn.Conv2d(2, 3, 3, padding=1).double()
    point = torch.rand(1, 2, 4, 4, dtype=torch.float64)
    seed = torch.randn(1, 3, 4, 4, dtype=torch.float64)
    found = explained(module, point, everywhere(rule), seed=seed)
    given, _, _ = written_out(rule, *matrix_of(module, (2, 4, 4)), point.flatten(), seed.flatten())
    torch.testing.assert_close(found.scores.flatten(), given, rtol=1e-9, atol=1e-11)


def test_an_output_of_exactly_zero_passes_nothing_on_under_gamma():
    module = linear([[1.0, -1.0], [1.0, 1.0]])
    seed = torch.tensor([[5.0, 2.0]], dtype=torch.float64)
    found = explained(module, torch.tensor([[1.0, 1.0]], dtype=torch.float64), everywhere(Gamma()), seed=seed)
    assert found.absorbed["zero"].item() == 5
    assert found.scores.sum().item() == pytest.approx(2, abs=1e-5)


def test_the_sign_of_zero_counts_as_positive():
    module = linear([[1.0, -1.0]])
    seed = torch.tensor([[1.0]], dtype=torch.float64)
    found = explained(module, torch.tensor([[1.0, 1.0]], dtype=torch.float64), everywhere(Epsilon(0.5)), seed=seed)
    assert found.scores.tolist() == [[2, -2]]
    assert found.absorbed["stabiliser"].item() == 1


def test_a_box_may_differ_per_channel():
    module = nn.Conv2d(2, 1, 2, bias=False).double()
    low = torch.tensor([-1.0, -2.0], dtype=torch.float64).view(1, 2, 1, 1)
    high = torch.tensor([1.0, 0.5], dtype=torch.float64).view(1, 2, 1, 1)
    point = torch.rand(1, 2, 2, 2, dtype=torch.float64) - 0.5
    found = explained(module, point, everywhere(ZBox(low, high, TINY)), seed=torch.ones(1, 1, 1, 1).double())
    weight = module.weight.data
    terms = point * weight - low * weight.clamp(min=0) - high * weight.clamp(max=0)
    torch.testing.assert_close(found.scores, terms / terms.sum(), rtol=1e-9, atol=1e-11)


def test_relevance_of_a_box_without_bounds_is_refused():
    with pytest.raises(UsageError, match="needs the bounds"):
        explained(
            nn.Conv2d(1, 1, 2).double(), torch.ones(1, 1, 2, 2).double(), "epsilon-gamma-box", low=None, high=None
        )


@pytest.mark.parametrize(
    "make",
    [lambda: AlphaBeta(2.0, 2.0), lambda: AlphaBeta(0.5, -0.5), lambda: Epsilon(-1.0), lambda: Gamma(-0.1)],
)
def test_a_rule_that_is_none_is_refused(make):
    with pytest.raises(UsageError):
        make()


def test_a_composite_of_another_name_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match="epsilon-plus-flat"):
        composite("epsilon-plus-flatt")


def test_pass_between_different_shapes_is_refused():
    with pytest.raises(Exception, match="differ in shape"):
        explained(nn.Linear(3, 2).double(), torch.ones(1, 3).double(), everywhere(Pass()))
