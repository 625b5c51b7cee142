"""Cases of DeepLIFT and of relevance."""

import torch
from captum.attr._utils.lrp_rules import Alpha1_Beta0_Rule, EpsilonRule, GammaRule, IdentityRule
from captum.testing.helpers.basic_models import (
    BasicModel2,
    BasicModel_ConvNet,
    BasicModel_ConvNet_MaxPool1d,
    BasicModel_ConvNet_MaxPool3d,
    BasicModel_ConvNet_One_Conv,
    BasicModel_MultiLayer,
    BasicModelWithReusedLinear,
    BasicModelWithReusedModules,
    Conv1dSeqModel,
    LinearMaxPoolLinearModel,
    ReLUDeepLiftModel,
    ReLULinearModel,
    SimpleLRPModel,
    TanhDeepLiftModel,
)
from captum.testing.helpers.classification_models import SigmoidDeepLiftModel, SoftmaxDeepLiftModel
from torch import nn

from reference.captum_cases.case import Case, Refused, attributed, drawn, rows, seeded

PAIR = (rows([-10.0, 1.0, -5.0], [2.0, 3.0, 4.0]), rows([3.0, 3.0, 1.0], [2.3, 5.0, 4.0]))
SQUARE = torch.arange(16.0).view(1, 1, 4, 4)
ABOVE = {"return_convergence_delta": True}


def _deeplift():
    name, numbers = "DeepLift", (torch.tensor([1.0]), torch.tensor([2.0]))
    still = (torch.zeros(1), torch.zeros(1))
    two_one = (torch.tensor([2.0]), torch.tensor([1.0]))
    yield attributed(
        name, "two numbers", ReLUDeepLiftModel, numbers, baselines=still, expected=(two_one, torch.zeros(1)), **ABOVE
    )
    yield attributed(
        name,
        "multipliers alone",
        ReLUDeepLiftModel,
        numbers,
        options={"multiply_by_inputs": False},
        expected=(torch.tensor([2.0]), torch.tensor([0.5])),
    )
    yield attributed(
        name, "tanh", TanhDeepLiftModel, (torch.tensor([-1.0]), torch.tensor([-2.0])), baselines=still, **ABOVE
    )
    batch = (torch.ones(4, 1), torch.full((4, 1), 2.0))
    yield attributed(
        name, "a batch", ReLUDeepLiftModel, batch, baselines=(torch.zeros(4, 1), torch.zeros(4, 1)), **ABOVE
    )
    for inplace in (False, True):
        how = "in place" if inplace else "by itself"
        build = lambda inplace=inplace: ReLULinearModel(inplace=inplace)  # noqa: E731
        yield attributed(name, f"rectified sums {how}", build, PAIR, **ABOVE)
        yield attributed(
            name,
            f"rectified sums {how}, numbers as baselines",
            build,
            PAIR,
            baselines=(0, 0.0001),
            tolerance=1e-3,
            **ABOVE,
        )
    yield attributed(
        name,
        "winners of a maximum",
        LinearMaxPoolLinearModel,
        torch.ones(2, 4),
        baselines=rows([1.0, 2.0, 3.0, 9.0], [4.0, 8.0, 6.0, 7.0]),
        target=0,
        expected=(rows([0.0, 0.0, 0.0, -8.0], [0.0, -7.0, 0.0, 0.0]), torch.zeros(2)),
        **ABOVE,
    )
    yield attributed(
        name,
        "a function of the multipliers",
        seeded(Conv1dSeqModel),
        drawn(2, 4, 1000).abs(),
        baselines=drawn(2, 4, 1000, seed=1).abs(),
        custom_attribution_func=lambda multipliers, inputs, baselines: tuple(
            (multiplier * (one - other)).sum(1, keepdim=True).expand_as(multiplier)
            for multiplier, one, other in zip(multipliers, inputs, baselines, strict=True)
        ),
        target=(1, 0),
        tolerance=1e-3,
    )
    yield attributed(
        name,
        "another size of small changes",
        ReLUDeepLiftModel,
        numbers,
        options={"eps": 1e-5},
        differs="own rounding",
        ours=Refused("eps is not supported"),
    )
    yield attributed(
        name,
        "activations called as functions",
        BasicModel2,
        (torch.tensor([3.0]), torch.tensor([1.0])),
        differs="functions",
        ours=(torch.tensor([1.5]), torch.tensor([-0.5])),
    )
    yield _reused(name, BasicModelWithReusedModules, rows([0.2, 0.9, 0.4]))
    line = torch.arange(20.0)[None]
    yield attributed(
        name,
        "sigmoid",
        lambda: SigmoidDeepLiftModel(20, 5, 1),
        line,
        baselines=0 * line,
        target=torch.tensor(0),
        tolerance=1e-3,
        **ABOVE,
    )
    for target in (1, 2):
        yield attributed(
            name,
            f"softmax, class {target}",
            seeded(SoftmaxDeepLiftModel, 20, 20, 10),
            line,
            baselines=0.0,
            target=torch.tensor(target),
            tolerance=1e-3,
            **ABOVE,
        )
    for build, shape in (
        (BasicModel_ConvNet, (2, 1, 10, 10)),
        (BasicModel_ConvNet_MaxPool1d, (2, 1, 10)),
        (BasicModel_ConvNet_MaxPool3d, (2, 1, 10, 10, 10)),
    ):
        for far in (20, 500):
            yield attributed(
                name,
                f"{build.__name__} from {'far' if far > 20 else 'near'} away",
                seeded(build),
                drawn(*shape, scale=100),
                baselines=drawn(*shape, seed=1, scale=far),
                target=torch.tensor(2),
                tolerance=1e-3,
            )


def _reused(name, build, inputs):
    """Captum refuses; the right answer is that of the same network with a module for each call."""
    network = seeded(build)()
    layers = [nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3), nn.ReLU()]
    if build is BasicModelWithReusedModules:
        layers = [network.lin1, nn.ReLU(), network.lin2, nn.ReLU()]
    else:
        for number in (0, 2):
            layers[number].load_state_dict(network.lin1.state_dict())
    return Case(
        name,
        "a module that is called twice",
        lambda names: getattr(names, name)(seeded(build)()).attribute(inputs, target=0),
        differs="called twice",
        ours=lambda: attributed(name, "", lambda: nn.Sequential(*layers), inputs, target=0).theirs().detach(),
    )


class Skipping(nn.Module):
    """A linear map and its input, added by a module."""

    class Adding(nn.Module):
        def forward(self, one, other):
            return one + other

    def __init__(self):
        super().__init__()
        self.linear, self.add = nn.Linear(2, 2, bias=False), self.Adding()
        self.linear.weight.data.fill_(5)

    def forward(self, x):
        return self.add(self.linear(x), x)


class Tanh(nn.Module):
    """Two linear maps of equal weights with a tanh in between."""

    def __init__(self):
        super().__init__()
        self.linear, self.tanh, self.linear2 = nn.Linear(3, 3, bias=False), nn.Tanh(), nn.Linear(3, 1, bias=False)
        for layer in (self.linear, self.linear2):
            layer.weight.data.fill_(0.1)

    def forward(self, x):
        return self.linear2(self.tanh(self.linear(x)))


class OneOfTwo(nn.Module):
    """Answers for the first example only."""

    def __init__(self):
        super().__init__()
        self.linear, self.relu = nn.Linear(2, 2), nn.ReLU()
        self.linear.weight.data.fill_(1)

    def forward(self, x):
        return self.relu(self.linear(x))[:1]


def simple(inplace=False):
    """Captum's model of equal weights, in the mode in which it answers."""
    return SimpleLRPModel(inplace).eval()


def ruled(first, second, turned=False):
    """Gives the two linear maps of the simple model their rules; ``turned`` makes one weight negative."""

    def prepare(model):
        model.linear.rule, model.linear2.rule = first(), second()
        if turned:
            model.linear.weight.data[0, 0] = -2

    return prepare


def _lrp():
    name, one = "LRP", rows([1.0, 2.0, 3.0])
    both = {"prepare": ruled(EpsilonRule, EpsilonRule)}
    expected = maps = torch.tensor([[[[0.0, 1, 2, 3], [0, 5, 6, 7], [0, 9, 10, 11], [0, 0, 0, 0]]]])
    yield attributed(
        name, "a convolution", BasicModel_ConvNet_One_Conv, SQUARE, target=0, expected=(maps, torch.zeros(1)), **ABOVE
    )
    expected = rows([18.0, 36.0, 54.0])
    yield attributed(name, "equal weights", simple, one, expected=expected, **both)
    yield attributed(name, "equal weights in place", lambda: simple(True), one, expected=expected, **both)
    yield attributed(
        name,
        "a batch",
        simple,
        torch.cat([one, 3 * one]),
        target=0,
        expected=(torch.cat([expected, 3 * expected]), torch.zeros(2)),
        **both,
        **ABOVE,
    )
    yield attributed(name, "no rules of its own", simple, one, expected=expected)
    yield attributed(name, "a hyperbolic tangent", Tanh, one, expected=rows([0.0269, 0.0537, 0.0806]))
    for title, rules, numbers in (
        ("the gamma rule", (lambda: GammaRule(gamma=1), GammaRule), [28 / 3, 104 / 3, 52.0]),
        ("alpha 1 beta 0", (Alpha1_Beta0_Rule, Alpha1_Beta0_Rule), [12.0, 33.6, 50.4]),
        ("identity", (IdentityRule, EpsilonRule), [24.0, 36.0, 36.0]),
    ):
        yield attributed(name, title, simple, one, prepare=ruled(*rules, turned=True), expected=rows(numbers))
    yield attributed(
        name,
        "a sum of two branches",
        Skipping,
        rows([2.0, 3.0]),
        target=1,
        expected=rows([10.0, 18.0]),
        prepare=lambda model: setattr(model.add, "rule", EpsilonRule()),
    )
    widest = nn.Sequential(nn.Linear(2, 2, bias=False), nn.MaxPool1d(2))
    widest[0].weight.data.fill_(2.0)
    cells = torch.arange(1.0, 9.0)
    yield attributed(
        name,
        "maxima along a line",
        lambda: widest,
        torch.tensor([[[1.0, 2.0], [5.0, 6.0]]]),
        target=1,
        expected=torch.tensor([[[0.0, 0.0], [10.0, 12.0]]]),
    )
    yield attributed(
        name,
        "maxima of squares",
        lambda: nn.Sequential(nn.MaxPool2d(2)),
        torch.tensor([[[[1.0, 2.0], [5.0, 6.0]]]]),
        expected=torch.tensor([[[[0.0, 0.0], [0.0, 6.0]]]]),
    )
    yield attributed(
        name,
        "maxima of cubes",
        lambda: nn.Sequential(nn.MaxPool3d(2)),
        cells.view(1, 1, 2, 2, 2),
        expected=(cells * (cells == 8)).view(1, 1, 2, 2, 2),
    )
    yield attributed(name, "biases", BasicModel_MultiLayer, one, target=0, **ABOVE)
    yield attributed(
        name, "an argument that adds nothing", BasicModel_MultiLayer, one, target=0, additional_forward_args=(0,)
    )
    yield attributed(
        name,
        "two inputs that are added by an operator",
        BasicModel_MultiLayer,
        (one, 3 * one),
        target=0,
        differs="adds up",
        ours=(rows([4.0, 8.0, 12.0]), rows([12.0, 24.0, 36.0])),
    )
    yield _reused(name, BasicModelWithReusedLinear, torch.ones(2, 3))
    yield attributed(
        name,
        "a rule that is none",
        BasicModel_ConvNet_One_Conv,
        SQUARE,
        target=0,
        prepare=lambda model: setattr(model.conv1, "rule", 1),
        differs="refused sooner",
        ours=Refused("no rule 'int'"),
    )
    yield attributed(
        name,
        "a layer without a rule that is never called",
        BasicModel_ConvNet_One_Conv,
        SQUARE,
        target=0,
        prepare=lambda model: model.add_module("sigmoid", nn.Sigmoid()),
        differs="missing rule",
        ours=maps,
    )
    yield attributed(
        name,
        "an answer for one of two examples",
        OneOfTwo,
        rows([1.0, 2.0], [1.0, 3.0]),
        target=0,
        differs="no neighbours",
        ours=Refused("return one number per example"),
    )


CASES = (*_deeplift(), *_lrp())
