"""The three pictures of a unit, and how far they agree."""

from dataclasses import dataclass

import torch
from torch import Tensor

import pellucid as pl
from pellucid.methods import ActivationMaximization, FilterCombination, UnitSampling
from pellucid.methods.transparency.activation_maximization import BROUGHT, MEDIAN
from pellucid.models import DBN


@dataclass(frozen=True)
class Answers:
    """What a layer's units look for: the optimum, the mean of samples (of a belief net), and the sum of filters."""

    layer: str
    optima: pl.FeatureImages
    means: pl.FeatureImages | None
    sums: pl.FeatureImages
    measured: dict[str, float]


def answers(subject: pl.Subject, pictures: Tensor, layer: int, sampled: int) -> Answers:
    """All units of a layer by activation maximisation and by sums of filters, the first ``sampled`` by sampling."""
    name = f"layers.{layer}"
    optima = ActivationMaximization()(subject, pl.Unit(name, data=pictures))
    sums = FilterCombination()(subject, pl.Unit(name))
    means = None
    if sampled and isinstance(subject.module, DBN):
        method = UnitSampling(samples=0)
        units = [method(subject, pl.Unit(name, unit)) for unit in range(min(sampled, len(optima)))]
        means = pl.FeatureImages(
            images=torch.cat([unit.images for unit in units]),
            units=tuple(unit.units[0] for unit in units),
            captions=("",) * len(units),
            activations=torch.cat([unit.activations for unit in units]),
        )
    return Answers(name, optima, means, sums, _measured(subject, pictures, layer, optima, means, sums))


def _measured(
    subject: pl.Subject,
    pictures: Tensor,
    layer: int,
    optima: pl.FeatureImages,
    means: pl.FeatureImages | None,
    sums: pl.FeatureImages,
) -> dict[str, float]:
    agreement = optima.evidence[MEDIAN]
    found = {
        "units": float(len(optima)),
        "starts agree": float((agreement > 0.9).double().mean()),
        "median cosine of starts": float(agreement.median()),
        "above all data": float((optima.activations >= optima.evidence[BROUGHT]).double().mean()),
        "cosine with the sum of filters": float(_cosines(optima.images, sums.images).diagonal().median()),
    }
    if layer == 0:
        assert subject.module is not None
        weights = subject.module.get_submodule("layers.0.linear").weight.detach()
        found["lowest cosine with the weights"] = float(_cosines(optima.images, weights).diagonal().min())
    if means is not None:
        cosines = _cosines(optima.images[: len(means)], added(means))
        found["cosine with the sampled mean"] = float(cosines.diagonal().median())
        found["own sampled mean is nearest"] = float((cosines.argmax(1) == torch.arange(len(means))).double().mean())
    return found


def added(means: pl.FeatureImages) -> Tensor:
    """What each unit adds to the mean picture, which is nearly the same for all of them: ``[units, …point]``."""
    return means.images - means.images.mean(0)


def _cosines(first: Tensor, second: Tensor) -> Tensor:
    rows = [torch.nn.functional.normalize(images.double().flatten(1), dim=1) for images in (first, second)]
    return rows[0] @ rows[1].T
