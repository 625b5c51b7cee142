"""How the contract tests ask: every method with quick settings, every subject with a question that fits."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import pellucid as pl
from contract.cases import CASES
from pellucid.core.content import digest
from pellucid.core.method import METHODS, discover, query_type
from pellucid.core.spec import View
from pellucid.engine.perturb import position_axes

# Columns of the wine table and pictures, in few enough groups for every coalition to be asked about.
WINE_CASES = ("wine-mlp", "forest", "onnx", "http", "row")
PICTURE_CASES = ("small-cnn", "efficientnet-lite0", "digits-cnn", "brightness")
FOUR_GROUPS = torch.arange(13) % 4


def noise(*shape: int) -> torch.Tensor:
    """Other rows in the shape of a case's point."""
    return torch.randn(6, *shape, generator=torch.Generator().manual_seed(5))


@dataclasses.dataclass(frozen=True)
class LinearGenerator:
    """Points of four numbers, by fixed random directions."""

    picture: tuple[int, ...]
    code: tuple[int, ...] = (4,)
    mean: torch.Tensor = dataclasses.field(default_factory=lambda: torch.zeros(4).double())
    deviation: torch.Tensor = dataclasses.field(default_factory=lambda: torch.ones(4).double())
    lowest: torch.Tensor = dataclasses.field(default_factory=lambda: -torch.ones(4).double())

    def __call__(self, codes: torch.Tensor) -> torch.Tensor:
        directions = torch.randn(4, *self.picture, generator=torch.Generator().manual_seed(3))
        return torch.tensordot(codes, directions.to(codes), 1)


# Fields that make a method quick enough to be asked often; a subject's own entry wins over the method's.
QUICK: dict[str, dict[str, Any]] = {
    "class-image": {"steps": 3, "starts": 2},
    "class-image efficientnet-lite0": {"steps": 1, "starts": 1, "size": 64},
    "multifaceted": {"steps": 2, "starts": 2, "facets": 1},
    "multifaceted efficientnet-lite0": {"steps": 1, "starts": 1, "facets": 1, "size": 64},
    "toolbox-image": {"steps": 3, "starts": 2},
    "toolbox-image efficientnet-lite0": {"steps": 1, "starts": 1, "size": 64},
    "feature-image": {"steps": 3, "starts": 2},
    "feature-image efficientnet-lite0": {"steps": 1, "starts": 1, "size": 64},
    "feature-gallery": {"channels": 2, "steps": 2},
    "feature-gallery efficientnet-lite0": {"channels": 1, "steps": 1, "size": 64},
    "activation-maximization": {"norm": 2.0, "starts": 2, "steps": 3},
    "activation-maximization efficientnet-lite0": {"norm": 2.0, "starts": 1, "steps": 1},
    "correspondence": {"parts": {"corner": (0, 0, 4, 4)}, "draws": 2},
    "depth-ablation efficientnet-lite0": {"layers": "blocks.4"},
    "depth-ablation minilm-sentiment": {"layers": "encoder.encoder.layer.3"},
    "feature-evolution": {"checkpoints": "random, final", "k": 2},
    "transform-sensitivity": {"translate": (0.25,), "scale": (1.5,), "rotate": ()},
    "transform-sensitivity efficientnet-lite0": {"translate": (), "scale": (1.5,), "rotate": ()},
    "deconv-patches efficientnet-lite0": {"k": 1},
    "network-dissection": {"concepts": {"middle": torch.eye(8)}, "share": 0.3, "side": 8, "least": 0.0, "draws": 50},
    "network-health": {"timed": 0},
    "prototypes": {"members": "all", "draws": 5},
    "inversion": {"steps": 2},
    "train-decoder": {"layer": "layer"},
    "generator-am": {"generator": LinearGenerator((6,))},
    "inversion efficientnet-lite0": {"steps": 1},
    **{
        f"train-decoder {case}": {"layer": layer, "steps": 2, "batch": 2, "width": 4}
        for case, layer in (("small-cnn", "block"), ("digits-cnn", "convolution2"), ("efficientnet-lite0", "blocks.5"))
    },
    **{
        f"generator-am {case}": {"generator": LinearGenerator(shape), "steps": 2, "starts": 2}
        for case, shape in (
            ("small-cnn", (3, 16, 16)),
            ("efficientnet-lite0", (3, 64, 64)),
            ("digits-cnn", (1, 8, 8)),
            ("wine-mlp", (13,)),
            ("diabetes-mlp", (10,)),
            ("double-mlp", (6,)),
            ("reused-relu", (6,)),
        )
    },
    "weight-attribution": {"top": 2, "draws": 3},
    "weight-attribution efficientnet-lite0": {"top": 1, "draws": 1},
    "lime": {"samples": 40},
    "sp-lime": {"budget": 2},
    "streak": {"k": 2},
    "integrated-gradients": {"max_steps": 64},
    "integrated-gradients efficientnet-lite0": {"tolerance": 0.1, "max_steps": 32},
    "occlusion efficientnet-lite0": {"window": 112, "stride": 56},
    "smoothgrad": {"samples": 3},
    "rise": {"samples": 40},
    "response": {"grid": 5, "replicates": 20},
    "response char-lstm": {"features": (0,), "replicates": 20},
    "sobol": {"samples": 600, "design": 2, "tolerance": 0.3},
    "sobol efficientnet-lite0": {"samples": 200, "design": 2, "segments": 12},
    "extremal-perturbation": {"steps": 4, "areas": (0.1, 0.3)},
    "extremal-perturbation efficientnet-lite0": {"steps": 2, "areas": (0.2,)},
    "rise efficientnet-lite0": {"samples": 8},
    "expected-gradients": {"samples": 6},
    **{f"exact-shapley {case}": {"features": FOUR_GROUPS} for case in WINE_CASES},
    **{f"exact-shapley {case}": {"segments": 5} for case in PICTURE_CASES},
    **{
        f"{method} {case}": {"segments": 9, "budget": 50}
        for method in ("kernel-shap", "permutation-shap", "shapley-interactions")
        for case in ("small-cnn", "efficientnet-lite0")
    },
    **{method: {"budget": 72} for method in ("kernel-shap", "permutation-shap", "shapley-interactions")},
    "partition-shap": {"budget": 40},
    "partition-shap efficientnet-lite0": {"budget": 12},
    "feature-ablation efficientnet-lite0": {"segments": 6},
    "permutation": {"samples": 3},
    **{f"permutation {case}": {"rows": noise(6)} for case in ("double-mlp", "reused-relu")},
    "permutation brightness": {"rows": noise(3, 8, 8)},
    "permutation digits-cnn": {"rows": noise(1, 8, 8)},
    "permutation picture": {"rows": noise(3, 8, 8)},
    "permutation small-cnn": {"rows": noise(3, 16, 16)},
    "permutation efficientnet-lite0": {"rows": noise(3, 224, 224), "features": torch.arange(224) // 112},
    "score-cam efficientnet-lite0": {"channels": 4},
    "pathway": {"budget": 60, "draws": 8, "links": 2},
    "pathway efficientnet-lite0": {"budget": 8, "draws": 2, "links": 1},
    "pathway minilm-sentiment": {"budget": 20, "draws": 2, "links": 1},
    "counterfactual": {"budget": 400},
    "counterfactual efficientnet-lite0": {"budget": 30},
    "counterfactual diabetes-mlp": {"wanted": 150.0},
    "region-perturbation": {"region": 2, "steps": 4, "draws": 2},
    "region-perturbation efficientnet-lite0": {"region": 50},
    **{method: {"steps": 4} for method in ("pixel-flipping", "insertion", "deletion", "monotonicity")},
    **{
        f"{method} efficientnet-lite0": {"steps": 2}
        for method in ("pixel-flipping", "insertion", "deletion", "monotonicity")
    },
    "selectivity small-cnn": {"patch": 4},
    "selectivity efficientnet-lite0": {"patch": 112},
    **{f"irof {case}": {"segments": 4} for case in ("small-cnn", "digits-cnn", "brightness", "efficientnet-lite0")},
    "road": {"percentages": (20, 60), "measure": "score"},
    "road efficientnet-lite0": {"percentages": (20,)},
    "infidelity": {"draws": 10},
    "infidelity efficientnet-lite0": {"draws": 3, "random_maps": 2},
    "sensitivity-n": {"shares": (0.1, 0.5), "subsets": 10},
    "sensitivity-n efficientnet-lite0": {"shares": (0.1,), "subsets": 4, "random_maps": 2},
    "faithfulness-correlation": {"subsets": 10},
    "faithfulness-correlation efficientnet-lite0": {"subsets": 4, "random_maps": 2},
    "faithfulness-estimate small-cnn": {"features": torch.arange(16) // 4},
    "faithfulness-estimate efficientnet-lite0": {"features": torch.arange(224) // 56, "random_maps": 2},
    **{f"{method} efficientnet-lite0": {"shares": (0.5,)} for method in ("sufficiency", "comprehensiveness")},
    "effective-complexity": {"steps": 3},
    "effective-complexity efficientnet-lite0": {"steps": 2},
    **{
        f"{method} efficientnet-lite0": {"random_maps": 2}
        for method in (
            "entropy",
            "gini",
            "file-size",
            "pointing-game",
            "mass-accuracy",
            "rank-accuracy",
            "top-k-intersection",
        )
    },
    **{
        method: {"copies": 2, "random_maps": 1}
        for method in ("max-sensitivity", "local-lipschitz", "relative-stability")
    },
    "continuity": {"steps": 2, "random_maps": 1},
    **{
        f"{method} efficientnet-lite0": {setting: 1}
        for method, setting in (
            ("max-sensitivity", "copies"),
            ("local-lipschitz", "copies"),
            ("continuity", "steps"),
        )
    },
    "relative-stability efficientnet-lite0": {"copies": 1, "radius": 1e-3},
    "parameter-randomisation": {"layers": 1, "random_maps": 1},
    "non-sensitivity": {"tolerance": 0.2},
    "non-sensitivity efficientnet-lite0": {"features": torch.arange(224) // 112, "draws": 1},
    "forward-simulation": {"studied": 1, "edited": 1.0},
    "interpretation-score": {
        "context": pl.Context("predict the model", "developer", "What does it answer?"),
        "studied": 1,
    },
    "what-if": {"edit": "box 25%,25%,75%,75% mean; brightness 0.5"},
    "what-if minilm-sentiment": {"edit": "insert really at start; insert not at end"},
    "what-if char-lstm": {"edit": "0 = a; 3 = b"},
    "what-if diabetes-mlp": {"edit": "bmi = 30, s5 += 1"},
    **{
        f"what-if {case}": {"edit": "alcohol = 13, proline += 100"}
        for case in ("wine-mlp", "forest", "onnx", "http", "row")
    },
    **{f"what-if {case}": {"edit": "0 = 1; 3 += 0.5"} for case in ("double-mlp", "reused-relu")},
}


# Methods that are asked about a class, not about a unit of a layer.
OF_CLASSES = {"class-image", "prototypes"}


# Layers with units that can be asked about, where a case names no layer.
UNITS = {
    "digits-cnn": "convolution2",
    "minilm-sentiment": "encoder.encoder.layer.3",
    "char-lstm": "lstm",
    "diabetes-mlp": "layers.0",
}


# Other layers, for methods that ask for layers of another kind.
LAYERS = {
    ("network-health", "char-lstm"): "classifier",
    ("prototypes", "char-lstm"): "classifier",
    ("weights", "char-lstm"): "lstm.weight_ih_l0",
    ("weights", "double-mlp"): "0",
    ("weights", "efficientnet-lite0"): "blocks.5.depthwise.convolution",
    ("weights", "minilm-sentiment"): "head.hidden",
}


# What a method finds it cannot follow only when it walks through the network, and what it says then.
REFUSED = {
    ("deconvnet", "char-lstm"): "no rectifier",
    ("guided-backprop", "char-lstm"): "no rectifier",
    ("pathway", "char-lstm"): "no layer",
    ("relevance-maximization", "char-lstm"): "returns no tensor of channels",
    ("deep-taylor", "minilm-sentiment"): "not aten.native_layer_norm",
    ("deep-taylor", "char-lstm"): "both depend on the input",
    ("excitation-backprop", "minilm-sentiment"): "not aten.native_layer_norm",
    ("excitation-backprop", "char-lstm"): "both depend on the input",
    ("train-decoder", "efficientnet-lite0"): "many pictures",
    ("forward-simulation", "efficientnet-lite0"): "at least one more must be left to ask about",
    **{
        ("unit-sampling", case): "no generative network"
        for case in ("small-cnn", "efficientnet-lite0", "digits-cnn", "double-mlp", "reused-relu")
    },
    **{
        ("filter-combination", case): "does not return the units of a linear layer"
        for case in ("small-cnn", "efficientnet-lite0", "digits-cnn")
    },
    **{
        (method, "char-lstm"): "returns no tensor of channels"
        for method in ("top-examples", "deconv-patches", "feature-evolution")
    },
    ("correspondence", "efficientnet-lite0"): "give at least 3",
    ("depth-ablation", "char-lstm"): "no layers with weights to leave out but its last",
    ("random-logit", "diabetes-mlp"): "no other of its 1 outputs",
    ("interpretation-score", "efficientnet-lite0"): "at least one more must be left to ask about",
}


# These read the maps of a convolution, unless a layer of tokens is named.
REFUSED |= {
    (method, case): "no convolution of"
    for method, cls in discover().items()
    if cls.__module__.startswith("pellucid.methods.class_activation.") and method != "full-grad"
    for case in ("minilm-sentiment", "char-lstm", "double-mlp", "reused-relu")
}


# These speak of all examples together: of one of them they say something else.
OF_ALL = {
    "multifaceted",
    "network-health",
    "train-decoder",
    "correspondence",
    "depth-ablation",
    "feature-evolution",
    "transform-sensitivity",
}


# Relevance divides by pre-activations: where one is as small as the stabiliser, the last bit of single precision shows.
ROUGH = {("lrp", "minilm-sentiment"): 1e-3, ("clear", "minilm-sentiment"): 1e-3}
# Sobol indices divide by how the score varies, here by 0.004 around 0.3: a last bit is 1e-5 of that.
ROUGH |= {("sobol", "small-cnn"): 1e-4}
# Two scores that differ by rounding change places: one pair of 256 regions counts 3e-5 of a rank correlation.
ROUGH |= {("compare-explanations", case): 1e-3 for case in PICTURE_CASES}
# Falls of 0.2 of a score of −10: a last bit is 1e-5 of that.
ROUGH |= {
    (method, "digits-cnn"): 1e-4
    for method in (
        "exact-shapley",
        "feature-ablation",
        "kernel-shap",
        "partition-shap",
        "permutation",
        "permutation-shap",
        "shapley-interactions",
    )
}
# Relative changes of scores that are nearly 0, and ranks of scores that nearly tie, show the last bits of occlusion maps.
ROUGH |= {("relative-stability", case): 0.1 for case in CASES}
# Adam divides gradients by their own size: where that is as small as its stabiliser, the last bits of single precision show.
ROUGH |= {
    ("inversion", case): 1e-3 for case in ("small-cnn", "digits-cnn", "efficientnet-lite0", "wine-mlp", "diabetes-mlp")
}
ROUGH |= {("parameter-randomisation", case): 1e-3 for case in ("small-cnn", "efficientnet-lite0")}


def tolerance(method: str, case: str) -> float:
    """How far answers may differ, relative to their largest number, between batches that hold the same example."""
    return ROUGH.get((method, case), CASES[case].tolerance)


def ids() -> list[str]:
    """Every registered method of the product."""
    return sorted(name for name, cls in discover().items() if cls.__module__.startswith("pellucid."))


def quick(method: str, case: str) -> Any:
    """A method with settings that keep one call on a small subject within a fraction of a second."""
    return METHODS[method](**(QUICK.get(method, {}) | QUICK.get(f"{method} {case}", {})))


def fits(method: str, name: str) -> bool:
    """Whether a method can be asked of the subject of a case."""
    spec, case = METHODS[method].spec, CASES[name]
    present = spec.access <= case.offers and spec.structure <= case.structure
    return present and case.modality in spec.modalities and (method, name) not in REFUSED


def parameters(found: list[tuple[str, str]]) -> list[Any]:
    """(method, case) as parameters of a test. Metrics, and methods that look at the model, meet the large network in the slow
    tests: they reach it through the engines that they share, and the small networks are asked as often."""
    large = (pair for pair in found if pair[1] == "efficientnet-lite0")
    slow = {pair for pair in large if query_type(METHODS[pair[0]]) is pl.Judgement or of_the_model(pair[0])}
    marks = {pair: (pytest.mark.slow,) if pair in slow else () for pair in found}
    return [pytest.param(*pair, id="-".join(pair), marks=marks[pair]) for pair in found]


def of_the_model(method: str) -> bool:
    """Whether a method looks at the model and not at a decision."""
    return METHODS[method].spec.view is View.MODEL


def pairs(*, fitting: bool) -> list[tuple[str, str]]:
    """Every (method, case) that can be asked, or every one that must be refused."""
    return [(method, case) for method in ids() for case in CASES if fits(method, case) is fitting]


def claiming(claim: str) -> list[Any]:
    """Every (method, case) that can be asked, of methods that claim this property."""
    return parameters([pair for pair in pairs(fitting=True) if claim in METHODS[pair[0]].spec.properties])


def question(method: str, subject: pl.Subject, inputs: Any, **asked: Any) -> Any:
    """A query of the kind that the method answers, about these inputs; a metric judges an occlusion map."""
    decision = pl.Decision(inputs, **({"target": 0} | asked))
    expected = query_type(METHODS[method])
    if expected is pl.Decision:
        return decision
    layer = asked.get("at", LAYERS.get((method, subject.name)) or unit_layer(subject.name))
    if expected is pl.Unit and method in OF_CLASSES:
        return pl.Unit(asked.get("at", LAYERS.get((method, subject.name))), target=asked.get("target", 0), data=inputs)
    if expected is pl.Unit:
        return pl.Unit(layer, 0, asked.get("target", 0) if method == "relevance-maximization" else None, inputs)
    if expected is pl.Code:
        return pl.Code(inputs, layer)
    if expected is pl.Representation:
        return pl.Representation((layer,), inputs)
    if expected is pl.Fit:
        return pl.Fit(inputs)
    if expected is pl.Judgement:
        judged = occluded(subject, decision)
        other = dataclasses.replace(judged, scores=judged.scores.square())
        answers = [judged, other] if method == "compare-explanations" else [judged]
        return pl.Judgement(answers, reference=first_half(subject, inputs))
    if expected is pl.Population:
        return pl.Population(inputs, target=asked.get("target", 0), of=asked.get("of", "score"))
    raise NotImplementedError(f"the contract tests cannot ask a {expected.__name__} yet: teach question() to")


def occluded(subject: pl.Subject, decision: pl.Decision) -> pl.Attribution:
    """The map that metrics judge, made once for each decision."""
    key = digest((subject.name, decision))
    if key not in _OCCLUDED:
        _OCCLUDED[key] = quick("occlusion", subject.name)(subject, decision)
    return _OCCLUDED[key].asked(decision)


_OCCLUDED: dict[str, pl.Attribution] = {}


def first_half(subject: pl.Subject, inputs: Any) -> list[torch.Tensor]:
    """Masks of the first half of each example's rows of pixels, words or columns: where its reason is said to lie."""
    prepared = subject.prepare(inputs)
    first, *others = (prepared.value.shape[axis] for axis in position_axes(subject, prepared))
    lengths = [first] * len(prepared) if prepared.mask is None else prepared.mask.sum(1).tolist()
    halves = [torch.arange(length) < (length + 1) // 2 for length in lengths]
    return [half.view(-1, *[1] * len(others)).expand(-1, *others) for half in halves]


def unit_layer(case: str) -> str:
    """A layer of a case's subject that has units to ask about."""
    return UNITS.get(case) or (CASES[case].layer if case in CASES else None) or "layer"


def contradictions(method: str) -> list[dict[str, Any]]:
    """What makes a question of the kind that a method answers impossible."""
    found: list[dict[str, Any]] = [{"target": "no such label"}, {"target": 10**6}, {"at": "no.such.layer"}]
    if query_type(METHODS[method]) is pl.Population:  # which has neither a layer nor a foil
        return found[:2]
    if query_type(METHODS[method]) is pl.Fit:  # which has none of them: the layer is the method's
        return []
    if query_type(METHODS[method]) in (pl.Representation, pl.Code):
        return found[2:]
    if query_type(METHODS[method]) is pl.Unit:
        return found if method in OF_CLASSES or method == "relevance-maximization" else found[2:]
    return [*found, {"target": 0, "foil": 0}]


def numbers(result: Any) -> dict[str, torch.Tensor]:
    """Every tensor of a result that must not depend on when or beside what it was computed, by field."""
    if isinstance(result, pl.Profile):
        lines = [line for panel in result.panels for line in panel.lines]
        return {str(number): line.mean for number, line in enumerate(lines)}
    return {name: value for name, value in vars(result).items() if isinstance(value, torch.Tensor)}


def per_example(result: Any) -> list[torch.Tensor]:
    """What a result says of each example: its scores without padding, its metric, or its route."""
    if isinstance(result, pl.Evaluation):
        return list(result.per_example.T)
    if isinstance(result, pl.Counterfactuals):
        return list(torch.cat([result.points.flatten(1), result.distance, result.found.float()], 1))
    if isinstance(result, pl.UnitReport):
        return list(torch.stack(list(result.measures.values()), 1))
    if isinstance(result, pl.WeightMaps):  # which speaks of a layer, whatever data are given
        return [torch.cat([result.maps.flatten(), *result.measures.values()])]
    if isinstance(result, pl.WeightScores):
        return list(torch.cat([*result.scores.values(), result.value[:, None], result.effects, result.control], 1))
    if isinstance(result, pl.PrototypeSet):
        return list(result.confidence[:, None])
    if isinstance(result, pl.UnitLabels):
        return list(result.peaks)
    if isinstance(result, pl.HealthReport):  # which speaks of all examples together
        return [torch.tensor([*map(len, (layer.silent, layer.duplicates)), layer.without]) for layer in result.layers]
    if isinstance(result, pl.Profile):  # which speaks of all cases together, in any order
        return [torch.cat([line.mean for panel in result.panels for line in panel.lines if not line.control])]
    if isinstance(result, pl.Evolution):  # which speaks of the strongest of all examples
        return [result.values]
    if isinstance(result, pl.FeatureImages):  # which speaks of a unit, whatever data are given
        return [torch.cat([result.images.flatten(), result.activations.to(result.images)])]
    if isinstance(result, pl.Reconstructions):
        return list(torch.cat([result.images.flatten(1), result.error.to(result.images)], 1))
    if isinstance(result, pl.Decoder):  # which learned from all examples together
        return [torch.cat([weight.flatten() for weight in result.weights.values()])]
    if isinstance(result, pl.Response):  # which speaks of all cases together, in any order
        return [torch.cat([torch.cat([curve.mean, curve.low, curve.high]) for curve in result.curves])]
    if isinstance(result, pl.Comparison):
        return list(result.per_example.permute(2, 0, 1).flatten(1))
    if isinstance(result, pl.Simulation):  # which speaks of all examples together
        return [torch.cat([result.accuracy.flatten(), result.difference.flatten()])]
    if isinstance(result, pl.Picks):  # which speaks of all cases together
        names = sorted(range(len(result.names)), key=lambda place: result.names[place])
        return [result.importance[names]]
    if isinstance(result, pl.Change):
        return list(torch.cat([result.before, result.after, result.value], 1))
    if isinstance(result, pl.Interactions):
        return [result.of(example) for example in range(len(result))]
    if isinstance(result, pl.Route):
        return list(torch.cat([*(layer.relevance for layer in result.layers), result.value, result.control], 1))
    found = elements(result)
    masks = [None] * len(found) if result.mask is None else list(result.mask)
    return [
        scores if mask is None or mask.ndim > scores.ndim else scores[mask]
        for scores, mask in zip(found, masks, strict=True)
    ]


def elements(result: Any) -> torch.Tensor:
    """What a result says of each element of the point, ``[batch, …point]``, several numbers behind these axes."""
    return result.responses.movedim(1, -1) if isinstance(result, pl.ClassResponse) else result.scores


def magnitude(result: Any) -> float:
    """The size of the numbers that a metric's differences come from: rounding is relative to these, not to them."""
    if not isinstance(result, pl.Evaluation):
        return 0.0
    return float(max(row.abs().max() for row in (result.control.values() if result.curve is None else [result.curve])))


def state(subject: pl.Subject) -> dict[str, Any]:
    """Everything a method could leave behind on a subject or in the process, as values that can be compared."""
    module = subject.module
    return {
        "random": (torch.get_rng_state().sum().item(), str(np.random.get_state()[1][:9])),
        "defaults": (torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads()),
        "modes": (torch._C._len_torch_dispatch_stack(), torch._C._len_torch_function_stack()),
        "global hooks": [len(getattr(nn.modules.module, name)) for name in _GLOBAL_HOOKS],
        "modules": {} if module is None else {name: _module_state(child) for name, child in module.named_modules()},
        "tensors": {} if module is None else {name: _tensor_state(tensor) for name, tensor in _tensors(module)},
    }


_GLOBAL_HOOKS = sorted(
    name for name in vars(nn.modules.module) if name.startswith("_global_") and name.endswith("_hooks")
)


def _module_state(module: nn.Module) -> tuple[Any, ...]:
    hooks = {
        name: len(value) for name, value in vars(module).items() if name.endswith(("_hooks", "_hooks_with_kwargs"))
    }
    return type(module), module.training, hooks, sorted(vars(module)), str(vars(module).get("forward"))


def _tensors(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    yield from module.named_parameters()
    yield from module.named_buffers()


def _tensor_state(tensor: torch.Tensor) -> tuple[Any, ...]:
    hooks = tensor._backward_hooks if tensor.is_leaf else None
    return id(tensor), digest(tensor), tensor.dtype, tensor.requires_grad, tensor.grad is None, bool(hooks)
