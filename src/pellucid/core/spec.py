"""The single record of what the product knows about a method; every surface is generated from it."""

from collections.abc import Set
from dataclasses import dataclass
from enum import StrEnum


class Scope(StrEnum):
    """The four overlapping scopes of interpretability that the map draws."""

    TRANSPARENCY = "transparency"
    TRANSLATABILITY = "translatability"
    DECOMPOSABILITY = "decomposability"
    EXPLAINABILITY = "explainability"


class Dimension(StrEnum):
    """The dimensions of interpretability a method speaks to."""

    SIMULATABILITY = "simulatability"
    DECOMPOSABILITY = "decomposability"
    ALGORITHMIC_TRANSPARENCY = "algorithmic transparency"
    TEXTUAL = "textual"
    VISUAL = "visual"
    LOCAL = "local"
    BY_EXAMPLE = "by example"


class View(StrEnum):
    """Whether a method looks at one decision, at the model, or at people and cases."""

    DECISION = "decision"
    MODEL = "model"
    POPULATION = "population"


class Asker(StrEnum):
    """Who asks: the words and the depth of an answer depend on it."""

    DEVELOPER = "developer"
    DOMAIN_EXPERT = "domain expert"
    AFFECTED_PERSON = "affected person"
    AUDITOR = "auditor"


class Access(StrEnum):
    """What a subject lets a method reach."""

    OUTPUTS = "outputs"
    GRADIENTS = "gradients"
    ACTIVATIONS = "activations"
    WEIGHTS = "weights"
    TRAINING_DATA = "training data"
    TRAINING_LOOP = "training loop"


class Structure(StrEnum):
    """Parts of an architecture that a method may need."""

    CONVOLUTION = "convolution"
    RELU = "relu"
    ATTENTION = "attention"
    RECURRENCE = "recurrence"
    CLASS_SCORES = "class scores"


class Point(StrEnum):
    """Where relevance can be read: at the input or at a layer."""

    INPUT = "input"
    LAYER = "layer"


class Modality(StrEnum):
    """What the inputs are."""

    IMAGE = "image"
    TEXT = "text"
    TABULAR = "tabular"
    SEQUENCE = "sequence"
    TENSOR = "tensor"

    @classmethod
    def all(cls) -> frozenset["Modality"]:
        """Every modality, for methods that do not care."""
        return frozenset(cls)


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What a method is, asks, needs, costs and serves.

    ``cost`` is in the units F (one forward pass) and B (one forward and one backward pass to the input) per example.
    ``references`` are keys of ``docs/references.bib``; ``serves`` are rows of the mission table; ``caveat`` says how
    the method misleads; ``alternatives`` are ids to ask instead where it does not apply.
    """

    id: str
    title: str
    question: str
    scopes: Set[Scope]
    dimensions: Set[Dimension]
    view: View
    askers: Set[Asker]
    needs: Set[Access | Structure]
    points: Set[Point] = frozenset({Point.INPUT})
    modalities: Set[Modality] = frozenset(Modality)
    properties: Set[str] = frozenset()
    cost: str
    references: tuple[str, ...]
    serves: tuple[str, ...]
    caveat: str
    alternatives: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("scopes", "dimensions", "askers", "needs", "points", "modalities", "properties"):
            object.__setattr__(self, name, frozenset(getattr(self, name)))

    @property
    def access(self) -> frozenset[Access]:
        """The part of ``needs`` that a subject must offer."""
        return frozenset(need for need in self.needs if isinstance(need, Access))

    @property
    def structure(self) -> frozenset[Structure]:
        """The part of ``needs`` that a subject's architecture must have."""
        return frozenset(need for need in self.needs if isinstance(need, Structure))
