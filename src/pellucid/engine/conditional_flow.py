"""Conditional flow: how much of the relevance of one channel comes from each channel of the layer before."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from pellucid.core import meter
from pellucid.engine.ablation import Ablation
from pellucid.engine.relevance import propagate
from pellucid.engine.rules import Composite
from pellucid.engine.taping import taped


def conditional_flow(
    ablation: Ablation,
    composite: Composite,
    relevance: Mapping[str, Tensor],
    channels: Sequence[Sequence[int]],
    mask: Tensor,
) -> list[Tensor]:
    """For every layer but the first ``[len(channels of it), channels of the layer before]``, where only the channels of
    ``mask`` work.

    ``relevance`` holds that of each layer, in the shape of its output; ``channels`` the ones that are asked about. Each
    row is a walk of its own, from one channel's relevance down to the layer before (achtibat2023from); a row sums to
    that relevance but for what is absorbed on the way.
    """
    layers = ablation.layers
    walks = max(len(asked) for asked in channels[1:]) if len(channels) > 1 else 0
    if not walks:
        return [torch.zeros(0, before.channels, dtype=torch.float64) for before in layers[:-1]]
    flows, replace = [], ablation.replacements(mask[None])
    with taped(ablation.subject, ablation.inputs, replace=replace) as (tape, run):
        for before, layer, asked in zip(layers, layers[1:], channels[1:], strict=False):
            rows = []
            for channel in asked:
                seed = torch.zeros_like(relevance[layer.name])
                place = seed.select(layer.axis + 1, channel)
                place.copy_(relevance[layer.name].select(layer.axis + 1, channel))
                found = propagate(tape, run.scores, seed, composite, at=before.name, start=layer.name).scores
                rows.append(found[0].double().movedim(before.axis, 0).reshape(before.channels, -1).sum(1))
            flows.append(torch.stack(rows) if rows else torch.zeros(0, before.channels, dtype=torch.float64))
    # One walk per layer is together at most one walk through the whole network.
    meter.count(forward=walks - 1, backward=walks)
    return flows


def strongest_links(
    ablation: Ablation, composite: Composite, relevance: Mapping[str, Tensor], mask: Tensor, count: int
) -> list[Tensor]:
    """By layer ``[n, 3]``, of its ``count`` strongest channels of ``mask``: the channel, one of the layer before, and how
    much of the first one's relevance comes from there."""
    kept = ablation.by_layer(mask)
    amounts = ablation.by_layer(ablation.per_channel(relevance).abs())
    strongest = [
        [channel for channel in amount.argsort(descending=True, stable=True).tolist() if stays[channel]][:count]
        for amount, stays in zip(amounts, kept, strict=True)
    ]
    found = [torch.zeros(0, 3, dtype=torch.float64)]
    flows = conditional_flow(ablation, composite, relevance, strongest, mask)
    for channels, before, flow in zip(strongest[1:], kept, flows, strict=False):
        row, column = ((flow != 0) & before).nonzero(as_tuple=True)
        found.append(torch.stack([torch.tensor(channels)[row].double(), column.double(), flow[row, column]], 1))
    return found
