"""Captum's DeepLift, Deconvolution and GuidedBackprop: equal where it sees every activation, and where it is wrong.

Each difference stands beside what shows who is right: completeness, a closed form, or the same network written otherwise.
"""

import captum.attr
import pytest
import torch
from torch import nn
from torch.nn import functional

import pellucid as pl
from engine.networks import seeded
from pellucid.core.errors import NotAnswerable
from pellucid.methods import Deconvnet, DeepLift, GuidedBackprop

pytestmark = [pytest.mark.reference, pytest.mark.filterwarnings("ignore:Setting (forward, )?backward hooks")]


class Function(nn.Module):
    """What a function computes with these parts."""

    def __init__(self, function, *parts):
        super().__init__()
        self.function, self.parts = function, nn.ModuleList(parts)

    def forward(self, point):
        return self.function(self.parts, point)


def between(*layers):
    """A network with these layers between two linear maps."""
    return seeded(lambda: nn.Sequential(nn.Linear(6, 8), *layers, nn.Linear(8, 3)))


def drawn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


POINT, BASELINE = drawn(2, 6), drawn(1, 6, seed=1)


def ours(method, network, point=POINT):
    return method(pl.wrap(network), pl.Decision(point, target=1))


def theirs(kind, network, point=POINT, **more):
    point = point.clone().requires_grad_()  # or Captum warns
    return getattr(captum.attr, kind)(network).attribute(point, target=1, **more).detach()


def both(network, point=POINT, baseline=BASELINE):
    """Our answer, their scores, and what they miss of the rise above the baseline, as a share of it."""
    answer = ours(DeepLift(baseline=baseline), network, point)
    scores = theirs("DeepLift", network, point, baselines=baseline.expand_as(point).clone())
    rise = answer.value - answer.quality["baseline"]
    missed = (scores.flatten(1).sum(1) - rise) / rise
    return answer, scores, float(missed.abs().max())


def complete(answer):
    return bool((answer.residual.abs() <= 1e-10).all())


PARITY = {
    "rectifiers": lambda: between(nn.ReLU(), nn.Linear(8, 8), nn.ReLU()),
    "in place": lambda: between(nn.ReLU(inplace=True), nn.Linear(8, 8), nn.ReLU(inplace=True)),
    "saturating": lambda: between(nn.Sigmoid(), nn.Linear(8, 8), nn.Tanh()),
    "leaky and smooth": lambda: between(nn.ELU(), nn.Linear(8, 8), nn.LeakyReLU(), nn.Linear(8, 8), nn.Softplus()),
    "batch norm": lambda: between(nn.BatchNorm1d(8), nn.ReLU()),
    "pooling without overlap": lambda: seeded(
        lambda: nn.Sequential(
            nn.Linear(6, 16), nn.Unflatten(1, (2, 8)), nn.MaxPool1d(2), nn.Flatten(), nn.ReLU(), nn.Linear(8, 3)
        )
    ),
    "residual": lambda: seeded(
        lambda: Function(
            lambda parts, row: parts[3](parts[0](row) + parts[2](parts[1](parts[0](row)))),
            *(nn.Linear(6, 8), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)),
        )
    ),
}


@pytest.mark.parametrize("name", PARITY)
def test_deeplift_is_equal_where_every_activation_is_a_module_of_its_own_that_captum_knows(name):
    answer, scores, missed = both(PARITY[name]())
    torch.testing.assert_close(answer.scores, scores, rtol=1e-9, atol=1e-12)
    assert complete(answer)
    assert missed < 1e-9


def test_deeplift_of_a_convolutional_network_is_equal_in_single_precision():
    network = seeded(
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.MaxPool2d(2), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3),
        ),
        dtype=torch.float32,
    )  # fmt: skip
    answer, scores, _ = both(network, drawn(2, 3, 20, 20).float(), torch.zeros(1, 3, 20, 20))
    torch.testing.assert_close(answer.scores, scores, rtol=0, atol=1e-5 * float(scores.abs().max()))


def test_deeplift_at_a_layer_is_equal():
    network = between(nn.ReLU(), nn.Linear(8, 8), nn.Tanh())
    found = DeepLift(baseline=BASELINE)(pl.wrap(network), pl.Decision(POINT, 1, at="1")).scores
    peer = captum.attr.LayerDeepLift(network, network[1])
    expected = peer.attribute(POINT, BASELINE.expand_as(POINT).clone(), target=1).detach()
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("activation", "share"),
    [(nn.GELU(), 0.1), (nn.SiLU(), 0.05), (nn.ReLU6(), 0.1), (nn.Hardswish(), 0.05), (nn.SELU(), 0.01)],
)
def test_deeplift_of_captum_takes_activations_that_it_does_not_know_for_linear(activation, share):
    """One neuron, one input: the score is the rise itself, while theirs is the slope at the input times the change."""
    network = Function(lambda parts, row: parts[0](row * 2), activation)
    point, baseline = torch.tensor([[0.8]]).double(), torch.tensor([[-0.6]]).double()
    rise = float(activation(2 * point) - activation(2 * baseline))
    answer = DeepLift(baseline=baseline)(pl.wrap(network), pl.Decision(point, 0))
    scores = (
        captum.attr.DeepLift(network).attribute(point.clone().requires_grad_(), baselines=baseline, target=0).detach()
    )
    leaf = point.clone().requires_grad_()
    (slope,) = torch.autograd.grad(network(leaf).sum(), leaf)
    assert float(answer.scores) == pytest.approx(rise)
    assert float(scores) == pytest.approx(float(slope * (point - baseline)))
    assert abs(float(scores) - rise) > share * abs(rise)


def test_deeplift_of_captum_is_gradient_times_change_where_relu_is_a_function():
    modules = between(nn.ReLU(), nn.Linear(8, 8), nn.ReLU())
    functions = Function(
        lambda parts, row: parts[4](functional.relu(parts[2](functional.relu(parts[0](row))))), *modules
    )
    answer, scores, missed = both(functions)
    expected, theirs_of_modules, _ = both(modules)
    torch.testing.assert_close(answer.scores, expected.scores)
    torch.testing.assert_close(expected.scores, theirs_of_modules)
    leaf = POINT.clone().requires_grad_()
    (slope,) = torch.autograd.grad(functions(leaf)[:, 1].sum(), leaf)
    torch.testing.assert_close(scores, slope * (POINT - BASELINE))
    assert complete(answer)
    assert missed > 0.01


def test_deeplift_of_captum_raises_where_a_module_is_called_twice():
    once, again = between(nn.ReLU(), nn.Linear(8, 8), nn.ReLU()), nn.ReLU()
    network = nn.Sequential(once[0], again, once[2], again, once[4])
    with pytest.raises(RuntimeError, match="ReLU"):
        both(network)
    found = ours(DeepLift(baseline=BASELINE), network)
    torch.testing.assert_close(found.scores, both(once)[0].scores)


INCOMPLETE = {
    "softmax at the end": lambda: nn.Sequential(*between(nn.ReLU()), nn.Softmax(1)),
    "softmax inside": lambda: between(nn.Softmax(1), nn.Linear(8, 8), nn.ReLU()),
    "layer norm": lambda: between(nn.LayerNorm(8), nn.ReLU()),
    "pooling with overlap": lambda: seeded(
        lambda: nn.Sequential(
            nn.Linear(6, 16), nn.Unflatten(1, (2, 8)), nn.MaxPool1d(3, 1), nn.Flatten(), nn.Linear(12, 3)
        )
    ),
    "product": lambda: seeded(
        lambda: Function(
            lambda parts, row: parts[2](parts[0](row) * parts[1](parts[0](row))),
            *(nn.Linear(6, 8), nn.Sigmoid(), nn.Linear(8, 3)),
        )
    ),
    "lstm": lambda: seeded(
        lambda: Function(
            lambda parts, row: parts[1](parts[0](row.view(-1, 3, 2))[0][:, -1]),
            *(nn.LSTM(2, 4, batch_first=True), nn.Linear(4, 3)),
        )
    ),
    "attention": lambda: seeded(
        lambda: Function(
            lambda parts, row: parts[1](parts[0](*[row.view(-1, 3, 2)] * 3)[0].mean(1)),
            *(nn.MultiheadAttention(2, 1, batch_first=True), nn.Linear(2, 3)),
        )
    ),
}


@pytest.mark.parametrize("name", INCOMPLETE)
def test_deeplift_of_captum_does_not_add_up(name):
    answer, _, missed = both(INCOMPLETE[name]())
    assert complete(answer)
    assert missed > 0.01


@pytest.mark.parametrize(("second", "width"), [(nn.MaxPool1d(2), 4), (nn.Tanh(), 8), (nn.Softplus(), 8)])
def test_deeplift_of_captum_forgets_the_second_of_two_activations_that_follow_each_other(second, width):
    """As in every convolution, ReLU, pooling: the same network is right with nothing but a view in between."""
    layers = (nn.Unflatten(1, (2, 4)), nn.Sigmoid(), second, nn.Flatten())
    network = seeded(lambda: nn.Sequential(nn.Linear(6, 8), *layers, nn.Linear(width, 3)))
    apart = nn.Sequential(*network[:3], nn.Flatten(), nn.Unflatten(1, (2, 4)), *network[3:])
    answer, _, missed = both(network)
    same, scores, none = both(apart)
    torch.testing.assert_close(answer.scores, same.scores)
    torch.testing.assert_close(same.scores, scores, rtol=1e-9, atol=1e-12)
    assert missed > 0.01
    assert none < 1e-9


def test_deeplift_of_captum_mixes_the_examples_of_a_batch_in_a_softmax():
    network = INCOMPLETE["softmax at the end"]()
    together = theirs("DeepLift", network, baselines=BASELINE.expand_as(POINT).clone())
    alone = theirs("DeepLift", network, POINT[:1], baselines=BASELINE)
    assert not torch.allclose(together[:1], alone, rtol=1e-3)
    answer = ours(DeepLift(baseline=BASELINE), network)
    torch.testing.assert_close(answer.scores[:1], ours(DeepLift(baseline=BASELINE), network, POINT[:1]).scores)


def test_deeplift_of_captum_is_noise_near_its_baseline_in_single_precision():
    network = between(nn.Sigmoid(), nn.Linear(8, 8), nn.Tanh())
    change = 1e-5 * drawn(2, 6, seed=2)
    leaf = POINT.clone().requires_grad_()
    (slope,) = torch.autograd.grad(network(leaf)[:, 1].sum(), leaf)
    single = network.float()
    point, baseline = POINT.float(), (POINT - change).float()
    scores = captum.attr.DeepLift(single).attribute(point.clone().requires_grad_(), baselines=baseline, target=1)
    answer = DeepLift(baseline=baseline)(pl.wrap(single), pl.Decision(point, 1))
    change = (point - baseline).double()
    errors = [float(((found.detach() / change) / slope - 1).abs().median()) for found in (answer.scores, scores)]
    assert errors[0] < 1e-3
    assert errors[1] > 10 * errors[0]


@pytest.mark.parametrize(("method", "kind"), [(Deconvnet(), "Deconvolution"), (GuidedBackprop(), "GuidedBackprop")])
class TestRectifiers:
    @pytest.mark.parametrize("inplace", [False, True])
    def test_maps_are_equal_where_rectifiers_are_modules(self, method, kind, inplace):
        relu = nn.ReLU(inplace=inplace)
        network = between(relu, nn.Linear(8, 8), relu, nn.Unflatten(1, (2, 4)), nn.MaxPool1d(3, 1, 1), nn.Flatten())
        torch.testing.assert_close(ours(method, network).scores, theirs(kind, network))

    def test_captum_answers_with_the_plain_gradient_where_relu_is_a_function(self, method, kind):
        modules = between(nn.ReLU(), nn.Linear(8, 8), nn.ReLU())
        functions = Function(
            lambda parts, row: parts[4](functional.relu(parts[2](functional.relu(parts[0](row))))), *modules
        )
        torch.testing.assert_close(theirs(kind, functions), theirs("Saliency", functions, abs=False))
        torch.testing.assert_close(ours(method, functions).scores, theirs(kind, modules))
        assert not torch.allclose(theirs(kind, functions), theirs(kind, modules))

    def test_captum_answers_with_the_plain_gradient_of_relu6(self, method, kind):
        """Below 6 it is a ReLU, whose map they get right."""
        network = between(nn.ReLU6(), nn.Linear(8, 8), nn.ReLU6())
        same = nn.Sequential(network[0], nn.ReLU(), network[2], nn.ReLU(), network[4])
        torch.testing.assert_close(network(POINT), same(POINT))
        torch.testing.assert_close(theirs(kind, network), theirs("Saliency", network, abs=False))
        torch.testing.assert_close(ours(method, network).scores, theirs(kind, same))
        assert not torch.allclose(theirs(kind, network), theirs(kind, same))

    def test_captum_answers_without_a_rectifier_where_we_refuse(self, method, kind):
        network = between(nn.GELU())
        torch.testing.assert_close(theirs(kind, network), theirs("Saliency", network, abs=False))
        with pytest.raises(NotAnswerable, match="no rectifier"):
            ours(method, network)
