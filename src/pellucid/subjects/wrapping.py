"""From a model of any kind to a subject."""

import copy
from collections.abc import Sequence
from typing import Any

from torch import nn

from pellucid.core.errors import UsageError
from pellucid.core.subject import Subject, Task
from pellucid.subjects.torch import Output, TorchSubject
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
) -> Subject:
    """A subject from an ``nn.Module``, a fitted scikit-learn estimator or a function ``f(batch) -> scores``.

    Without a ``task`` a tensor query works, in which every element is a feature; an estimator brings its columns and
    classes. ``labels`` name the outputs; ``output`` picks the score tensor out of a tuple, dict or model output. ``device``
    is for modules, ``numpy`` (hand over arrays) and a declared ``version`` for functions. The task is copied, never
    changed, and a subject comes back as it is.
    """
    given = {"task": task, "labels": labels, "output": output, "device": device, "name": name}
    given |= {"numpy": numpy or None, "version": version}
    if is_subject(model):
        _refuse(given, f"{model.name} is a subject already")
        return model
    if isinstance(model, nn.Module):
        _refuse({"numpy": numpy or None, "version": version}, "a module")
        task = labelled(task or TensorTask(), labels)
        return TorchSubject(model, task, name=name or type(model).__name__, output=output, device=device)
    raise UsageError(f"cannot wrap a {type(model).__name__}; give an nn.Module, a fitted estimator or a function")


def is_subject(model: Any) -> bool:
    """Whether this is a subject already; read from its type, because asking for a fingerprint can cost model calls."""
    members = ("offers", "structure", "fingerprint", "prepare", "scores", "run", "layers", "batch_size")
    return all(hasattr(type(model), member) for member in members)


def labelled(task: Task, labels: Sequence[str] | None) -> Task:
    """A copy of the task, whose owner may use it elsewhere, with these labels."""
    task = copy.copy(task)
    if labels is None:
        return task
    if isinstance(labels, str):
        raise UsageError(f"labels are a list of names, not the text {labels!r}")
    if task.labels is not None and tuple(labels) != tuple(task.labels):
        raise UsageError("labels are given twice, in the task and in the call; give them once")
    task.labels = tuple(labels)
    return task


def _refuse(given: dict[str, Any], what: str) -> None:
    for option, value in given.items():
        if value is not None:
            raise UsageError(f"wrap: {what}, which takes no {option}; leave {option}= out")
