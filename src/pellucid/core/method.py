"""The method contract: a frozen record of hyper-parameters with one call, ``(subject, query) -> Result``."""

import dataclasses
import functools
import importlib
import pkgutil
import time
from typing import Any, ClassVar, Protocol, TypeVar, dataclass_transform, get_args, get_type_hints, runtime_checkable

import torch

from pellucid.core import meter
from pellucid.core.annotations import Data, Requirement, check_value
from pellucid.core.content import by_content, digest
from pellucid.core.errors import NotAnswerable, PellucidError, UsageError
from pellucid.core.provenance import Provenance
from pellucid.core.query import Decision
from pellucid.core.result import Result
from pellucid.core.spec import Access, Point, Spec
from pellucid.core.subject import Subject

T = TypeVar("T")

METHODS: dict[str, type] = {}


@runtime_checkable
class Method(Protocol):
    """Anything that answers a query of a subject."""

    spec: ClassVar[Spec]

    def __call__(self, subject: Subject, query: Any) -> Result: ...


@dataclass_transform(frozen_default=True)
def method(cls: type[T]) -> type[T]:
    """Register a method: freeze it, check its fields, compare it by content, and wrap its call with the contract.

    Methods may hold others in their fields. ``spec`` then tells what they need together: on the class with the fields'
    defaults, on an instance with what it holds.
    """
    _check_fields_on_creation(cls)  # before the dataclass is made, which looks for __post_init__ once
    cls = by_content(dataclasses.dataclass(frozen=True, eq=False)(cls))
    spec: Spec = cls.spec  # type: ignore[attr-defined]
    cls.spec = _with_nested(spec, cls)  # type: ignore[attr-defined]
    if spec.id in METHODS and METHODS[spec.id].__qualname__ != cls.__qualname__:
        raise UsageError(f"two methods are called {spec.id!r}")
    cls.__call__ = _contract(cls.__call__)  # type: ignore[operator, method-assign]
    METHODS[spec.id] = cls
    return cls


def discover() -> dict[str, type]:
    """Every method of the product by id, found by walking the packages of methods and metrics."""
    for root in ("pellucid.methods", "pellucid.metrics"):
        package = importlib.import_module(root)
        for module in pkgutil.walk_packages(package.__path__, f"{root}."):
            importlib.import_module(module.name)
    return METHODS


def query_type(cls: type) -> type:
    """The query a method answers, read from the annotation of its call."""
    return _signature(cls)["query"]


def result_type(cls: type) -> type:
    """The kind of result a method gives, read from the annotation of its call."""
    return _signature(cls)["return"]


@dataclasses.dataclass(frozen=True)
class Answers(Requirement):
    """Part of a field's annotation: the method that it holds must answer this query with this result."""

    query: type
    result: type

    def unmet(self, value: Any) -> str | None:
        cls = type(value)
        fits = cls in METHODS.values() and query_type(cls) is self.query and issubclass(result_type(cls), self.result)
        if value is None or fits:
            return None
        return f"a method that answers a {self.query.__name__} with an {self.result.__name__}"


def nested_methods(method: Any) -> tuple[Method, ...]:
    """The methods that a method holds in its fields; of a class, those that are its fields' defaults."""
    values = (getattr(method, field.name, None) for field in dataclasses.fields(method))
    return tuple(value for value in values if isinstance(value, Method) and not isinstance(value, type))


def fields_of(method: Any) -> dict[str, Any]:
    """The hyper-parameters of a method as plain data; nested methods and rules by their own fields, data by digest."""
    cls: type = type(method)
    data = _data_fields(cls)
    values = {f.name: getattr(method, f.name) for f in dataclasses.fields(method)}
    return {name: _told(value) if name in data else _plain(value) for name, value in values.items()}


@functools.cache
def _data_fields(cls: type) -> frozenset[str]:
    hints = get_type_hints(cls, include_extras=True)
    return frozenset(name for name, hint in hints.items() if any(isinstance(extra, Data) for extra in get_args(hint)))


def _told(data: Any) -> Any:
    nothing = data is None or (isinstance(data, tuple) and not data)
    return data if nothing or isinstance(data, str) else f"data with the digest {digest(data)}"


def _plain(value: Any) -> Any:
    if isinstance(value, Method) and dataclasses.is_dataclass(value):
        return {"method": value.spec.id, **fields_of(value)}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {"rule": type(value).__name__, **fields_of(value)}
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return tuple(_plain(entry) for entry in value)
    return value


@functools.cache
def _signature(cls: type) -> dict[str, Any]:
    return get_type_hints(inner_call(cls))


def inner_call(cls: type) -> Any:
    """The call as the method's author wrote it, without the contract around it."""
    return cls.__call__.__wrapped__  # type: ignore[attr-defined]


def _contract(call: Any) -> Any:
    @functools.wraps(call)
    def answer(self: Any, subject: Subject, query: Any) -> Result:
        _check_applicable(self, subject, query)
        started = time.process_time()
        with meter.metered() as passes:
            try:
                result = call(self, subject, query)
            except PellucidError as error:
                raise type(error)(_restated(error, self, subject)) from error
        seconds = time.process_time() - started
        return _with_provenance(result, self, subject, query, passes, seconds)

    return answer


def _restated(error: PellucidError, method: Any, subject: Subject) -> str:
    text = str(error)
    context = f"{method.spec.id} on {subject.name}"
    return text if text.startswith(method.spec.id) or " on " + subject.name in text else f"{context}: {text}"


def _with_provenance(
    result: Result, method: Any, subject: Subject, query: Any, passes: meter.Meter, seconds: float
) -> Result:
    evaluations = passes.evaluations()
    tensor = next((v for v in vars(result).values() if isinstance(v, torch.Tensor) and v.is_floating_point()), None)
    provenance = Provenance(
        method=method.spec.id,
        fields=fields_of(method),
        subject=subject.name,
        subject_fingerprint=subject.fingerprint,
        query_fingerprint=digest(query),
        device=str(getattr(subject, "device", "cpu")),
        dtype=str(tensor.dtype).removeprefix("torch.") if tensor is not None else "none",
        cost={**{unit: float(number) for unit, number in evaluations.items()}, "cpu_seconds": seconds},
    )
    changes: dict[str, Any] = {"provenance": provenance, "query": query, "method": method}
    if any(f.name == "evaluations" for f in dataclasses.fields(result)):
        changes["evaluations"] = evaluations
    return dataclasses.replace(result, **changes)


def why_not(cls: Any, subject: Subject) -> str | None:
    """The reason why a method cannot be asked of a subject, or None where it can."""
    spec: Spec = cls.spec
    missing = spec.access - subject.offers
    if missing:
        offered = ", ".join(sorted(subject.offers))
        return f"needs {', '.join(sorted(missing))}; this subject offers {offered} only"
    absent = spec.structure - subject.structure
    if absent:
        return f"needs {', '.join(sorted(absent))}, which this subject does not have"
    if subject.task.modality not in spec.modalities:
        return f"does not apply to inputs of kind {subject.task.modality.value}"
    return None


def _check_applicable(method: Any, subject: Subject, query: Any) -> None:
    spec: Spec = method.spec
    if not isinstance(subject, Subject):
        raise UsageError(f"{spec.id} asks a subject, not a {type(subject).__name__}; wrap it: pellucid.wrap(model)")
    expected = query_type(type(method))
    if not isinstance(query, expected):
        wanted = getattr(expected, "__name__", str(expected))
        raise UsageError(f"{spec.id} answers a {wanted}, not a {type(query).__name__}")
    reason = why_not(method, subject)
    if reason is not None:
        instead = f" Ask: {', '.join(spec.alternatives)}" if spec.alternatives else ""
        raise NotAnswerable(f"{spec.id} on {subject.name}: {spec.id} {reason}.{instead}")
    if isinstance(query, Decision) and query.at != "input" and Point.LAYER not in spec.points:
        raise NotAnswerable(f"{spec.id} on {subject.name}: it answers at the input only, not at {query.at!r}")
    if isinstance(query, Decision) and query.at != "input" and Access.ACTIVATIONS not in subject.offers:
        raise NotAnswerable(f"{spec.id} on {subject.name}: this subject has no layers to read; ask at the input")


def _with_nested(spec: Spec, method: Any) -> Spec:
    nested = [held.spec for held in nested_methods(method)]
    return dataclasses.replace(
        spec,
        needs=frozenset(spec.needs).union(*(held.needs for held in nested)),
        modalities=frozenset(spec.modalities).intersection(*(held.modalities for held in nested)),
    )


def _check_fields_on_creation(cls: type) -> None:
    hints: dict[str, Any] = {}
    alone: Spec = cls.spec  # type: ignore[attr-defined]

    def check(self: Any) -> None:
        if not hints:
            hints.update(get_type_hints(cls, include_extras=True))
        for entry in dataclasses.fields(self):
            check_value(f"{self.spec.id}({entry.name}=…)", getattr(self, entry.name), hints[entry.name])
        if nested_methods(self):
            object.__setattr__(self, "spec", _with_nested(alone, self))
        if own is not None:
            own(self)

    own = cls.__dict__.get("__post_init__")
    cls.__post_init__ = check  # type: ignore[attr-defined]
