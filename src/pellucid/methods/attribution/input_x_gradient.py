"""Input times gradient: how much each element, as large as it is, moves the score to first order."""

from typing import ClassVar

from pellucid.core.method import method
from pellucid.core.query import Decision
from pellucid.core.spec import Access, Asker, Dimension, Point, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.attributing import attribution
from pellucid.engine.gradients import gradients
from pellucid.engine.targets import resolve
from pellucid.results.attribution import Attribution


@method
class InputXGradient:
    """Scores are element times partial derivative, in the model's own space.

    They sum to the explained quantity where it is linear along the ray from zero, as in networks of ReLUs without
    biases; elsewhere they do not (shrikumar2017not).
    """

    spec: ClassVar = Spec(
        id="input-x-gradient",
        title="Input × gradient",
        question="How much does each element, as large as it is, move the score to first order?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.VISUAL},
        view=View.DECISION,
        askers={Asker.DEVELOPER},
        needs={Access.GRADIENTS},
        points={Point.INPUT, Point.LAYER},
        properties={"sensitivity"},
        cost="1 B",
        references=("shrikumar2017not",),
        serves=("A1",),
        caveat="What is near zero in the model's own space, such as mean grey, scores near zero whatever it means.",
        alternatives=("occlusion", "lime"),
    )

    def __call__(self, subject: Subject, query: Decision) -> Attribution:
        inputs = subject.prepare(query.inputs)
        target = resolve(subject, inputs, query)
        found = gradients(subject, inputs, target, query.at)
        return attribution(subject, inputs, query, target, found.gradient * found.point, found.values)
