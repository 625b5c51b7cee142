"""Cases of occlusion."""

import torch
from captum.testing.helpers.basic_models import (
    BasicModel3,
    BasicModel_ConvNet_One_Conv,
    BasicModel_MultiLayer,
)

from reference.captum_cases.ablation import BOTH, MULTI, ONE, ONES, SQUARE, THREE
from reference.captum_cases.case import Refused, attributed, rows


def _occlusion():
    name, multi = "Occlusion", BasicModel_MultiLayer
    for per_eval in (1, 3):
        yield attributed(
            name,
            f"windows of one, {per_eval} at a time",
            multi,
            ONE,
            target=0,
            sliding_window_shapes=(1,),
            perturbations_per_eval=per_eval,
            expected=rows([80.0, 200.0, 120.0]),
        )
    columns = (torch.tensor([[-10], [3]]), torch.tensor([[-5], [1]]))
    floats = tuple(column.float() for column in columns)
    expected = (rows([0.0], [1.0]), rows([0.0], [-1.0]))
    ones = {"sliding_window_shapes": ((1,), (1,)), "target": 0}
    yield attributed(name, "whole numbers", BasicModel3, columns, expected=expected, **ones)
    yield attributed(
        name,
        "whole numbers, answered with floats",
        lambda: lambda *x: BasicModel3()(*x).float(),
        columns,
        expected=expected,
        **ones,
    )
    yield attributed(name, "two inputs", BasicModel3, floats, expected=expected, **ones)
    yield attributed(
        name,
        "inputs of no axis but the batch",
        BasicModel3,
        tuple(column[:, 0] for column in floats),
        sliding_window_shapes=((), ()),
        expected=(torch.tensor([0.0, 1.0]), torch.tensor([0.0, -1.0])),
    )
    yield attributed(
        name,
        "windows that overlap",
        multi,
        ONE,
        target=0,
        sliding_window_shapes=(2,),
        baselines=torch.tensor([10.0, 10.0, 10.0]),
        expected=rows([200.0, 220.0, 240.0]),
    )
    yield attributed(
        name,
        "strides",
        multi,
        ONE,
        target=0,
        sliding_window_shapes=(2,),
        strides=2,
        expected=rows([280.0, 280.0, 120.0]),
    )
    yield attributed(
        name,
        "a batch",
        multi,
        BOTH,
        target=0,
        sliding_window_shapes=((1,),),
        expected=rows([8.0, 35.0, 12.0], [80.0, 200.0, 120.0]),
    )
    three = {"target": 0, "additional_forward_args": (1,), "sliding_window_shapes": ((3,), (1,), (2,))}
    expected = (
        rows([492.0, 492.0, 492.0], [400.0, 400.0, 400.0]),
        rows([80.0, 200.0, 120.0], [0.0, 400.0, 0.0]),
        rows([400.0, 420.0, 440.0], [48.0, 50.0, 52.0]),
    )
    yield attributed(name, "three inputs", MULTI, THREE, expected=expected, **three)
    yield attributed(
        name,
        "two inputs, another beside them",
        MULTI,
        THREE[:2],
        target=0,
        additional_forward_args=(THREE[2], 1),
        sliding_window_shapes=((3,), (1,)),
        expected=expected[:2],
    )
    yield attributed(
        name,
        "three inputs with strides and baselines",
        MULTI,
        THREE,
        strides=(2, 1, 2),
        baselines=(rows([1.0, 4.0, 7.0], [3.0, 6.0, 9.0]), 3.0, rows([4.0], [6.0])),
        expected=(
            rows([444.0, 444.0, 444.0], [328.0, 328.0, 328.0]),
            rows([68.0, 188.0, 108.0], [-12.0, 388.0, -12.0]),
            rows([368.0, 368.0, 24.0], [0.0, 0.0, -12.0]),
        ),
        **three,
    )
    conv, pictures = BasicModel_ConvNet_One_Conv, (SQUARE, ONES)
    yield attributed(
        name,
        "whole pictures",
        conv,
        pictures,
        target=0,
        sliding_window_shapes=((1, 4, 4), (1, 4, 4)),
        expected=(67 * ONES, 13 * ONES),
    )
    yield attributed(
        name,
        "windows over pictures with strides",
        conv,
        pictures,
        target=0,
        sliding_window_shapes=((1, 2, 3), (1, 1, 2)),
        strides=((1, 2, 1), (1, 1, 2)),
    )
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
            name,
            title,
            conv,
            inputs,
            target=0,
            sliding_window_shapes=window,
            strides=step,
            differs="refused sooner",
            ours=Refused(words),
        )


CASES = tuple(_occlusion())
