"""What a map of class activation costs beside grad-cam, and whether the two maps agree.

A seeded random ResNet-18 (112 × 112 pixels) and efficientnet-lite0 with its ImageNet weights (224 × 224), one picture,
float32, the same layer, the predicted class. Both answer with a map at the input; ours is stretched from 0 to 1 as
grad-cam's is, and Eigen-CAM is asked centred, as there. F is one forward pass. Ablation-CAM and Score-CAM try every
channel of the layer, and are measured in a ninth of the rounds. Where maps do not agree the last column says why;
tests/reference/test_grad_cam.py shows who is right.
"""

import contextlib
import dataclasses
import io
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from benchmarks.harness import Page, alternating, distance, table
from benchmarks.relevance import resnet18
from skimage import data
from torch import Tensor, nn

import pellucid as pl

HEADS = (
    "network",
    "method",
    "F, CPU-ms",
    "ours, CPU-ms",
    "ours, F",
    "grad-cam, CPU-ms",
    "grad-cam, F",
    "grad-cam / ours",
)
HEADS = (*HEADS, "relative L2 distance", "why")
QUICK = {
    "GradCAM": pl.methods.GradCam(),
    "GradCAMPlusPlus": pl.methods.GradCamPlusPlus(),
    "LayerCAM": pl.methods.LayerCam(),
    "XGradCAM": pl.methods.XgradCam(),
    "HiResCAM": pl.methods.HiresCam(final_relu=True),
    "EigenCAM": pl.methods.EigenCam(centred=True, final_relu=True),
    "FullGrad": pl.methods.FullGrad(),
}
SLOW = {"AblationCAM": pl.methods.AblationCam(), "ScoreCAM": pl.methods.ScoreCam()}
WHY = {
    "GradCAMPlusPlus": "theirs adds 10⁻⁶ to denominators as small as that",
    "EigenCAM": "the sign of theirs is left to the decomposition",
    "FullGrad": "theirs stretches each channel, the paper each layer",
    "ScoreCAM": "masks of theirs run from corner to corner",
}
AGREEING = 1e-3


@contextmanager
def importable() -> Iterator[None]:
    """grad-cam imports torchvision, for parts that are not used here; a stand-in takes its place for a moment."""
    names = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional")
    stand_ins = {name: types.ModuleType(name) for name in names if name not in sys.modules}
    sys.modules.update(stand_ins)
    for module, name in ((names[1], "Compose"), (names[1], "Normalize"), (names[1], "ToTensor"), (names[2], "resize")):
        if module in stand_ins:
            setattr(stand_ins[module], name, object)
    try:
        yield
    finally:
        for name in stand_ins:
            del sys.modules[name]


def stretched(maps: Tensor) -> Tensor:
    """From 0 to 1, as grad-cam shows every map."""
    maps = maps - maps.amin()
    return maps / (maps.amax() + 1e-7)


def theirs(kind: Any, net: nn.Module, layer: nn.Module, picture: Tensor, target: int) -> Callable[[], Tensor]:
    """A call that makes one map; grad-cam differentiates with respect to the weights, so these must allow it."""
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    def work() -> Tensor:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            found = kind(net, [] if kind.__name__ == "FullGrad" else [layer])(picture, [ClassifierOutputTarget(target)])
        return torch.from_numpy(found[0])

    return work


def measured(subject: pl.Subject, layer: str, picture: Tensor, kind: Any, own: Any, rounds: int) -> tuple[Any, ...]:
    """One row of the table."""
    net = subject.module
    assert net is not None
    if kind.__name__ != "FullGrad":
        own = dataclasses.replace(own, layer=layer)
    target = int(subject.scores(picture).argmax())
    question = pl.Decision(picture, target=target)
    contenders = {
        "F": lambda: subject.scores(picture),
        "ours": lambda: own(subject, question).scores[0].sum(0),
        "grad-cam": theirs(kind, net, net.get_submodule(layer), picture, target),
    }
    found = alternating(contenders, rounds)
    f, mine, other = (1000 * found.seconds[contender] for contender in contenders)
    apart = distance(stretched(found.answers["ours"]), found.answers["grad-cam"])
    return (
        subject.name,
        kind.__name__,
        f"{f:.1f}",
        f"{mine:.1f}",
        f"{mine / f:.1f}",
        f"{other:.1f}",
        f"{other / f:.1f}",
        f"{other / mine:.1f} ×",
        f"{apart:.1e}",
        "" if apart <= AGREEING else WHY[kind.__name__],
    )


def subjects() -> Iterator[tuple[pl.Subject, str, Tensor]]:
    """A network, the layer that is read, and a picture in the network's own space."""
    picture = torch.randn(1, 3, 112, 112, generator=torch.Generator().manual_seed(0)).clamp(-3, 3)
    yield pl.wrap(resnet18(), pl.tasks.Image(112), name="ResNet-18"), "11", picture
    subject = pl.load("efficientnet-lite0")
    yield subject, "head", subject.prepare(data.cat()).value


def main() -> None:
    page = Page("class_activation", __doc__, rounds=9)
    with importable():
        import pytorch_grad_cam as peer
    rows = []
    for subject, layer, picture in subjects():
        assert subject.module is not None
        for parameter in subject.module.parameters():
            parameter.requires_grad_(True)
        for methods, rounds in ((QUICK, page.rounds), (SLOW, max(1, page.rounds // 9))):
            for kind, own in methods.items():
                rows.append(measured(subject, layer, picture, getattr(peer, kind), own, rounds))
    page.say(table(HEADS, rows))
    page.close()


if __name__ == "__main__":
    main()
