"""Generator activation maximisation: pictures that excite a unit, among those that a trained generator can make."""

import dataclasses
from typing import Annotated, Any, ClassVar, Literal, Union

import torch
from annotated_types import Ge, Gt

from pellucid.core.annotations import Data
from pellucid.core.errors import UsageError
from pellucid.core.method import method
from pellucid.core.query import Unit
from pellucid.core.spec import Access, Asker, Dimension, Modality, Scope, Spec, View
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.drawing_units import seeds_of, told
from pellucid.engine.generating import (
    Generated,
    Generator,
    Together,
    falling,
    opened,
    range_distance,
    shrinking,
    small_codes,
    within,
)
from pellucid.engine.optimize import Course, ascend, plain
from pellucid.engine.shaping import decayed
from pellucid.engine.targets import Objective
from pellucid.engine.units import objective_of
from pellucid.results.feature_images import FeatureImages

RANGE = "distance to the generator's range"


@method
class GeneratorAM:
    """Codes ``y`` for which ``generator`` draws what excites the unit most (nguyen2016synthesizing).

    ``dgn-am``: from a small random code, ``y`` moves along the gradient of the unit through the generator, with steps whose
    mean size falls from ``rate`` deviations of the codes to nothing; each element is then kept between 0 and three deviations
    above its mean over the generator's data (three below where codes may be negative), and all are multiplied by ``1 −
    decay``. The published step first moves the picture and then the code towards that picture; both steps are
    normalised, so that the code moves the same way. The last picture is shown, not the one that excites the unit most.

    ``penalised`` maximises ``unit(G(y)) − penalty · |y|²`` by proximal gradient ascent of step size ``rate``, and keeps codes
    nowhere. ``also`` names classes, or channels of the same layer, that are to be excited together with the unit.
    """

    spec: ClassVar = Spec(
        id="generator-am",
        title="Activation maximisation by a generator",
        question="What would a realistic picture look like that this unit or class prefers?",
        scopes={Scope.TRANSPARENCY},
        dimensions={Dimension.VISUAL},
        view=View.MODEL,
        askers={Asker.DEVELOPER, Asker.DOMAIN_EXPERT},
        needs={Access.GRADIENTS},
        modalities={Modality.IMAGE, Modality.TENSOR, Modality.TABULAR},
        properties={"stochastic"},
        cost="200 B for each of 3 starts, and a trained generator",
        references=("nguyen2016synthesizing", "dosovitskiy2016generating"),
        serves=("B7",),
        caveat=(
            "The generator decides what the picture looks like: all that it shows beyond what the unit asks for comes from "
            "the generator's data, and what that data lacks cannot be drawn."
        ),
        alternatives=("class-image", "inversion", "occlusion"),
    )

    generator: Annotated[Union[str, Any], Data(), "a decoder that train-decoder made, or its file"]
    also: Annotated[tuple[int, ...], "classes, or channels of the same layer, that are excited together with it"] = ()
    recipe: Annotated[Literal["dgn-am", "penalised"], "how codes are kept plausible"] = "dgn-am"
    steps: Annotated[int, Ge(1), "steps of the ascent"] = 200
    starts: Annotated[int, Ge(1), "pictures, from as many random codes"] = 3
    rate: Annotated[float, Gt(0), "size of the first step; of dgn-am in deviations of the codes"] = 3.0
    decay: Annotated[float, Ge(0), "of dgn-am: the share of a code that is lost at each step"] = 0.01
    penalty: Annotated[float, Ge(0), "of penalised: the weight of the code's squared norm"] = 0.5
    second: Annotated[Subject | None, Data(), "another network with the same classes, asked about the pictures"] = None
    seed: Annotated[int, "of the random codes"] = 0

    def __call__(self, subject: Subject, query: Unit) -> FeatureImages:
        generator = opened(self.generator)
        inputs = subject.prepare(torch.zeros(self.starts, *generator.picture, dtype=generator.mean.dtype))
        objective, name = self._objective(subject, inputs, query)
        course = self._ascent(subject, inputs, objective, generator, seeds_of(self.seed, name, self.starts))
        captions = [f"start {number + 1}" for number in range(self.starts)]
        found = told(subject, query, inputs, objective, course, (name,) * self.starts, captions, self.second)
        apart = range_distance(generator, course.images.to(generator.mean), course.leaf)
        return dataclasses.replace(found, evidence={**found.evidence, RANGE: apart})

    def _ascent(
        self, subject: Subject, inputs: Inputs, objective: Objective, generator: Generator, seeds: list[int]
    ) -> Course:
        if self.recipe == "dgn-am":
            rule = falling(self.rate * float(generator.deviation.mean()), self.steps)
            after = [within(generator), decayed(self.decay)]
        else:
            rule, after = plain(self.rate), [shrinking(self.rate, self.penalty)]
        canvas = Generated(small_codes(generator, seeds), generator)
        return ascend(
            subject,
            inputs,
            objective,
            canvas,
            steps=self.steps,
            rule=rule,
            after=after,
            seed=self.seed,
            label=self.spec.id,
        )

    def _objective(self, subject: Subject, inputs: Inputs, query: Unit) -> tuple[Objective, str]:
        of_class = query.target is not None
        asked = [query, *(Unit(query.layer, None if of_class else n, n if of_class else None) for n in self.also)]
        found = [objective_of(subject, inputs, unit) for unit in asked]
        if len({name for _, name in found}) < len(found):
            raise UsageError(f"generator-am(also={self.also}) names a unit twice")
        if len(found) == 1:
            return found[0]
        return Together(tuple(objective for objective, _ in found)), " and ".join(name for _, name in found)
