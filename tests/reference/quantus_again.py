"""What comparisons with those metrics of quantus share that ask for explanations again."""

import numpy as np
import torch
from torch import nn

import pellucid as pl
from pellucid.engine.disturbing import disturbed
from pellucid.engine.judged import judged

QUIET = {"disable_warnings": True, "return_aggregate": False}


class Doubled(nn.Module):
    """A network in double precision whatever it is given: quantus hands its inputs over in single precision."""

    def __init__(self, *layers):
        super().__init__()
        self.net = nn.Sequential(*layers).double()

    def forward(self, pictures):
        return self.net(pictures.double())


def network(seed=0, channels=1, side=6, outputs=4, padding=1):
    """A small convolutional network and its subject."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        left = side + 2 * padding - 2
        module = Doubled(
            nn.Conv2d(channels, 3, 3, padding=padding), nn.ReLU(), nn.Flatten(1), nn.Linear(3 * left**2, outputs)
        )
    return subject_of(module.eval(), side, channels)


def subject_of(module, side=6, channels=1):
    task = pl.tasks.Image(side, (0.5,) * channels, (0.25,) * channels)
    return pl.wrap(module, task, name="network")


def pictures(number=1, channels=1, side=6, seed=1):
    return torch.rand(number, channels, side, side, generator=torch.Generator().manual_seed(seed)) + 0.1


def explained_by(method):
    """What quantus asks for explanations: a method of ours."""

    def explain(model, inputs, targets, **_):
        points = torch.as_tensor(np.asarray(inputs), dtype=torch.float32)
        subject = subject_of(model, points.shape[-1], points.shape[1])
        return method(subject, pl.Decision(points, target=[int(target) for target in targets])).scores.double().numpy()

    return explain


def copies(subject, answer, metric):
    """The copies that a metric of ours looks at, one example's."""
    asked = judged(subject, pl.Judgement([answer]), metric.seed)
    (case,) = asked.cases()
    return disturbed(case, metric.copies, metric.radius)


def in_turn(points):
    """A perturbation of quantus that gives these points, one after the other."""
    left = iter(points)
    return lambda arr, indices, **_: next(left).flatten()[None].numpy().astype(arr.dtype)


def theirs(metric, subject, points, targets, method, maps=None):
    """The values of a metric of quantus, which is given maps or asks for them."""
    given = {} if maps is None else {"a_batch": maps.double().numpy().copy()}
    found = metric(
        model=subject.module,
        x_batch=points.numpy().copy(),
        y_batch=np.asarray(targets),
        explain_func=explained_by(method),
        channel_first=True,
        softmax=False,
        **given,
    )
    return found if isinstance(found, dict) else np.asarray(found, dtype=float)
