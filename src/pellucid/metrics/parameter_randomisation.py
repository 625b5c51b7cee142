"""Parameter randomisation: an explanation of a network must change when the network forgets what it learned."""

from typing import Annotated, ClassVar

import torch
from annotated_types import Ge

from pellucid.core.method import method
from pellucid.core.query import Judgement
from pellucid.core.spec import Access, Asker, Dimension, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.judged import RandomMaps, judged, verdict
from pellucid.engine.randomising import Order, Redrawn, randomised
from pellucid.engine.reasking import explainers, originals
from pellucid.engine.resemblance import Similarity, resemblance
from pellucid.results.evaluation import Evaluation


@method
class ParameterRandomisation:
    """How much the map of the trained network resembles that of the randomised one: low is good (adebayo2018sanity).

    ``cascading``: layers are randomised from the scores down to the input, in ``layers`` stages of equally many layers,
    and the value is the similarity after the last, where every parameter is random. It is the same for any number of
    stages: one is the cheap check, more of them show in the ``curve`` where the map begins to change. ``independent``:
    one stage is randomised at a time, the rest is as it was trained, and the value is the mean over stages.

    Parameters are drawn from a normal distribution with their own mean and deviation, or permuted among themselves, so
    that activations keep about their size; one that is the same everywhere stays. The running statistics of batch norms
    are no parameters and stay too. A map that only copies the edges of the picture is the same for both networks and has
    similarity 1, like the control row; the random row is drawn anew for every network. The network itself is never
    changed: its module is copied, once.
    """

    spec: ClassVar = Spec(
        id="parameter-randomisation",
        title="Parameter randomisation",
        question="Does the explanation change when the network forgets what it learned?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.ALGORITHMIC_TRANSPARENCY},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.AUDITOR},
        needs={Access.WEIGHTS},
        properties={"stochastic"},
        cost="layers explanations by each method; 1 with layers=1",
        references=("adebayo2018sanity",),
        serves=("A11",),
        caveat=(
            "To pass is necessary, not sufficient: random maps pass. How far the similarity falls depends on the measure, "
            "and a map of pixels always keeps something of the picture."
        ),
        alternatives=("random-logit",),
    )

    layers: Annotated[int, Ge(1), "stages in which the layers are randomised"] = 4
    order: Annotated[Order, "whether a stage keeps what earlier stages have randomised"] = "cascading"
    redrawn: Annotated[Redrawn, "how parameters are drawn anew"] = "normal"
    similarity: Annotated[Similarity, "rank correlation, or structural similarity of pictures"] = "spearman"
    absolute: Annotated[bool, "whether the sign of a score does not count"] = True
    random_maps: RandomMaps = 5
    seed: Annotated[int, "seed of the new parameters and of the random control"] = 0

    def __call__(self, subject: Subject, query: Judgement) -> Evaluation:
        asked = judged(subject, query, self.seed)
        alike = resemblance(subject, asked.inputs, self.similarity, self.absolute)
        stages = []
        forgetting = randomised(subject, asked.inputs, self.layers, self.order, self.redrawn, asked.seed)
        for number, other in enumerate(forgetting, 1):
            asking = explainers(asked, self.random_maps, number)
            pairs = zip(originals(asked, self.random_maps), asking, strict=True)
            stages.append(
                torch.stack([alike(map, explain(other, asked.inputs, asked.target)) for map, explain in pairs])
            )
        curves = torch.stack([torch.ones_like(stages[0]), *stages], -1)
        values = curves[..., -1] if self.order == "cascading" else curves[..., 1:].mean(-1)
        return verdict(
            self.spec.id,
            asked,
            list(values.unbind(1)),
            curves=list(curves.unbind(1)),
            higher_is_better=False,
            protocol=(
                f"All layers were randomised in {len(stages)} {self.order} stages from the scores down, their parameters "
                f"{'permuted' if self.redrawn == 'permuted' else 'drawn with their own mean and deviation'}; the value is "
                f"the {self.similarity} similarity of {'absolute' if self.absolute else 'signed'} scores "
                f"{'after the last stage' if self.order == 'cascading' else 'in the mean over stages'}."
            ),
        )
