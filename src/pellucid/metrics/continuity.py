"""Continuity: how strongly an explanation can change between inputs that are nearly the same."""

from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Ge
from torch import Tensor

from pellucid.core.errors import NotAnswerable
from pellucid.core.method import method
from pellucid.core.query import Judgement
from pellucid.core.spec import Access, Asker, Dimension, Modality, Scope, Spec, View
from pellucid.core.subject import Subject
from pellucid.engine.disturbing import Radius, disturbed, moving
from pellucid.engine.judged import Case, Judged, RandomMaps, judged, verdict
from pellucid.engine.reasking import about_points
from pellucid.results.evaluation import Evaluation

Path = Literal["translation", "noise"]


@method
class Continuity:
    """The strongest variation ``‖R(x) − R(x')‖₁ / ‖x − x'‖₂`` of the relevance along a path of inputs: low is good.

    ``translation`` moves a picture sideways, a pixel per step, ``steps`` in all, with the input in the middle of the path;
    the border is repeated where something must enter. ``noise`` walks from the input to a disturbed copy, in ``steps``
    equal steps. Neighbours on the path are compared (montavon2018methods). With ``compat="quantus"`` the path runs over
    the whole width, black enters, every place is compared with the input itself, and the size of a score counts as a
    share of the largest.
    """

    spec: ClassVar = Spec(
        id="continuity",
        title="Continuity",
        question="Do inputs that are nearly the same have nearly the same explanation?",
        scopes={Scope.EXPLAINABILITY},
        dimensions={Dimension.LOCAL, Dimension.ALGORITHMIC_TRANSPARENCY},
        view=View.DECISION,
        askers={Asker.DEVELOPER, Asker.AUDITOR},
        needs={Access.OUTPUTS},
        properties={"perturbation", "stochastic"},
        cost="steps explanations by each method",
        references=("montavon2018methods",),
        serves=("A11",),
        caveat=(
            "It has the unit of the scores: methods whose scores are larger look less continuous. A path is a small part of "
            "all inputs nearby: its strongest variation is a lower bound."
        ),
        alternatives=("max-sensitivity", "local-lipschitz"),
    )

    path: Annotated[Path | None, "what changes along the path; None: translation of a picture, else noise"] = None
    steps: Annotated[int, Ge(1), "steps of the path"] = 8
    radius: Radius = 0.02
    random_maps: RandomMaps = 5
    compat: Annotated[Literal["quantus"] | None, "whose convention is followed; None: the paper's"] = None
    seed: Annotated[int, "seed of the noise and of the random control"] = 0

    def __call__(self, subject: Subject, query: Judgement) -> Evaluation:
        asked = judged(subject, query, self.seed)
        pictured = subject.task.modality is Modality.IMAGE
        path: Path = self.path or ("translation" if pictured else "noise")
        if (path == "translation" or self.compat) and not pictured:
            raise NotAnswerable("only pictures can be moved sideways; use path='noise'")
        strongest = self._over_the_width if self.compat else self._between_neighbours
        return verdict(
            self.spec.id,
            asked,
            [strongest(asked, case, path) for case in asked.cases(self.random_maps)],
            higher_is_better=False,
            protocol=(
                f"The value is the strongest variation of the map along {self.steps} steps of "
                f"{'translation' if path == 'translation' or self.compat else 'noise'}."
            ),
        )

    def _between_neighbours(self, asked: Judged, case: Case, path: Path) -> Tensor:
        point = moving(case)
        before, after = self._sides(case, path)
        points = torch.cat([before, point, after]).double()
        moved = points.diff(dim=0).flatten(1).norm(dim=1)
        found = []
        for own, others in about_points(asked, case, torch.cat([before, after])):
            maps = torch.cat([others[: len(before)], own[None], others[len(before) :]])
            found.append(_variation(maps.diff(dim=0), moved))
        return torch.stack(found)

    def _sides(self, case: Case, path: Path) -> tuple[Tensor, Tensor]:
        """The path before and after the input, which lies in the middle of a translation and at the start of noise."""
        point = case.inputs.value
        if path == "translation":
            shifts = torch.arange(self.steps + 1) - self.steps // 2
            columns = torch.arange(point.shape[-1])
            moved = [point[..., (columns - shift).clamp(0, len(columns) - 1)] for shift in shifts]
            middle = self.steps // 2
            return torch.cat([point[:0], *moved[:middle]]), torch.cat([point[:0], *moved[middle + 1 :]])
        share = torch.arange(1, self.steps + 1).view(-1, *[1] * (point.ndim - 1)) / self.steps
        return point[:0], torch.lerp(point, disturbed(case, 1, self.radius), share.to(point))

    def _over_the_width(self, asked: Judged, case: Case, path: Path) -> Tensor:
        point = moving(case)
        width = point.shape[-1]
        step = (2 * width + 1) // self.steps
        columns = torch.arange(width)
        points = []
        for number in range(1, self.steps + 1):
            source = columns - (number * step - width)
            inside = (source >= 0) & (source < width)
            points.append(torch.where(inside, point[..., source.clamp(0, width - 1)], point.min()))
        moved = (torch.cat(points) - point).double().flatten(1).norm(dim=1)
        found = []
        for own, others in about_points(asked, case, torch.cat(points)):
            found.append(_variation(_shares(others) - _shares(own[None]), moved))
        return torch.stack(found)


def _variation(changes: Tensor, moved: Tensor) -> Tensor:
    sizes = changes.flatten(1).abs().sum(1)
    return torch.where(moved > 0, sizes / moved, torch.zeros_like(sizes)).max()


def _shares(maps: Tensor) -> Tensor:
    sizes = maps.abs()
    largest = sizes.flatten(1).amax(1).view(-1, *[1] * (maps.ndim - 1))
    return sizes / torch.where(largest > 0, largest, torch.ones_like(largest))
