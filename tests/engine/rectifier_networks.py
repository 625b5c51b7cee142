"""One network whose rectifiers are written in many ways, and the one-convolution network whose maps are known by hand."""

import warnings

import torch
from torch import nn
from torch.nn import functional


class OneConvolution(nn.Module):
    """Known in whole numbers: a kernel of ones, then rows of five +1 and three −1."""

    def __init__(self, relu=functional.relu):
        super().__init__()
        self.convolution, self.last, self.relu = nn.Conv2d(1, 2, 3), nn.Linear(8, 4, bias=False), relu
        self.convolution.weight.data.fill_(1)
        self.convolution.bias.data = torch.tensor([-50.0, -75.0])
        self.last.weight.data[:] = torch.tensor([1.0] * 5 + [-1.0] * 3)
        self.double()

    def forward(self, pixels):
        return self.relu(self.last(self.relu(self.convolution(pixels)).flatten(1)))


WHOLE = torch.arange(16, dtype=torch.float64).view(1, 1, 4, 4)


class Rectified(nn.Module):
    """Convolutions, pooling, a residual sum and a linear map; ``relu`` is what stands at all of its four rectifiers."""

    def __init__(self, relu):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.first, self.second = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
            self.hidden, self.last = nn.Linear(24, 10), nn.Linear(10, 4)
        self.relu = relu
        self.double()

    def forward(self, pixels):
        features = functional.max_pool2d(self.relu(self.first(pixels)), 2)
        features = features + self.relu(self.second(features))
        features = self.relu(functional.max_pool2d(features, 2) - 0.1)
        return self.last(self.relu(self.hidden(features.flatten(1))))


class Backward(torch.autograd.Function):
    """A rectifier whose backward pass is written by hand: ``signal(gradient, derivative)``."""

    @staticmethod
    def forward(context, values, signal):
        context.save_for_backward(values)
        context.signal = signal
        return values.clamp(min=0)

    @staticmethod
    def backward(context, gradient):
        (values,) = context.saved_tensors
        return context.signal(gradient, (values > 0).to(gradient)), None


def by_hand(signal, pixels, quantity):
    """The map of ``quantity`` (of the scores) by a network with that backward pass at its rectifiers."""
    network = Rectified(lambda values: Backward.apply(values, signal))
    leaf = pixels.clone().requires_grad_()
    return torch.autograd.grad(quantity(network(leaf)).sum(), leaf)[0]


def pixels(number=2):
    return torch.randn(number, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def _relu(values: torch.Tensor) -> torch.Tensor:
    return functional.relu(values)


with warnings.catch_warnings(action="ignore"):  # that scripting is deprecated
    _scripted = torch.jit.script(_relu)

_module, _in_place = nn.ReLU(), nn.ReLU(inplace=True)
FORMS = {
    "functional": functional.relu,
    "in place": lambda values: functional.relu_(values * 1.0),
    "a module": _module,
    "a module in place": lambda values: _in_place(values * 1.0),
    "a clamp": lambda values: values.clamp(min=0),
    "a method in place": lambda values: (values * 1.0).clamp_min_(0),
    "a threshold": lambda values: functional.threshold(values, 0.0, 0.0),
    "a maximum": lambda values: torch.maximum(torch.zeros((), dtype=values.dtype), values),
    "a flat leak": lambda values: functional.leaky_relu(values, 0.0),
    "a wide ReLU6": lambda values: functional.hardtanh(values, 0.0, 1e9),
    "scripted": lambda values: _scripted(values),
}
