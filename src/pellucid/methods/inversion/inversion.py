"""Inversion: inputs that a layer cannot tell from the ones that were given."""

import math
from typing import Annotated, Any, ClassVar, Literal, Union

import torch
from annotated_types import Ge, Gt
from torch import Tensor
from torch.nn.functional import interpolate

from pellucid.core.annotations import Data
from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.core.method import method
from pellucid.core.query import Code
from pellucid.core.spec import Access, Asker, Dimension, Modality, Scope, Spec, View
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.codes import CodeMatch, Match
from pellucid.engine.drawing_units import bounds_of
from pellucid.engine.generating import opened
from pellucid.engine.gradients import point_value
from pellucid.engine.inverting import (
    SPREAD,
    Grey,
    correlations,
    descending_momentum,
    exact,
    moved,
    noise,
    priors,
    settling_adam,
)
from pellucid.engine.optimize import Course, ascend
from pellucid.engine.units import layer_at
from pellucid.results.decoder import Decoder
from pellucid.results.reconstructions import Reconstructions

# Steps, rate, spread of the noise at the start, and the weight of the norm.
_SETTINGS = {"adam": (150, 20.0, 0.2 * SPREAD, 8e-11), "mahendran": (400, 0.004, SPREAD, 8e-10)}
# Per pixel: 0.05 for pictures of 96 × 96.
_VARIATION = 0.05 / 96**2


@method
class Inversion:
    """Points ``x`` that minimise ``|Φ(x) − Φ₀|² / |Φ₀|² + (norm_weight · Σ|x|^α + variation_weight · Σ TV(x)^β) / σ²`` from
    random starts (mahendran2015understanding). ``x`` counts in 255ths of the range around its middle; σ is 64 times the
    square root of the number of elements.

    ``adam`` takes 150 steps with weak priors; ``mahendran`` takes the published ones: 400 steps with momentum, from zero
    again whenever its rate changes, a norm of weight 8e-10 and a variation of weight 1, 10 or 100 in the first, second
    and last third of the layers. ``exact`` solves layers that are affine in the input; ``decoder`` asks a trained one
    (``train-decoder``). A ``caricature`` starts from the input itself and has as much as possible of all that is positive in
    its code; ``jitter`` shows the network slightly moved pictures, so that what is found does not hang on single pixels,
    and ``bounded`` keeps them inside the range (mahendran2016visualizing).
    """

    spec: ClassVar = Spec(
        id="inversion",
        title="Inversion of a representation",
        question="What does this layer still know of the input, and what has it let go of?",
        scopes={Scope.TRANSPARENCY},
        dimensions={Dimension.VISUAL},
        view=View.MODEL,
        askers={Asker.DEVELOPER},
        needs={Access.GRADIENTS, Access.ACTIVATIONS},
        modalities={Modality.IMAGE, Modality.TENSOR, Modality.TABULAR},
        properties={"stochastic"},
        cost="150 B per start, 2 starts per example",
        references=("mahendran2015understanding", "mahendran2016visualizing", "dosovitskiy2016generating"),
        serves=("B4",),
        caveat=(
            "What a reconstruction lacks may be lacking in the code or may not have been found; what it shows may come from "
            "the priors. Compare its error with how far the codes of other inputs are."
        ),
        alternatives=("train-decoder", "occlusion"),
    )

    alpha: Annotated[float, Gt(0), "exponent of the norm"] = 6.0
    beta: Annotated[float, Gt(0), "exponent of the total variation; 1 leaves spikes"] = 2.0
    norm_weight: Annotated[float | None, Ge(0), "weight of the norm; None: the recipe's"] = None
    variation_weight: Annotated[float | None, Ge(0), "weight of the total variation; None: the recipe's"] = None
    recipe: Annotated[Literal["adam", "mahendran", "exact", "decoder"], "how the input is found"] = "adam"
    steps: Annotated[int | None, Ge(1), "steps of the descent; None: the recipe's"] = None
    rate: Annotated[float | None, Gt(0), "step size; None: the recipe's"] = None
    starts: Annotated[int, Ge(1), "reconstructions per example, from as many random starts"] = 2
    objective: Annotated[Match, "what is sought: the least distance to the code, or the most of it"] = "distance"
    jitter: Annotated[int, Ge(0), "by how many pixels pictures are moved at random at each step, at most"] = 0
    bounded: Annotated[bool, "whether every step ends inside the range of inputs"] = False
    channels: Annotated[tuple[int, ...] | None, "first channel and the one after the last: only these are matched"] = (
        None
    )
    neighbourhood: Annotated[int | None, Ge(1), "the side of the square in the middle of the code that is matched"] = (
        None
    )
    ridge: Annotated[float, Ge(0), "of exact: the weight of the squared norm"] = 0.0
    decoder: Annotated[Union[str, Any, None], Data(), "of decoder: a trained one, or its file"] = None
    size: Annotated[int | None, Ge(1), "the side that pictures are scaled to first; None: as they are"] = None
    seed: Annotated[int, "of the random starts"] = 0

    def __post_init__(self) -> None:
        if (self.recipe == "decoder") != (self.decoder is not None):
            raise UsageError(
                "recipe='decoder' and decoder= go together: a decoder that train-decoder made, or its file"
            )
        if self.recipe in ("exact", "decoder") and (
            self.objective != "distance" or self.channels or self.neighbourhood
        ):
            raise UsageError(f"recipe={self.recipe!r} reconstructs the whole code; leave objective and parts of it out")
        if self.channels is not None and not (len(self.channels) == 2 and 0 <= self.channels[0] < self.channels[1]):
            raise UsageError(f"channels takes the first and the one after the last, such as 0,32, not {self.channels}")

    def __call__(self, subject: Subject, query: Code) -> Reconstructions:
        inputs = self._sized(subject, subject.prepare(query.inputs))
        codes = point_value(subject, inputs, query.layer)
        match = CodeMatch(query.layer, codes, self.objective, self._part(subject, inputs, query.layer))
        if bool((match.aims == 0).all(1).any()):
            raise NotAnswerable(
                f"what is matched at {query.layer!r} is zero for an example: there is nothing to invert"
            )
        trace = None
        if self.recipe == "exact":
            images = exact(subject, inputs, query.layer, codes, self.ridge)
        elif self.recipe == "decoder":
            images = self._decoded(subject, inputs, query.layer, codes)
        else:
            course = self._descended(subject, inputs, match)
            images, trace = course.images, course.trace
        return _told(subject, inputs, match, images, trace)

    def _descended(self, subject: Subject, inputs: Inputs, match: CodeMatch) -> Course:
        steps, rate, spread, norm_weight = _SETTINGS[self.recipe]
        steps, rate = self.steps or steps, self.rate or rate
        norm_weight = norm_weight if self.norm_weight is None else self.norm_weight
        bounds, elements = bounds_of(subject, inputs), inputs.value[0].numel()
        # A caricature is drawn from the input itself, so that all its starts would be the same.
        starts = 1 if self.objective == "caricature" else self.starts
        rows = torch.arange(len(inputs)).repeat_interleave(starts)
        canvas = Grey(noise(inputs.value, starts, self.seed, spread), bounds)
        if self.objective == "caricature":
            canvas = Grey(canvas.read(inputs.value), bounds)
        picture = inputs.value.ndim == 4
        if self.jitter and not picture:
            raise UsageError("inversion(jitter=…) is of pictures")
        return ascend(
            subject,
            inputs.rows(rows),
            match.rows(rows),
            canvas,
            steps=steps,
            rule=settling_adam(rate, steps) if self.recipe == "adam" else descending_momentum(rate, steps, elements),
            penalties=priors(canvas, self.alpha, self.beta, norm_weight, self._variation(subject, inputs, match.layer)),
            transform=moved(self.jitter) if self.jitter else None,
            after=[lambda leaf, moment: leaf.clamp(-127.5, 127.5)] if self.bounded and bounds is not None else [],
            seed=self.seed,
            label="inversion",
        )

    def _variation(self, subject: Subject, inputs: Inputs, layer: str) -> float:
        """The weight of the total variation. As published it is ten times as large in each further third of the layers; else
        it grows with the number of pixels, so that a picture costs the same at any size."""
        if self.variation_weight is not None:
            return self.variation_weight
        if self.recipe == "adam":
            return _VARIATION * math.prod(inputs.value.shape[2:])
        names = [known.name for known in subject.layers(inputs)]
        return float(10 ** (3 * names.index(layer.partition("#")[0]) // len(names)))

    def _decoded(self, subject: Subject, inputs: Inputs, layer: str, codes: Tensor) -> Tensor:
        decoder = opened(self.decoder)
        if not isinstance(decoder, Decoder):
            raise UsageError("inversion(decoder=…) takes a decoder that train-decoder made for this layer, or its file")
        made_for = None if decoder.provenance is None else decoder.provenance.subject_fingerprint
        if decoder.layer != layer or made_for not in (None, subject.fingerprint):
            raise UsageError(
                f"this decoder reads {decoder.layer} of another question or network; train one for {layer}"
            )
        if decoder.picture != tuple(inputs.value.shape[1:]):
            raise UsageError(f"this decoder makes pictures of {decoder.picture}, not {tuple(inputs.value.shape[1:])}")
        with torch.no_grad():
            return decoder(codes.float()).to(inputs.value)

    def _part(self, subject: Subject, inputs: Inputs, layer: str) -> Tensor | None:
        """Which elements of the code count; None: all."""
        if self.channels is None and self.neighbourhood is None:
            return None
        at = layer_at(subject, inputs, layer)
        part = torch.ones(at.shape)
        if self.channels is not None:
            first, end = self.channels
            outside = torch.ones(at.channels, dtype=torch.bool)
            outside[first : at.check(end - 1) + 1] = False  # type: ignore[operator]
            part.movedim(at.axis, 0)[outside] = 0
        if self.neighbourhood is not None:
            for axis in set(range(len(at.shape))) - {at.axis}:
                places = torch.arange(at.shape[axis]) - max(0, (at.shape[axis] - self.neighbourhood) // 2)
                part.movedim(axis, 0)[(places < 0) | (places >= self.neighbourhood)] = 0
        return part

    def _sized(self, subject: Subject, inputs: Inputs) -> Inputs:
        if self.size is None:
            return inputs
        if inputs.value.ndim != 4:
            raise UsageError("inversion(size=…) is of pictures")
        return inputs.at(interpolate(inputs.value, (self.size, self.size), mode="bilinear", antialias=True))


def _told(subject: Subject, inputs: Inputs, match: CodeMatch, images: Tensor, trace: Tensor | None) -> Reconstructions:
    """The images ``[examples · starts, …]`` with what they miss, beside what other examples miss."""
    total, starts = len(inputs), len(images) // len(inputs)
    rows = torch.arange(total).repeat_interleave(starts)
    found = point_value(subject, inputs.rows(rows, images), match.layer)
    error, strength = match.rows(rows).measured(found)
    apart = [match.rows(torch.full((total,), example)).measured(match.codes)[0] for example in range(total)]
    grid = images.view(total, starts, *images.shape[1:])
    pairs = [torch.stack([correlations(each, one) for one in each]) for each in grid]
    bounds = bounds_of(subject, inputs)
    return Reconstructions(
        layer=match.layer,
        images=grid,
        error=error.view(total, starts),
        strength=strength.view(total, starts),
        correlation=torch.stack([correlations(each, one) for each, one in zip(grid, inputs.value, strict=True)]),
        agreement=torch.stack([(pair.sum() - pair.trace()) / (starts * (starts - 1)) for pair in pairs]),
        apart=torch.stack(apart),
        low=None if bounds is None else bounds[0],
        high=None if bounds is None else bounds[1],
        trace=None if trace is None else trace.view(total, starts, -1),
    )
