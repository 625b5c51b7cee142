"""Captum's FeatureAblation, Occlusion, ShapleyValueSampling, KernelShap and Lime."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pellucid.compat.captum.asking import Attribution, positive, progress, refused
from pellucid.compat.captum.groups import asked_about_groups, by_element, by_group
from pellucid.core.errors import UsageError
from pellucid.engine.coalition_pairs import least_pairs
from pellucid.methods.attribution.feature_ablation import FeatureAblation as NativeFeatureAblation
from pellucid.methods.shapley.exact_shapley import ExactShapley
from pellucid.methods.shapley.kernel_shap import KernelShap as NativeKernelShap
from pellucid.methods.shapley.permutation_shap import PermutationShap
from pellucid.methods.surrogates.lime import Lime as NativeLime

# Two orders and their reverses, from which an interval can be told.
_FEWEST_ORDERS = 4
# Nothing is as narrow as this, so that all that was asked for is drawn.
_NEVER = 1e-12


class _Perturbation(Attribution):
    """Scores from answers alone; a group of features has one score, which each of its elements gets whole."""

    @property
    def multiplies_by_inputs(self) -> bool:
        return True


class FeatureAblation(_Perturbation):
    """How far the output falls when a group of features is at its baseline."""

    def attribute(
        self,
        inputs: Any,
        baselines: Any = None,
        target: Any = None,
        additional_forward_args: Any = None,
        feature_mask: Any = None,
        perturbations_per_eval: int = 1,
        show_progress: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Scores in the shapes of the inputs; with one row where the model answers one number for the whole batch."""
        for name, value in kwargs.items():
            refused("FeatureAblation", name, value, None, "leave it out")
        positive("FeatureAblation", perturbations_per_eval=perturbations_per_eval)
        with progress(show_progress):
            groups = asked_about_groups(self, inputs, baselines, target, additional_forward_args, feature_mask)
            return by_element(groups, lambda features, hidden, _: NativeFeatureAblation(hidden, features))


class ShapleyValueSampling(_Perturbation):
    """What each group of features adds, averaged over ``n_samples`` orders in which they come in.

    Exact where all coalitions cost no more than the orders would.
    """

    def attribute(
        self,
        inputs: Any,
        baselines: Any = None,
        target: Any = None,
        additional_forward_args: Any = None,
        feature_mask: Any = None,
        n_samples: int = 25,
        perturbations_per_eval: int = 1,
        show_progress: bool = False,
    ) -> Any:
        """Scores in the shapes of the inputs."""
        positive("ShapleyValueSampling", n_samples=n_samples, perturbations_per_eval=perturbations_per_eval)
        with progress(show_progress):
            groups = asked_about_groups(self, inputs, baselines, target, additional_forward_args, feature_mask)
            seed = _seed()

            def method(features: Tensor, hidden: Tensor, count: int) -> Any:
                budget = n_samples * count + 2
                if 2**count <= budget:
                    return ExactShapley(hidden, features, budget=max(2, 2**count))
                _check_samples("ShapleyValueSampling", n_samples, _FEWEST_ORDERS, count)
                return PermutationShap(hidden, features, tolerance=_NEVER, budget=budget, seed=seed)

            return by_element(groups, method)


class KernelShap(_Perturbation):
    """Shapley values from ``n_samples`` coalitions of groups of features; exact where that is all of them."""

    def attribute(
        self,
        inputs: Any,
        baselines: Any = None,
        target: Any = None,
        additional_forward_args: Any = None,
        feature_mask: Any = None,
        n_samples: int = 25,
        perturbations_per_eval: int = 1,
        return_input_shape: bool = True,
        show_progress: bool = False,
    ) -> Any:
        """Scores in the shapes of the inputs, or ``[batch, groups]`` where ``return_input_shape`` is False."""
        positive("KernelShap", n_samples=n_samples, perturbations_per_eval=perturbations_per_eval)
        with progress(show_progress):
            groups = asked_about_groups(self, inputs, baselines, target, additional_forward_args, feature_mask)
            seed = _seed()

            def method(features: Tensor, hidden: Tensor, count: int) -> Any:
                if 2**count > n_samples:
                    _check_samples("KernelShap", n_samples, 2 * least_pairs(count) + 2, count)
                return NativeKernelShap(hidden, features, tolerance=_NEVER, budget=max(2, n_samples), seed=seed)

            return (by_element if return_input_shape else by_group)(groups, method)


class Lime(_Perturbation):
    """The coefficients of a lasso with penalty 0.01 on ``n_samples`` coalitions, weighed by the cosine of the inputs."""

    def __init__(
        self,
        forward_func: Callable[..., Any],
        interpretable_model: Any = None,
        similarity_func: Any = None,
        perturb_func: Any = None,
    ) -> None:
        super().__init__(forward_func)
        instead = "ask natively: pl.methods.Lime(kernel_width=…, keep=…)"
        refused("Lime", "interpretable_model", interpretable_model, None, instead)
        refused("Lime", "similarity_func", similarity_func, None, instead)
        refused("Lime", "perturb_func", perturb_func, None, instead)

    def attribute(
        self,
        inputs: Any,
        baselines: Any = None,
        target: Any = None,
        additional_forward_args: Any = None,
        feature_mask: Any = None,
        n_samples: int = 25,
        perturbations_per_eval: int = 1,
        return_input_shape: bool = True,
        show_progress: bool = False,
    ) -> Any:
        """Scores in the shapes of the inputs, or ``[batch, groups]`` where ``return_input_shape`` is False."""
        positive("Lime", n_samples=n_samples, perturbations_per_eval=perturbations_per_eval)
        with progress(show_progress):
            groups = asked_about_groups(self, inputs, baselines, target, additional_forward_args, feature_mask)
            seed = _seed()

            def method(features: Tensor, hidden: Tensor, count: int) -> Any:
                return NativeLime(max(2, n_samples), features=features, baseline=hidden, preset="captum", seed=seed)

            return (by_element if return_input_shape else by_group)(groups, method)


def _check_samples(name: str, n_samples: int, needed: int, count: int) -> None:
    if n_samples < needed:
        raise UsageError(
            f"{name}: n_samples={n_samples} is too few for {count} features; give {needed} or more, or group them: "
            "feature_mask=…"
        )


def _seed() -> int:
    """Draws follow ``torch.manual_seed``, but not what was drawn since: the same call gives the same scores."""
    return torch.initial_seed()
