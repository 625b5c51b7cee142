"""Guided Grad-CAM: the product of its two maps, position by position."""

import pytest
import torch

import pellucid as pl
from methods.class_activation.networks import PICTURES, asked, averaged, draws, flattened, one_convolution, seeded
from methods.class_activation.test_grad_cam import Series
from pellucid.core.errors import NotAnswerable
from pellucid.methods import GradCam, GuidedBackprop, GuidedGradCam


@pytest.mark.parametrize("query", [{"target": 1}, {"target": 2, "foil": 0}])
def test_details_are_weighed_by_the_region_they_lie_in(query):
    net = flattened()
    regions = asked(GradCam(final_relu=True), net, **query).scores.sum(1, keepdim=True)
    details = asked(GuidedBackprop(), net, **query)
    answer = asked(GuidedGradCam(), net, **query)
    torch.testing.assert_close(answer.scores, details.scores * regions, rtol=0, atol=1e-14)
    assert bool((answer.scores != 0).any())
    assert torch.equal(answer.value, details.value)


def test_one_convolution_gives_the_product_of_the_published_maps():
    """Guided backpropagation [0 1 1 1], [1 3 3 2], [1 3 3 2], [1 2 2 1]; the layer's map, grown from 2 × 2."""
    net, pixels = one_convolution(), torch.arange(16, dtype=torch.float64).view(1, 1, 4, 4)
    details = torch.tensor([[0, 1, 1, 1], [1, 3, 3, 2], [1, 3, 3, 2], [1, 2, 2, 1]]).double()
    along = torch.tensor([[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]]).double()
    regions = along @ torch.tensor([[11.25, 13.5], [20.25, 22.5]]).double() @ along.T
    answer = GuidedGradCam(layer="0")(pl.wrap(net), pl.Decision(pixels, target=0))
    torch.testing.assert_close(answer.scores[0, 0], details * regions, rtol=0, atol=1e-9)


def test_a_series_has_details_in_all_channels_of_its_positions():
    subject = pl.wrap(seeded(Series), pl.tasks.Sequence(channels=("left", "right")))
    question = pl.Decision(draws(2, 8, 2), target=0)
    regions = GradCam(final_relu=True)(subject, question).scores.sum(2, keepdim=True)
    details = GuidedBackprop()(subject, question).scores
    torch.testing.assert_close(GuidedGradCam()(subject, question).scores, details * regions, rtol=0, atol=1e-14)


def test_it_says_what_both_say():
    answer = asked(GuidedGradCam(layer="1"), averaged())
    assert "Read at layer '1': 6 channels of 4 × 4 positions." in answer.notes
    assert answer.quality.keys() == asked(GuidedBackprop(), averaged()).quality.keys()


def test_it_is_asked_at_the_input_only():
    with pytest.raises(NotAnswerable, match="at the input only"):
        asked(GuidedGradCam(), averaged(), PICTURES, at="2")
