"""Earlier states of a network: its subject with other weights, read from files that hold nothing but tensors."""

import copy
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.core.errors import BadInput, NotAnswerable, UsageError
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.randomising import randomised


def checkpoint(subject: Subject, inputs: Inputs, given: Any, number: int) -> tuple[str, Subject]:
    """A name for a checkpoint, and the subject in that state; the subject itself is left as it is.

    ``given`` is a module, a state dict, or the path of one: a ``.safetensors`` file, or one of ``torch.save`` that is read
    without executing anything (a dict with a ``state_dict`` or ``model`` inside counts as that). The word ``final`` means the
    subject as it is, ``random`` all its parameters drawn anew with the mean and deviation that they have. Raises
    ``BadInput`` where a file cannot be read or does not fit the network.
    """
    name = f"checkpoint {number + 1}"
    if subject.module is None:
        raise NotAnswerable(f"{subject.name} has no module that could be put in another state")
    if given == "final":
        return "final", subject
    if given == "random":
        *_, drawn = randomised(subject, inputs, 1, "cascading", "normal", 0)
        return "random", drawn
    if isinstance(given, nn.Module):
        return name, subject.with_module(given)
    if isinstance(given, Mapping):
        return name, subject.with_module(_loaded(subject.module, given, name))
    if not isinstance(given, str | os.PathLike):
        raise UsageError(
            f"a checkpoint is a module, a state dict, a path, 'random' or 'final', not a {type(given).__name__}"
        )
    path = Path(given)
    return path.stem, subject.with_module(_loaded(subject.module, _read(path), str(path)))


def _read(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise BadInput(f"there is no checkpoint {path}")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of whatever kind the reader of a damaged file raises
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise BadInput(f"{path} cannot be read as a state dict without executing code: {said}") from error
    for key in ("state_dict", "model"):
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        raise BadInput(f"{path} holds no state dict; save module.state_dict()")
    return found


def _loaded(module: nn.Module, state: Mapping[str, Any], name: str) -> nn.Module:
    changed = copy.deepcopy(module)
    try:
        changed.load_state_dict(dict(state))
    except RuntimeError as error:
        said = " ".join(str(error).split())[:300]
        raise BadInput(f"{name} does not fit the network: {said}") from error
    return changed
