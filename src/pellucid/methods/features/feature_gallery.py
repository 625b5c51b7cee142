"""A gallery of what the filters of a network respond to, layer by layer from the input to the output."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Ge
from scipy.stats import spearmanr
from torch import Tensor

from pellucid.core.method import method
from pellucid.core.query import Representation, Unit
from pellucid.core.spec import Access, Asker, Dimension, Modality, Scope, Spec, Structure, View
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.canvases import NATURAL, Bounds, Levels, Spectrum, drawn
from pellucid.engine.crossings import crossings
from pellucid.engine.drawing_units import blank, bounds_of, readable, seeds_of, told
from pellucid.engine.optimize import Course, Step, adam, ascend, normalised, power_norm, rms, total_variation
from pellucid.engine.shaping import jittered
from pellucid.engine.spectra import centroid
from pellucid.engine.taping import taped
from pellucid.engine.targets import Objective
from pellucid.engine.units import Units, layer_at, objective_of
from pellucid.results.feature_images import FeatureImages

LAYERS = 6
WAVELENGTH = "wavelength in pixels"


@method
class FeatureGallery:
    """One picture for each of some channels of every layer that is named, or of six layers spread over the network's
    depth: from edges to textures to parts.

    ``keras-vis`` draws as that library does (kotikalapudi2017keras): from noise around the middle of the range, it descends
    ``−mean activation + 10 · (Σ |x|⁶)^(1/6) / n + 10 · TV / n`` over ``n`` values in levels 0 to 255, with gradients of norm
    1, root mean squares and a step of 1, and keeps the picture with the least loss. ``spectrum`` draws as
    :class:`~pellucid.methods.FeatureImage` does, with all frequencies of photographs alike, so that how fine a picture is
    comes from its layer. Beside each picture stands its wavelength, that of the mean frequency of its power; a note tells
    whether it grows with depth.
    """

    spec: ClassVar = Spec(
        id="feature-gallery",
        title="Gallery of filters",
        question="What do the filters of each layer respond to, from the first to the last?",
        scopes={Scope.TRANSPARENCY},
        dimensions={Dimension.VISUAL},
        view=View.MODEL,
        askers={Asker.DEVELOPER, Asker.DOMAIN_EXPERT},
        needs={Access.GRADIENTS, Access.ACTIVATIONS, Access.WEIGHTS, Structure.CONVOLUTION},
        modalities={Modality.IMAGE},
        properties={"stochastic"},
        cost="60 B per channel shown, of the layers up to its own",
        references=("kotikalapudi2017keras", "olah2017feature", "yosinski2015understanding"),
        serves=("B8",),
        caveat=(
            "A few channels of a layer are not the layer, and a picture shows one thing that excites a channel, not all of "
            "them. How fine the pictures are depends on how they are drawn as well as on the layer."
        ),
        alternatives=("weights", "occlusion"),
    )

    channels: Annotated[int, Ge(1), "how many channels of each layer, spread evenly"] = 6
    recipe: Annotated[Literal["spectrum", "keras-vis"], "how pictures are drawn"] = "spectrum"
    target: Annotated[int | str | None, "a class whose picture ends the gallery"] = None
    size: Annotated[
        int | None, Ge(8), "the side of the pictures in pixels; by default the network's own, at most 128"
    ] = None
    steps: Annotated[int | None, Ge(1), "how many steps of the ascent; by default 60, of keras-vis 200"] = None
    seed: Annotated[int, "where the random starts begin"] = 0

    def __call__(self, subject: Subject, query: Representation) -> FeatureImages:
        unit, skipped = readable(subject, Unit(data=query.data))
        query = dataclasses.replace(query, data=unit.data)
        layers = list(query.layers or _spread(subject, query))
        parts = [self._layer(subject, query, name) for name in layers]
        change = _change(layers, [part.evidence for part in parts])
        if self.target is not None:
            parts.append(self._class(subject, Unit(target=self.target, data=query.data)))
        first = parts[0]
        names = list(dict.fromkeys(name for part in parts for name in part.evidence))
        evidence = {name: torch.cat([_known(part, name) for part in parts]) for name in names}
        return FeatureImages(
            images=torch.cat([part.images for part in parts]),
            units=tuple(unit for part in parts for unit in part.units),
            captions=tuple(caption for part in parts for caption in part.captions),
            activations=torch.cat([part.activations for part in parts]),
            low=first.low,
            high=first.high,
            evidence=evidence,
            trace=torch.cat([part.trace for part in parts if part.trace is not None]),
            notes=(change, *skipped, *first.notes),
        )

    def _layer(self, subject: Subject, query: Representation, name: str) -> FeatureImages:
        asked = Unit(name, 0, data=query.data)
        one, _ = blank(subject, asked, 1, self.size)
        layer = layer_at(subject, one, name)
        number = min(self.channels, layer.channels)
        indices = tuple(channel * layer.channels // number for channel in range(number))
        inputs, notes = blank(subject, asked, number, self.size)
        units = [layer.named(index) for index in indices]
        return self._pictures(subject, asked, inputs, Units(layer, indices), units, notes)

    def _class(self, subject: Subject, asked: Unit) -> FeatureImages:
        inputs, notes = blank(subject, asked, 1, self.size)
        objective, name = objective_of(subject, inputs, asked)
        return self._pictures(subject, asked, inputs, objective, [name], notes)

    def _pictures(
        self,
        subject: Subject,
        asked: Unit,
        inputs: Inputs,
        objective: Objective,
        units: Sequence[str],
        notes: Sequence[str],
    ) -> FeatureImages:
        seeds = [seed for unit in units for seed in seeds_of(self.seed, unit, 1)]
        ascent = self._drawn if self.recipe == "spectrum" else self._as_keras_vis
        course = ascent(subject, inputs, objective, seeds)
        result = told(subject, asked, inputs, objective, course, units, [""] * len(units), None, notes)
        measured = {**result.evidence, WAVELENGTH: 1 / centroid(course.images)}
        if self.recipe == "spectrum":
            return dataclasses.replace(result, evidence=measured)
        # Smoothness leaves little contrast: without bounds each picture is shown by its own.
        return dataclasses.replace(result, evidence=measured, low=None, high=None)

    def _drawn(self, subject: Subject, inputs: Inputs, objective: Objective, seeds: Sequence[int]) -> Course:
        shape = tuple(inputs.value.shape[1:])
        return ascend(
            subject,
            inputs,
            objective,
            Spectrum.noise(seeds, shape, bounds_of(subject, inputs), steepness=NATURAL),
            steps=self.steps or 60,
            rule=adam(0.05),
            transform=jittered(0.02, 2, 0.04),
            seed=self.seed,
            label=self.spec.id,
        )

    def _as_keras_vis(self, subject: Subject, inputs: Inputs, objective: Objective, seeds: Sequence[int]) -> Course:
        bounds, number = bounds_of(subject, inputs), inputs.value[0].numel()
        levels = Levels(127.5 + 12.75 * drawn(seeds, tuple(inputs.value.shape[1:])), bounds)
        course = ascend(
            subject,
            inputs,
            objective,
            levels,
            steps=self.steps or 200,
            rule=_keras_vis_step,
            penalties=[
                lambda point: 10 * power_norm(levels.of(point), 6) ** (1 / 6) / number,
                lambda point: 10 * total_variation(levels.of(point), 2) / number,
            ],
            seed=self.seed,
            label=self.spec.id,
        )
        return dataclasses.replace(course, images=_within(course.best, bounds), values=course.best_values)


def _keras_vis_step() -> Step:
    """A gradient of norm 1, each element of it divided by the root of its running mean square."""
    one, squares = normalised(1.0)(), rms(1.0)()
    return lambda gradient, values, number: squares(one(gradient, values, number), values, number)


def _within(images: Tensor, bounds: Bounds) -> Tensor:
    return images if bounds is None else images.clamp(*bounds)


def _spread(subject: Subject, query: Representation) -> list[str]:
    """Six of the layers that every path crosses, evenly spread; where there are more, without the first and the last,
    whose filters are for colours and for whole classes."""
    one, _ = blank(subject, Unit(data=query.data), 1)
    with taped(subject, one) as (tape, run):
        names = [layer.name for layer in crossings(tape, run.scores) if len(layer.shape) == 3]
    names = names[1:-1] if len(names) > LAYERS + 1 else names
    number = min(LAYERS, len(names))
    return [names[round(place * (len(names) - 1) / max(1, number - 1))] for place in range(number)]


def _known(part: FeatureImages, name: str) -> Tensor:
    return part.evidence.get(name, torch.full((len(part),), torch.nan, dtype=torch.float64))


def _change(layers: Sequence[str], evidence: Sequence[Mapping[str, Tensor]]) -> str:
    """The median wavelength of each layer, and its rank correlation with depth over all pictures."""
    waves = [known[WAVELENGTH] for known in evidence]
    told = ", ".join(f"{name} {float(wave.median()):.1f}" for name, wave in zip(layers, waves, strict=True))
    said = f"Median wavelength in pixels, from the first layer to the last: {told}."
    if len(layers) < 2:
        return said
    depth = [place for place, wave in enumerate(waves) for _ in wave]
    ranks = spearmanr(depth, torch.cat(waves).numpy())
    return f"{said} Rank correlation with depth over all pictures {ranks.statistic:.2f} (p = {ranks.pvalue:.2g})."
