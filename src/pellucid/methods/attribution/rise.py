"""RISE: hide random parts many times, and see which parts were shown when the score was high."""

from collections.abc import Callable, Iterator
from typing import Annotated, ClassVar, Literal, Union

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor

from pellucid.core.meter import report
from pellucid.core.method import method
from pellucid.core.query import Decision
from pellucid.core.spec import Access, Asker, Dimension, Modality, Scope, Spec, View
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.attributing import around, attribution, once_per_position
from pellucid.engine.averaging import Running
from pellucid.engine.batching import evaluate
from pellucid.engine.coalitions import Game, draws_of, hidden_point, players
from pellucid.engine.perturb import Baseline, Grouping
from pellucid.engine.random_masks import LinearControl, RandomMasks, ShownFeatures, UpsampledCells, chunks
from pellucid.engine.targets import Target, resolve
from pellucid.results.attribution import Attribution

_FIRST = 64
Ask = Callable[[Tensor], Tensor]


@method
class Rise:
    """Scores by the explained quantity under random masks, each of which shows every part with ``probability``.

    ``centred`` scores a part by how much more the quantity is with it shown than with it hidden, whatever else is: the
    covariance of mask and quantity, over the variance of the mask. ``paper`` scores it by the mean quantity while it is
    shown (petsiuk2018rise), so that the mean of the quantity stands in every score; both order parts alike. Neither has a
    bias, however few the samples.

    Pictures are hidden by soft masks of ``cells`` × ``cells``, upsampled at random places, and every pixel scores; anything
    else, and a picture whose ``features`` are named, by its features. Where the ``probability`` is ½, masks come in pairs
    that hide what the other shows. What earlier masks tell of a sum of parts is taken off the quantity under later ones,
    and its known mean put back (owen2013monte). Where there are no more masks of features than ``samples``, all are asked
    about, and the scores are exact.

    The interval is 95 %. Masks are drawn until every half interval is within ``tolerance`` of the largest score
    (``converged``), or ``samples`` are spent. The paper's masks fade to grey, ``baseline="zero"`` for networks whose
    pictures are centred there.
    """

    spec: ClassVar = Spec(
        id="rise",
        title="RISE",
        question="Which parts are shown when the score is high, if parts are hidden at random?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.VISUAL},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.DOMAIN_EXPERT, Asker.AFFECTED_PERSON, Asker.AUDITOR},
        needs={Access.OUTPUTS},
        properties={"perturbation", "stochastic"},
        cost="1 F per sample: up to 4000 F",
        references=("petsiuk2018rise", "chan1983algorithms", "owen2013monte"),
        serves=("A9",),
        caveat=(
            "Half of the input is hidden at any time, so it tells what parts do in inputs that the network was never "
            "trained on; where intervals are wide, what stands out may be chance."
        ),
        alternatives=("occlusion", "lime"),
    )

    samples: Annotated[int, Ge(8), "most masks per example; the paper takes 4000 to 8000"] = 4000
    cells: Annotated[int, Ge(1), "cells of a picture's masks, along each side"] = 7
    probability: Annotated[float, Gt(0), Lt(1), "how likely a part is shown"] = 0.5
    features: Annotated[
        Grouping, "what is hidden together; None: soft cells of a picture, words, columns, elements"
    ] = None
    baseline: Annotated[
        Union[Baseline, None], "what stands where a part is hidden; None: the mean colour, else the task's default"
    ] = None
    estimator: Annotated[Literal["centred", "paper"], "shown against hidden, or the mean while shown"] = "centred"
    tolerance: Annotated[float, Gt(0), "largest half interval, as a share of the largest score"] = 0.05
    seed: Annotated[int, "seed of the masks"] = 0

    def __call__(self, subject: Subject, query: Decision) -> Attribution:
        inputs = subject.prepare(query.inputs)
        soft = subject.task.modality is Modality.IMAGE and self.features is None
        features = once_per_position(subject, inputs) if soft else players(subject, inputs, self.features)
        default = subject.task.baselines()[0] if soft else None
        baseline = default if self.baseline is None else self.baseline
        hidden = hidden_point(subject, inputs, features, baseline, self.seed)
        target = resolve(subject, inputs, query)
        plain = evaluate(subject, inputs, target, torch.arange(len(inputs)), lambda part: inputs.value[part])
        found = []
        for row in range(len(inputs)):
            if soft:
                size = (inputs.value.shape[2], inputs.value.shape[3])
                masks: RandomMasks = UpsampledCells(size, self.cells, self.probability)
                found.append(self._sampled(inputs, row, masks, _soft(subject, inputs, target, hidden, row, masks)))
            else:
                game = Game(subject, inputs, target, features, hidden, row, "rise")
                found.append(self._of_features(inputs, row, game))
        means, half_widths, used = zip(*found, strict=True)
        answer = attribution(
            subject,
            inputs,
            query,
            target,
            _pixels(means, inputs.value) if soft else features.spread(means, inputs.value),
            plain.to(inputs.value.dtype if inputs.value.is_floating_point() else torch.float32),
            features,
            quality={"masks": torch.tensor(used)},
            converged=torch.tensor([self._settled(*one) for one in zip(means, half_widths, strict=True)]),
        )
        return around(answer, half_widths)

    def _of_features(self, inputs: Inputs, row: int, game: Game) -> tuple[Tensor, Tensor, int]:
        shown = ShownFeatures(game.features, self.probability)
        ask: Ask = lambda rows: game(rows.bool())  # noqa: E731
        if 2**game.features > self.samples:
            return self._sampled(inputs, row, shown, ask)
        rows = ((torch.arange(2**game.features)[:, None] >> torch.arange(game.features)) & 1).byte()
        chances = torch.where(rows.bool(), self.probability, 1 - self.probability).double().prod(1)
        scores = chances @ self._terms(shown, LinearControl(shown), rows, ask(rows))
        return scores, torch.zeros_like(scores), len(rows)

    def _sampled(self, inputs: Inputs, row: int, masks: RandomMasks, ask: Ask) -> tuple[Tensor, Tensor, int]:
        """Scores of one example's elements, their half intervals, and how many masks they took."""
        source = draws_of(inputs, row, self.seed, "rise")
        paired = 2 if self.probability == 0.5 else 1
        average, control, asked = Running(torch.zeros_like(masks.variance)), LinearControl(masks), 0
        for number in _rounds(self.samples // paired):
            rows = masks.draw(number, source)
            turns = [rows, masks.opposite(rows)][:paired]
            answers = ask(torch.cat(turns)).split(number)
            for part in chunks(number, len(masks.variance)):
                terms = [
                    self._terms(masks, control, of_turn[part], values[part])
                    for of_turn, values in zip(turns, answers, strict=True)
                ]
                average.extend(torch.stack(terms).mean(0))
            for of_turn, values in zip(turns, answers, strict=True):
                control.add(of_turn, values)
            if asked < control.first <= asked + number * paired <= self.samples // 8:
                # What follows has so much less noise that the first masks would only add theirs.
                average = Running(average.mean)
            asked += number * paired
            report(asked, self.samples, "rise")
            if average.count and self._settled(average.mean, average.half_width()):
                break
        return average.mean, average.half_width(), asked

    def _terms(self, masks: RandomMasks, control: LinearControl, rows: Tensor, values: Tensor) -> Tensor:
        """What each mask says of each element, ``[n, elements]``, whose mean is the score."""
        surprise, slopes = (values - control.told(rows))[:, None], masks.slopes(control.weights)
        if self.estimator == "paper":
            usual = control.level + slopes * masks.variance / masks.probability
            return usual + surprise * masks.masks(rows) / masks.probability
        return slopes + surprise * (masks.masks(rows) - masks.probability) / masks.variance

    def _settled(self, scores: Tensor, half_widths: Tensor) -> bool:
        return bool(half_widths.max() <= self.tolerance * scores.abs().max())


def _soft(subject: Subject, inputs: Inputs, target: Target, hidden: Tensor, row: int, masks: RandomMasks) -> Ask:
    point, empty = inputs.value[row], hidden[row]

    def ask(rows: Tensor) -> Tensor:
        def points(part: slice) -> Tensor:
            shown = masks.masks(rows[part]).view(-1, 1, *point.shape[1:]).to(point.dtype)
            return torch.lerp(empty, point, shown)

        return evaluate(subject, inputs, target, torch.full((len(rows),), row), points, "rise")

    return ask


def _pixels(means: tuple[Tensor, ...], like: Tensor) -> Tensor:
    """The score of each pixel, in all channels."""
    return torch.stack(means).to(like.dtype).view(len(like), 1, *like.shape[2:]).expand_as(like).clone()


def _rounds(total: int) -> Iterator[int]:
    """Numbers that add up to ``total``, each as many as all before."""
    done = 0
    while done < total:
        step = min(total - done, max(done, _FIRST))
        done += step
        yield step
