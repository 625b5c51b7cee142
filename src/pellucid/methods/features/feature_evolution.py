"""Feature evolution: which example excites a unit most, at every checkpoint of the training."""

from typing import Annotated, Any, ClassVar, Union

import torch
from annotated_types import Ge

from pellucid.core.annotations import Data
from pellucid.core.errors import UsageError
from pellucid.core.method import method
from pellucid.core.query import Unit
from pellucid.core.spec import Access, Asker, Dimension, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.checkpoints import checkpoint
from pellucid.engine.unit_examples import asked_unit, examples_of, regions_of
from pellucid.results.evolution import Evolution


@method
class FeatureEvolution:
    """The strongest example of a unit at each checkpoint with its activation, how many of the ``k`` strongest at the last
    one were already among these, and where the very strongest jumps to another example (zeiler2014visualizing).

    Checkpoints are in the order of the training; without an index the channel is chosen at the last one.
    """

    spec: ClassVar = Spec(
        id="feature-evolution",
        title="Feature evolution",
        question="When during the training did this unit become what it is?",
        scopes={Scope.TRANSPARENCY},
        dimensions={Dimension.ALGORITHMIC_TRANSPARENCY, Dimension.VISUAL, Dimension.BY_EXAMPLE},
        view=View.MODEL,
        askers={Asker.DEVELOPER},
        needs={Access.ACTIVATIONS, Access.WEIGHTS},
        cost="at most 1 F per example of the data and checkpoint",
        references=("zeiler2014visualizing",),
        serves=("B3",),
        caveat=(
            "A jump of the strongest example need not be a jump of the unit: where several examples are about as strong, a "
            "small change decides which is first. The overlap changes more steadily."
        ),
        alternatives=("top-examples", "occlusion"),
    )

    checkpoints: Annotated[
        Union[str, Any],
        Data(),
        "state-dict files (.safetensors, .pt), state dicts or modules, in order; 'final' is the subject itself",
    ]
    k: Annotated[int, Ge(1), "how many strongest examples are compared"] = 9

    def __call__(self, subject: Subject, query: Unit) -> Evolution:
        given = self.checkpoints
        given = [part.strip() for part in given.split(",")] if isinstance(given, str) else list(given)
        if len(given) < 2:
            raise UsageError(f"checkpoints= takes two or more states of the network, not {len(given)}")
        data, layer, index = asked_unit(subject, query)
        one = data.inputs([0])
        states = [checkpoint(subject, one, state, number) for number, state in enumerate(given)]
        last = examples_of(states[-1][1], data, layer, index, self.k, "feature evolution")
        earlier = (examples_of(state, data, layer, last.index, self.k, "feature evolution") for _, state in states[:-1])
        found = [*earlier, last]
        strongest = [int(one.examples[0]) for one in found]
        final = set(last.examples.tolist())
        overlap = [len(final & set(one.examples.tolist())) / len(final) for one in found]
        shown = data.inputs(strongest)
        regions, notes = regions_of(states[-1][1], shown, layer.name, [one.places[0] for one in found])
        return Evolution(
            layer=layer.name,
            index=last.index,
            checkpoints=tuple(name for name, _ in states),
            examples=torch.stack([one.examples for one in found]),
            values=torch.stack([one.values[one.examples] for one in found]),
            overlap=torch.tensor(overlap, dtype=torch.float64),
            names=tuple(data.names[number] for number in strongest),
            regions=regions,
            shown=shown,
            notes=(*last.notes, *notes),
        )
