"""Small networks in float64 whose maps of class activation are known, or easily computed otherwise."""

import torch
from torch import nn

import pellucid as pl


def seeded(build, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build().double().eval()


def draws(*shape, seed=1):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def one_convolution():
    """A convolution of ones with large negative biases, then a linear map of ones and minus ones: a published vector."""
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 4, bias=False), nn.ReLU())
    net[0].weight.data.fill_(1)
    net[0].bias.data = torch.tensor([-50.0, -75.0])
    net[3].weight.data = torch.cat([torch.ones(4, 5), -torch.ones(4, 3)], 1)
    return net.double()


def averaged(seed=0):
    """Global average and one linear map after the layer "2": the network of the class activation map."""

    def build():
        features = [nn.Conv2d(3, 5, 3, stride=2, padding=1), nn.Conv2d(5, 6, 3, padding=1), nn.ReLU()]
        return nn.Sequential(*features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4))

    return seeded(build, seed)


def flattened(seed=0):
    """One linear map of all places after the layer "1"."""

    def build():
        return nn.Sequential(nn.Conv2d(3, 5, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(5 * 16, 4))

    return seeded(build, seed)


def rectified(seed=0):
    """After the layer "1" a convolution, a ReLU, a pooling and a linear map, all without biases."""

    def build():
        first = [nn.Conv2d(3, 5, 3, stride=2, padding=1), nn.ReLU()]
        rest = [nn.Conv2d(5, 6, 3, padding=1, bias=False), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
        return nn.Sequential(*first, *rest, nn.Linear(24, 4, bias=False))

    return seeded(build, seed)


def smooth(seed=0):
    """Curved everywhere: GELU and a softplus before the linear map. The layer "0" is read."""

    def build():
        features = [nn.Conv2d(3, 5, 3, stride=2, padding=1), nn.GELU(), nn.Conv2d(5, 6, 3), nn.Softplus()]
        return nn.Sequential(*features, nn.Flatten(), nn.Linear(24, 4))

    return seeded(build, seed)


PICTURES = draws(2, 3, 8, 8)


def from_layer(net, layer, activation):
    """The scores of a sequential network whose layer has this activation."""
    return net[int(layer) + 1 :](activation)


def at_layer(net, layer, pictures=PICTURES, target=1):
    """Activation and gradient of a class's score at a layer of a sequential network."""
    activation = net[: int(layer) + 1](pictures).detach().requires_grad_()
    scores = from_layer(net, layer, activation)
    (gradient,) = torch.autograd.grad(scores[:, target].sum(), activation)
    return activation.detach(), gradient


def asked(method, net, pictures=PICTURES, **query):
    """The answer about class 1 of a network that is wrapped without a task."""
    if not isinstance(query.get("of"), pl.Unit):
        query = {"target": 1} | query
    return method(pl.wrap(net), pl.Decision(pictures, **query))
