"""Class images: a picture that the network takes for a class as surely as it can."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

from annotated_types import Ge, Gt

from pellucid.core.annotations import Data
from pellucid.core.errors import UsageError
from pellucid.core.method import method
from pellucid.core.query import Unit
from pellucid.core.spec import Access, Asker, Dimension, Modality, Scope, Spec, Structure, View
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.canvases import Parametrisation
from pellucid.engine.drawing_units import bounds_of, climbed, drawn_unit, start
from pellucid.engine.optimize import Course, power_norm
from pellucid.engine.targets import Objective
from pellucid.results.feature_images import FeatureImages


@method
class ClassImage:
    """Pictures ``x`` that maximise ``S(x) − decay · ‖x‖²`` for the unnormalised score ``S`` of ``query.target``
    (simonyan2014deep).

    The probability is not maximised itself: it also rises where all other classes fall. With ``fft`` a picture is drawn by
    its spectrum, in colours that vary as in photographs, and shown slightly moved, turned and scaled at each step
    (olah2017feature); with ``pixel`` the pixels are moved as they are, which mostly finds noise. Evidence beside each
    start: its probability here and in ``second``, a network with the same classes.
    """

    spec: ClassVar = Spec(
        id="class-image",
        title="Class image",
        question="What does the network take to be this class?",
        scopes={Scope.TRANSPARENCY},
        dimensions={Dimension.VISUAL},
        view=View.MODEL,
        askers={Asker.DEVELOPER, Asker.DOMAIN_EXPERT},
        needs={Access.GRADIENTS, Structure.CLASS_SCORES},
        modalities={Modality.IMAGE, Modality.TENSOR, Modality.TABULAR},
        properties={"stochastic"},
        cost="150 B for each of 3 starts",
        references=("simonyan2014deep", "olah2017feature"),
        serves=("B2", "B8"),
        caveat=(
            "It shows one way to be certain of a class, not what its examples have in common, and it may please this "
            "network alone: look at the second network's answer and at the share of fine texture."
        ),
        alternatives=("what-if", "response"),
    )

    size: Annotated[
        int | None, Ge(8), "the side of the picture in pixels; by default the network's own, at most 128"
    ] = None
    steps: Annotated[int, Ge(1), "how many steps of the ascent"] = 150
    starts: Annotated[int, Ge(1), "how many pictures, from as many random starts"] = 3
    parametrisation: Annotated[Parametrisation, "what is moved: the spectrum of a picture or its pixels"] = "fft"
    rate: Annotated[float, Gt(0), "the rate of the ascent (Adam)"] = 0.03
    jitter: Annotated[
        float, Ge(0), "by what share of its side a spectrum's picture is moved at each step, at most; 0: not"
    ] = 0.15
    decay: Annotated[float, Ge(0), "the weight of the squared norm, which is subtracted"] = 0.0
    second: Annotated[Subject | None, Data(), "another network with the same classes, asked about the pictures"] = None
    seed: Annotated[int, "where the random starts begin"] = 0

    def __call__(self, subject: Subject, query: Unit) -> FeatureImages:
        if query.target is None:
            raise UsageError("name a class: Unit(target='Egyptian cat'); for a unit of a layer ask feature-image")
        ascent = lambda inputs, unit, seeds: self._ascent(subject, inputs, unit, seeds)  # noqa: E731
        return drawn_unit(subject, query, self.starts, self.size, self.seed, "mean", ascent, self.second)

    def _ascent(self, subject: Subject, inputs: Inputs, objective: Objective, seeds: Sequence[int]) -> Course:
        return climbed(
            subject,
            inputs,
            objective,
            start(self.parametrisation, inputs, bounds_of(subject, inputs), seeds),
            steps=self.steps,
            rate=self.rate,
            jitter=self.jitter,
            seed=self.seed,
            label=self.spec.id,
            penalties=[lambda point: self.decay * power_norm(point)] if self.decay else [],
        )
