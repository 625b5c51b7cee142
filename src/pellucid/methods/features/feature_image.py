"""Feature images: pictures that excite a unit inside the network as strongly as can be."""

import dataclasses
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Ge, Gt

from pellucid.core.errors import UsageError
from pellucid.core.method import method
from pellucid.core.query import Unit
from pellucid.core.spec import Access, Asker, Dimension, Modality, Scope, Spec, View
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.canvases import Bounds, Magnitudes, Parametrisation, mean_magnitude
from pellucid.engine.drawing_units import bounds_of, climbed, drawn_unit, readable, start
from pellucid.engine.optimize import Canvas, Course
from pellucid.engine.targets import Objective
from pellucid.engine.units import Over
from pellucid.results.feature_images import FeatureImages


@method
class FeatureImage:
    """Pictures that maximise a channel's mean over its places, or one of the other ways to take them together, drawn by
    their spectrum or pixel by pixel (olah2017feature).

    ``magnitude`` ``"natural"`` moves the phases of the spectrum alone, while its magnitudes stay those of the query's data,
    or fall with the frequency as in photographs where there are none (fel2023maco): the picture can then not be made of fine
    noise. Several starts are drawn at once; a unit that is silent at its start is woken. The pass ends at the unit's layer.
    """

    spec: ClassVar = Spec(
        id="feature-image",
        title="Feature image",
        question="What does this unit respond to most?",
        scopes={Scope.TRANSPARENCY},
        dimensions={Dimension.VISUAL, Dimension.DECOMPOSABILITY},
        view=View.MODEL,
        askers={Asker.DEVELOPER, Asker.DOMAIN_EXPERT},
        needs={Access.GRADIENTS, Access.ACTIVATIONS, Access.WEIGHTS},
        modalities={Modality.IMAGE, Modality.TENSOR, Modality.TABULAR},
        properties={"stochastic"},
        cost="100 B for each of 3 starts, of the layers up to the unit's",
        references=("olah2017feature", "fel2023maco", "erhan2009visualizing"),
        serves=("B2", "B5"),
        caveat=(
            "A picture that excites a unit more than any real one says what would excite it, not what it is used for; a unit "
            "may respond to several things, of which each start shows one."
        ),
        alternatives=("what-if", "response"),
    )

    size: Annotated[
        int | None, Ge(8), "the side of the picture in pixels; by default the network's own, at most 128"
    ] = None
    steps: Annotated[int, Ge(1), "how many steps of the ascent"] = 100
    starts: Annotated[int, Ge(1), "how many pictures, from as many random starts"] = 3
    parametrisation: Annotated[Parametrisation, "what is moved: the spectrum of a picture or its pixels"] = "fft"
    magnitude: Annotated[Literal["free", "natural"], "whether the magnitudes of the spectrum move too"] = "free"
    over: Annotated[Over, "how the places of a channel are taken together"] = "mean"
    rate: Annotated[float, Gt(0), "the rate of the ascent (Adam)"] = 0.05
    jitter: Annotated[
        float, Ge(0), "by what share of its side a spectrum's picture is moved at each step, at most; 0: not"
    ] = 0.1
    seed: Annotated[int, "where the random starts begin"] = 0

    def __post_init__(self) -> None:
        if self.magnitude == "natural" and self.parametrisation == "pixel":
            raise UsageError("pixels have no magnitudes to keep; leave parametrisation or magnitude out")

    def __call__(self, subject: Subject, query: Unit) -> FeatureImages:
        query, skipped = readable(subject, query)
        natural = query.data.value if self.magnitude == "natural" and query.data is not None else None
        ascent = lambda inputs, unit, seeds: self.ascent(subject, inputs, unit, seeds, natural)  # noqa: E731
        result = drawn_unit(subject, query, self.starts, self.size, self.seed, self.over, ascent)
        return dataclasses.replace(result, notes=(*skipped, *result.notes))

    def ascent(
        self,
        subject: Subject,
        inputs: Inputs,
        objective: Objective,
        seeds: Sequence[int],
        data: torch.Tensor | None = None,
    ) -> Course:
        """The ascent of an objective that may ask for another unit in each row, from a start per seed."""
        return climbed(
            subject,
            inputs,
            objective,
            self._canvas(inputs, bounds_of(subject, inputs), seeds, data),
            steps=self.steps,
            rate=self.rate,
            jitter=self.jitter,
            seed=self.seed,
            label=self.spec.id,
        )

    def _canvas(self, inputs: Inputs, bounds: Bounds, seeds: Sequence[int], data: torch.Tensor | None) -> Canvas:
        shape = tuple(inputs.value.shape[1:])
        if self.magnitude == "free" or len(shape) != 3:
            return start(self.parametrisation, inputs, bounds, seeds)
        return Magnitudes.noise(seeds, shape, bounds, None if data is None else mean_magnitude(data, shape, bounds))
