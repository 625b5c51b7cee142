"""Recurrent networks and transformers, small and seeded, written in as many ways as people write them."""

import math

import torch
from torch import nn
from torch.nn import functional


class Recurrent(nn.Module):
    """A classifier over the last state of an RNN, a GRU or an LSTM; over the mean of all states if it reads both ways."""

    def __init__(self, kind=nn.LSTM, layers=1, both=False, bias=True, **more):
        super().__init__()
        self.net = kind(5, 6, layers, batch_first=True, bidirectional=both, bias=bias, **more)
        self.classifier, self.both = nn.Linear(12 if both else 6, 3, bias=bias), both

    def forward(self, sequence):
        states, _ = self.net(sequence)
        return self.classifier(states.mean(1) if self.both else states[:, -1])


class StateReader(nn.Module):
    """The final state that a recurrent net returns beside its outputs, of the last layer; time first."""

    def __init__(self, kind=nn.LSTM):
        super().__init__()
        self.net, self.classifier = kind(5, 6, 2), nn.Linear(6, 3)

    def forward(self, sequence):
        _, state = self.net(sequence.transpose(0, 1))
        hidden = state[0] if isinstance(state, tuple) else state
        return self.classifier(hidden[-1])


class CellByCell(nn.Module):
    """A recurrent cell in a loop, as it is written by hand."""

    def __init__(self, kind=nn.LSTMCell):
        super().__init__()
        self.cell, self.classifier = kind(5, 6), nn.Linear(6, 3)

    def forward(self, sequence):
        state = None
        for step in sequence.unbind(1):
            state = self.cell(step, state)
        return self.classifier(state[0] if isinstance(state, tuple) else state)


class TransformerBlock(nn.Module):
    """Norms before attention and the two linear maps, per-channel scales after them, a fused attention kernel."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.scale1, self.scale2 = (nn.Parameter(torch.rand(width) + 0.5) for _ in range(2))
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, tokens):
        batch, length, _ = tokens.shape
        parts = self.qkv(self.norm1(tokens)).reshape(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(*parts.unbind(0)).transpose(1, 2).reshape(tokens.shape)
        tokens = tokens + self.scale1 * self.out(mixed)
        return tokens + self.down(functional.gelu(self.up(self.norm2(tokens)))) * self.scale2


class ViT(nn.Module):
    """Patches as tokens, a class token, positions (dosovitskiy2021image)."""

    def __init__(self, width=8, heads=2, blocks=2, patch=4, side=8):
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, patch)
        self.class_token = nn.Parameter(torch.randn(1, 1, width))
        self.positions = nn.Parameter(0.3 * torch.randn(1, (side // patch) ** 2 + 1, width))
        self.blocks = nn.ModuleList(TransformerBlock(width, heads) for _ in range(blocks))
        self.norm, self.classifier = nn.LayerNorm(width), nn.Linear(width, 4)

    def forward(self, pixels):
        tokens = self.patches(pixels).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_token.expand(len(pixels), -1, -1), tokens], 1) + self.positions
        for block in self.blocks:
            tokens = block(tokens)
        return self.classifier(self.norm(tokens)[:, 0])


class Encoder(nn.Module):
    """``nn.TransformerEncoder`` over embeddings, the mean of its tokens read by a linear map."""

    def __init__(self, width=8, first=False, activation="relu", mask=False):
        super().__init__()
        layer = nn.TransformerEncoderLayer(width, 2, 16, 0.1, activation, batch_first=True, norm_first=first)
        self.embed = nn.Linear(5, width)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.classifier, self.mask = nn.Linear(width, 3), mask

    def forward(self, sequence):
        length = sequence.shape[1]
        mask = torch.ones(length, length, dtype=torch.bool).triu(1) if self.mask else None
        return self.classifier(self.encoder(self.embed(sequence), mask=mask).mean(1))


class CrossAttention(nn.Module):
    """``nn.MultiheadAttention`` whose queries are parameters and whose keys and values depend on the input."""

    def __init__(self, width=8, weights=False):
        super().__init__()
        self.query, self.weights = nn.Parameter(torch.randn(1, 2, width)), weights
        self.attention = nn.MultiheadAttention(width, 2, kdim=5, vdim=5, batch_first=True)
        self.classifier = nn.Linear(2 * width, 3)

    def forward(self, sequence):
        query = self.query.expand(len(sequence), -1, -1)
        found, _ = self.attention(query, sequence, sequence, need_weights=self.weights)
        return self.classifier(found.flatten(1))


class EinsumAttention(nn.Module):
    """Attention by hand: ``torch.einsum``, a softmax, and a residual added in place."""

    def __init__(self, width=5):
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, 6, bias=False) for _ in range(3))
        self.out, self.classifier = nn.Linear(6, width), nn.Linear(width, 3)

    def forward(self, sequence):
        found = torch.einsum("bqd,bkd->bqk", self.query(sequence), self.key(sequence)) / math.sqrt(6)
        mixed = torch.einsum("bqk,bkd->bqd", torch.softmax(found, dim=-1), self.value(sequence))
        mixed = self.out(mixed)
        mixed += sequence
        return self.classifier(mixed.sum(1))


class RMSNorm(nn.Module):
    """A root-mean-square norm as language models write it."""

    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(width) + 0.5)

    def forward(self, found):
        return self.weight * (found * torch.rsqrt(found.pow(2).mean(-1, keepdim=True) + 1e-6))


class Decoder(nn.Module):
    """A language model's block: RMS norm, rotated queries and keys, causal attention, a gated linear unit."""

    def __init__(self, width=8, heads=2, fused_norm=False):
        super().__init__()
        norm = nn.RMSNorm if fused_norm else RMSNorm
        self.heads, self.norm1, self.norm2, self.norm3 = heads, norm(width), norm(width), norm(width)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.gate, self.up = (nn.Linear(width, 12, bias=False) for _ in range(2))
        self.down, self.head = nn.Linear(12, width, bias=False), nn.Linear(width, 6, bias=False)

    def split(self, found):
        return found.view(*found.shape[:2], self.heads, -1).transpose(1, 2)

    @staticmethod
    def rotated(found):
        half = found.shape[-1] // 2
        rates = 100.0 ** (-torch.arange(half, dtype=found.dtype) / half)
        angles = torch.arange(found.shape[-2], dtype=found.dtype)[:, None] * torch.cat([rates, rates])
        turned = torch.cat((-found[..., half:], found[..., :half]), dim=-1)
        return found * angles.cos() + turned * angles.sin()

    def forward(self, tokens):
        inner = self.norm1(tokens)
        query, key = self.rotated(self.split(self.query(inner))), self.rotated(self.split(self.key(inner)))
        mixed = functional.scaled_dot_product_attention(query, key, self.split(self.value(inner)), is_causal=True)
        tokens = tokens + self.out(mixed.transpose(1, 2).flatten(2))
        inner = self.norm2(tokens)
        tokens = tokens + self.down(functional.silu(self.gate(inner)) * self.up(inner))
        return self.head(self.norm3(tokens))[:, -1]


class GroupNormed(nn.Module):
    """Convolutions over time with group norms and SiLU."""

    def __init__(self):
        super().__init__()
        self.first, self.norm1 = nn.Conv1d(4, 8, 3, padding=1), nn.GroupNorm(4, 8)
        self.second, self.norm2 = nn.Conv1d(8, 8, 3, padding=1), nn.GroupNorm(1, 8)
        self.classifier = nn.Linear(8, 3)

    def forward(self, series):
        found = functional.silu(self.norm1(self.first(series)))
        return self.classifier(functional.silu(self.norm2(self.second(found))).mean(2))
