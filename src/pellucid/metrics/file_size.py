"""File size: how many bytes a heatmap takes as a compressed picture."""

import io
from typing import Annotated, ClassVar, Literal

import torch
from PIL import Image
from torch import Tensor

from pellucid.core.method import method
from pellucid.core.query import Judgement
from pellucid.core.spec import Access, Asker, Dimension, Modality, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.judged import Case, RandomMaps, judged, verdict
from pellucid.results.evaluation import Evaluation


@method
class FileSize:
    """The number of bytes of the heatmap as a compressed picture (samek2017evaluating): low is simple.

    The heatmap is the sum of a map over channels, drawn in 8-bit grey in the size of the network's input: black is
    ``−max|a|``, middle grey 0, white ``max|a|``. Pillow's encoders write it, with their own default settings, so that
    sizes can be compared with those from the same version only.
    """

    spec: ClassVar = Spec(
        id="file-size",
        title="File size of the heatmap",
        question="How much is there to see in the heatmap?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.VISUAL, Dimension.SIMULATABILITY},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.AUDITOR},
        needs={Access.OUTPUTS},
        modalities={Modality.IMAGE},
        cost="none",
        references=("samek2017evaluating",),
        serves=("A11",),
        caveat="It says nothing about truth: an empty heatmap is the smallest file.",
        alternatives=("entropy", "gini"),
    )

    format: Annotated[Literal["png", "jpeg"], "without loss, or as a photograph"] = "png"
    random_maps: RandomMaps = 5

    def __call__(self, subject: Subject, query: Judgement) -> Evaluation:
        asked = judged(subject, query)
        return verdict(
            self.spec.id,
            asked,
            [self._sizes(case) for case in asked.cases(self.random_maps)],
            higher_is_better=False,
            protocol=f"The value is the size of the heatmap, in 8-bit grey, as {self.format.upper()}, in bytes.",
        )

    def _sizes(self, case: Case) -> Tensor:
        heat = case.maps.sum(1)
        largest = heat.abs().amax((1, 2), keepdim=True)
        grey = (127.5 * (1 + heat / torch.where(largest > 0, largest, 1.0))).round().to(torch.uint8)
        return torch.tensor([self._size(row) for row in grey], dtype=torch.float64)

    def _size(self, grey: Tensor) -> int:
        written = io.BytesIO()
        Image.fromarray(grey.numpy()).save(written, self.format)
        return len(written.getvalue())
