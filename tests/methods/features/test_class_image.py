"""Class images: closed forms on linear scores, and the corgi of an ImageNet network."""

import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.core.errors import NotComparable, UsageError
from pellucid.results import feature_images as named


def linear(weights, task=None):
    network = nn.Sequential(nn.Flatten(), nn.Linear(weights.shape[1], len(weights), bias=False)).double()
    with torch.no_grad():
        network[1].weight.copy_(weights)
    return pl.wrap(network, task or pl.tasks.TensorTask(shape=(weights.shape[1],)))


WEIGHTS = torch.tensor([[0.5, -1.0, 2.0], [1.0, 1.0, -1.0]], dtype=torch.float64)


def test_the_penalised_optimum_of_a_linear_score_is_its_weights():
    """argmax w·x − ½‖x‖² is w, where the score is ‖w‖²."""
    found = pl.methods.ClassImage(decay=0.5, steps=900, rate=0.02)(linear(WEIGHTS), pl.Unit(target=1))
    assert torch.allclose(found.images.double(), WEIGHTS[1].expand(3, -1), atol=1e-4)
    assert torch.allclose(found.activations, WEIGHTS[1].square().sum().expand(3), atol=1e-4)
    assert torch.allclose(found.evidence[named.AGREEMENT], torch.ones(3, dtype=torch.float64), atol=1e-6)


def test_between_bounds_the_optimum_is_at_the_bound_that_each_weight_points_to():
    weights = torch.randn(2, 3 * 8 * 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    subject = linear(weights, pl.tasks.Image(8))
    found = pl.methods.ClassImage(parametrisation="pixel", steps=60, rate=0.1, starts=1)(subject, pl.Unit(target=0))
    assert torch.equal(found.images.flatten(), weights[0].sign())
    assert torch.equal(found.shown().flatten(), (weights[0] > 0).double())


def test_the_logit_is_what_rises_and_probabilities_stand_beside_it():
    subject = linear(WEIGHTS)
    found = pl.methods.ClassImage(decay=0.5, steps=50)(subject, pl.Unit(target=0))
    scores = subject.scores(found.images)
    assert torch.allclose(found.activations, scores[:, 0])
    assert torch.allclose(found.evidence[named.PROBABILITY], scores.softmax(1)[:, 0])


def test_a_second_network_is_asked_about_the_same_class():
    turned = linear(-WEIGHTS)
    found = pl.methods.ClassImage(decay=0.5, steps=50, second=turned)(linear(WEIGHTS), pl.Unit(target=0))
    assert bool((found.evidence[named.TRANSFER] < 0.1).all())
    assert found.evidence[named.RANK].tolist() == [2.0] * 3
    assert "less of the class" in found.summary()
    with pytest.raises(NotComparable, match="without the class"):
        pl.methods.ClassImage(second=linear(WEIGHTS[:1]), steps=1)(linear(WEIGHTS), pl.Unit(target=1))


def test_a_unit_of_a_layer_is_no_class():
    with pytest.raises(UsageError, match="feature-image"):
        pl.methods.ClassImage()(linear(WEIGHTS), pl.Unit("1", 0))


def test_the_size_that_was_chosen_is_told():
    found = pl.methods.ClassImage(steps=1, starts=1)(pl.load("digits-cnn"), pl.Unit(target=3))
    assert found.images.shape == (1, 1, 8, 8)
    assert not found.notes
    pooled = nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    found = pl.methods.ClassImage(steps=1, starts=1)(pl.wrap(pooled, pl.tasks.Image(200)), pl.Unit(target=0))
    assert found.images.shape == (1, 3, 128, 128)
    assert found.notes == ("Drawn at 128 × 128 pixels; the network's own size is 200 × 200 (size=200).",)


@pytest.mark.slow
@pytest.mark.parametrize("target", [263, 99, 933, 817])
def test_an_imagenet_class_is_drawn_clearly(target):
    """A corgi, a goose, a cheeseburger and a car at 128 pixels: certain, and hardly any fine texture."""
    subject, second = pl.load("efficientnet-lite0"), pl.load("efficientnet-lite1")
    found = pl.methods.ClassImage(second=second)(subject, pl.Unit(target=target))
    assert found.images.shape[2:] == (128, 128)
    assert bool((found.evidence[named.PROBABILITY] >= 0.99).all())
    assert bool((found.evidence[named.FINE] <= 0.2).all())
    plain = pl.methods.ClassImage(parametrisation="pixel", starts=1)(subject, pl.Unit(target=target))
    assert float(plain.evidence[named.FINE]) > 0.35
