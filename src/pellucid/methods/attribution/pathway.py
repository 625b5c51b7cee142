"""Pathway: the few channels of every layer that carry a decision, found by relevance and confirmed by ablation."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Union

import torch
from annotated_types import Ge, Lt
from torch import Tensor

from pellucid.core.annotations import Data
from pellucid.core.meter import report
from pellucid.core.method import method
from pellucid.core.query import Decision
from pellucid.core.seeds import generator
from pellucid.core.spec import Access, Asker, Dimension, Scope, Spec, View
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.ablation import Ablation, Silence, silence
from pellucid.engine.conditional_flow import strongest_links
from pellucid.engine.crossings import Crossing, crossings
from pellucid.engine.redistribution import redistribute
from pellucid.engine.routing import Found, joined
from pellucid.engine.rules import composite
from pellucid.engine.sufficiency import sufficient
from pellucid.engine.taping import taped
from pellucid.engine.targets import Target, resolve
from pellucid.engine.verdicts import Keep, outcome, verdict
from pellucid.results.route import Route

Reference = Union[Tensor, tuple[Any, ...], list[Any], None]
Names = Union[str, tuple[str, ...], None]


@method
class Pathway:
    """The route alone keeps the decision: all other channels of its layers are switched off at once, as the signal flows.

    Layers are by default those that every path from the input to the decision crosses, so that nothing passes by the
    route. Channels are ranked by relevance, by the rules of ``composite`` (bach2015pixel), which is redistributed again
    within what is left each time some are dropped; whether they may be dropped is decided by passes through the ablated
    network only, at most ``budget`` per example. ``keep="decision"``: the predicted class stays first, or the side that
    won against the foil stays ahead, with at least ``share`` of its lead (by default any). ``keep="score"``, and where
    nothing is decided (a value, a unit, a class that is not predicted): the quantity moves by at most 1 − ``share``
    (by default a tenth) of what it moves when every channel is switched off.

    A channel that is switched off holds by ``ablation``: ``reference``, what it holds at the same position for the
    task's neutral input (or the mean over the inputs of ``reference``); ``mean``, the average of that over the
    positions; ``zero``. Zeros are not neutral: where biases are at work, choosing channels can by itself decide for a
    class, whatever the input is, and routes found with zeros often do. With one neutral input such a route cannot exist.

    The same sizes are drawn at random ``draws`` times as a control. Relevance between channels of consecutive layers is
    followed for the ``links`` strongest of each layer.
    """

    spec: ClassVar = Spec(
        id="pathway",
        title="Pathway",
        question="Which route through the network carried this decision, layer by layer?",
        scopes={Scope.TRANSPARENCY, Scope.DECOMPOSABILITY},
        dimensions={Dimension.LOCAL, Dimension.VISUAL, Dimension.DECOMPOSABILITY},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.AUDITOR},
        needs={Access.WEIGHTS, Access.ACTIVATIONS},
        properties={"stochastic"},
        cost="up to 600 F and about 30 B",
        references=("bach2015pixel", "achtibat2023from", "khakzar2021neural", "conmy2023towards"),
        serves=("B11",),
        caveat=(
            "A small route that suffices is one of many: another may carry the decision as well, and the network may not "
            "need this one."
        ),
        alternatives=("lrp", "occlusion"),
    )

    layers: Annotated[
        Names, "layers of the route, separated by commas; None: the main ones that every path crosses"
    ] = None
    keep: Annotated[Keep, "what the route has to keep"] = "decision"
    share: Annotated[
        Union[float, None], Ge(0), Lt(1), "part of the lead, or of the score, that stays; None: any lead, or 0.9"
    ] = None
    ablation: Annotated[Silence, "what channels hold that are switched off"] = "reference"
    reference: Annotated[Reference, Data(), "inputs that stand for nothing; None: the task's neutral input"] = None
    composite: Annotated[str, "rules of relevance, as in lrp"] = "epsilon-plus"
    budget: Annotated[int, Ge(1), "most passes through the ablated network per example"] = 500
    draws: Annotated[int, Ge(0), "random routes of the same size, as a control"] = 50
    links: Annotated[int, Ge(0), "channels per layer whose relevance is followed to the layer before"] = 8
    seed: Annotated[int, "seed of the random routes"] = 0

    def __post_init__(self) -> None:
        composite(self.composite)

    def __call__(self, subject: Subject, query: Decision) -> Route:
        inputs = subject.prepare(query.inputs)
        target = resolve(subject, inputs, query)
        layers = self._layers(subject, inputs, target)
        found = []
        for row in range(len(inputs)):
            one = inputs.rows(slice(row, row + 1))
            ablation = Ablation(subject, one, layers, silence(subject, one, layers, self.ablation, self.reference))
            found.append(self._found(ablation, target.rows(slice(row, row + 1)), row, len(inputs)))
        return joined(found, layers, target, inputs)

    def _layers(self, subject: Subject, inputs: Inputs, target: Target) -> tuple[Crossing, ...]:
        names = [name.strip() for name in self.layers.split(",")] if isinstance(self.layers, str) else self.layers
        with taped(subject, inputs.rows(slice(0, 1)), target.capture) as (tape, run):
            explained = run.activations[target.capture[0]] if target.capture else run.scores
            return crossings(tape, explained, names)

    def _found(self, ablation: Ablation, target: Target, row: int, rows: int) -> Found:
        everything, passes = torch.ones(len(ablation.layer_of), dtype=torch.bool), 0

        def outcomes(masks: Tensor) -> Tensor:
            return ablation.evaluate(masks, lambda run: outcome(run, target), target.capture)

        must = verdict(target, outcomes(torch.stack([everything, ~everything])), self.keep, self.share)
        whole = self._relevance(ablation, target, everything)

        def slack(masks: Tensor) -> Tensor:
            nonlocal passes
            passes += len(masks)
            report(row * self.budget + passes, rows * self.budget, "ablated networks")
            return must.slack(outcomes(masks))

        def importance(mask: Tensor) -> Tensor:
            within = whole if bool(mask.all()) else self._relevance(ablation, target, mask)
            return ablation.shares(must.favour(ablation.per_channel(within)))

        route, minimal = sufficient(slack, importance, ablation.layer_of, self.budget)
        relevance = self._relevance(ablation, target, route)
        random = ablation.random(route, self.draws, generator(self.seed, self.spec.id, ablation.inputs.value[0]))
        compared = outcomes(torch.cat([torch.stack([everything, route, ~route, ~everything]), random]))
        return Found(
            kept=route,
            minimal=minimal,
            importance=importance(everything),
            relevance=ablation.per_channel(relevance) * route,
            links=strongest_links(ablation, composite(self.composite), relevance, route, self.links),
            outcomes=compared[:4],
            control=compared[4:],
            must=must,
        )

    def _relevance(self, ablation: Ablation, target: Target, mask: Tensor) -> Mapping[str, Tensor]:
        """The relevance of every layer, position by position, when only the channels of ``mask`` work."""
        return redistribute(
            ablation.subject,
            ablation.inputs,
            target,
            composite(self.composite),
            reading=[layer.name for layer in ablation.layers],
            replace=None if bool(mask.all()) else ablation.replacements(mask[None]),
        ).read
