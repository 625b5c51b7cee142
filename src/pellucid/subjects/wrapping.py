"""From a model of any kind to a subject."""

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
) -> Subject:
    """A subject from an ``nn.Module``, a fitted scikit-learn estimator or a function ``f(batch) -> scores``.

    Without a ``task`` a tensor query works, in which every element is a feature. ``labels`` name the outputs; ``output``
    picks the score tensor out of a tuple, dict or model output.
    """
    if task is None:
        task = TensorTask(None if labels is None else tuple(labels))
    elif labels is not None:
        if task.labels is not None and tuple(labels) != tuple(task.labels):
            raise UsageError("wrap: labels are given twice, in the task and in the call; give them once")
        task.labels = tuple(labels)
    if isinstance(model, nn.Module):
        return TorchSubject(model, task, name=name or type(model).__name__, output=output, device=device)
    raise UsageError(f"cannot wrap a {type(model).__name__}; give an nn.Module, a fitted estimator or a function")
