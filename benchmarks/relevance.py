"""What a relevance map costs beside a saliency map and beside zennit, and whether the two maps agree.

A seeded random ResNet-18 with batch norm, one 112 × 112 picture, float32, batch 1. Figures are medians of CPU-seconds.
"""

import sys
import types

import torch
from benchmarks.harness import Page, alternating, distance, table
from torch import Tensor, nn

from pellucid.engine.relevance import propagate
from pellucid.engine.rules import COMPOSITES
from pellucid.engine.tape import Tape

SIDE = 112


class Added(nn.Module):
    """A sum of two branches as a module, which is the only form in which zennit sees it."""

    def forward(self, branches: Tensor) -> Tensor:
        return branches.sum(-1)


class Block(nn.Module):
    """Two convolutions beside an identity or a projection."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.relu1 = nn.ReLU()
        self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        same = stride == 1 and inputs == outputs
        projection = [nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)]
        self.shortcut = nn.Identity() if same else nn.Sequential(*projection)
        self.added, self.relu2 = Added(), nn.ReLU()

    def forward(self, inputs: Tensor) -> Tensor:
        main = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(inputs)))))
        return self.relu2(self.added(torch.stack([main, self.shortcut(inputs)], -1)))


def resnet18(seed: int = 0) -> nn.Module:
    """ResNet-18 with random weights and non-trivial batch norms, without eps (which zennit does not fold)."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    layers.append(nn.MaxPool2d(3, 2, 1))
    inputs = 64
    for outputs in (64, 128, 256, 512):
        layers += [Block(inputs, outputs, 1 if outputs == 64 else 2), Block(outputs, outputs, 1)]
        inputs = outputs
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
            module.eps = 0.0
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    return net.eval()


def saliency(net: nn.Module, picture: Tensor, target: int) -> Tensor:
    """One B: forward, and backward to the input."""
    point = picture.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(net(point)[0, target], point)
    return gradient


def ours(net: nn.Module, picture: Tensor, target: int, name: str) -> Tensor:
    with Tape(picture, net) as tape:
        scores = net(picture)
    seed = torch.zeros_like(scores)
    seed[0, target] = scores[0, target]
    return propagate(tape, scores, seed, COMPOSITES[name].within(-3.0, 3.0)).scores


def zennit(net: nn.Module, picture: Tensor, target: int, name: str) -> Tensor:
    for module in ("torchvision", "torchvision.models", "torchvision.models.resnet"):
        sys.modules.setdefault(module, types.ModuleType(module))
    resnet = sys.modules["torchvision.models.resnet"]
    for block in ("Bottleneck", "BasicBlock"):
        setattr(resnet, block, type(block, (), {}))
    from zennit import composites
    from zennit.attribution import Gradient
    from zennit.canonizers import SequentialMergeBatchNorm
    from zennit.core import Composite
    from zennit.rules import Epsilon, Norm, Pass
    from zennit.types import Activation, AvgPool, BatchNorm, Linear

    canonizers = [SequentialMergeBatchNorm()]
    sums = [(Added, Norm())]

    def epsilon_everywhere() -> Composite:
        base = [*sums, (Activation, Pass()), (AvgPool, Norm()), (BatchNorm, Pass()), (Linear, Epsilon())]
        return composites.LayerMapComposite(base, canonizers=canonizers)

    made = {
        "epsilon": epsilon_everywhere,
        "epsilon-plus": lambda: composites.EpsilonPlus(layer_map=sums, canonizers=canonizers),
        "epsilon-plus-flat": lambda: composites.EpsilonPlusFlat(layer_map=sums, canonizers=canonizers),
        "epsilon-gamma-box": lambda: composites.EpsilonGammaBox(-3.0, 3.0, layer_map=sums, canonizers=canonizers),
        "epsilon-alpha2-beta1": lambda: composites.EpsilonAlpha2Beta1(layer_map=sums, canonizers=canonizers),
    }[name]()

    def seeded(scores: Tensor) -> Tensor:
        seed = torch.zeros_like(scores)
        seed[0, target] = scores[0, target]
        return seed

    with Gradient(net, made) as attributor:
        return attributor(picture, seeded)[1]


def main() -> None:
    page = Page(
        "relevance",
        __doc__,
        rounds=15,
        options=lambda parser: parser.add_argument("--composites", nargs="*", default=list(COMPOSITES)),
    )
    net = resnet18()
    picture = torch.randn(1, 3, SIDE, SIDE).clamp(-3, 3)
    target = 7
    rows = []
    for name in page.arguments.composites:
        contenders = {
            "saliency": lambda: saliency(net, picture, target),
            "ours": lambda name=name: ours(net, picture, target, name),
            "zennit": lambda name=name: zennit(net, picture, target, name),
        }
        found = alternating(contenders, page.rounds)
        b, mine, theirs = (f"{1000 * found.seconds[name]:.1f}" for name in contenders)
        ratio, apart = found.units("zennit", "ours"), distance(found.answers["ours"], found.answers["zennit"])
        rows.append((name, b, mine, f"{found.units('ours', 'saliency'):.2f}", theirs, f"{ratio:.1f}", f"{apart:.1e}"))
    measured = ("saliency (B), ms", "ours, ms", "ours, B", "zennit, ms", "zennit / ours")
    page.say(table(("composite", *measured, "relative L2 distance"), rows))
    page.close()


if __name__ == "__main__":
    main()
