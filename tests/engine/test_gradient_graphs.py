"""Any smooth graph: methods that differentiate say what central differences say, whatever the network is made of.

A further method is one line of ``EXPECTED``: itself, and what it should score by slopes that are central differences.
"""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

import pellucid as pl
from pellucid.core.seeds import generator
from pellucid.methods import ExpectedGradients, Gradient, InputXGradient, IntegratedGradients, SmoothGrad

SHAPE = (2, 3, 3)
WIDTH = 18
GRAPHS = 12

STEPS = {
    "convolution": lambda net, one, two: net.convolutions[0](one),
    "other convolution": lambda net, one, two: net.convolutions[1](one),
    "linear map": lambda net, one, two: net.linear(one.flatten(1)).view(-1, *SHAPE),
    "functional convolution": lambda net, one, two: functional.conv2d(one, net.kernel, padding=1),
    "module": lambda net, one, two: net.activations[0](two),
    "other module": lambda net, one, two: net.activations[1](one),
    "functional": lambda net, one, two: functional.softplus(one) - torch.sigmoid(two),
    "smooth rectifier": lambda net, one, two: functional.gelu(one) + functional.silu(two),
    "in place": lambda net, one, two: (one * 1.5).tanh_(),
    "sum in place": lambda net, one, two: plus(net.convolutions[0](one), two),
    "residual sum": lambda net, one, two: one + net.activations[0](net.convolutions[1](one)),
    "concatenation": lambda net, one, two: net.joined(torch.cat([one, two], 1)),
    "slices": lambda net, one, two: torch.cat([one[:, :1], two[:, 1:].flip(2)], 1),
    "assigned slice": lambda net, one, two: assigned(one, two),
    "product": lambda net, one, two: one * torch.tanh(two),
    "normalisation": lambda net, one, two: functional.layer_norm(one, SHAPE, eps=0.1),
    "attention": lambda net, one, two: attended(one.flatten(2), two.flatten(2)).view(-1, *SHAPE),
    "average": lambda net, one, two: one - functional.avg_pool2d(two, 3, 1, 1),
}


def plus(fresh, other):
    fresh += other
    return fresh


def assigned(one, two):
    made = one.clone()
    made[:, :, 1:] = two[:, :, :2] * 0.7
    return made


def attended(one, two):
    return (one @ two.transpose(1, 2)).softmax(2) @ two


class Network(nn.Module):
    """A random straight-line program over small pictures. Any step may call any module again; every value counts."""

    def __init__(self, steps, seed):
        super().__init__()
        self.steps = steps
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.stem = nn.Conv2d(2, 2, 3, padding=1)
            self.convolutions = nn.ModuleList(nn.Conv2d(2, 2, 3, padding=1) for _ in range(2))
            self.linear, self.joined = nn.Linear(WIDTH, WIDTH), nn.Conv2d(4, 2, 1)
            self.activations = nn.ModuleList([nn.Tanh(), nn.GELU()])
            self.register_buffer("kernel", torch.randn(2, 2, 3, 3) / 4)
            self.head = nn.Sequential(nn.Linear(WIDTH, 6), nn.Tanh(), nn.Linear(6, 3))
        self.double().eval()

    def forward(self, pictures):
        values = [pictures, self.stem(pictures)]
        for name, one, two in self.steps:
            values.append(STEPS[name](self, values[one % len(values)], values[two % len(values)]))
        return self.head(sum(values[1:], start=values[0]).flatten(1) / len(values) ** 0.5)


@dataclasses.dataclass(frozen=True)
class Slopes:
    """Central differences of one question of a network at its input or at one call of a layer, by hooks of its own."""

    network: nn.Module
    decision: pl.Decision
    step: float = 1e-5

    def point(self, pictures):
        """The input, or what the layer answers."""
        found = []
        self._scores(pictures, watch=found.append)
        return pictures if self.decision.at == "input" else found[0]

    def of(self, pictures, points, examples=None):
        """The slope of the quantity with every element of ``points``, which stand in for the layer's answers.

        ``examples`` are those whose target is asked about; without it the points are of one after the other.
        """
        number = points[0].numel()
        steps = self.step * torch.eye(number, dtype=points.dtype).view(number, *points.shape[1:])
        examples = torch.arange(len(points)) if examples is None else torch.tensor(examples)
        examples, pictures, points = (tensor.repeat_interleave(number, 0) for tensor in (examples, pictures, points))
        steps = steps.repeat(len(points) // number, *[1] * (points.ndim - 1))
        above, below = (self._quantity(examples, pictures, points + sign * steps) for sign in (1, -1))
        return ((above - below) / (2 * self.step)).view(-1, *points.shape[1:])

    def _quantity(self, examples, pictures, points):
        asked, seen = self.decision, []
        at_input = asked.at == "input"
        scores = self._scores(points if at_input else pictures, None if at_input else points, read=seen.append)
        if isinstance(asked.of, pl.Unit):
            return seen[0][:, asked.of.index]
        targets = [asked.target] if asked.foil is None else [asked.target, asked.foil]
        values = [self._number(scores, torch.tensor(target)[examples]) for target in targets]
        return values[0] if len(values) == 1 else values[0] - values[1]

    def _number(self, scores, classes):
        logs = scores - scores.exp().sum(1, keepdim=True).log()
        chosen = {"logit": scores, "probability": logs.exp(), "log-probability": logs, "loss": -logs}[self.decision.of]
        return chosen.gather(1, classes[:, None])[:, 0]

    def _scores(self, pictures, replaced=None, watch=lambda answer: None, read=lambda answer: None):
        calls, handles = [], []

        def at_layer(module, given, answer):
            calls.append(answer)
            if f"{name}#{len(calls) - 1}" != f"{name}#{number or 0}":
                return None
            watch(answer.detach().clone())
            return None if replaced is None else replaced.clone()

        name, _, number = self.decision.at.partition("#")
        modules = dict(self.network.named_modules())
        if name != "input":
            handles.append(modules[name].register_forward_hook(at_layer))
        if isinstance(self.decision.of, pl.Unit):
            layer = modules[self.decision.of.layer]
            handles.append(layer.register_forward_hook(lambda module, given, answer: read(answer.detach().clone())))
        try:
            with torch.no_grad():
                return self.network(pictures.clone())
        finally:
            for handle in handles:
                handle.remove()


def smoothed(slopes, pictures, kind=lambda found: found.mean(0), samples=4, spread=0.2):
    """What is taken over the slopes at the copies that the seed draws."""
    found = []
    for example, picture in enumerate(pictures):
        source = generator(5, "smoothgrad", picture)
        width = spread * (picture.max() - picture.min())
        noise = [width * torch.randn(SHAPE, generator=source, dtype=picture.dtype) for _ in range(samples)]
        copies = picture + torch.stack(noise)
        found.append(kind(slopes.of(copies, slopes.point(copies), [example] * samples)))
    return torch.stack(found)


def integrated(slopes, pictures, nodes=20):
    """Slopes on the way from zero, by the Gauss–Legendre rule."""
    end, start = slopes.point(pictures), slopes.point(torch.zeros_like(pictures))
    places, weights = np.polynomial.legendre.leggauss(nodes)
    return sum(
        weight / 2 * (end - start) * slopes.of(pictures, torch.lerp(start, end, (place + 1) / 2))
        for place, weight in zip(places.tolist(), weights.tolist(), strict=True)
    )


def expected(slopes, pictures, samples=7):
    """Slopes at the places that the seed draws on the ways from the reference."""
    found = []
    for example, picture in enumerate(pictures):
        source = generator(5, "expected-gradients", picture)
        places = (torch.arange(samples) + torch.rand(samples, generator=source, dtype=torch.float64)) / samples
        numbers = torch.cat([torch.randperm(3, generator=source) for _ in range(3)])[:samples]
        same = picture.expand(samples, *SHAPE)
        start, end = slopes.point(REFERENCE[numbers]), slopes.point(same)
        points = start + places.view(-1, *[1] * (end.ndim - 1)) * (end - start)
        found.append(((end - start) * slopes.of(same, points, [example] * samples)).mean(0))
    return torch.stack(found)


REFERENCE = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(2), dtype=torch.float64)

EXPECTED = {
    "gradient": (Gradient(), lambda slopes, x: slopes.of(x, slopes.point(x))),
    "saliency": (Gradient(values="absolute"), lambda slopes, x: slopes.of(x, slopes.point(x)).abs()),
    "input-x-gradient": (InputXGradient(), lambda slopes, x: slopes.point(x) * slopes.of(x, slopes.point(x))),
    "smoothgrad": (SmoothGrad(samples=4, spread=0.2, seed=5), smoothed),
    "smoothgrad, squared": (
        SmoothGrad(samples=4, spread=0.2, seed=5, kind="squared"),
        lambda slopes, x: smoothed(slopes, x, lambda found: found.square().mean(0)),
    ),
    "integrated-gradients": (IntegratedGradients(tolerance=1e-6, baseline="zero"), integrated),
    "expected-gradients": (ExpectedGradients(samples=7, reference=REFERENCE, seed=5), expected),
}

UNIT = pl.Unit("head.0", 4)
QUESTIONS = [
    {"of": of, "target": [0, 2], "foil": foil}
    for of in ("logit", "probability", "log-probability", "loss")
    for foil in (None, [1, 0])
] + [{"of": UNIT}]


def layers(network, pictures):
    """Every call of a module before the head, as a query names it."""
    called, handles = [], []
    for name, module in network.named_modules():
        if name and not name.startswith("head") and not list(module.children()):
            handles.append(module.register_forward_hook(lambda module, given, answer, name=name: called.append(name)))
    network(pictures)
    for handle in handles:
        handle.remove()
    number = [called[:place].count(name) for place, name in enumerate(called)]
    return [name if count == 0 else f"{name}#{count}" for name, count in zip(called, number, strict=True)]


@pytest.mark.parametrize("place", ["input", "layer"])
@pytest.mark.parametrize("method", EXPECTED)
def test_scores_are_those_of_central_differences(method, place):
    asked, expectation = EXPECTED[method]
    pictures = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    graphs = set()

    @settings(max_examples=GRAPHS, deadline=None)
    @given(
        st.lists(
            st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 9), st.integers(0, 9)), min_size=3, max_size=9
        ),
        st.integers(0, 10**6),
        st.integers(0, 9),
    )
    def holds(steps, seed, layer):
        network = Network(steps, seed)
        graphs.add(tuple(steps))
        called = layers(network, pictures)
        at = "input" if place == "input" else called[layer % len(called)]
        for question in QUESTIONS:
            decision = pl.Decision(pictures, at=at, **question)
            found = asked(pl.wrap(network), decision).scores
            wanted = expectation(Slopes(network, decision), pictures)
            torch.testing.assert_close(found, wanted, rtol=0, atol=1e-4 * max(float(wanted.abs().max()), 1e-6))

    holds()
    assert len(graphs) >= 10


def test_every_step_of_a_program_is_smooth_and_does_something():
    pictures = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    plain = Network([], 0)(pictures)
    for name in STEPS:
        assert not torch.allclose(Network([(name, 0, 1)], 0)(pictures), plain, atol=1e-3), name
