"""Inputs at hand: photographs that come with installed packages, sentences, rows; to try a model on at first sight."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch

from pellucid.core.seeds import generator
from pellucid.core.subject import Inputs, Subject
from pellucid.tasks.image import Image
from pellucid.tasks.sequence import Sequence as SequenceTask
from pellucid.tasks.tabular import Tabular
from pellucid.tasks.text import Text

SENTENCES = (
    "The food was wonderful and the people were kind.",
    "A dull film that I would not see again.",
    "The parcel arrived on Tuesday.",
    "Nothing works, and nobody answers the telephone.",
)
_ROWS = 64


@dataclass(frozen=True)
class Photograph:
    """A photograph in an installed package; ``classes`` are the ImageNet classes that are right for it, if any."""

    package: str
    parts: tuple[str, ...]
    classes: frozenset[int] = frozenset()

    @property
    def name(self) -> str:
        """The file's name without its suffix."""
        return Path(self.parts[-1]).stem

    @property
    def path(self) -> Path:
        """Where the file lies; the package is not imported."""
        found = find_spec(self.package)
        assert found is not None
        assert found.origin is not None
        return Path(found.origin).parent.joinpath(*self.parts)


# Classes by the pictures themselves: a striped cat (tabby, tiger cat, Egyptian cat), an espresso in a cup, a rocket at
# its gantry (missile, projectile, space shuttle), a dahlia (daisy is the only such flower head among the classes).
PHOTOGRAPHS = (
    Photograph("skimage", ("data", "chelsea.png"), frozenset({281, 282, 285})),
    Photograph("skimage", ("data", "coffee.png"), frozenset({504, 967})),
    Photograph("skimage", ("data", "rocket.jpg"), frozenset({657, 744, 812})),
    Photograph("sklearn", ("datasets", "images", "flower.jpg"), frozenset({985})),
    Photograph("sklearn", ("datasets", "images", "china.jpg")),
    Photograph("skimage", ("data", "astronaut.png")),
    Photograph("skimage", ("data", "motorcycle_left.png")),
)


def knows_imagenet(labels: Sequence[str] | None) -> bool:
    """Whether the labels are the 1,000 ImageNet classes in their order, judged by five of them."""
    spots = {1: "goldfish", 281: "tabby", 504: "mug", 817: "sports car", 985: "daisy"}
    return labels is not None and len(labels) == 1000 and all(w in labels[i].casefold() for i, w in spots.items())


def samples(subject: Subject) -> Inputs | None:
    """A few different inputs that suit the subject's task; None where nothing is known but that they are tensors."""
    task = subject.task
    if isinstance(task, Image):
        return subject.prepare([photograph.path for photograph in PHOTOGRAPHS])
    if isinstance(task, Text):
        return subject.prepare(list(SENTENCES))
    if isinstance(task, Tabular) and task.reference is not None:
        return subject.prepare(task.reference[:_ROWS])
    if isinstance(task, SequenceTask) and task.vocabulary is not None:
        return subject.prepare(_strings(task.vocabulary))
    example = task.example()
    return None if example is None else _varied(example)


def _strings(vocabulary: Sequence[str]) -> list[str]:
    """Four strings of sixteen characters, spread over the vocabulary."""
    steps, letters = torch.arange(1, 5)[:, None], torch.arange(16)
    places = ((steps * letters + steps) % len(vocabulary)).tolist()
    return ["".join(vocabulary[place] for place in row) for row in places]


def _varied(example: Inputs) -> Inputs:
    """The task's one example four times, all but the first with noise of the size of a unit added to the point."""
    four = example.rows(torch.zeros(4, dtype=torch.long))
    if not four.value.is_floating_point():
        return four
    noise = torch.randn(four.value.shape, generator=generator(0, "samples", four.value[0]), dtype=four.value.dtype)
    noise[0] = 0
    return four.at(four.value + noise)
