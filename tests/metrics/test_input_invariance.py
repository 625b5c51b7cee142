"""Input invariance: gradients are, gradient × input is not, and the shifted model answers as the model does."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import pellucid as pl
from metrics.reasked import Constant, CopiedEdges, judge, linear, network, rows
from pellucid.core.subject import Subject
from pellucid.engine.shifting import Shifted
from pellucid.methods import LRP, Gradient, InputXGradient, IntegratedGradients, Occlusion
from pellucid.metrics import InputInvariance


def test_gradients_are_invariant_and_gradient_times_input_moves_by_the_shift():
    weights, point = rows(1, 4), rows(1, 4, seed=2)
    found = judge(InputInvariance(shift=0.25), linear(weights), pl.Decision(point), Gradient(), InputXGradient())
    assert float(found.value[0]) == 0
    shift = 0.25 * float(point.max() - point.min())
    assert float(found.value[1]) == pytest.approx(shift * float(weights.norm() / (weights * point).norm()))


@settings(max_examples=15, deadline=None)
@given(st.floats(-2, 2))
def test_a_map_depends_on_the_shift_by_its_baseline_only(shift):
    subject, decision = network(), pl.Decision(rows(1))
    methods = (Gradient(), IntegratedGradients(baseline="mean", max_steps=64), Constant())
    found = judge(InputInvariance(shift=shift), subject, decision, *methods)
    assert float(found.value[0]) < 1e-9
    assert float(found.value[2]) == 0


def test_a_fixed_baseline_does_not_move_along():
    subject, decision = network(), pl.Decision(rows(1))
    methods = (Occlusion(baseline="mean"), Occlusion(baseline="zero"), IntegratedGradients(baseline="zero"))
    found = judge(InputInvariance(), subject, decision, *methods)
    assert float(found.value[0]) < 1e-9
    assert bool((found.value[1:] > 0.05).all())


def convolutional():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(1), nn.Linear(64, 3)
        ).double()
    return pl.wrap(module, pl.tasks.Image(8, (0.5,), (0.25,)), name="convolutional")


@pytest.mark.parametrize("method", [Gradient(), LRP(), Occlusion(baseline="mean"), CopiedEdges()])
def test_padded_convolutions_are_made_up_for_exactly(method):
    picture = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    subject = convolutional()
    shift = torch.full((1, 1, 8, 8), 1.5, dtype=torch.float64)
    moved = subject.prepare(picture + shift)
    assert torch.allclose(Shifted(subject, shift).scores(moved), subject.scores(picture), atol=1e-12)
    found = judge(InputInvariance(), subject, pl.Decision(picture), method)
    assert float(found.value) < 1e-6


def test_a_shifted_subject_is_another_one_with_the_same_layers():
    subject = convolutional()
    other = Shifted(subject, torch.ones(1, 1, 8, 8, dtype=torch.float64))
    assert isinstance(other, Subject)
    assert other.fingerprint != subject.fingerprint
    assert other.layers() == subject.layers()
    assert other.offers == subject.offers
    inputs = subject.prepare(torch.zeros(1, 1, 8, 8, dtype=torch.float64))
    seen = other.run(inputs, capture=("0",)).activations["0"]
    expected = subject.run(inputs.at(inputs.value - 1), capture=("0",)).activations["0"]
    assert torch.equal(seen, expected)
    assert torch.equal(other.with_module(subject.module).scores(inputs), other.scores(inputs))


def test_a_black_box_is_asked_for_outputs_only():
    subject = pl.wrap(
        lambda batch: np.tanh(np.asarray(batch)).sum(1, keepdims=True), pl.tasks.TensorTask(output="value")
    )
    found = judge(InputInvariance(), subject, pl.Decision(rows(1).float()), Occlusion(baseline="mean"))
    assert float(found.value) < 1e-4


def test_padding_is_not_shifted():
    subject = pl.load("lstm-sentiment")
    texts = ["a gripping and funny film", "dull"]
    together = judge(InputInvariance(), subject, pl.Decision(texts), Gradient(), InputXGradient())
    alone = judge(InputInvariance(), subject, pl.Decision(texts[1:]), InputXGradient())
    assert float(together.value[0]) < 1e-4
    assert float(together.per_example[1, 1]) == pytest.approx(float(alone.value), rel=1e-3)
