"""The gradient: how fast the score changes with each element of the input."""

from typing import Annotated, ClassVar, Literal

from pellucid.core.method import method
from pellucid.core.query import Decision
from pellucid.core.spec import Access, Asker, Dimension, Point, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.attributing import attribution
from pellucid.engine.gradients import gradients
from pellucid.engine.targets import resolve
from pellucid.results.attribution import Attribution


@method
class Gradient:
    """Scores are the partial derivatives of the explained quantity, or their absolute value (the saliency map)."""

    spec: ClassVar = Spec(
        id="gradient",
        title="Gradient (sensitivity map)",
        question="Which elements would change the score fastest if they changed a little?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.VISUAL},
        view=View.DECISION,
        askers={Asker.DEVELOPER},
        needs={Access.GRADIENTS},
        points={Point.INPUT, Point.LAYER},
        properties={"sensitivity"},
        cost="1 B",
        references=("simonyan2014deep",),
        serves=("A1", "A10"),
        caveat="It says what would change the score, not what made it: a clear object can have a small gradient.",
        alternatives=("occlusion", "lime"),
    )

    values: Annotated[Literal["signed", "absolute"], "signed derivatives, or their absolute value"] = "signed"

    def __call__(self, subject: Subject, query: Decision) -> Attribution:
        inputs = subject.prepare(query.inputs)
        target = resolve(subject, inputs, query)
        found = gradients(subject, inputs, target, query.at)
        scores = found.gradient.abs() if self.values == "absolute" else found.gradient
        return attribution(subject, inputs, query, target, scores, found.values)
