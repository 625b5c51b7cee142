"""Top examples: the examples of the data that a unit responds to most, cut to what it sees of each."""

from typing import Annotated, ClassVar

from annotated_types import Ge

from pellucid.core.method import method
from pellucid.core.query import Unit
from pellucid.core.spec import Access, Asker, Dimension, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.unit_examples import unit_examples
from pellucid.results.unit_report import UnitReport


@method
class TopExamples:
    """The ``k`` examples with the strongest activation of a unit, each at the place of the map where it is strongest
    (zeiler2014visualizing).

    ``regions`` are the receptive fields of these places, by arithmetic. Equal activations keep the order of the data, and of
    equal places the first counts. Without an index the channel with the strongest activation of all is reported.
    """

    spec: ClassVar = Spec(
        id="top-examples",
        title="Top examples",
        question="Which examples of the data excite this unit most, and what does it see of each?",
        scopes={Scope.TRANSPARENCY, Scope.DECOMPOSABILITY},
        dimensions={Dimension.DECOMPOSABILITY, Dimension.VISUAL, Dimension.BY_EXAMPLE},
        view=View.MODEL,
        askers={Asker.DEVELOPER, Asker.DOMAIN_EXPERT},
        needs={Access.ACTIVATIONS},
        cost="at most 1 F per example of the data",
        references=("zeiler2014visualizing",),
        serves=("B3", "B5"),
        caveat=(
            "The strongest examples look alike more than the unit's other examples do: a unit may respond to quite different "
            "things a little less strongly. What it does not respond to at all is not shown either."
        ),
        alternatives=("occlusion",),
    )

    k: Annotated[int, Ge(1), "how many examples are shown"] = 9

    def __call__(self, subject: Subject, query: Unit) -> UnitReport:
        found = unit_examples(subject, query, self.k, "top examples")
        return found.report(subject, found.shown())
