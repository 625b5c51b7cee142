"""From a model of any kind to a subject."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from pellucid.core.errors import UsageError
from pellucid.core.subject import Subject, Task
from pellucid.subjects.answers import Output
from pellucid.subjects.callable import FunctionSubject
from pellucid.subjects.devices import moved
from pellucid.subjects.labels import labelled
from pellucid.subjects.sklearn import EstimatorSubject, is_estimator
from pellucid.subjects.torch import TorchSubject
from pellucid.tasks.tensor import TensorTask


def wrap(
    model: Any,
    task: Task | None = None,
    *,
    labels: Sequence[str] | None = None,
    output: Output = None,
    device: Any = None,
    name: str | None = None,
    numpy: bool = False,
    version: str | None = None,
    cache: str | Path | None = None,
) -> Subject:
    """A subject from an ``nn.Module``, a fitted scikit-learn estimator or a function ``f(batch) -> scores``.

    Without a ``task`` a tensor query works, in which every element is a feature; an estimator brings its columns and
    classes. ``labels`` name the outputs. ``output`` picks the score tensor out of a tuple, dict or model output.
    ``device`` is where a module is moved to; ``numpy`` (hand over arrays) and ``version`` (what this state of it is
    called) are for functions. A folder as ``cache`` keeps every answer of a function or an estimator, and what was
    answered is not asked again. The task is copied, never changed; a subject comes back as it is.
    """
    for_modules, for_functions = {"device": device}, {"numpy": numpy or None, "version": version}
    for_others = {"cache": cache}
    if is_subject(model):
        meaning = {"task": task, "labels": labels, "output": output, "name": name}
        _refuse("a subject", meaning | for_modules | for_functions | for_others)
        return model
    if isinstance(model, nn.Module):
        _refuse("a module", for_functions | for_others)
        task = labelled(TensorTask() if task is None else task, labels)
        name = name or type(model).__name__
        return TorchSubject(moved(model, device), task, name=name, output=output, device=device)
    if is_estimator(model):
        _refuse("an estimator", {"output": output} | for_modules | for_functions)
        estimator = EstimatorSubject(model, task, labels=labels, name=name)
        return estimator if cache is None else estimator.remember(cache)
    if callable(model) and not isinstance(model, type):
        _refuse("a function", for_modules)
        task = labelled(TensorTask() if task is None else task, labels)
        function = FunctionSubject(model, task, name=name, output=output, numpy=numpy, version=version)
        return function if cache is None else function.remember(cache)
    kind = f"the class {model.__name__}" if isinstance(model, type) else f"a {type(model).__name__}"
    raise UsageError(
        f"cannot wrap {kind}; give an nn.Module, a fitted estimator or a function, or load a file by name: 'onnx:…'"
    )


def is_subject(model: Any) -> bool:
    """Whether this is a subject already; read from its type, because asking for a fingerprint can cost model calls."""
    members = ("offers", "structure", "fingerprint", "prepare", "scores", "run", "layers", "batch_size")
    return all(hasattr(type(model), member) for member in members)


def _refuse(what: str, options: dict[str, Any]) -> None:
    for option, value in options.items():
        if value is not None:
            raise UsageError(f"wrap: {what} takes no {option}; leave {option}= out")
