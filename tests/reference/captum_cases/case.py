"""A case: one question in captum's words that any library with its names can be asked, and what must come of it."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import captum.attr
import captum.metrics
import numpy as np
import torch
from torch import Tensor

from pellucid.compat import captum as compat
from pellucid.core.errors import PellucidError

THEIRS = SimpleNamespace(
    **{name: getattr(captum.attr, name, None) or getattr(captum.metrics, name) for name in compat.__all__}
)

# Why we answer otherwise on purpose, by a word that cases use.
REASONS = {
    "adds up": "captum's scores do not account for the output, ours do",
    "called twice": "captum refuses a module that is called twice, though the answer exists",
    "functions": "captum hooks modules and takes the plain gradient where an activation is called as a function",
    "missing rule": "captum refuses a layer for its type, even where it is not called; ours asks what operations are called",
    "no gradient options": "options of torch.autograd are the engine's own",
    "no neighbours": "a model must answer once for every example",
    "no rectifier": "without a rectifier the map would be the plain gradient under another name",
    "one layer": "one layer at a time",
    "one output": "one output at a time: name a target",
    "own rounding": "what is a small change is told by the precision of the numbers, not by a threshold",
    "own fits": "other models and kernels for LIME are asked for natively",
    "refused sooner": "both refuse, ours with a reason and the way out",
    "too few": "fewer coalitions than features tell nothing of most features: refused, with the number that is needed",
    "unfit maps": "a map that cannot be made as large as the input is refused, not returned empty",
}


@dataclass(frozen=True)
class Refused:
    """An answer that is an error, whose message holds these words."""

    words: str


@dataclass(frozen=True)
class Case:
    """``ask`` puts the question to a namespace of captum's names.

    ``expected`` are the numbers that captum's test holds for right, or a function that finds them; None: what captum itself
    answers. A case that ``differs`` names the reason, and ``ours`` is what we answer instead, or a function that finds it.
    """

    name: str
    title: str
    ask: Callable[[Any], Any]
    expected: Any = None
    tolerance: float = 1e-4
    differs: str = ""
    ours: Any = None

    def __post_init__(self) -> None:
        assert self.name in compat.__all__, self.name
        assert not self.differs or self.differs in REASONS, self.differs
        assert bool(self.differs) == (self.ours is not None), self.title

    def right(self) -> Any:
        """What captum's test holds for right."""
        if self.expected is None:
            return self.theirs()
        return self.expected() if callable(self.expected) else self.expected

    def right_for_us(self) -> Any:
        """What the compatible layer must answer."""
        if not self.differs:
            return self.right()
        return self.ours() if callable(self.ours) else self.ours

    def theirs(self) -> Any:
        """What captum answers, or its error."""
        with warnings.catch_warnings(), torch.random.fork_rng():
            warnings.simplefilter("ignore")
            torch.manual_seed(0)
            np.random.seed(0)
            try:
                return self.ask(THEIRS)
            except Exception as error:
                return Refused(str(error))

    def our_answer(self) -> Any:
        """What the compatible layer answers, or its error."""
        with torch.random.fork_rng():
            torch.manual_seed(0)
            try:
                return self.ask(compat)
            except PellucidError as error:
                return Refused(str(error))


@dataclass(frozen=True)
class Attributed:
    """The question that most cases ask: an attribution of a model, at a layer for some, through a noise tunnel for some."""

    name: str
    model: Callable[[], Any]
    arguments: Mapping[str, Any]
    layer: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    noise: Mapping[str, Any] | None = None
    prepare: Callable[[Any], None] = lambda model: None

    def __call__(self, names: Any) -> Any:
        model = self.model()
        self.prepare(model)
        place = (model.get_submodule(self.layer),) if self.layer else ()
        attribution = getattr(names, self.name)(model, *place, **self.options)
        if self.noise is not None:
            return names.NoiseTunnel(attribution).attribute(**self.noise, **self.arguments)
        return attribution.attribute(**self.arguments)


def attributed(
    name: str,
    title: str,
    model: Callable[[], Any],
    inputs: Any,
    *,
    expected: Any = None,
    tolerance: float = 1e-4,
    differs: str = "",
    ours: Any = None,
    layer: str = "",
    options: Mapping[str, Any] | None = None,
    noise: Mapping[str, Any] | None = None,
    prepare: Callable[[Any], None] = lambda model: None,
    **arguments: Any,
) -> Case:
    """A case of an attribution. With ``noise`` it is one of the noise tunnel around ``name``."""
    ask = Attributed(name, model, {"inputs": inputs, **arguments}, layer, options or {}, noise, prepare)
    owner = name if noise is None else "NoiseTunnel"
    return Case(owner, title, ask, expected, tolerance, differs, ours)


def exact_shapley(model: Callable[[], Any], inputs: Any, **arguments: Any) -> Callable[[], Any]:
    """Shapley values from all coalitions, by captum."""

    def find() -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return captum.attr.ShapleyValues(model()).attribute(inputs, **arguments)

    return find


def drawn(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    """Normal numbers, always the same ones."""
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def rows(*numbers: Any) -> Tensor:
    """A float tensor of the rows."""
    return torch.tensor(numbers, dtype=torch.float32)


def seeded(make: Callable[..., Any], *arguments: Any, **options: Any) -> Callable[[], Any]:
    """A factory of models that all have the same random weights."""

    def build() -> Any:
        with torch.random.fork_rng():
            torch.manual_seed(1)
            return make(*arguments, **options).eval()

    return build


def distance(found: Any, expected: Any) -> float:
    """How far apart two answers are at most; infinite where they have not the same shape, or one is an error."""
    if isinstance(expected, Refused) or isinstance(found, Refused):
        same = isinstance(expected, Refused) and isinstance(found, Refused) and expected.words in found.words
        return 0.0 if same else float("inf")
    if isinstance(expected, tuple):
        if not isinstance(found, tuple) or len(found) != len(expected):
            return float("inf")
        return max(distance(part, other) for part, other in zip(found, expected, strict=True))
    if not isinstance(found, Tensor):
        return float("inf")
    wanted = torch.as_tensor(expected).detach().double()
    if found.shape != wanted.shape:
        return float("inf")
    return float((found.detach().double() - wanted).abs().max()) if found.numel() else 0.0
