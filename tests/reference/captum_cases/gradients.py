"""Cases of plain gradients, of those with rules at rectifiers, and of the noise tunnel around them."""

import torch
from captum.testing.helpers.basic_models import (
    BasicModel,
    BasicModel5_MultiArgs,
    BasicModel_ConvNet_One_Conv,
    BasicModel_MultiLayer,
)
from captum.testing.helpers.classification_models import SoftmaxModel
from torch import nn

from reference.captum_cases.case import Refused, attributed, drawn, rows, seeded

SIX = torch.tensor([1.0, 2.0, 3.0, 0.0, -1.0, 7.0])
SLOPES = torch.tensor([0.0, 0.0, 0.0, 1.0, 1.0, 0.0])
PAIR = (rows([1.5, 2.0, 34.3], [3.4, 1.2, 2.0]), rows([3.0, 3.5, 23.2], [2.3, 1.2, 0.3]))
LARGE = (
    rows([10.5, 12.0, 34.3], [43.4, 51.2, 32.0]).repeat_interleave(3, 0),
    rows([1.0, 3.5, 23.2], [2.3, 1.2, 0.3]).repeat_interleave(3, 0),
)
LISTS = {"additional_forward_args": ([2, 3], 1)}
FIVE, SIXTH = rows([0.0, 1.0, 2.0, 3.0, 4.0]), {"target": torch.tensor(5)}
SOFTMAX = seeded(SoftmaxModel, 5, 20, 10)
SQUARE = torch.arange(16.0).view(1, 1, 4, 4)
ONES = torch.ones(1, 1, 4, 4)


def maps(*values):
    """A picture of one channel with these rows."""
    return torch.tensor(values, dtype=torch.float32)[None, None]


_GUIDED = maps([0, 1, 1, 1], [1, 3, 3, 2], [1, 3, 3, 2], [1, 2, 2, 1])
_GUIDED_BOTH = maps([1, 2, 2, 1], [2, 4, 4, 2], [2, 4, 4, 2], [1, 2, 2, 1])
_PROJECTED = maps([2, 3, 3, 1], [3, 5, 5, 2], [3, 5, 5, 2], [1, 2, 2, 1])


class Functional(nn.Module):
    """A convolution and a linear map, rectified by functions; as modules they are ``BasicModel_ConvNet_One_Conv``."""

    def __init__(self):
        super().__init__()
        self.same = BasicModel_ConvNet_One_Conv()

    def forward(self, x):
        hidden = torch.relu(self.same.conv1(x)).view(-1, 8)
        return torch.relu(self.same.fc1(hidden))


def _plain():
    for name, expected in (("Saliency", SLOPES), ("InputXGradient", SLOPES * SIX)):
        yield attributed(name, "one number per example", BasicModel, SIX, expected=expected)
        yield attributed(name, "a method of the model", lambda: BasicModel().forward, SIX, expected=expected)
        yield attributed(name, "two inputs and a list beside them", BasicModel5_MultiArgs, PAIR, **LISTS)
        yield attributed(name, "the sixth of ten classes", SOFTMAX, FIVE, **SIXTH)
        yield attributed(
            name,
            "several outputs and no target",
            BasicModel_MultiLayer,
            rows([1.0, 2.0, 3.0]),
            differs="refused sooner",
            ours=Refused("name one as target"),
        )
    yield attributed("Saliency", "derivatives with their signs", BasicModel5_MultiArgs, PAIR, abs=False, **LISTS)


def _noisy():
    for name in ("Saliency", "InputXGradient"):
        for kind in ("smoothgrad", "smoothgrad_sq", "vargrad"):
            noise = {"nt_type": kind, "nt_samples": 10, "stdevs": 0.0002}
            # One of the inputs lies on a kink, where every other copy has another slope.
            many = {**noise, "nt_samples": 400}
            yield attributed(name, f"{kind} of {name}, one number", BasicModel, SIX, noise=many, tolerance=0.12)
            yield attributed(
                name, f"{kind} of {name}, two inputs", BasicModel5_MultiArgs, PAIR, noise=noise, tolerance=0.05, **LISTS
            )
            yield attributed(
                name, f"{kind} of {name}, ten classes", SOFTMAX, FIVE, noise=noise, tolerance=1e-2, **SIXTH
            )
    for kind, size in (("smoothgrad", 2), ("smoothgrad_sq", 3), ("vargrad", 1), ("vargrad", 6)):
        noise = {"nt_type": kind, "nt_samples": 10, "nt_samples_batch_size": size, "stdevs": 2e-7}
        title = f"{kind} of Saliency, {size} copies at a time"
        yield attributed("Saliency", title, BasicModel5_MultiArgs, LARGE, noise=noise, tolerance=1e-3, **LISTS)


def _rectified():
    conv = BasicModel_ConvNet_One_Conv
    for name, alone, both in (
        ("GuidedBackprop", _GUIDED, _GUIDED_BOTH),
        ("Deconvolution", _PROJECTED, _PROJECTED),
    ):
        yield attributed(name, "one picture", conv, SQUARE, expected=alone, target=0)
        yield attributed(name, "a tuple of one picture", conv, (SQUARE,), expected=(alone,), target=0)
        yield attributed(name, "two pictures that are added", conv, (SQUARE, ONES), expected=(both, both), target=0)
        for target in range(4):
            yield attributed(
                name, f"output {target} for random numbers", conv, drawn(1, 1, 4, 4, scale=100), target=target
            )
        yield attributed(
            name,
            "ReLU as a function",
            Functional,
            SQUARE,
            target=0,
            differs="functions",
            ours=alone,
        )
        yield attributed(
            name,
            "a model without a rectifier",
            seeded(nn.Linear, 3, 2),
            rows([1.0, 2.0, 3.0]),
            target=0,
            differs="no rectifier",
            ours=Refused("no rectifier"),
        )


CASES = (*_plain(), *_noisy(), *_rectified())
