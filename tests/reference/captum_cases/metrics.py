"""Cases of infidelity and of the largest sensitivity."""

import torch
from captum.testing.helpers.basic_models import (
    BasicModel2,
    BasicModel4_MultiArgs,
    BasicModel_ConvNet_One_Conv,
    BasicModel_MultiLayer,
)

from reference.captum_cases.case import Case, Refused, rows

PAIR = (rows([1.5, 2.0, 3.3]), rows([3.0, 3.5, 2.2]))
BESIDE = {"additional_forward_args": rows([1.0, 3.0, 4.0])}
FOUR = torch.arange(1.0, 13.0).view(4, 3)
TUPLES = {"target": [(0, 1, 1), (0, 1, 1), (1, 1, 1), (0, 1, 1)]}
PICTURES = torch.arange(1.0, 17.0).repeat(20, 1).view(20, 1, 4, 4)
CLASS_ONE = {"target": torch.tensor([1] * 20)}


def pairs(number):
    """So many examples of the same two numbers."""
    return torch.tensor([3.0] * number), torch.tensor([1.0] * number)


def each(function, inputs):
    """The function of each input, as a tuple where there are several."""
    return tuple(function(x) for x in inputs) if isinstance(inputs, tuple) else function(inputs)


def little(inputs):
    """The same small change everywhere."""
    return each(lambda x: torch.full_like(x, 0.0009), inputs), each(lambda x: x - 0.0009, inputs)


def everything(inputs):
    """All features taken away."""
    return each(torch.ones_like, inputs), each(torch.zeros_like, inputs)


def some(*masks):
    """Some features taken away: a mask for each of as many copies of one example as captum asks about at once, or in
    turn where one copy is asked about."""
    turn = []

    def take(inputs):
        turn.append(None)
        mask = rows(*masks) if len(inputs) == len(masks) else rows(masks[(len(turn) - 1) % len(masks)])
        return mask, (1 - mask) * inputs

    return take


def ratios(inputs):
    """Changes that grow from element to element."""

    def moved(x):
        one = x[0].numel()
        return x + torch.arange(-one // 2, one // 2).view(x[0].shape).float() / 100

    return each(moved, inputs)


def judged(model, attribution, inputs, perturb, per_input=False, explain=None, **arguments):
    """Infidelity of an attribution, whose scores are divided by the input where they say what is gained in all."""

    def ask(names):
        network = model()
        known = {name: arguments[name] for name in ("target", "additional_forward_args") if name in arguments}
        scores = getattr(names, attribution)(network).attribute(inputs, **known)
        scores = (
            tuple(s / x for s, x in zip(scores, inputs, strict=True))
            if per_input and isinstance(scores, tuple)
            else (scores / inputs if per_input else scores)
        )
        change = perturb() if explain == "fresh" else perturb
        return names.infidelity(network, change, inputs, scores, **arguments)

    return ask


def moved(model, attribution, inputs, **arguments):
    """The largest sensitivity of an attribution."""
    return lambda names: names.sensitivity_max(getattr(names, attribution)(model()).attribute, inputs, **arguments)


def _infidelity():
    name = "infidelity"
    for number, batched in ((1, None), (3, None), (20, 21), (20, 60)):
        yield Case(
            name,
            f"{number} examples of two numbers, {batched or 'all'} at a time",
            judged(
                BasicModel2,
                "IntegratedGradients",
                pairs(number),
                little,
                per_input=True,
                n_perturb_samples=5,
                max_examples_per_batch=batched,
            ),
            tolerance=1e-6,
        )
    for samples, batched in ((1, 1), (5, 2)):
        yield Case(
            name,
            f"all features of two inputs, {samples} times",
            judged(
                BasicModel4_MultiArgs,
                "IntegratedGradients",
                PAIR,
                everything,
                n_perturb_samples=samples,
                max_examples_per_batch=batched,
                **BESIDE,
            ),
            torch.zeros(1),
        )
    for normalize in (False, True):
        said = "normalised" if normalize else "as they are"
        yield Case(
            name,
            f"pictures, {said}",
            judged(
                BasicModel_ConvNet_One_Conv,
                "DeepLift",
                PICTURES,
                little,
                per_input=True,
                n_perturb_samples=20,
                normalize=normalize,
                **CLASS_ONE,
            ),
            torch.zeros(20),
        )
        yield Case(
            name,
            f"two inputs, {said}",
            judged(
                BasicModel4_MultiArgs, "Saliency", PAIR, everything, n_perturb_samples=3, normalize=normalize, **BESIDE
            ),
        )
        yield Case(
            name,
            f"targets in outputs of four axes, {said}",
            judged(
                BasicModel_MultiLayer,
                "Saliency",
                FOUR,
                little,
                normalize=normalize,
                additional_forward_args=(None, True),
                **TUPLES,
            ),
            torch.zeros(4),
        )
    by_number = {
        1: ([0, 0, 1], [1, 0, 0], [0, 1, 0]),
        2: ([0, 1, 1], [1, 1, 0], [1, 0, 1]),
        3: ([1, 1, 1], [1, 1, 1], [1, 1, 1]),
    }
    for attribution in ("IntegratedGradients", "FeatureAblation"):
        for number, masks in by_number.items():
            yield Case(
                name,
                f"sensitivity-{number} of {attribution}",
                judged(
                    BasicModel_MultiLayer,
                    attribution,
                    rows([1.0, 2.5, 3.3]),
                    lambda masks=masks: some(*masks),
                    explain="fresh",
                    target=0,
                    n_perturb_samples=3,
                ),
                torch.zeros(1),
            )
    yield Case(
        name,
        "baselines for the perturbation",
        judged(
            BasicModel_MultiLayer,
            "IntegratedGradients",
            FOUR,
            lambda inputs, baselines: (inputs - baselines, baselines),
            baselines=torch.zeros(4, 3),
            target=0,
        ),
        tolerance=1.0,
    )
    yield Case(
        name,
        "scores of another shape",
        lambda names: names.infidelity(BasicModel_MultiLayer(), little, FOUR, torch.zeros(4, 2), target=0),
        differs="refused sooner",
        ours=Refused("must have the shapes of the inputs"),
    )


def _sensitivity():
    name = "sensitivity_max"
    yield Case(name, "two numbers, default changes", moved(BasicModel2, "Saliency", pairs(1)), torch.zeros(1))
    for batched in (21, 60):
        yield Case(
            name,
            f"20 examples of two numbers, {batched} at a time",
            moved(
                BasicModel2,
                "Saliency",
                pairs(20),
                perturb_func=ratios,
                n_perturb_samples=5,
                max_examples_per_batch=batched,
            ),
            torch.zeros(20),
        )
    for batched in (2, 20):
        yield Case(
            name,
            f"random baselines, {batched} at a time",
            moved(
                BasicModel2,
                "GradientShap",
                (torch.zeros(5), torch.zeros(5)),
                perturb_func=ratios,
                baselines=(torch.tensor([0.0, 0.001]), torch.tensor([0.0, 0.001])),
                n_perturb_samples=5,
                max_examples_per_batch=max(batched, 5),
            ),
            torch.zeros(5),
        )
    conv = BasicModel_ConvNet_One_Conv
    yield Case(name, "pictures", moved(conv, "Saliency", PICTURES, perturb_func=ratios, **CLASS_ONE), torch.zeros(20))
    yield Case(
        name,
        "pictures, default changes",
        moved(conv, "GuidedBackprop", PICTURES, n_perturb_samples=3, **CLASS_ONE),
        torch.zeros(20),
    )
    for order in ("fro", 1, float("inf")):
        yield Case(
            name,
            f"targets in outputs of four axes, norm {order}",
            moved(
                BasicModel_MultiLayer,
                "IntegratedGradients",
                FOUR,
                perturb_func=ratios,
                n_perturb_samples=1,
                additional_forward_args=(None, True),
                norm_ord=order,
                **TUPLES,
            ),
        )
    five = torch.arange(1.0, 16.0).view(5, 3)
    for samples in (1, 10):
        yield Case(
            name,
            f"an argument per example, {samples} times",
            moved(
                BasicModel_MultiLayer,
                "Saliency",
                five,
                perturb_func=ratios,
                n_perturb_samples=samples,
                additional_forward_args=(torch.ones(5, 3), False),
                target=[0] * 5,
            ),
            torch.zeros(5),
        )
    for samples in (1, 4):
        yield Case(
            name,
            f"an argument beside two inputs, {samples} times",
            moved(BasicModel4_MultiArgs, "DeepLift", PAIR, perturb_func=ratios, n_perturb_samples=samples, **BESIDE),
            torch.zeros(1),
        )
    yield Case(
        name,
        "baselines, targets in outputs of four axes",
        moved(
            BasicModel_MultiLayer,
            "DeepLift",
            FOUR,
            perturb_func=ratios,
            baselines=torch.ones(4, 3),
            additional_forward_args=(torch.arange(1.0, 13.0).view(4, 3), True),
            **TUPLES,
        ),
    )
    yield Case(
        name,
        "a norm that does not exist",
        moved(BasicModel_MultiLayer, "Saliency", five, norm_ord="largest", target=0),
        differs="refused sooner",
        ours=Refused("must be 'fro' or a number"),
    )


CASES = (*_infidelity(), *_sensitivity())
