"""Cases of ablation, occlusion, Shapley values and LIME."""

import torch
from captum.testing.helpers.basic_models import (
    BasicModel,
    BasicModel3,
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
            name, f"one example, {per_eval} at a time", multi, ONE, target=0, perturbations_per_eval=per_eval,
            expected=rows([80.0, 200.0, 120.0]),
        )  # fmt: skip
    yield attributed(
        name, "one example, progress shown", multi, ONE, target=0, show_progress=True,
        expected=rows([80.0, 200.0, 120.0]),
    )  # fmt: skip
    whole = torch.tensor([[-3, 1, 2]])
    yield attributed(name, "whole numbers", BasicModel, whole, target=0, expected=rows([-3.0, 0.0, 0.0]))
    yield attributed(
        name, "whole numbers, answered with floats", lambda: lambda x: BasicModel()(x).float(), whole, target=0,
        expected=rows([-3.0, 0.0, 0.0]),
    )  # fmt: skip
    yield attributed(
        name, "FeatureAblation with hardly any noise", BasicModel, whole.float(), target=0, noise={"stdevs": 1e-10},
        expected=rows([-3.0, 0.0, 0.0]),
    )  # fmt: skip
    yield attributed(name, "groups", multi, ONE, target=0, feature_mask=PAIRED, expected=rows([280.0, 280.0, 120.0]))
    yield attributed(
        name, "groups, a number as baseline", multi, ONE, target=0, feature_mask=PAIRED, baselines=4,
        expected=rows([248.0, 248.0, 104.0]),
    )  # fmt: skip
    yield attributed(
        name, "truth values", BasicModelBoolInput, TRUTHS, target=0, feature_mask=PAIRED,
        expected=rows([40.0, 40.0, 40.0]),
    )  # fmt: skip
    yield attributed(
        name, "truth values, true as baseline", BasicModelBoolInput, TRUTHS, target=0, feature_mask=PAIRED,
        baselines=True, expected=rows([-40.0, -40.0, 0.0]),
    )  # fmt: skip
    yield attributed(
        name, "a batch", multi, BOTH, target=0, expected=rows([8.0, 35.0, 12.0], [80.0, 200.0, 120.0])
    )
    yield attributed(
        name, "a batch with groups of its own", multi, BOTH, target=0, feature_mask=TURNED,
        expected=rows([41.0, 41.0, 12.0], [280.0, 280.0, 120.0]),
    )  # fmt: skip
    beside = {"target": 0, "additional_forward_args": (1,)}
    yield attributed(name, "groups across three inputs", MULTI, THREE, feature_mask=MASKS, **beside)
    yield attributed(
        name, "groups across three inputs, numbers as baselines", MULTI, THREE, feature_mask=MASKS,
        baselines=(2, 3.0, 4), **beside,
    )  # fmt: skip
    yield attributed(
        name, "groups across two inputs, another beside them", MULTI, THREE[:2], feature_mask=MASKS[:2], target=0,
        additional_forward_args=(THREE[2], 1),
    )  # fmt: skip
    yield attributed(
        name, "FeatureAblation across three inputs with hardly any noise", MULTI, THREE, feature_mask=MASKS,
        noise={"stdevs": 1e-10}, tolerance=1e-2, **beside,
    )  # fmt: skip
    yield attributed(
        name, "three inputs, rows as baselines", MULTI, THREE,
        baselines=(rows([3.0, 0.0, 0.0]), rows([0.0, 1.0, 0.0]), rows([1.0, 2.0, 3.0])),
        expected=(
            rows([80.0, 400.0, 0.0], [68.0, 200.0, 120.0]),
            rows([80.0, 196.0, 120.0], [0.0, 396.0, 0.0]),
            rows([-4.0, 392.0, 28.0], [4.0, 32.0, 0.0]),
        ),
        **beside,
    )  # fmt: skip
    yield attributed(
        name, "three inputs, a baseline per example", MULTI, THREE,
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
    )  # fmt: skip
    conv = BasicModel_ConvNet_One_Conv
    yield attributed(
        name, "whole pictures", conv, (SQUARE, ONES), target=0, feature_mask=(torch.tensor(0), torch.tensor(1)),
        expected=(67 * ONES, 13 * ONES),
    )  # fmt: skip
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
                name, f"{title} answered with {said}", summed(multi, read), inputs, feature_mask=PAIRED,
                expected=expected,
            )  # fmt: skip
        masks = (torch.tensor([[1, 1, 1]]), MASKS[1], torch.tensor([[0, 1, 2]]))
        yield attributed(
            name, f"three inputs answered with {said}", summed(MULTI, read), THREE, feature_mask=masks,
            additional_forward_args=(1,),
        )  # fmt: skip
    yield attributed(
        name, "three numbers for a batch of two", lambda: lambda x: torch.stack([x.sum(), x.max(), x.min()]), BOTH,
        differs="refused sooner", ours=Refused("one number"),
    )  # fmt: skip
    yield attributed(
        name, "one number for the batch, groups per example", summed(multi, ONE_NUMBER["a whole number"]), BOTH,
        feature_mask=TURNED, differs="refused sooner", ours=Refused("first axis is 1"),
    )  # fmt: skip


def _occlusion():
    name, multi = "Occlusion", BasicModel_MultiLayer
    for per_eval in (1, 3):
        yield attributed(
            name, f"windows of one, {per_eval} at a time", multi, ONE, target=0, sliding_window_shapes=(1,),
            perturbations_per_eval=per_eval, expected=rows([80.0, 200.0, 120.0]),
        )  # fmt: skip
    columns = (torch.tensor([[-10], [3]]), torch.tensor([[-5], [1]]))
    floats = tuple(column.float() for column in columns)
    expected = (rows([0.0], [1.0]), rows([0.0], [-1.0]))
    ones = {"sliding_window_shapes": ((1,), (1,)), "target": 0}
    yield attributed(name, "whole numbers", BasicModel3, columns, expected=expected, **ones)
    yield attributed(
        name, "whole numbers, answered with floats", lambda: lambda *x: BasicModel3()(*x).float(), columns,
        expected=expected, **ones,
    )  # fmt: skip
    yield attributed(name, "two inputs", BasicModel3, floats, expected=expected, **ones)
    yield attributed(
        name, "inputs of no axis but the batch", BasicModel3, tuple(column[:, 0] for column in floats),
        sliding_window_shapes=((), ()), expected=(torch.tensor([0.0, 1.0]), torch.tensor([0.0, -1.0])),
    )  # fmt: skip
    yield attributed(
        name, "windows that overlap", multi, ONE, target=0, sliding_window_shapes=(2,),
        baselines=torch.tensor([10.0, 10.0, 10.0]), expected=rows([200.0, 220.0, 240.0]),
    )  # fmt: skip
    yield attributed(
        name, "strides", multi, ONE, target=0, sliding_window_shapes=(2,), strides=2,
        expected=rows([280.0, 280.0, 120.0]),
    )  # fmt: skip
    yield attributed(
        name, "a batch", multi, BOTH, target=0, sliding_window_shapes=((1,),),
        expected=rows([8.0, 35.0, 12.0], [80.0, 200.0, 120.0]),
    )  # fmt: skip
    three = {"target": 0, "additional_forward_args": (1,), "sliding_window_shapes": ((3,), (1,), (2,))}
    expected = (
        rows([492.0, 492.0, 492.0], [400.0, 400.0, 400.0]),
        rows([80.0, 200.0, 120.0], [0.0, 400.0, 0.0]),
        rows([400.0, 420.0, 440.0], [48.0, 50.0, 52.0]),
    )
    yield attributed(name, "three inputs", MULTI, THREE, expected=expected, **three)
    yield attributed(
        name, "two inputs, another beside them", MULTI, THREE[:2], target=0, additional_forward_args=(THREE[2], 1),
        sliding_window_shapes=((3,), (1,)), expected=expected[:2],
    )  # fmt: skip
    yield attributed(
        name, "three inputs with strides and baselines", MULTI, THREE, strides=(2, 1, 2),
        baselines=(rows([1.0, 4.0, 7.0], [3.0, 6.0, 9.0]), 3.0, rows([4.0], [6.0])),
        expected=(
            rows([444.0, 444.0, 444.0], [328.0, 328.0, 328.0]),
            rows([68.0, 188.0, 108.0], [-12.0, 388.0, -12.0]),
            rows([368.0, 368.0, 24.0], [0.0, 0.0, -12.0]),
        ),
        **three,
    )  # fmt: skip
    conv, pictures = BasicModel_ConvNet_One_Conv, (SQUARE, ONES)
    yield attributed(
        name, "whole pictures", conv, pictures, target=0, sliding_window_shapes=((1, 4, 4), (1, 4, 4)),
        expected=(67 * ONES, 13 * ONES),
    )  # fmt: skip
    yield attributed(
        name, "windows over pictures with strides", conv, pictures, target=0,
        sliding_window_shapes=((1, 2, 3), (1, 1, 2)), strides=((1, 2, 1), (1, 1, 2)),
    )  # fmt: skip
    for title, inputs, window, step, words in (
        ("too few axes of a window", SQUARE, (1, 2), None, "one whole number for each axis"),
        ("too many axes of a window", pictures, ((1, 1, 2), (1, 1, 1, 2)), None, "one whole number for each axis"),
        ("too many windows", pictures, ((1, 1, 2),) * 3, None, "for each of 2 inputs"),
        ("too few axes of a stride", SQUARE, (1, 2, 2), (1, 2), "one whole number for each axis"),
        ("too many axes of a stride", pictures, ((1, 1, 2), (1, 2, 2)), ((1, 1, 2), (2, 1, 2, 2)), "one whole number"),
        ("too many strides", pictures, ((1, 1, 2), (1, 2, 2)), ((1, 1, 2),) * 3, "for each of 2 inputs"),
        ("gaps between windows", SQUARE, ((1, 1, 2),), 2, "leave gaps"),
        ("gaps between windows of two inputs", pictures, ((1, 1, 2), (1, 4, 2)), (2, (1, 2, 3)), "leave gaps"),
    ):
        yield attributed(
            name, title, conv, inputs, target=0, sliding_window_shapes=window, strides=step, differs="refused sooner",
            ours=Refused(words),
        )  # fmt: skip


def _shapley():
    for name, many in (("ShapleyValueSampling", 25), ("KernelShap", 60)):
        asked, multi = {"n_samples": many, "target": 0, "perturbations_per_eval": 20, "tolerance": 1e-2}, BasicModel_MultiLayer
        yield attributed(name, "one example", multi, ONE, expected=rows([76.66666, 196.66666, 116.66666]), **asked)
        yield attributed(
            name, "groups", multi, ONE, feature_mask=PAIRED, expected=rows([275.0, 275.0, 115.0]), **asked
        )
        yield attributed(
            name, "groups, a number as baseline", multi, ONE, feature_mask=PAIRED, baselines=4,
            expected=rows([248.0, 248.0, 104.0]), **asked,
        )  # fmt: skip
        yield attributed(
            name, "a row as baseline", multi, ONE, baselines=rows([10.0, 20.0, 10.0]),
            expected=rows([40.0, 120.0, 80.0]), **asked,
        )  # fmt: skip
        yield attributed(
            name, "truth values", BasicModelBoolInput, TRUTHS, feature_mask=PAIRED, expected=rows([35.0, 35.0, 35.0]),
            **asked,
        )  # fmt: skip
        yield attributed(
            name, "truth values, true as baseline", BasicModelBoolInput, TRUTHS, feature_mask=PAIRED, baselines=True,
            expected=rows([-40.0, -40.0, 0.0]), **asked,
        )  # fmt: skip
        yield attributed(
            name, "a batch", multi, BOTH, expected=rows([7.0, 32.5, 10.5], [76.66666, 196.66666, 116.66666]), **asked
        )
        yield attributed(
            name, "a batch with groups of its own", multi, BOTH, feature_mask=TURNED,
            expected=rows([39.5, 39.5, 10.5], [275.0, 275.0, 115.0]), **asked,
        )  # fmt: skip
        for title, baselines, expected in (
            (
                "groups across three inputs",
                None,
                (
                    rows([1088.6666, 1088.6666, 1088.6666], [255.0, 595.0, 255.0]),
                    rows([76.6666, 1088.6666, 156.6666], [255.0, 595.0, 0.0]),
                    rows([76.6666, 1088.6666, 156.6666], [255.0, 255.0, 255.0]),
                ),
            ),
            (
                "groups across three inputs, numbers as baselines",
                (2, 3.0, 4),
                (
                    rows([1040.0, 1040.0, 1040.0], [184.0, 580.0, 184.0]),
                    rows([52.0, 1040.0, 132.0], [184.0, 580.0, -12.0]),
                    rows([52.0, 1040.0, 132.0], [184.0, 184.0, 184.0]),
                ),
            ),
        ):
            yield attributed(
                name, title, MULTI, THREE, feature_mask=MASKS, baselines=baselines, additional_forward_args=(1,),
                expected=expected, **asked,
            )  # fmt: skip
        sparse = (
            rows([23.0, 0.0, 0.0], [20.0, 50.0, 30.0]),
            rows([20.0, 0.0, 50.0], [0.0, 100.0, 0.0]),
            rows([0.0, 100.0, 10.0], [0.0, 10.0, 0.0]),
        )
        yield attributed(
            name, "three inputs without groups", MULTI, sparse, additional_forward_args=(1,),
            expected=(
                rows([90.0, 0.0, 0.0], [78.0, 198.0, 118.0]),
                rows([78.0, 0.0, 198.0], [0.0, 398.0, 0.0]),
                rows([0.0, 398.0, 38.0], [0.0, 38.0, 0.0]),
            ),
            **{**asked, "n_samples": 600},
        )  # fmt: skip
        whole = {"n_samples": many, "feature_mask": PAIRED, "tolerance": 1e-2}
        for said, read in ONE_NUMBER.items():
            yield attributed(
                name, f"one example answered with {said}", summed(multi, read), SMALL,
                expected=rows([79.0, 79.0, 21.0]), **whole,
            )  # fmt: skip
            if name == "ShapleyValueSampling":
                yield attributed(
                    name, f"a batch answered with {said}", summed(multi, read), BOTH,
                    expected=rows([629.0, 629.0, 251.0]), **whole,
                )  # fmt: skip
                yield attributed(
                    name, f"a batch of whole numbers answered with {said}",
                    summed(multi, read, lambda tensor: tensor.float()), BOTH.long(),
                    expected=rows([629.0, 629.0, 251.0]), **whole,
                )  # fmt: skip
        yield attributed(
            name, "all outputs at once", lambda: lambda x: torch.cat([BasicModel_MultiLayer()(x), torch.ones(len(x), 2)], 1),
            ONE, n_samples=many, differs="one output", ours=Refused("name one as target"),
        )  # fmt: skip
    yield attributed(
        "KernelShap", "scores by group", multi, ONE, feature_mask=PAIRED, return_input_shape=False,
        expected=rows([275.0, 115.0]), **asked,
    )  # fmt: skip
    yield attributed(
        "KernelShap", "fewer samples than a regression needs", BasicModel_ConvNet_One_Conv, SQUARE, target=0,
        n_samples=10, differs="too few", ours=Refused("n_samples"),
    )  # fmt: skip


def _lime():
    # The lasso with penalty 0.01 and the cosine kernel of width 1 that both have by default; many draws in both.
    name, multi = "Lime", BasicModel_MultiLayer
    asked = {"target": 0, "n_samples": 800, "perturbations_per_eval": 400, "tolerance": 4.0}
    for title, inputs, more in (
        ("one example", ONE, {}),
        ("groups", ONE, {"feature_mask": PAIRED}),
        ("groups, a number as baseline", ONE, {"feature_mask": PAIRED, "baselines": 4}),
        ("scores by group", ONE, {"feature_mask": PAIRED, "return_input_shape": False}),
        ("a batch", rows([20.0, 50.0, 30.0], [10.0, 14.0, 4.0]), {}),
        (
            "a batch with groups of its own",
            rows([20.0, 50.0, 30.0], [10.0, 14.0, 4.0]),
            {"feature_mask": torch.tensor([[0, 0, 1], [0, 1, 2]])},
        ),
    ):
        yield attributed(name, title, multi, inputs, **asked, **more)
    for title, more in (
        ("groups across three inputs", {}),
        ("groups across three inputs, numbers as baselines", {"baselines": (2, 3.0, 4)}),
    ):
        wide = {**asked, "tolerance": 12.0}
        yield attributed(
            name, title, MULTI, THREE, feature_mask=MASKS, additional_forward_args=(1,), **wide, **more
        )
    whole = {**asked, "target": None, "feature_mask": PAIRED, "perturbations_per_eval": 1, "n_samples": 300}
    for said, read in ONE_NUMBER.items():
        yield attributed(name, f"one example answered with {said}", summed(multi, read), SMALL, **whole)
    for option in ("interpretable_model", "similarity_func", "perturb_func"):
        yield attributed(
            name, f"a {option} of its own", multi, ONE, target=0, options={option: _first_answers}, differs="own fits",
            ours=Refused(f"{option} is not supported"),
        )  # fmt: skip


def _first_answers(*given, **named):
    raise RuntimeError("a part of LIME that is given is called")


CASES = (*_ablation(), *_occlusion(), *_shapley(), *_lime())
