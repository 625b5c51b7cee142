"""Relative stability: how much an explanation changes, by how much the input, a layer or the scores do."""

from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Gt
from torch import Tensor

from pellucid.core.errors import NotAnswerable
from pellucid.core.method import method
from pellucid.core.query import Judgement
from pellucid.core.spec import Access, Asker, Dimension, Scope, Spec, View
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.disturbing import Copies, Radius, disturbed
from pellucid.engine.gradients import point_value
from pellucid.engine.judged import Case, Judged, RandomMaps, judged, verdict
from pellucid.engine.reasking import about_points, repeated
from pellucid.engine.targets import at_position
from pellucid.results.evaluation import Evaluation

Reference = Literal["input", "output", "representation"]


@method
class RelativeStability:
    """The largest relative change of the explanation by the change of what it is ``of``, over disturbed copies whose
    predicted class is the same: low is good (agarwal2022rethinking).

    ``input``: ``‖(Φ − Φ')/Φ‖ / max(‖(x − x')/x‖, ε)``; ``representation``: by the relative change of a layer's
    activation; ``output``: by the plain change of the scores. Quotients are taken element by element. Where an element
    is exactly 0 its relative change has no meaning, and it is left out; with ``compat="quantus"`` it counts as if it were
    ε, which makes such elements all that matters.
    """

    spec: ClassVar = Spec(
        id="relative-stability",
        title="Relative stability",
        question="Does the explanation change more than what it explains?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.ALGORITHMIC_TRANSPARENCY},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.AUDITOR},
        needs={Access.OUTPUTS},
        properties={"perturbation", "stochastic"},
        cost="copies explanations by each method, and copies F",
        references=("agarwal2022rethinking",),
        serves=("A11",),
        caveat=(
            "Elements whose score is nearly 0 dominate the relative change of a map. The largest of a few draws is a lower "
            "bound."
        ),
        alternatives=("max-sensitivity", "local-lipschitz"),
    )

    of: Annotated[Reference, "what the explanation should be as stable as"] = "input"
    layer: Annotated[str | None, "whose activation is the representation; None: what the last layer reads"] = None
    copies: Copies = 10
    radius: Radius = 0.02
    floor: Annotated[float, Gt(0), "ε, the smallest change that is divided by"] = 1e-6
    random_maps: RandomMaps = 5
    compat: Annotated[Literal["quantus"] | None, "whose convention is followed; None: the paper's"] = None
    seed: Annotated[int, "seed of the copies and of the random control"] = 0

    def __call__(self, subject: Subject, query: Judgement) -> Evaluation:
        asked = judged(subject, query, self.seed)
        return verdict(
            self.spec.id,
            asked,
            [self._largest(asked, case) for case in asked.cases(self.random_maps)],
            higher_is_better=False,
            protocol=(
                f"The value is the largest relative change of the map by that of the {self.of}, over those of {self.copies} "
                f"copies, moved by at most {self.radius:.3g} of the range, that keep their class."
            ),
        )

    def _largest(self, asked: Judged, case: Case) -> Tensor:
        points = disturbed(case, self.copies, self.radius)
        inputs = repeated(case.inputs, torch.cat([case.inputs.value, points]))
        scores = at_position(case.subject.scores(inputs), case.target.rows(torch.zeros(len(inputs), dtype=torch.long)))
        kept = torch.ones(len(points), dtype=torch.bool)
        if case.subject.task.output != "value":
            classes = scores[:, 0] > 0 if scores.shape[1] == 1 else scores.argmax(1)
            kept = classes[1:] == classes[0]
        if not bool(kept.any()):
            raise NotAnswerable(f"none of {self.copies} copies keeps the predicted class; use a smaller radius")
        changed = self._changes(case, inputs, scores)
        return torch.stack(
            [(self._relative(map, maps) / changed)[kept].max() for map, maps in about_points(asked, case, points)]
        )

    def _changes(self, case: Case, inputs: Inputs, scores: Tensor) -> Tensor:
        """By how much each copy differs, at least ``floor``: ``[copies]``; the first of ``inputs`` is the example."""
        if self.of == "output":
            found = (scores[1:] - scores[0]).double().flatten(1).norm(dim=1)
        elif self.of == "input":
            found = self._relative(inputs.value[0].double(), inputs.value[1:].double())
        else:
            states = point_value(case.subject, inputs, self.layer or _last_read(case.subject, case.inputs)).double()
            found = self._relative(states[0], states[1:])
        return found.clamp(min=self.floor)

    def _relative(self, before: Tensor, after: Tensor) -> Tensor:
        nothing = before == 0
        quotients = (after - before) / torch.where(nothing, self.floor, before)
        if self.compat is None:
            quotients = torch.where(nothing, 0.0, quotients)
        return quotients.flatten(1).norm(dim=1)


def _last_read(subject: Subject, inputs: Inputs) -> str:
    """What returns just before the last layer with weights, which as a rule reads it."""
    if subject.module is None:
        raise NotAnswerable(f"{subject.name} shows no layers; use of='input' or of='output'")
    modules = dict(subject.module.named_modules())
    leaves = [layer for layer in subject.layers(inputs) if not list(modules[layer.name].children())]
    weighted = [place for place, leaf in enumerate(leaves) if next(modules[leaf.name].parameters(), None) is not None]
    read = leaves[weighted[-1] - 1] if weighted and weighted[-1] > 0 else None
    if read is None or read.shape is None:
        raise NotAnswerable(f"what the last layer of {subject.name} reads is not to be seen; name a layer")
    return read.name
