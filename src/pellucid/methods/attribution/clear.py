"""CLEAR: class-enhanced attentive response, several classes in one map."""

import dataclasses
from typing import Annotated, ClassVar, Union

import torch
from annotated_types import Ge
from torch import Tensor

from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.core.method import method
from pellucid.core.query import Decision
from pellucid.core.spec import Access, Asker, Dimension, Point, Scope, Spec, Structure, View
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.attributing import Explainer
from pellucid.engine.targets import Target, again, class_index, resolve
from pellucid.methods.attribution.lrp import LRP
from pellucid.results.attribution import Attribution
from pellucid.results.class_response import ClassResponse

Classes = Union[tuple[Union[int, str], ...], str, None]


@method
class Clear:
    """Of each place: which of the classes it speaks for most (hue), and how strongly (intensity).

    The response R(x|c) of a class is what ``inner`` says of it; the dominant response is D(x) = max R(x|c) over the
    classes, the dominant class C(x) the one where it is reached. All classes are asked in one batch. The paper
    (kumar2017explaining) projects the maps of its network's last layer, which has one per class, back by deconvolution;
    relevance gives such a response for any network, and signs and sizes that classes can be compared by.

    Without ``classes`` the ``most`` likely ones are compared, the query's target always among them, its foil never: with a
    foil each response is that of the class rather than the foil.
    """

    spec: ClassVar = Spec(
        id="clear",
        title="CLEAR (class-enhanced attentive response)",
        question="Which class does each place of the input speak for most, and how strongly?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.VISUAL},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.DOMAIN_EXPERT, Asker.AFFECTED_PERSON},
        needs={Access.OUTPUTS, Structure.CLASS_SCORES},  # and what the inner method needs
        points={Point.INPUT, Point.LAYER},
        cost="1 F, and the inner method once per class: 5 B",
        references=("kumar2017explaining",),
        serves=("A8", "A10"),
        caveat=(
            "Only the classes that are compared can win: a place may speak most for one that was left out. Classes with "
            "large scores have large responses, and win more places."
        ),
        alternatives=("occlusion", "lime"),
    )

    inner: Annotated[Explainer, "what each class is explained by"] = LRP(composite="epsilon-plus")
    classes: Annotated[
        Classes, "indices or labels of the classes, also as one text with commas; None: the likely ones"
    ] = None
    most: Annotated[int, Ge(1), "how many classes, where none are named"] = 5

    def __call__(self, subject: Subject, query: Decision) -> ClassResponse:
        inputs = subject.prepare(query.inputs)
        target = _resolved(subject, inputs, query)
        if target.index is None:
            raise NotAnswerable("a unit has no classes that could be compared; ask of='score', or lrp about the unit")
        classes = self._classes(subject, inputs, query, target)
        number = classes.shape[1]
        rows = torch.arange(len(inputs)).repeat_interleave(number)
        of_class = torch.cat([target.index[rows, :-1], classes.reshape(-1, 1)], 1)
        asked = dataclasses.replace(target.rows(rows), index=of_class)
        answer = self.inner(subject, again(query, inputs.rows(rows), asked))
        assert isinstance(answer, Attribution)
        one_each = slice(None, None, number)

        def by_class(values: Tensor | None) -> Tensor | None:
            return None if values is None else values.unflatten(0, (len(inputs), number))

        return ClassResponse(
            responses=answer.scores.unflatten(0, (len(inputs), number)),
            classes=classes,
            value=answer.value.unflatten(0, (len(inputs), number)),
            features=answer.features.rows(one_each),
            at=query.at,
            position=target.index[:, :-1] if target.index.shape[1] > 1 else None,
            foil=target.public(target.foil),
            labels=tuple(target.labels),
            mask=None if answer.mask is None else answer.mask[one_each],
            residual=by_class(answer.residual),
            reaching=by_class(answer.reaching),
            converged=by_class(answer.converged),
            notes=tuple(dict.fromkeys(answer.notes)),
        )

    def _classes(self, subject: Subject, inputs: Inputs, query: Decision, target: Target) -> Tensor:
        """``[batch, classes]``"""
        assert target.index is not None
        scores = subject.scores(inputs)[(torch.arange(len(inputs)), *target.index[:, :-1].unbind(1))]
        if self.classes is not None:
            named = self._named(target, scores.shape[1])
            if query.target is not None and not set(target.index[:, -1].tolist()) <= set(named):
                raise UsageError(f"target {query.target!r} is not among the classes {self.classes}; name it there")
            return torch.tensor([named] * len(inputs))
        if query.target is not None:
            scores.scatter_(1, target.index[:, -1:], torch.inf)
        if target.foil is not None:
            scores.scatter_(1, target.foil[:, -1:], -torch.inf)
        number = min(self.most, scores.shape[1] - (target.foil is not None))
        if not number:
            raise UsageError("there is no class besides the foil; leave the foil out")
        return scores.argsort(dim=1, descending=True, stable=True)[:, :number]

    def _named(self, target: Target, outputs: int) -> list[int]:
        assert self.classes is not None
        words = self.classes.split(",") if isinstance(self.classes, str) else self.classes
        found = [class_index(word, target.labels) if isinstance(word, str) else word for word in words]
        outside = [number for number in found if not 0 <= number < outputs]
        if outside:
            raise UsageError(f"class {outside[0]} is outside the {outputs} outputs")
        if not found or len(set(found)) < len(found):
            raise UsageError(
                f"classes {self.classes} are {'none' if not found else 'not all different'}; name each once"
            )
        if target.foil is not None and set(found) & set(target.foil[:, -1].tolist()):
            raise UsageError(
                "the foil is among the classes, and nothing speaks for it rather than for itself; leave it out"
            )
        return found


def _resolved(subject: Subject, inputs: Inputs, query: Decision) -> Target:
    """Target and foil; where no target is named the foil may be the predicted class itself."""
    if query.foil is None or query.target is not None:
        return resolve(subject, inputs, query)
    foil = resolve(subject, inputs, dataclasses.replace(query, target=query.foil, foil=None))
    return dataclasses.replace(foil, foil=foil.index)
