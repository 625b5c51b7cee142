"""Deconv patches: what excites a unit in its top examples, projected back to the pixels through the network turned around."""

import dataclasses
from typing import Annotated, ClassVar, Union

from annotated_types import Ge
from torch import Tensor

from pellucid.core.annotations import Data
from pellucid.core.errors import UsageError
from pellucid.core.method import method
from pellucid.core.query import Decision, Unit
from pellucid.core.spec import Access, Asker, Dimension, Modality, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.attributing import attribution
from pellucid.engine.projection import Signal, projected, shares_inside
from pellucid.engine.targets import Target
from pellucid.engine.unit_examples import unit_examples
from pellucid.results.unit_report import UnitReport


@method
class DeconvPatches:
    """The ``k`` examples with the strongest activation of a unit, and of each the projection of that one activation, with its
    value, all others of the layer being set to zero (zeiler2014visualizing).

    On the way back filters are transposed, pooling is undone by the switches of the forward pass, and the signal is
    rectified at every rectifier below the layer; ``signal`` chooses backpropagation or guided backpropagation
    (springenberg2015striving) instead. ``maps.quality`` holds the share of each projection's absolute values that lies in the
    unit's receptive field, and in the box of ``reference``.
    """

    spec: ClassVar = Spec(
        id="deconv-patches",
        title="Deconvnet patches",
        question="Which pattern of each of its strongest examples excites this unit?",
        scopes={Scope.TRANSPARENCY, Scope.DECOMPOSABILITY},
        dimensions={Dimension.DECOMPOSABILITY, Dimension.VISUAL, Dimension.BY_EXAMPLE},
        view=View.MODEL,
        askers={Asker.DEVELOPER, Asker.DOMAIN_EXPERT},
        needs={Access.ACTIVATIONS, Access.WEIGHTS},
        modalities={Modality.IMAGE, Modality.SEQUENCE, Modality.TENSOR},
        cost="at most 1 F per example of the data, and 1 F and 1 B per example shown",
        references=("zeiler2014visualizing", "springenberg2015striving"),
        serves=("B3", "B5"),
        caveat=(
            "A projection shows what the filters below the unit would draw, not what the unit needs: it may show edges that "
            "make no difference. Without max pooling it depends on the example by its scale alone."
        ),
        alternatives=("top-examples", "occlusion"),
    )

    k: Annotated[int, Ge(1), "how many examples are shown"] = 9
    signal: Annotated[Signal, "what happens to the signal at rectifiers"] = "deconvnet"
    reference: Annotated[
        Union[Tensor, None],
        Data(),
        "boxes (top, left, bottom, right) of what should excite it, one for all or per example",
    ] = None

    def __call__(self, subject: Subject, query: Unit) -> UnitReport:
        found = unit_examples(subject, query, self.k, "deconv patches")
        boxes = self._boxes(len(found.data))
        shown = found.shown()
        values = found.values[found.examples]
        maps, told = projected(subject, shown, found.layer.name, found.places, values, self.signal)
        report = found.report(subject, shown)
        quality = {}
        if report.regions is not None:
            quality["inside_its_receptive_field"] = shares_inside(maps, report.regions.tolist())
        if boxes is not None and shown.value.ndim == 4:
            quality["inside_the_reference"] = shares_inside(maps, boxes[found.examples].tolist())
        target = Target(Unit(found.layer.name, found.index), subject.task.output, None, None, ())
        asked = Decision(shown)
        answer = attribution(subject, shown, asked, target, maps, values, quality=quality)
        answer = dataclasses.replace(answer, query=asked)
        return dataclasses.replace(report, maps=answer, notes=(*report.notes, *told))

    def _boxes(self, examples: int) -> Tensor | None:
        if self.reference is None:
            return None
        boxes = self.reference.expand(examples, -1) if self.reference.ndim == 1 else self.reference
        if tuple(boxes.shape) != (examples, 4):
            raise UsageError(
                f"reference= takes a box (top, left, bottom, right), or one for each of {examples} examples, not "
                f"{tuple(self.reference.shape)}"
            )
        return boxes
