"""Single steps as people write them, each in a network of its own: gates, norms by hand, ways to pool and to rearrange."""

import torch
from torch import nn
from torch.nn import functional


class Idiom(nn.Module):
    """A step, given as a function of this network and its input, between the layers that it uses and a linear map."""

    def __init__(self, step, outputs, **layers):
        super().__init__()
        self.step, self.classifier = step, nn.Linear(outputs, 3)
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, given):
        return self.classifier(self.step(self, given))


def highway(net, x):
    gate = torch.sigmoid(net.gate(x))
    return (gate * functional.relu(net.signal(x)) + (1 - gate) * x).mean(1)


def normalised_by_hand(net, x):
    found = net.signal(x)
    return ((found - found.mean(-1, keepdim=True)) / (found.std(-1, keepdim=True) + 1e-5)).mean(1)


def pooled_by_attention(net, x):
    weights = torch.softmax(net.gate(torch.tanh(net.signal(x))), dim=1)
    return (weights * x).sum(1)


def mixture_of_experts(net, x):
    shares = torch.softmax(net.gate(x), -1)
    return (shares.unsqueeze(-1) * torch.stack([net.signal(x), net.other(x)], 2)).sum(2).mean(1)


def last_words(net, x):
    states, _ = net.recurrent(x)
    return states[torch.arange(len(x)), torch.tensor([3, 6])[: len(x)]]


def windows(net, x):
    rolled = torch.roll(functional.relu(net.convolution(x)), (1, 1), (2, 3))
    return rolled.unfold(2, 2, 2).unfold(3, 2, 2).flatten(2).mean(2)


def with_padding(net, x):
    padding = torch.arange(7) >= torch.tensor([[7], [4]])[: len(x)]
    return net.encoder(net.signal(x), src_key_padding_mask=padding).mean(1)


SEQUENCE, PIXELS = (2, 7, 5), (2, 3, 8, 8)

IDIOMS = {
    "gated linear unit": (
        lambda: Idiom(lambda net, x: functional.glu(net.both(x)).mean(1), 6, both=nn.Linear(5, 12)),
        SEQUENCE,
    ),
    "gate by hand": (
        lambda: Idiom(
            lambda net, x: (torch.tanh(net.signal(x)) * torch.sigmoid(net.gate(x))).mean(1),
            6,
            signal=nn.Linear(5, 6),
            gate=nn.Linear(5, 6),
        ),
        SEQUENCE,
    ),
    "highway": (lambda: Idiom(highway, 5, signal=nn.Linear(5, 5), gate=nn.Linear(5, 5)), SEQUENCE),
    "swish by hand": (
        lambda: Idiom(
            lambda net, x: (lambda found: found * found.sigmoid())(net.signal(x)).mean(1), 6, signal=nn.Linear(5, 6)
        ),
        SEQUENCE,
    ),
    "squared ReLU": (
        lambda: Idiom(lambda net, x: (functional.relu(net.signal(x)) ** 2).mean(1), 6, signal=nn.Linear(5, 6)),
        SEQUENCE,
    ),
    "product of two sums": (
        lambda: Idiom(
            lambda net, x: net.signal(x).sum(1) * net.other(x).mean(1), 6, signal=nn.Linear(5, 6), other=nn.Linear(5, 6)
        ),
        SEQUENCE,
    ),
    "layer norm by hand": (lambda: Idiom(normalised_by_hand, 6, signal=nn.Linear(5, 6)), SEQUENCE),
    "unit length": (
        lambda: Idiom(lambda net, x: functional.normalize(net.signal(x), dim=-1).mean(1), 6, signal=nn.Linear(5, 6)),
        SEQUENCE,
    ),
    "instance norm": (
        lambda: Idiom(
            lambda net, x: functional.relu(net.norm(net.convolution(x))).mean((2, 3)),
            6,
            convolution=nn.Conv2d(3, 6, 3),
            norm=nn.InstanceNorm2d(6, affine=True),
        ),
        PIXELS,
    ),
    "weight norm": (
        lambda: Idiom(
            lambda net, x: functional.relu(net.signal(x)).mean(1),
            6,
            signal=nn.utils.parametrizations.weight_norm(nn.Linear(5, 6)),
        ),
        SEQUENCE,
    ),
    "attention pooling": (
        lambda: Idiom(pooled_by_attention, 5, signal=nn.Linear(5, 6), gate=nn.Linear(6, 1)),
        SEQUENCE,
    ),
    "mixture of experts": (
        lambda: Idiom(mixture_of_experts, 5, signal=nn.Linear(5, 5), other=nn.Linear(5, 5), gate=nn.Linear(5, 2)),
        SEQUENCE,
    ),
    "the last word of each": (lambda: Idiom(last_words, 6, recurrent=nn.LSTM(5, 6, batch_first=True)), SEQUENCE),
    "largest of all states": (
        lambda: Idiom(lambda net, x: net.recurrent(x)[0].max(1).values, 6, recurrent=nn.GRU(5, 6, batch_first=True)),
        SEQUENCE,
    ),
    "time first": (
        lambda: Idiom(
            lambda net, x: (lambda found: net.attention(found, found, found)[0])(net.signal(x).transpose(0, 1)).mean(0),
            8,
            attention=nn.MultiheadAttention(8, 2),
            signal=nn.Linear(5, 8),
        ),
        SEQUENCE,
    ),
    "padding mask": (
        lambda: Idiom(
            with_padding,
            8,
            encoder=nn.TransformerEncoder(
                nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 1, enable_nested_tensor=False
            ),
            signal=nn.Linear(5, 8),
        ),
        SEQUENCE,
    ),
    "decoder with memory": (
        lambda: Idiom(
            lambda net, x: net.decoder(net.signal(x), net.other(x)).mean(1),
            8,
            decoder=nn.TransformerDecoderLayer(8, 2, 16, batch_first=True),
            signal=nn.Linear(5, 8),
            other=nn.Linear(5, 8),
        ),
        SEQUENCE,
    ),
    "rolled windows": (lambda: Idiom(windows, 8, convolution=nn.Conv2d(3, 8, 3, padding=1)), PIXELS),
    "pixel shuffle": (
        lambda: Idiom(
            lambda net, x: functional.pixel_shuffle(net.convolution(x), 2).mean((2, 3)),
            2,
            convolution=nn.Conv2d(3, 8, 3),
        ),
        PIXELS,
    ),
    "unpooled maxima": (
        lambda: Idiom(
            lambda net, x: functional.max_unpool2d(*net.pool(net.convolution(x)), 2).mean((2, 3)),
            8,
            convolution=nn.Conv2d(3, 8, 3, padding=1),
            pool=nn.MaxPool2d(2, return_indices=True),
        ),
        PIXELS,
    ),
}


def packed(net, x):
    sequences = nn.utils.rnn.pack_padded_sequence(x, [7, 4][: len(x)], batch_first=True)
    return net.recurrent(sequences)[1][-1]


def linear_attention(net, x):
    query, key = functional.elu(net.signal(x)) + 1, functional.elu(net.other(x)) + 1
    return (query @ (key.transpose(1, 2) @ x) / (query @ key.sum(1).unsqueeze(-1))).mean(1)


# With what the refusal must name.
UNANSWERABLE = {
    "packed sequences": (
        lambda: Idiom(packed, 6, recurrent=nn.GRU(5, 6, batch_first=True)),
        SEQUENCE,
        r"aten\._pack_padded_sequence",
    ),
    "a bilinear layer": (
        lambda: Idiom(lambda net, x: net.bilinear(x[:, 0], x[:, 1]), 6, bilinear=nn.Bilinear(5, 5, 6)),
        SEQUENCE,
        r"aten\._trilinear, called in 'bilinear'",
    ),
    "a smooth maximum": (
        lambda: Idiom(lambda net, x: net.signal(x).logsumexp(1), 6, signal=nn.Linear(5, 6)),
        SEQUENCE,
        r"aten\.logsumexp",
    ),
    "linear attention": (
        lambda: Idiom(linear_attention, 5, signal=nn.Linear(5, 4), other=nn.Linear(5, 4)),
        SEQUENCE,
        r"aten\.div \(a quotient by something that depends on the input",
    ),
}
