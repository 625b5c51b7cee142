"""From what a model answers to its scores: the same demands on every kind of model."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pellucid.core.errors import SubjectFailed, UsageError, nearest
from pellucid.engine.batching import out_of_memory

Output = Callable[[Any], Any] | str | int | None


def picked(answer: Any, output: Output, name: str) -> Any:
    """The scores inside an answer: itself, its ``logits``, or what ``output`` (a key, an index, a function) picks."""
    if output is None:
        if isinstance(answer, Tensor | np.ndarray | list):
            return answer
        if hasattr(answer, "logits"):
            return answer.logits
        kind = type(answer).__name__
        if isinstance(answer, str | bytes) or not hasattr(answer, "__getitem__"):
            raise SubjectFailed(f"{name} returns a {kind}; it must return scores [batch, outputs]")
        raise UsageError(f"{name} returns a {kind}; say where its scores are: wrap(…, output=key or index)")
    if callable(output):
        return output(answer)
    try:
        return answer[output]
    except (KeyError, IndexError, TypeError) as error:
        keys = [str(key) for key in answer] if isinstance(answer, Mapping) else []
        hint = f"; {nearest(str(output), keys)}" if keys else ""
        raise UsageError(f"{name} returns a {type(answer).__name__} without {output!r}{hint}") from error


def as_tensor(scores: Any, name: str) -> Tensor:
    """Scores of a model outside torch as a floating-point tensor on the CPU; whole numbers become float32."""
    if isinstance(scores, Tensor):
        tensor = scores.detach().cpu().clone()  # The model may reuse its buffer for the next batch.
    else:
        try:
            tensor = torch.from_numpy(np.array(scores))
        except (TypeError, ValueError) as error:
            raise SubjectFailed(
                f"{name}: its scores must be numbers [batch, outputs], not a {type(scores).__name__} of something else"
            ) from error
    if tensor.is_complex():
        raise SubjectFailed(f"{name} answered complex numbers; return their magnitude or another real score")
    return tensor if tensor.is_floating_point() else tensor.float()


def checked(scores: Any, name: str, batch: int) -> Tensor:
    """Scores ``[batch, outputs]`` (positions in between allowed), all finite; one number per example is one output."""
    if not isinstance(scores, Tensor) or scores.ndim == 0:
        kind = "a single number" if isinstance(scores, Tensor) else f"a {type(scores).__name__}"
        raise SubjectFailed(f"{name}: its scores must be a tensor [batch, outputs], not {kind}")
    if len(scores) != batch:
        raise SubjectFailed(f"{name} answered {len(scores)} rows for {batch} examples; the first axis is the batch")
    if scores.numel() == 0:
        raise SubjectFailed(f"{name} answered no scores at all: shape {tuple(scores.shape)}")
    if not bool(scores.detach().isfinite().all()):
        raise SubjectFailed(f"{name} answered NaN or infinite scores; check its weights and the preparation")
    return scores[:, None] if scores.ndim == 1 else scores


def settled(scores: Tensor) -> Tensor:
    """Scores without a graph, on the CPU, at least in single precision."""
    scores = scores.detach().cpu()
    return scores.float() if scores.dtype in (torch.float16, torch.bfloat16) else scores


def failure(name: str, tensors: Mapping[str, Tensor], error: BaseException) -> SubjectFailed:
    """What to raise where the model itself raised ``error`` on these inputs: one line."""
    shapes = ", ".join(f"{key} {tuple(tensor.shape)}" for key, tensor in tensors.items())
    if out_of_memory(error):
        return SubjectFailed(f"{name} ran out of memory on {shapes}; use a smaller byte budget")
    reason = (str(error).splitlines() or [""])[0]
    return SubjectFailed(f"{name} failed on {shapes}: {type(error).__name__}: {reason}")
