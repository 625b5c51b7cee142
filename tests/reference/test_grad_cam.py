"""Class activation beside grad-cam 1.5.7: equal where it follows the papers, and who is right where it does not.

grad-cam stretches every map from 0 to 1 and cuts it off below zero; ours are stretched the same way for the comparison.
"""

import dataclasses
import sys
import types

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import pellucid as pl
from methods.class_activation.networks import PICTURES, averaged, draws, flattened, rectified, seeded
from pellucid import methods

# grad-cam imports torchvision, for targets of detectors and for preparing pictures, neither of which is used here. The
# stand-in goes again at once: others look whether torchvision is there.
_STAND_INS = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional")
for _name in _STAND_INS:
    sys.modules[_name] = types.ModuleType(_name)
for _transform in ("Compose", "Normalize", "ToTensor"):
    setattr(sys.modules["torchvision.transforms"], _transform, object)
sys.modules["torchvision.transforms.functional"].resize = None

import pytorch_grad_cam as peer  # noqa: E402
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget  # noqa: E402

for _name in _STAND_INS:
    del sys.modules[_name]

pytestmark = pytest.mark.reference


def theirs(kind, net, layer, pictures, target=1, **fields):
    """A map ``[batch, height, width]`` from 0 to 1 of a network whose state is put back afterwards."""
    state, modes = [p.grad for p in net.parameters()], net.training
    with kind(net, [net.get_submodule(layer)] if layer else [], **fields) as method:
        found = method(pictures, [ClassifierOutputTarget(target)] * len(pictures))
    for parameter, gradient in zip(net.parameters(), state, strict=True):
        parameter.grad = gradient
    net.train(modes)
    return torch.from_numpy(found)


def ours(method, net, pictures, target=1):
    """The same of ours."""
    maps = method(pl.wrap(net), pl.Decision(pictures, target=target)).scores.sum(1)
    low, high = (extreme[:, None, None] for extreme in maps.flatten(1).aminmax(dim=1))
    return ((maps - low) / (high - low)).float()


WEIGHTED = [
    (methods.GradCam(), peer.GradCAM),
    (methods.GradCamPlusPlus(), peer.GradCAMPlusPlus),
    (methods.LayerCam(), peer.LayerCAM),
    (methods.XgradCam(), peer.XGradCAM),
    (methods.HiresCam(final_relu=True), peer.HiResCAM),
    (methods.AblationCam(), peer.AblationCAM),
]


@pytest.mark.parametrize(("make", "layer"), [(averaged, "2"), (flattened, "1"), (rectified, "1")])
@pytest.mark.parametrize(("own", "other"), WEIGHTED, ids=[other.__name__ for _, other in WEIGHTED])
def test_maps_equal_those_of_grad_cam(own, other, make, layer):
    net = steep(make)
    found = ours(dataclasses.replace(own, layer=layer), net, PICTURES)
    torch.testing.assert_close(found, theirs(other, net, layer, PICTURES), rtol=0, atol=2e-5)


def steep(make):
    """A network whose scores for class 1 are positive and change fast: where they are not, grad-cam differs, see below."""
    net = make()
    with torch.no_grad():
        net[-1].weight *= 1000
        if net[-1].bias is not None:
            net[-1].bias += 1000
        assert bool((net(PICTURES)[:, 1] > 0).all())
    return net


@pytest.mark.parametrize("slope", [1e-1, 1e-3, 1e-5])
def test_grad_cam_plus_plus_of_grad_cam_loses_small_gradients(slope):
    """Of one channel that is a everywhere and whose gradient is g, α = 1 / (2 + n a g). grad-cam adds 10⁻⁶ to its denominator
    2g² + n a g³: where g² is not much larger, as behind a global average, weights fall with the cube of g instead of g."""
    net = seeded(lambda: nn.Sequential(nn.Conv2d(1, 1, 1), nn.Flatten(), nn.Linear(64, 2)))
    net[0].weight.data.zero_()
    net[0].bias.data.fill_(1.0)
    net[2].weight.data.fill_(slope)
    pixels = draws(1, 1, 8, 8)
    score = methods.GradCamPlusPlus(layer="0")(pl.wrap(net), pl.Decision(pixels, target=1, at="0")).scores[0, 0, 0, 0]
    assert float(score) == pytest.approx(64 * slope / (2 + 64 * slope), rel=1e-12)
    even = torch.ones(1, 1, 8, 8).double().numpy()
    other = peer.GradCAMPlusPlus(net, [net[0]]).get_cam_weights(None, None, None, even, slope * even)
    assert float(other[0, 0]) == pytest.approx(64 * slope**3 / (2 * slope**2 + 64 * slope**3 + 1e-6), rel=1e-12)
    assert (float(other[0, 0]) < 0.9 * float(score)) is (slope < 1e-2)


def test_a_score_below_zero_turns_the_ablation_cam_of_grad_cam_over():
    """A constant taken from the score changes no fall. grad-cam divides by the score itself, and shows the opposite."""
    net = steep(averaged)
    before, other_before = ours(methods.AblationCam(), net, PICTURES), theirs(peer.AblationCAM, net, "2", PICTURES)
    torch.testing.assert_close(other_before, before, rtol=0, atol=2e-5)
    net[-1].bias.data[1] -= 10_000
    torch.testing.assert_close(ours(methods.AblationCam(), net, PICTURES), before, rtol=0, atol=1e-6)
    coarse = methods.AblationCam()(pl.wrap(net), pl.Decision(PICTURES, target=1, at="2")).scores.sum(1)
    other = theirs(peer.AblationCAM, net, "2", PICTURES)
    torch.testing.assert_close(other, drawn(-coarse), rtol=0, atol=5e-4)
    assert not torch.allclose(other, other_before, atol=0.1)


def drawn(coarse):
    """A coarse map as grad-cam draws it: cut off below zero, interpolated to 8 × 8, stretched."""
    grown = functional.interpolate(coarse.clamp(min=0)[:, None], (8, 8), mode="bilinear")[:, 0]
    low, high = (extreme[:, None, None] for extreme in grown.flatten(1).aminmax(dim=1))
    return ((grown - low) / (high - low).clamp(min=1e-12)).float()


def test_grad_cam_takes_channels_with_negative_values_far_below_zero():
    """Of a linear score the fall without a channel is w · A. grad-cam puts the least value − 10⁷ in the channel's place, and
    takes as the least value what it put in the place of the channel before: 10⁷, 2·10⁷, 3·10⁷, …"""
    net = seeded(lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 2)))
    net[2].bias.data += 5
    maps, weights = net[0](PICTURES).detach(), net[2].weight[1].detach().view(4, 6, 6)
    answer = methods.AblationCam(layer="0")(pl.wrap(net), pl.Decision(PICTURES, target=1))
    torch.testing.assert_close(answer.quality["fall"], (weights * maps).sum((2, 3)), rtol=0, atol=1e-12)
    with peer.AblationCAM(net, [net[0]]) as method:
        method(PICTURES, [ClassifierOutputTarget(1)] * 2)
        other = method.get_cam_weights(PICTURES, net[0], [ClassifierOutputTarget(1)] * 2, maps.numpy(), None)
    scores = net(PICTURES)[:, 1].detach().float()
    falls = torch.from_numpy(other) * scores[:, None]
    expected = 1e7 * torch.arange(1, 5) * weights.sum((1, 2))
    torch.testing.assert_close(falls, expected.float().expand(2, 4), rtol=1e-5, atol=10)


def test_the_sign_of_eigen_cam_in_grad_cam_is_whatever_the_decomposition_gives():
    """Some of its maps show where the layer is least active. Ours follow the activity, and are one of its two."""
    turned = 0
    for seed in range(8):
        net, pixels = averaged(seed), draws(1, 3, 8, 8, seed=seed)
        activity = net[:3](pixels).detach().sum(1)
        question = pl.Decision(pixels, target=1, at="2")
        coarse = methods.EigenCam(centred=True)(pl.wrap(net), question).scores.sum(1)
        assert float(np.corrcoef(activity.flatten(), coarse.flatten())[0, 1]) > 0
        other = theirs(peer.EigenCAM, net, "2", pixels)
        along, against = (float((other - drawn(sign * coarse)).abs().max()) for sign in (1, -1))
        assert min(along, against) < 2e-5
        turned += against < along
    assert 0 < turned < 8


def test_score_cam_is_equal_where_nothing_is_interpolated():
    net = seeded(
        lambda: nn.Sequential(
            nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 3)
        )
    )
    net.float()
    pixels = PICTURES.float()
    found = ours(methods.ScoreCam(layer="1"), net, pixels)
    torch.testing.assert_close(found, theirs(peer.ScoreCAM, net, "1", pixels), rtol=0, atol=2e-5)


def test_score_cam_of_grad_cam_shows_the_input_elsewhere_than_it_draws_the_map():
    """From 2 positions to 4, grad-cam's masks run from corner to corner (0, ⅓, ⅔, 1) and its maps from centre to centre."""
    step = torch.tensor([[[[0.0, 1.0]]]])
    mask = nn.UpsamplingBilinear2d(size=(1, 4))(step).flatten()
    assert mask.tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])
    drawn = peer.utils.image.scale_cam_image(step[0].numpy(), (4, 1)).flatten()
    assert drawn.tolist() == pytest.approx([0, 0.25, 0.75, 1])
    assert functional.interpolate(step, (1, 4), mode="bilinear").flatten().tolist() == [0, 0.25, 0.75, 1]


def test_of_a_layer_that_is_called_twice_grad_cam_reads_the_first_call_only():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second, self.relu = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.ReLU()
            self.head = nn.Linear(64, 2)

        def forward(self, pixels):
            return self.head(self.relu(self.second(self.relu(self.first(pixels)))).flatten(1))

    net = seeded(Twice)
    other = theirs(peer.GradCAM, net, "relu", PICTURES)
    torch.testing.assert_close(other, ours(methods.GradCam(layer="relu"), net, PICTURES), rtol=0, atol=2e-5)
    assert not torch.allclose(other, ours(methods.GradCam(layer="relu#1"), net, PICTURES), atol=0.05)


def test_full_grad_is_equal_where_every_layer_has_one_channel():
    net = seeded(
        lambda: nn.Sequential(
            nn.Conv2d(1, 1, 3, stride=2, padding=1), nn.BatchNorm2d(1), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2)
        )
    )
    net[1].running_mean.fill_(0.3)
    pixels = draws(2, 1, 8, 8)
    found = ours(methods.FullGrad(), net, pixels)
    torch.testing.assert_close(found, theirs(peer.FullGrad, net, None, pixels), rtol=0, atol=2e-5)


def test_full_grad_of_grad_cam_stretches_channels_where_the_paper_stretches_layers():
    """Of a channel that acts on the left and one that acts a tenth as much on the right, the paper keeps the right pale."""
    net = seeded(lambda: nn.Sequential(nn.Conv2d(1, 2, 1), nn.Flatten(), nn.Linear(128, 2, bias=False)))
    net[0].weight.data.zero_()
    net[0].bias.data.fill_(1.0)
    weights = torch.zeros(2, 8, 8).double()
    weights[0, :, :4], weights[1, :, 4:6] = 1.0, 0.1
    net[2].weight.data[1] = weights.flatten()
    pixels = draws(1, 1, 8, 8)
    found = methods.FullGrad()(pl.wrap(net), pl.Decision(pixels, target=1)).scores[0, 0]
    torch.testing.assert_close(found, weights.sum(0), rtol=0, atol=1e-12)
    other = theirs(peer.FullGrad, net, None, pixels)[0]
    torch.testing.assert_close(other, (weights.sum(0) > 0).float(), rtol=0, atol=1e-5)


def test_full_grad_of_grad_cam_takes_the_biases_of_layers_that_were_defined_in_another_order_for_each_other():
    class Ordered(nn.Module):
        def __init__(self, names):
            super().__init__()
            for name in names:
                setattr(self, name, nn.Conv2d(1, 1, 3, padding=1))
            self.head = nn.Linear(64, 2)

        def forward(self, pixels):
            return self.head(self.second(self.first(pixels).relu()).relu().flatten(1))

    pixels, maps = draws(1, 1, 8, 8), []
    one, other = seeded(lambda: Ordered(["first", "second"])), seeded(lambda: Ordered(["second", "first"]))
    one.first.bias.data.fill_(0.0)
    one.second.bias.data.fill_(0.5)
    other.load_state_dict(one.state_dict())
    for net in (one, other):
        maps.append((ours(methods.FullGrad(), net, pixels), theirs(peer.FullGrad, net, None, pixels)))
    torch.testing.assert_close(maps[0][0], maps[1][0], rtol=0, atol=0)
    torch.testing.assert_close(maps[0][0], maps[0][1], rtol=0, atol=2e-5)
    assert not torch.allclose(maps[0][1], maps[1][1], atol=0.1)


def test_grad_cam_leaves_gradients_and_modes_and_after_a_failure_another_network():
    class Failing(nn.Module):
        left = None

        def forward(self, maps):
            if Failing.left is not None:
                Failing.left -= 1
                if Failing.left < 0:
                    raise RuntimeError("failed")
            return maps

    net = seeded(
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), Failing(), nn.Flatten(), nn.Linear(144, 2))
    ).train()
    methods.GradCam(layer="1")(pl.wrap(net), pl.Decision(PICTURES, target=1))
    assert net.training
    assert all(parameter.grad is None for parameter in net.parameters())
    with peer.GradCAM(net, [net[1]]) as method:
        method(PICTURES, [ClassifierOutputTarget(1)] * 2)
    assert not net.training
    assert all(parameter.grad is not None for parameter in net.parameters())
    relu = net[1]
    Failing.left = 2
    with pytest.raises(RuntimeError, match="failed"), peer.AblationCAM(net, [relu]) as method:
        method(PICTURES, [ClassifierOutputTarget(1)] * 2)
    assert isinstance(net[1], peer.AblationLayer)
    net[1], Failing.left = relu, 2
    with pytest.raises(pl.PellucidError, match="failed"):
        methods.AblationCam(layer="1")(pl.wrap(net), pl.Decision(PICTURES, target=1))
    assert net[1] is relu
