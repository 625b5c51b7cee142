"""What the tests of metrics that ask again have in common: models that are known in full, and methods that know nothing."""

from typing import ClassVar

import torch
from torch import nn

import pellucid as pl
from pellucid.core.method import METHODS, method
from pellucid.core.spec import Access, Asker, Dimension, Scope, Spec, View
from pellucid.engine.attributing import attribution
from pellucid.engine.judged import control_maps
from pellucid.engine.targets import resolve


def linear(weights, bias=None, **named):
    """A linear model of plain tensors in double precision, one output per row of ``weights``."""
    weights = torch.as_tensor(weights, dtype=torch.float64)
    module = nn.Linear(weights.shape[1], weights.shape[0]).double()
    with torch.no_grad():
        module.weight.copy_(weights)
        module.bias.copy_(torch.zeros(len(weights)) if bias is None else torch.as_tensor(bias))
    return pl.wrap(module, pl.tasks.TensorTask(output="value"), name="linear", **named)


def network(seed=0, features=6, outputs=3):
    """A rectifier network in double precision."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = nn.Sequential(nn.Linear(features, 12), nn.ReLU(), nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, outputs))
    return pl.wrap(module.double().eval(), name="network")


def rows(number, features=6, seed=1):
    return torch.randn(number, features, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def judge(metric, subject, decision, *methods):
    """What a metric says of the answers of these methods."""
    return metric(subject, pl.Judgement([asked(subject, decision) for asked in methods]))


def watched(subject):
    """A list that collects every point that the subject's module is asked about from now on."""
    seen = []
    subject.module.register_forward_pre_hook(lambda module, given: seen.append(given[0].detach().clone()))
    return seen


def _spec(name):
    return Spec(
        id=name,
        title=name,
        question="What does a map look like that never asked the network?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL},
        view=View.DECISION,
        askers={Asker.DEVELOPER},
        needs={Access.OUTPUTS},
        cost="none",
        references=(),
        serves=(),
        caveat="It never asked the network.",
    )


def _answered(subject, query, name):
    inputs = subject.prepare(query.inputs)
    target = resolve(subject, inputs, query)
    return attribution(subject, inputs, query, target, control_maps(subject, inputs, name), torch.zeros(len(inputs)))


@method
class CopiedEdges:
    """The Sobel edges of the picture."""

    spec: ClassVar = _spec("test-copied-edges")

    def __call__(self, subject: pl.Subject, query: pl.Decision) -> pl.Attribution:
        return _answered(subject, query, "edge")


@method
class Constant:
    """One everywhere."""

    spec: ClassVar = _spec("test-constant")

    def __call__(self, subject: pl.Subject, query: pl.Decision) -> pl.Attribution:
        return _answered(subject, query, "constant")


for _name in ("test-copied-edges", "test-constant"):
    del METHODS[_name]  # which lists the product's own
