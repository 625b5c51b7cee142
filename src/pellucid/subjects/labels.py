"""The names of a subject's outputs."""

import copy
from collections.abc import Sequence

from pellucid.core.errors import UsageError
from pellucid.core.subject import Task


def labelled(task: Task, labels: Sequence[str] | None) -> Task:
    """A copy of the task, whose owner may use it elsewhere, with these labels where some are given."""
    task = copy.copy(task)
    if labels is None:
        return task
    if isinstance(labels, str):
        raise UsageError(f"labels are a list of names, not the text {labels!r}")
    if task.labels is not None and tuple(labels) != tuple(task.labels):
        raise UsageError("labels are given twice, in the task and in the call; give them once")
    task.labels = tuple(labels)
    return task
