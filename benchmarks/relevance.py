"""What a relevance map costs beside a saliency map and beside zennit, and whether the two maps agree.

A seeded random ResNet-18 with batch norms, one picture of 112 × 112 pixels, and EfficientNet-Lite0 with its real weights
and a photograph of 224 × 224, float32. B is one saliency map: a forward and a backward pass to the input. The last column
is what our account of the score leaves unexplained. zennit does not see the sums of EfficientNet-Lite0, so it is not asked.
"""

import dataclasses
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from benchmarks.harness import Page, alternating, distance, table
from skimage import data
from torch import Tensor, nn

import pellucid as pl
from pellucid.engine.relevance import propagate
from pellucid.engine.relevance_records import Relevance
from pellucid.engine.rules import COMPOSITES, Norm
from pellucid.engine.tape import Tape

SIDE, TARGET, LOW, HIGH = 112, 7, -3.0, 3.0
HEADS = ("composite", "B, CPU-ms", "ours, CPU-ms", "ours, B", "zennit, CPU-ms", "zennit, B", "zennit / ours")
HEADS = (*HEADS, "relative L2 distance", "unexplained")
ALONE = ("composite", "B, CPU-ms", "ours, CPU-ms", "ours, B", "unexplained")


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


def saliency(net: nn.Module, picture: Tensor) -> Tensor:
    """One B."""
    point = picture.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(net(point)[0, TARGET], point)
    return gradient


def ours(net: nn.Module, picture: Tensor, name: str) -> Relevance:
    with Tape(picture, net) as tape:
        scores = net(picture)
    # zennit stabilises sums as much as products.
    composite = dataclasses.replace(COMPOSITES[name], sum=Norm(1e-6))
    return propagate(tape, scores, seed(scores), composite, bounds=(LOW, HIGH))


def seed(scores: Tensor) -> Tensor:
    """The explained score at its place."""
    found = torch.zeros_like(scores)
    found[0, TARGET] = scores[0, TARGET]
    return found


@contextmanager
def importable() -> Iterator[None]:
    """zennit imports torchvision, for canonizers that are not used here; a stand-in takes its place for a moment."""
    names = ("torchvision", "torchvision.models", "torchvision.models.resnet")
    stand_ins = {name: types.ModuleType(name) for name in names if name not in sys.modules}
    sys.modules.update(stand_ins)
    for block in ("Bottleneck", "BasicBlock"):
        if names[-1] in stand_ins:
            setattr(stand_ins[names[-1]], block, type(block, (), {}))
    try:
        yield
    finally:
        for name in stand_ins:
            del sys.modules[name]


def theirs(name: str) -> Any:
    """The composite of this name as zennit has it."""
    with importable():
        from zennit import composites, rules
        from zennit.canonizers import SequentialMergeBatchNorm
        from zennit.types import Activation, AvgPool, BatchNorm, Linear

    more = {"canonizers": [SequentialMergeBatchNorm()]}
    sums = [(Added, rules.Norm())]
    if name == "epsilon":
        passing = [(kind, rules.Pass()) for kind in (Activation, BatchNorm)]
        return composites.LayerMapComposite(
            [*sums, *passing, (AvgPool, rules.Norm()), (Linear, rules.Epsilon())], **more
        )
    if name == "epsilon-gamma-box":
        return composites.EpsilonGammaBox(LOW, HIGH, layer_map=sums, **more)
    made = {
        "epsilon-plus": composites.EpsilonPlus,
        "epsilon-plus-flat": composites.EpsilonPlusFlat,
        "epsilon-alpha2-beta1": composites.EpsilonAlpha2Beta1,
    }
    return made[name](layer_map=sums, **more)


def zennit(net: nn.Module, picture: Tensor, composite: Any) -> Tensor:
    from zennit.attribution import Gradient

    with Gradient(net, composite) as attributor:
        return attributor(picture, seed)[1]


def measured(net: nn.Module, picture: Tensor, name: str, rounds: int) -> tuple[Any, ...]:
    """One row of the table."""
    composite = theirs(name)
    contenders = {
        "saliency": lambda: saliency(net, picture),
        "ours": lambda: ours(net, picture, name),
        "zennit": lambda: zennit(net, picture, composite),
    }
    found = alternating(contenders, rounds)
    b, mine, other = (1000 * found.seconds[contender] for contender in contenders)
    relevance = found.answers["ours"]
    return (
        name,
        f"{b:.1f}",
        f"{mine:.1f}",
        f"{mine / b:.2f}",
        f"{other:.1f}",
        f"{other / b:.2f}",
        f"{other / mine:.1f} ×",
        f"{distance(relevance.scores, found.answers['zennit']):.1e}",
        f"{abs(float(relevance.residual / relevance.value)):.1e}",
    )


def alone(net: nn.Module, picture: Tensor, name: str, rounds: int) -> tuple[Any, ...]:
    """One row of the table without zennit."""
    contenders = {"saliency": lambda: saliency(net, picture), "ours": lambda: ours(net, picture, name)}
    found = alternating(contenders, rounds)
    b, mine = (1000 * found.seconds[contender] for contender in contenders)
    relevance = found.answers["ours"]
    unexplained = abs(float(relevance.residual / relevance.value))
    return name, f"{b:.1f}", f"{mine:.1f}", f"{mine / b:.2f}", f"{unexplained:.1e}"


def photograph() -> tuple[nn.Module, Tensor]:
    """EfficientNet-Lite0, and a cat as it is prepared for it."""
    subject = pl.load("efficientnet-lite0")
    module = subject.module
    assert module is not None
    return module.requires_grad_(False).eval(), subject.prepare(data.cat()).value


def main() -> None:
    page = Page("relevance", __doc__, rounds=15)
    net = resnet18()
    picture = torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)).clamp(LOW, HIGH)
    page.say("## ResNet-18", table(HEADS, [measured(net, picture, name, page.rounds) for name in COMPOSITES]))
    net, picture = photograph()
    page.say("## EfficientNet-Lite0", table(ALONE, [alone(net, picture, name, page.rounds) for name in COMPOSITES]))
    page.close()


if __name__ == "__main__":
    main()
