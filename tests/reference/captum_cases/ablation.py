"""Cases of ablation."""

import torch
from captum.testing.helpers.basic_models import (
    BasicModel,
    BasicModel_ConvNet_One_Conv,
    BasicModel_MultiLayer,
    BasicModel_MultiLayer_MultiInput,
    BasicModelBoolInput,
    BasicModelWithSparseInputs,
)

from reference.captum_cases.case import Refused, attributed, rows

ONE, BOTH = rows([20.0, 50.0, 30.0]), rows([2.0, 10.0, 3.0], [20.0, 50.0, 30.0])
SMALL = rows([2.0, 10.0, 3.0])
PAIRED, TURNED = torch.tensor([[0, 0, 1]]), torch.tensor([[0, 0, 1], [1, 1, 0]])
TRUTHS = torch.tensor([[True, False, True]])
THREE = (
    rows([23.0, 100.0, 0.0], [20.0, 50.0, 30.0]),
    rows([20.0, 50.0, 30.0], [0.0, 100.0, 0.0]),
    rows([0.0, 100.0, 10.0], [2.0, 10.0, 3.0]),
)
MASKS = (
    torch.tensor([[1, 1, 1], [0, 1, 0]]),
    torch.tensor([[0, 1, 2]]),
    torch.tensor([[0, 1, 2], [0, 0, 0]]),
)
SPARSE = rows([1.0, -2.0, 3.0], [2.0, -1.0, 3.0])
SQUARE, ONES = torch.arange(16.0).view(1, 1, 4, 4), torch.ones(1, 1, 4, 4)
MULTI = BasicModel_MultiLayer_MultiInput

# What a model may answer for a whole batch.
ONE_NUMBER = {
    "a Python number": lambda total: total.item(),
    "a tensor without axes": lambda total: total,
    "a tensor of one number": lambda total: total.reshape(1),
    "a whole number": lambda total: int(total.item()),
}


def summed(model, read, cast=lambda tensor: tensor):
    """A factory of functions that answer for the whole batch with the sum of what the model answers."""

    def build():
        network = model()
        return lambda first, *rest: read(network(cast(first), *rest).sum())

    return build


def _ablation():
    name, multi = "FeatureAblation", BasicModel_MultiLayer
    for per_eval in (1, 2, 3):
        yield attributed(
            name,
            f"one example, {per_eval} at a time",
            multi,
            ONE,
            target=0,
            perturbations_per_eval=per_eval,
            expected=rows([80.0, 200.0, 120.0]),
        )
    yield attributed(
        name,
        "one example, progress shown",
        multi,
        ONE,
        target=0,
        show_progress=True,
        expected=rows([80.0, 200.0, 120.0]),
    )
    whole = torch.tensor([[-3, 1, 2]])
    yield attributed(name, "whole numbers", BasicModel, whole, target=0, expected=rows([-3.0, 0.0, 0.0]))
    yield attributed(
        name,
        "whole numbers, answered with floats",
        lambda: lambda x: BasicModel()(x).float(),
        whole,
        target=0,
        expected=rows([-3.0, 0.0, 0.0]),
    )
    yield attributed(
        name,
        "FeatureAblation with hardly any noise",
        BasicModel,
        whole.float(),
        target=0,
        noise={"stdevs": 1e-10},
        expected=rows([-3.0, 0.0, 0.0]),
    )
    yield attributed(name, "groups", multi, ONE, target=0, feature_mask=PAIRED, expected=rows([280.0, 280.0, 120.0]))
    yield attributed(
        name,
        "groups, a number as baseline",
        multi,
        ONE,
        target=0,
        feature_mask=PAIRED,
        baselines=4,
        expected=rows([248.0, 248.0, 104.0]),
    )
    yield attributed(
        name,
        "truth values",
        BasicModelBoolInput,
        TRUTHS,
        target=0,
        feature_mask=PAIRED,
        expected=rows([40.0, 40.0, 40.0]),
    )
    yield attributed(
        name,
        "truth values, true as baseline",
        BasicModelBoolInput,
        TRUTHS,
        target=0,
        feature_mask=PAIRED,
        baselines=True,
        expected=rows([-40.0, -40.0, 0.0]),
    )
    yield attributed(name, "a batch", multi, BOTH, target=0, expected=rows([8.0, 35.0, 12.0], [80.0, 200.0, 120.0]))
    yield attributed(
        name,
        "a batch with groups of its own",
        multi,
        BOTH,
        target=0,
        feature_mask=TURNED,
        expected=rows([41.0, 41.0, 12.0], [280.0, 280.0, 120.0]),
    )
    beside = {"target": 0, "additional_forward_args": (1,)}
    yield attributed(name, "groups across three inputs", MULTI, THREE, feature_mask=MASKS, **beside)
    yield attributed(
        name,
        "groups across three inputs, numbers as baselines",
        MULTI,
        THREE,
        feature_mask=MASKS,
        baselines=(2, 3.0, 4),
        **beside,
    )
    yield attributed(
        name,
        "groups across two inputs, another beside them",
        MULTI,
        THREE[:2],
        feature_mask=MASKS[:2],
        target=0,
        additional_forward_args=(THREE[2], 1),
    )
    yield attributed(
        name,
        "FeatureAblation across three inputs with hardly any noise",
        MULTI,
        THREE,
        feature_mask=MASKS,
        noise={"stdevs": 1e-10},
        tolerance=1e-2,
        **beside,
    )
    yield attributed(
        name,
        "three inputs, rows as baselines",
        MULTI,
        THREE,
        baselines=(rows([3.0, 0.0, 0.0]), rows([0.0, 1.0, 0.0]), rows([1.0, 2.0, 3.0])),
        expected=(
            rows([80.0, 400.0, 0.0], [68.0, 200.0, 120.0]),
            rows([80.0, 196.0, 120.0], [0.0, 396.0, 0.0]),
            rows([-4.0, 392.0, 28.0], [4.0, 32.0, 0.0]),
        ),
        **beside,
    )
    yield attributed(
        name,
        "three inputs, a baseline per example",
        MULTI,
        THREE,
        baselines=(
            rows([3.0, 0.0, 0.0], [3.0, 0.0, 2.0]),
            rows([0.0, 1.0, 0.0], [0.0, 1.0, 4.0]),
            rows([3.0, 2.0, 4.0], [1.0, 2.0, 3.0]),
        ),
        expected=(
            rows([80.0, 400.0, 0.0], [68.0, 200.0, 112.0]),
            rows([80.0, 196.0, 120.0], [0.0, 396.0, -16.0]),
            rows([-12.0, 392.0, 24.0], [4.0, 32.0, 0.0]),
        ),
        **beside,
    )
    conv = BasicModel_ConvNet_One_Conv
    yield attributed(
        name,
        "whole pictures",
        conv,
        (SQUARE, ONES),
        target=0,
        feature_mask=(torch.tensor(0), torch.tensor(1)),
        expected=(67 * ONES, 13 * ONES),
    )
    yield attributed(name, "pixels of two pictures", conv, (SQUARE, ONES), target=0, perturbations_per_eval=3)
    for title, sparse, expected in (
        ("no sparse features", torch.tensor([]), None),
        ("sparse features in another number", torch.tensor([1, 7, 2, 4, 5, 3, 6]), None),
    ):
        yield attributed(name, title, BasicModelWithSparseInputs, (SPARSE, sparse), expected=expected)
    for said, read in ONE_NUMBER.items():
        for title, inputs, expected in (
            ("one example", SMALL, rows([82.0, 82.0, 24.0])),
            ("a batch", BOTH, rows([642.0, 642.0, 264.0])),
        ):
            yield attributed(
                name,
                f"{title} answered with {said}",
                summed(multi, read),
                inputs,
                feature_mask=PAIRED,
                expected=expected,
            )
        masks = (torch.tensor([[1, 1, 1]]), MASKS[1], torch.tensor([[0, 1, 2]]))
        yield attributed(
            name,
            f"three inputs answered with {said}",
            summed(MULTI, read),
            THREE,
            feature_mask=masks,
            additional_forward_args=(1,),
        )
    yield attributed(
        name,
        "three numbers for a batch of two",
        lambda: lambda x: torch.stack([x.sum(), x.max(), x.min()]),
        BOTH,
        perturbations_per_eval=2,
        differs="refused sooner",
        ours=Refused("one number"),
    )
    yield attributed(
        name,
        "one number for the batch, groups per example",
        summed(multi, ONE_NUMBER["a whole number"]),
        BOTH,
        feature_mask=TURNED,
        differs="refused sooner",
        ours=Refused("first axis is 1"),
    )


CASES = tuple(_ablation())
