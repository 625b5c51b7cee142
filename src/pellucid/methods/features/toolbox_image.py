"""The deep visualisation toolbox: pictures of units by four recipes of simple regularisers."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from pellucid.core.annotations import Data
from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.core.method import method
from pellucid.core.query import Unit
from pellucid.core.spec import Access, Asker, Dimension, Modality, Scope, Spec, View
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.canvases import Levels, drawn
from pellucid.engine.drawing_units import blank, bounds_of, seeds_of, told
from pellucid.engine.optimize import After, Course, Moment, Rule, ascend, plain
from pellucid.engine.shaping import blurred, clipped, decayed
from pellucid.engine.step_rules import rising
from pellucid.engine.targets import Objective, Predicted, Target
from pellucid.engine.units import Over, Units, objective_of
from pellucid.results.feature_images import FeatureImages

Policy = Literal["constant", "progress", "progress01"]
FIRST = "step at which the unit was first its layer's strongest"


@dataclass(frozen=True)
class Recipe:
    """What one recipe sets; see the fields of :class:`ToolboxImage`."""

    decay: float = 0.0
    radius: float = 0.0
    norms: float = 0.0
    contributions: float = 0.0
    steps: int = 500
    policy: Policy = "constant"
    rate: float = 100.0
    progress: float = 2.0


RECIPES = {
    1: Recipe(radius=0.5, norms=50, steps=500, policy="progress", rate=100),
    2: Recipe(decay=0.3, norms=20, steps=750),
    3: Recipe(decay=1e-4, radius=1.0, steps=1000),
    4: Recipe(radius=0.5, contributions=90, steps=1000, policy="progress", rate=1e8),
}


@method
class ToolboxImage:
    """Gradient ascent in levels from 0 to 255 less their mean, with regularisers after each step
    (yosinski2015understanding): decay, a blur at every fourth step, and zero where values are small, where pixels are dark
    or where they contribute little.

    The four recipes are those of the paper's table, made for pictures of 227 pixels and one network; most of its figures
    are by the third. A field that is named takes the place of the recipe's. Each step shows the picture within its range
    to the network, moves it by the gradient times the rate, and shapes it in the order above. ``keep`` says which picture of
    the way is the result: the ``last``; that with the ``best`` activation, which may be the noise at the start where the
    regularisers are strong; or that at which the unit was ``first`` the strongest of its layer.
    """

    spec: ClassVar = Spec(
        id="toolbox-image",
        title="Image by the visualisation toolbox",
        question="What does this unit respond to, by a picture that simple regularisers keep clear?",
        scopes={Scope.TRANSPARENCY},
        dimensions={Dimension.VISUAL, Dimension.DECOMPOSABILITY},
        view=View.MODEL,
        askers={Asker.DEVELOPER, Asker.DOMAIN_EXPERT},
        needs={Access.GRADIENTS, Access.ACTIVATIONS, Access.WEIGHTS},
        modalities={Modality.IMAGE},
        properties={"stochastic"},
        cost="1000 B for each of 3 starts, of the layers up to the unit's",
        references=("yosinski2015understanding",),
        serves=("B5",),
        caveat=(
            "The regularisers decide what the picture looks like as much as the unit does: another recipe gives another "
            "picture of it. What the recipes agree on is the unit's. Where gradients are small, strong decay "
            "leaves nothing: raise the rate."
        ),
        alternatives=("response", "what-if"),
    )

    recipe: Annotated[int, Ge(1), Le(4), "the row of the paper's table"] = 3
    steps: Annotated[int | None, Ge(1), "how many steps; by default the recipe's, 500 to 1000"] = None
    rate: Annotated[float | None, Gt(0), "the rate, of the policies of progress the largest"] = None
    policy: Annotated[
        Policy | None, "a constant rate, or one by which the activation rises evenly, or ever less as it nears 1"
    ] = None
    progress: Annotated[float | None, Gt(0), "by how much the activation is to rise in each step"] = None
    late: Annotated[float, Gt(0), "of progress01: the share of what is missing to 1 by which it is to rise"] = 0.1
    decay: Annotated[float | None, Ge(0), Le(1), "by what share values shrink in each step"] = None
    radius: Annotated[float | None, Ge(0), "deviation of the blur in pixels; below .3 it does little"] = None
    every: Annotated[int, Ge(1), "at every so many steps the picture is blurred"] = 4
    values: Annotated[float, Ge(0), Le(100), "percentage of values, the smallest, that are set to zero"] = 0.0
    norms: Annotated[float | None, Ge(0), Le(100), "percentage of pixels, those of smallest norm, set to zero"] = None
    signed: Annotated[float, Ge(0), Le(100), "percentage of pixels, those that contribute least, set to zero"] = 0.0
    contributions: Annotated[
        float | None, Ge(0), Le(100), "percentage of pixels, those whose contribution is smallest in size, set to zero"
    ] = None
    keep: Annotated[Literal["last", "best", "first"], "which picture of the way is the result"] = "last"
    starts: Annotated[int, Ge(1), "how many pictures, from as many random starts"] = 3
    size: Annotated[
        int | None, Ge(8), "the side of the picture in pixels; by default the network's own, at most 128"
    ] = None
    over: Annotated[Over, "how the places of a channel are taken together"] = "centre"
    second: Annotated[Subject | None, Data(), "another network with the same classes, asked about the pictures"] = None
    seed: Annotated[int, "where the random starts begin"] = 0

    def __call__(self, subject: Subject, query: Unit) -> FeatureImages:
        chosen = self._chosen()
        inputs, notes = blank(subject, query, self.starts, self.size)
        objective, name = objective_of(subject, inputs, query, self.over)
        if chosen.policy == "progress01":
            objective = _probability(subject, objective)
        sightings = Sightings(objective)
        levels = _levels(subject, inputs, seeds_of(self.seed, name, self.starts))
        course = ascend(
            subject,
            inputs,
            objective,
            levels,
            steps=chosen.steps,
            rule=_rule(chosen, self.late),
            after=[sightings.look, *self._shaping(chosen), _within(levels)],
            seed=self.seed,
            label=self.spec.id,
        )
        course, captions = self._kept(course, sightings)
        said = (
            *notes,
            *_corner(objective),
            _contrast(levels, course),
            f"Zero in the recipe is {_told(levels)} of 255.",
        )
        result = told(subject, query, inputs, objective, course, (name,) * self.starts, captions, self.second, said)
        # Without bounds each picture is shown by its own: regularisers leave little contrast.
        return dataclasses.replace(result, low=None, high=None, evidence={**result.evidence, FIRST: sightings.first})

    def _chosen(self) -> Recipe:
        """The recipe, with the fields that are named in the place of its own."""
        recipe = RECIPES[self.recipe]
        named = {entry.name: getattr(self, entry.name) for entry in dataclasses.fields(Recipe)}
        return dataclasses.replace(recipe, **{name: value for name, value in named.items() if value is not None})

    def _shaping(self, chosen: Recipe) -> list[After]:
        """The operations after a step, in the toolbox's order."""
        found: list[After] = []
        if chosen.decay:
            found.append(decayed(chosen.decay))
        if chosen.radius:
            found.append(blurred(chosen.radius, self.every))
        if self.values:
            found.append(clipped("size", self.values))
        if chosen.norms:
            found.append(clipped("norm", chosen.norms))
        if self.signed:
            found.append(clipped("contribution", self.signed))
        if chosen.contributions:
            found.append(clipped("contribution size", chosen.contributions))
        return found

    def _kept(self, course: Course, sightings: "Sightings") -> tuple[Course, list[str]]:
        """The pictures that are kept and the caption of each."""
        ended = [f"start {number + 1}" for number in range(self.starts)]
        if self.keep == "last":
            return course, ended
        if self.keep == "best":
            better = course.best_values > course.values
            return _with(course, better, course.best, course.best_values), ended
        never = sightings.first.isnan()
        captions = [
            f"{start}, last, as never the strongest" if late else start
            for start, late in zip(ended, never.tolist(), strict=True)
        ]
        return _with(course, ~never, sightings.points, sightings.values), captions


@dataclass
class Sightings:
    """When in an ascent the unit of each row was first the strongest of its layer: ``first`` ``[rows]``, counted from 0, NaN
    where it never was, with the ``points`` then and their ``values``.

    Rows pass by in batches one after the other, each from its first step to its last.
    """

    objective: Objective
    _parts: list[tuple[Tensor, Tensor, Tensor]] = field(default_factory=list)
    _done: int = 0

    def look(self, leaf: Tensor, moment: Moment) -> Tensor:
        """Note who is the strongest at this moment; the leaf as it is."""
        if moment.step == 0:
            self._done += len(self._parts[-1][0]) if self._parts else 0
            unseen = torch.full((len(leaf),), torch.nan, dtype=torch.float64)
            self._parts.append((unseen, moment.point.clone(), moment.values.clone()))
        first, points, values = self._parts[-1]
        new = self._strongest(moment, slice(self._done, self._done + len(leaf))) & first.isnan()
        first[new] = float(moment.step)
        points[new], values[new] = moment.point[new], moment.values[new]
        return leaf

    @property
    def first(self) -> Tensor:
        return torch.cat([part[0] for part in self._parts])

    @property
    def points(self) -> Tensor:
        return torch.cat([part[1] for part in self._parts]).cpu()

    @property
    def values(self) -> Tensor:
        return torch.cat([part[2] for part in self._parts]).cpu()

    def _strongest(self, moment: Moment, rows: slice) -> Tensor:
        objective = self.objective.rows(rows)
        if isinstance(objective, Target):
            return Predicted(objective)(moment.run).cpu()
        assert isinstance(objective, Units)
        return objective.strongest(moment.run).cpu()


def _with(course: Course, chosen: Tensor, images: Tensor, values: Tensor) -> Course:
    """A course whose images are replaced where they are chosen."""
    shape = (-1, *[1] * (course.images.ndim - 1))
    return dataclasses.replace(
        course,
        images=torch.where(chosen.view(shape), images, course.images),
        values=torch.where(chosen, values.to(course.values), course.values),
    )


def _levels(subject: Subject, inputs: Inputs, seeds: Sequence[int]) -> Levels:
    """Noise of deviation 10 around the mean picture: what the network reads as zero where its range goes to both sides of
    that, else the middle of the range."""
    bounds = bounds_of(subject, inputs)
    if bounds is None:
        raise NotAnswerable(f"{subject.name} reads values without bounds, and recipes are in levels of a range")
    whole, start = Levels(torch.empty(0), bounds), 10 * drawn(seeds, tuple(inputs.value.shape[1:]))
    colour = (-1, *[1] * (start.ndim - 2))
    low, high = bounds
    if bool(((low < 0) & (high > 0)).all()):
        mean = whole.of(torch.zeros(inputs.value.shape[1]).view(colour))
    else:
        mean = torch.full((inputs.value.shape[1],), 127.5).view(colour)
    levels = Levels(start, bounds, mean)
    return dataclasses.replace(levels, leaf=start.clamp(-mean, 255 - mean))


def _within(levels: Levels) -> After:
    low, high = torch.as_tensor(-levels.mean), torch.as_tensor(255 - levels.mean)
    return lambda leaf, moment: leaf.clamp(low.to(leaf), high.to(leaf))


def _rule(chosen: Recipe, late: float) -> Rule:
    if chosen.policy == "constant":
        return plain(chosen.rate)
    return rising(chosen.progress, chosen.rate, late if chosen.policy == "progress01" else None)


def _probability(subject: Subject, objective: Objective) -> Objective:
    if not isinstance(objective, Target) or subject.task.output == "value":
        raise UsageError("policy='progress01' is for probabilities: name a class, or another policy")
    return dataclasses.replace(objective, of="probability")


def _corner(objective: Objective) -> tuple[str, ...]:
    """A warning of units in the corner of a map, which see mostly what lies beyond the border."""
    index = objective.indices[0] if isinstance(objective, Units) else 0
    if isinstance(index, int) or not isinstance(objective, Units):
        return ()
    axis, extent = objective.layer.axis, objective.layer.extent
    places = (*index[:axis], *index[axis + 1 :])
    corner = all(place in (0, side - 1) for place, side in zip(places, extent, strict=False))
    if not places or not corner or max(extent, default=1) < 3:
        return ()
    centre = ", ".join(str(side // 2) for side in extent)
    return (
        f"This unit is in a corner of its map, where much of what it sees is padding; ask at the centre ({centre}).",
    )


def _contrast(levels: Levels, course: Course) -> str:
    flat = levels.of(course.images).flatten(1)
    spans = ", ".join(f"{span:.0f}" for span in (flat.amax(1) - flat.amin(1)).tolist())
    return f"Shown with its contrast stretched; the levels of the pictures span {spans} of 255."


def _told(levels: Levels) -> str:
    return ", ".join(f"{level:.0f}" for level in torch.as_tensor(levels.mean).flatten().tolist())
