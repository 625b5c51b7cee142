"""Captum's infidelity and sensitivity_max."""

from collections.abc import Callable
from inspect import signature
from typing import Any

import torch
from torch import Tensor

from pellucid.compat.captum.asking import Attribution, per_input, positive
from pellucid.compat.captum.packing import as_tuple
from pellucid.core.errors import UsageError


def infidelity(
    forward_func: Callable[..., Any],
    perturb_func: Callable[..., Any],
    inputs: Any,
    attributions: Any,
    baselines: Any = None,
    additional_forward_args: Any = None,
    target: Any = None,
    n_perturb_samples: int = 10,
    max_examples_per_batch: int | None = None,
    normalize: bool = False,
) -> Tensor:
    """How far scores are from telling what perturbations do to the output, ``[batch]``: the mean of
    ``(perturbation · scores − fall of the output)²``, 0 where they tell it exactly.

    ``perturb_func(inputs)``, or ``(inputs, baselines)``, returns perturbations and perturbed inputs. With ``normalize``
    scores are first scaled by the factor that serves each example best.
    """
    positive("infidelity", n_perturb_samples=n_perturb_samples, max_examples_per_batch=max_examples_per_batch)
    tensors, scores = as_tuple(inputs, "inputs"), as_tuple(attributions, "attributions")
    if [t.shape for t in tensors] != [s.shape for s in scores]:
        raise UsageError(
            f"infidelity: attributions {[tuple(s.shape) for s in scores]} must have the shapes of the inputs "
            f"{[tuple(t.shape) for t in tensors]}"
        )
    asked = Attribution(forward_func).asked(inputs, target, additional_forward_args, floating=True)
    plain = asked.answers(asked.inputs.value)
    told, falls = [], []
    for _ in range(n_perturb_samples):
        changes, perturbed = _perturbed(perturb_func, inputs, baselines, asked.layout)
        products = [s.detach().cpu().double() * c.cpu().double() for s, c in zip(scores, changes, strict=True)]
        told.append(torch.stack([product.reshape(len(product), -1).sum(1) for product in products]).sum(0))
        falls.append(plain - asked.answers(asked.layout.packed(perturbed, asked.inputs.value.dtype)))
    found = _mean_square(torch.stack(told), torch.stack(falls), normalize)
    return found.to(scores[0])


def ball(inputs: Any, perturb_radius: float = 0.02) -> tuple[Tensor, ...]:
    """Inputs moved by uniform noise within a radius, drawn from torch's own generator."""
    return tuple(
        tensor + (2 * torch.rand(tensor.shape, dtype=tensor.dtype) - 1).to(tensor.device) * perturb_radius
        for tensor in as_tuple(inputs, "inputs")
    )


def sensitivity_max(
    explanation_func: Callable[..., Any],
    inputs: Any,
    perturb_func: Callable[..., Any] = ball,
    perturb_radius: float = 0.02,
    n_perturb_samples: int = 10,
    norm_ord: Any = "fro",
    max_examples_per_batch: int | None = None,
    **kwargs: Any,
) -> Tensor:
    """The largest relative change of an explanation among perturbed inputs, ``[batch]``.

    ``perturb_func(inputs, radius)``, or ``(inputs)``, returns perturbed inputs; further arguments are the explanation's.
    """
    positive("sensitivity_max", n_perturb_samples=n_perturb_samples, max_examples_per_batch=max_examples_per_batch)
    plain = _flat(explanation_func(inputs, **kwargs))
    size = torch.linalg.vector_norm(plain, ord=_order(norm_ord), dim=1)
    size = torch.where(size == 0, 1.0, size)
    largest = torch.zeros_like(size)
    for _ in range(n_perturb_samples):
        moved = (
            perturb_func(inputs, perturb_radius)
            if len(signature(perturb_func).parameters) > 1
            else perturb_func(inputs)
        )
        moved = moved[0] if isinstance(inputs, Tensor) and isinstance(moved, tuple) else moved
        change = _flat(explanation_func(moved, **kwargs)) - plain
        largest = torch.maximum(largest, torch.linalg.vector_norm(change, ord=_order(norm_ord), dim=1) / size)
    return largest


def _mean_square(told: Tensor, falls: Tensor, normalize: bool) -> Tensor:
    """The mean of ``(told − falls)²`` over samples, ``[batch]``, of ``told`` as they are or scaled as serves them best."""
    if normalize:
        squares = told.square().sum(0)
        told = told * torch.where(squares > 0, (told * falls).sum(0) / squares, 1.0)
    return (told - falls).square().mean(0)


def _perturbed(perturb_func: Callable[..., Any], inputs: Any, baselines: Any, layout: Any) -> tuple[Any, Any]:
    """Perturbations and perturbed inputs, one tensor per input."""
    if baselines is None:
        found = perturb_func(inputs)
    else:
        whole = per_input(baselines, layout, "baselines", 0)
        found = perturb_func(inputs, whole[0] if isinstance(inputs, Tensor) else whole)
    if not isinstance(found, tuple) or len(found) != 2:
        raise UsageError("infidelity: perturb_func must return perturbations and perturbed inputs")
    changes, perturbed = (as_tuple(part, "what perturb_func returns") for part in found)
    if not len(changes) == len(perturbed) == len(layout.shapes):
        raise UsageError(
            f"infidelity: perturb_func must return one perturbation for each of {len(layout.shapes)} inputs"
        )
    return changes, perturbed


def _flat(scores: Any) -> Tensor:
    parts = as_tuple(scores, "explanations")
    return torch.cat([part.detach().reshape(len(part), -1) for part in parts], 1)


def _order(norm_ord: Any) -> float:
    if norm_ord == "fro":
        return 2.0
    if isinstance(norm_ord, int | float):
        return float(norm_ord)
    raise UsageError(f"sensitivity_max: norm_ord={norm_ord!r} must be 'fro' or a number")
