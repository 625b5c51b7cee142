"""Cases of Shapley values and LIME."""

import torch
from captum._utils.models.linear_model import SkLearnLasso
from captum.attr._core.lime import get_exp_kernel_similarity_function
from captum.testing.helpers.basic_models import (
    BasicModel_ConvNet_One_Conv,
    BasicModel_MultiLayer,
    BasicModelBoolInput,
)

from reference.captum_cases.ablation import (
    BOTH,
    MASKS,
    MULTI,
    ONE,
    ONE_NUMBER,
    PAIRED,
    SMALL,
    SQUARE,
    THREE,
    TRUTHS,
    TURNED,
    summed,
)
from reference.captum_cases.case import Refused, attributed, rows


def _shapley():
    for name, many in (("ShapleyValueSampling", 25), ("KernelShap", 60)):
        asked, multi = (
            {"n_samples": many, "target": 0, "perturbations_per_eval": 20, "tolerance": 1e-2},
            BasicModel_MultiLayer,
        )
        yield attributed(name, "one example", multi, ONE, expected=rows([76.66666, 196.66666, 116.66666]), **asked)
        yield attributed(name, "groups", multi, ONE, feature_mask=PAIRED, expected=rows([275.0, 275.0, 115.0]), **asked)
        yield attributed(
            name,
            "groups, a number as baseline",
            multi,
            ONE,
            feature_mask=PAIRED,
            baselines=4,
            expected=rows([248.0, 248.0, 104.0]),
            **asked,
        )
        yield attributed(
            name,
            "a row as baseline",
            multi,
            ONE,
            baselines=rows([10.0, 20.0, 10.0]),
            expected=rows([40.0, 120.0, 80.0]),
            **asked,
        )
        yield attributed(
            name,
            "truth values",
            BasicModelBoolInput,
            TRUTHS,
            feature_mask=PAIRED,
            expected=rows([35.0, 35.0, 35.0]),
            **asked,
        )
        yield attributed(
            name,
            "truth values, true as baseline",
            BasicModelBoolInput,
            TRUTHS,
            feature_mask=PAIRED,
            baselines=True,
            expected=rows([-40.0, -40.0, 0.0]),
            **asked,
        )
        yield attributed(
            name, "a batch", multi, BOTH, expected=rows([7.0, 32.5, 10.5], [76.66666, 196.66666, 116.66666]), **asked
        )
        yield attributed(
            name,
            "a batch with groups of its own",
            multi,
            BOTH,
            feature_mask=TURNED,
            expected=rows([39.5, 39.5, 10.5], [275.0, 275.0, 115.0]),
            **asked,
        )
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
                name,
                title,
                MULTI,
                THREE,
                feature_mask=MASKS,
                baselines=baselines,
                additional_forward_args=(1,),
                expected=expected,
                **asked,
            )
        sparse = (
            rows([23.0, 0.0, 0.0], [20.0, 50.0, 30.0]),
            rows([20.0, 0.0, 50.0], [0.0, 100.0, 0.0]),
            rows([0.0, 100.0, 10.0], [0.0, 10.0, 0.0]),
        )
        yield attributed(
            name,
            "three inputs without groups",
            MULTI,
            sparse,
            additional_forward_args=(1,),
            expected=(
                rows([90.0, 0.0, 0.0], [78.0, 198.0, 118.0]),
                rows([78.0, 0.0, 198.0], [0.0, 398.0, 0.0]),
                rows([0.0, 398.0, 38.0], [0.0, 38.0, 0.0]),
            ),
            **{**asked, "n_samples": 600},
        )
        whole = {"n_samples": many, "feature_mask": PAIRED, "tolerance": 1e-2}
        for said, read in ONE_NUMBER.items():
            yield attributed(
                name,
                f"one example answered with {said}",
                summed(multi, read),
                SMALL,
                expected=rows([79.0, 79.0, 21.0]),
                **whole,
            )
            if name == "ShapleyValueSampling":
                yield attributed(
                    name,
                    f"a batch answered with {said}",
                    summed(multi, read),
                    BOTH,
                    expected=rows([629.0, 629.0, 251.0]),
                    **whole,
                )
                yield attributed(
                    name,
                    f"a batch of whole numbers answered with {said}",
                    summed(multi, read, lambda tensor: tensor.float()),
                    BOTH.long(),
                    expected=rows([629.0, 629.0, 251.0]),
                    **whole,
                )
        yield attributed(
            name,
            "all outputs at once",
            lambda: lambda x: torch.cat([BasicModel_MultiLayer()(x), torch.ones(len(x), 2)], 1),
            ONE,
            n_samples=many,
            differs="one output" if name == "ShapleyValueSampling" else "refused sooner",
            ours=Refused("name one as target"),
        )
    yield attributed(
        "KernelShap",
        "scores by group",
        multi,
        ONE,
        feature_mask=PAIRED,
        return_input_shape=False,
        expected=rows([275.0, 115.0]),
        **asked,
    )
    yield attributed(
        "KernelShap",
        "fewer samples than a regression needs",
        BasicModel_ConvNet_One_Conv,
        SQUARE,
        target=0,
        n_samples=10,
        differs="too few",
        ours=Refused("n_samples"),
    )


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
        yield attributed(name, title, MULTI, THREE, feature_mask=MASKS, additional_forward_args=(1,), **wide, **more)
    whole = {**asked, "target": None, "feature_mask": PAIRED, "perturbations_per_eval": 1, "n_samples": 300}
    for said, read in ONE_NUMBER.items():
        yield attributed(name, f"one example answered with {said}", summed(multi, read), SMALL, **whole)
    for option, part in (
        ("interpretable_model", SkLearnLasso(alpha=0.1)),
        ("similarity_func", get_exp_kernel_similarity_function("euclidean", 1000.0)),
        ("perturb_func", lambda original, **known: torch.randint(2, (1, known["num_interp_features"]))),
    ):
        yield attributed(
            name,
            f"a {option} of its own",
            multi,
            ONE,
            target=0,
            options={option: part},
            differs="own fits",
            ours=Refused(f"{option} is not supported"),
        )


CASES = (*_shapley(), *_lime())
