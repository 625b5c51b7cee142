"""Routing: what was found of each example's route, put together as one result."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from scipy.stats import binomtest
from torch import Tensor

from pellucid.core.subject import Inputs
from pellucid.engine.crossings import Crossing
from pellucid.engine.targets import Target
from pellucid.engine.verdicts import ANSWER, QUANTITY, Verdict
from pellucid.results.route import Route, RouteLayer


@dataclass(frozen=True)
class Found:
    """The route of one example.

    ``kept`` (bool), ``importance`` (shares of each layer's relevance in the whole network, for what must stay) and
    ``relevance`` (within the route) are ``[channels]`` over all layers; ``links`` by layer ``[n, 3]``: channel, channel
    of the layer before, flow. ``outcomes`` ``[4, 3]`` are those of the networks that a route compares, ``control``
    ``[draws, 3]`` those of random routes.
    """

    kept: Tensor
    minimal: bool
    importance: Tensor
    relevance: Tensor
    links: Sequence[Tensor]
    outcomes: Tensor
    control: Tensor
    must: Verdict


def joined(found: Sequence[Found], layers: Sequence[Crossing], target: Target, inputs: Inputs) -> Route:
    """The routes of all examples through the same layers."""
    outcomes = torch.stack([one.outcomes for one in found])
    notes = [note for origin in inputs.origins for note in origin.notes]
    passed = [layer.name for layer in layers if not layer.crossed]
    if passed:
        notes.append(f"Other paths pass by {', '.join(passed)}: what is switched off there may still get through.")
    return Route(
        layers=tuple(_layer(found, layers, number) for number in range(len(layers))),
        value=outcomes[..., QUANTITY].to(inputs.value.dtype),
        slack=torch.stack([one.must.slack(one.outcomes) for one in found]),
        answer=outcomes[..., ANSWER].long(),
        decided=torch.tensor([one.must.side != 0 for one in found]),
        share=torch.tensor([one.must.share for one in found], dtype=torch.float64),
        minimal=torch.tensor([one.minimal for one in found]),
        control=torch.stack([_kept(one) for one in found]),
        control_value=torch.stack([one.control[:, QUANTITY].mean().nan_to_num() for one in found]).to(
            inputs.value.dtype
        ),
        draws=len(found[0].control),
        target=target.public(target.index),
        foil=target.public(target.foil),
        labels=tuple(target.labels),
        notes=tuple(notes),
    )


def _layer(found: Sequence[Found], layers: Sequence[Crossing], number: int) -> RouteLayer:
    layer, start = layers[number], sum(before.channels for before in layers[:number])
    part = slice(start, start + layer.channels)
    kept = torch.stack([one.kept[part] for one in found])
    importance = torch.stack([one.importance[part] for one in found]).clamp(min=0)
    links = [
        torch.cat([torch.full((len(one.links[number]), 1), float(example)), one.links[number]], 1)
        for example, one in enumerate(found)
    ]
    together = torch.cat(links)
    return RouteLayer(
        name=layer.name,
        kind=layer.kind,
        shape=layer.shape,
        crossed=layer.crossed,
        kept=kept,
        relevance=torch.stack([one.relevance[part] for one in found]),
        share=(importance * kept).sum(1) / importance.sum(1).clamp(min=1e-30),
        links=together[:, :3].long(),
        flow=together[:, 3].clone(),
    )


def _kept(one: Found) -> Tensor:
    """The share of random routes that keep the decision, with its 95 % interval (Clopper and Pearson)."""
    draws = len(one.control)
    if not draws:
        return torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    kept = int((one.must.slack(one.control) > 0).sum())
    low, high = binomtest(kept, draws).proportion_ci(0.95, "exact")
    return torch.tensor([kept / draws, low, high], dtype=torch.float64)
