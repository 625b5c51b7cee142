"""Random logit: an explanation of one output must differ from that of another."""

import dataclasses
from typing import Annotated, ClassVar

import torch

from pellucid.core.errors import NotAnswerable
from pellucid.core.method import method
from pellucid.core.query import Judgement
from pellucid.core.spec import Access, Asker, Dimension, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.coalitions import draws_of
from pellucid.engine.judged import Judged, RandomMaps, judged, verdict
from pellucid.engine.reasking import explainers, originals
from pellucid.engine.resemblance import Similarity, resemblance
from pellucid.engine.targets import Target
from pellucid.results.evaluation import Evaluation


@method
class RandomLogit:
    """How much the map of the target resembles that of another output, drawn at random: low is good (sixt2020explanations).

    The other output is neither the target nor the foil, and the same for every row; it depends on the example and the
    seed. Where there are no others, target and foil change places. A map that only copies the edges of the picture is the
    same for all outputs and has similarity 1, like the control row; the random row is drawn anew for every output. Of two
    outputs that answer only relative to each other the signed maps are opposite: −1.
    """

    spec: ClassVar = Spec(
        id="random-logit",
        title="Random logit",
        question="Does the explanation of one output differ from that of another?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.ALGORITHMIC_TRANSPARENCY},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.AUDITOR},
        needs={Access.OUTPUTS},
        properties={"stochastic"},
        cost="1 explanation by each method",
        references=("sixt2020explanations",),
        serves=("A11",),
        caveat=(
            "Outputs that really use the same parts of the input have similar maps for a good reason. To pass is necessary, "
            "not sufficient: random maps pass."
        ),
        alternatives=("parameter-randomisation",),
    )

    similarity: Annotated[Similarity, "rank correlation, or structural similarity of pictures"] = "spearman"
    absolute: Annotated[bool, "whether the sign of a score does not count"] = False
    random_maps: RandomMaps = 5
    seed: Annotated[int, "seed of the other output and of the random control"] = 0

    def __call__(self, subject: Subject, query: Judgement) -> Evaluation:
        asked = judged(subject, query, self.seed)
        other = _other_outputs(asked)
        alike = resemblance(subject, asked.inputs, self.similarity, self.absolute)
        pairs = zip(originals(asked, self.random_maps), explainers(asked, self.random_maps, 1), strict=True)
        found = torch.stack([alike(map, explain(subject, asked.inputs, other)) for map, explain in pairs])
        return verdict(
            self.spec.id,
            asked,
            list(found.unbind(1)),
            higher_is_better=False,
            protocol=(
                f"The value is the {self.similarity} similarity of {'absolute' if self.absolute else 'signed'} scores for "
                "the target and for another output, drawn at random."
            ),
        )


def _other_outputs(asked: Judged) -> Target:
    """The same question about another output of each example."""
    target = asked.target
    if target.index is None:
        raise NotAnswerable("the decision is about a unit, which has no other output; name a target instead")
    outputs = asked.subject.scores(asked.inputs.rows(slice(0, 1))).shape[-1]
    if outputs == 2 and target.foil is not None:
        return dataclasses.replace(target, index=target.foil, foil=target.index)
    index = target.index.clone()
    for row in range(len(index)):
        taken = {int(index[row, -1])} | (set() if target.foil is None else {int(target.foil[row, -1])})
        free = [output for output in range(outputs) if output not in taken]
        if not free:
            raise NotAnswerable(
                f"{asked.subject.name} has no other of its {outputs} outputs to compare the target with; ask "
                "parameter-randomisation"
            )
        source = draws_of(asked.inputs, row, asked.seed, "random logit")
        index[row, -1] = free[int(torch.randint(len(free), (), generator=source))]
    return dataclasses.replace(target, index=index)
