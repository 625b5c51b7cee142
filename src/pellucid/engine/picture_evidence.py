"""The evidence beside synthetic pictures: what real data do to the same units, and whether anything else agrees."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from pellucid.core.errors import NotComparable
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.batching import in_batches
from pellucid.engine.spectra import high_frequency_share
from pellucid.engine.targets import Objective, Target, probabilities
from pellucid.results import feature_images as named


def evidence(
    subject: Subject,
    images: Inputs,
    objective: Objective,
    units: Sequence[str],
    data: Inputs | None = None,
    second: Subject | None = None,
) -> Mapping[str, Tensor]:
    """What is known of each image, ``[images]`` by name: see :class:`~pellucid.FeatureImages`.

    ``objective`` has a row per image, ``units`` names the unit of each: images of one unit are its starts. The data are
    measured once per unit. ``second`` is another network with the same classes.
    """
    found: dict[str, Tensor] = {}
    if data is not None:
        found |= _over_data(subject, data, objective, units) | nearest_examples(subject, images, data)
    if images.value.ndim == 4 and min(images.value.shape[2:]) > 1:
        found[named.FINE] = high_frequency_share(images.value)
    if len(set(units)) < len(units):
        found[named.AGREEMENT] = agreement(images.value, units)
    if isinstance(objective, Target) and subject.task.output != "value":
        found[named.PROBABILITY], _ = _class(subject, images, objective)
        if second is not None:
            found[named.TRANSFER], found[named.RANK] = _class(second, _resized(images, second), objective)
    elif second is not None:
        raise NotComparable(
            f"{second.name} has no unit that is known to be the same; a second network can be asked of classes"
        )
    return found


def agreement(images: Tensor, units: Sequence[str]) -> Tensor:
    """The mean cosine of each image, without its mean, with the others of its unit; NaN where there is no other.

    Of pictures the largest over all shifts of one against the other: a feature may lie anywhere. The mean of each channel is
    left out, so that pictures of one colour do not agree by that.
    """
    rows = images.double()
    centred = rows - rows.mean((2, 3) if rows.ndim == 4 else tuple(range(1, rows.ndim)), keepdim=True)
    centred = torch.nn.functional.normalize(centred.flatten(1), dim=1).view(images.shape)
    found = torch.full((len(images),), torch.nan, dtype=torch.float64)
    for unit in dict.fromkeys(units):
        starts = [number for number, name in enumerate(units) if name == unit]
        if len(starts) > 1:
            cosines = _cosines(centred[starts])
            found[starts] = (cosines.sum(1) - cosines.diagonal()) / (len(starts) - 1)
    return found


def _cosines(images: Tensor) -> Tensor:
    if images.ndim != 4:
        return images.flatten(1) @ images.flatten(1).T
    spectra = torch.fft.rfft2(images)
    products = (spectra[:, None] * spectra[None].conj()).sum(2)
    return torch.fft.irfft2(products, s=images.shape[2:]).flatten(2).amax(2)


def _over_data(subject: Subject, data: Inputs, objective: Objective, units: Sequence[str]) -> dict[str, Tensor]:
    first = {unit: number for number, unit in reversed(list(enumerate(units)))}
    values = over_data(subject, data, objective, list(first.values()))
    most = {unit: float(column.max()) for unit, column in zip(first, values.T, strict=True)}
    high = {unit: float(torch.quantile(column, 0.999)) for unit, column in zip(first, values.T, strict=True)}
    table = {named.MAXIMUM: most, named.PERCENTILE: high}
    return {name: torch.tensor([by[unit] for unit in units], dtype=torch.float64) for name, by in table.items()}


def over_data(subject: Subject, data: Inputs, objective: Objective, rows: Sequence[int]) -> Tensor:
    """What these rows of an objective answer to every example, from one pass over the data: ``[examples, rows]``, float64."""

    def work(part: slice) -> Tensor:
        inputs = data.rows(part)
        run = subject.run(inputs, capture=objective.capture, partial=bool(objective.capture))
        asked = [objective.rows(torch.full((len(inputs),), row)) for row in rows]
        return torch.stack([one(run).double().cpu() for one in asked], 1)

    return in_batches(len(data), subject.batch_size(data), work, "activation over data")


def nearest_examples(subject: Subject, images: Inputs, data: Inputs) -> dict[str, Tensor]:
    """How far each image is from the nearest of the data, and that one's number."""
    made, real = images.value.double(), _fitted(data.value, images.value.shape).double()
    bounds = subject.task.bounds(images)
    if bounds is not None:
        low, high = (bound.double() for bound in bounds)
        made, real = (made - low) / (high - low), (real - low) / (high - low)
    distances = torch.cdist(made.flatten(1), real.flatten(1)) / made[0].numel() ** 0.5
    nearest = distances.min(1)
    return {named.DISTANCE: nearest.values, named.NEAREST: nearest.indices.double()}


def _class(subject: Subject, images: Inputs, target: Target) -> tuple[Tensor, Tensor]:
    """The probability of each image's class and its rank, 1 the most probable."""
    assert target.index is not None
    scores = subject.scores(images)
    if scores.ndim != 2 or int(target.index[:, -1].max()) >= scores.shape[1]:
        raise NotComparable(
            f"{subject.name} has outputs {tuple(scores.shape[1:])}, without the class that was asked for"
        )
    found = probabilities(subject.task.output, scores)
    assert found is not None
    own = found.gather(1, target.index[:, -1:])
    return own[:, 0].double(), (found > own).sum(1).add(1).double()


def _resized(images: Inputs, second: Subject) -> Inputs:
    example = second.task.example()
    shape = images.value.shape if example is None else example.value.shape
    return second.prepare(_fitted(images.value, shape))


def _fitted(values: Tensor, shape: Sequence[int]) -> Tensor:
    """Pictures at the size of others; anything else as it is."""
    if values.ndim != 4 or values.shape[2:] == torch.Size(shape[2:]):
        return values
    return torch.nn.functional.interpolate(values, tuple(shape[2:]), mode="bilinear", antialias=True)
