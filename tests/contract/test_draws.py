"""What a method that perturbs asks the model does not depend on how the questions are put into batches.

Every point that reaches the model is recorded bit by bit: for physical batches of 1, 7 and 64, and for the examples in
another order, the same points are asked about, and the answers agree.
"""

from collections import Counter

import pytest
import torch

import pellucid as pl
from contract.asking import ids, per_example, question, quick
from contract.cases import WINES, _wine_task, pictures
from pellucid.core.content import digest
from pellucid.core.method import METHODS, query_type


def row_by_row(answer):
    """A model that cannot know its batch, and the points that it was asked about."""
    seen = Counter()

    def model(batch):
        seen.update(digest(row) for row in batch)
        return torch.stack([answer(row.double()) for row in batch])

    return model, seen


def shades(picture):
    left, right = picture[..., :4].mean(), picture[..., 4:].mean()
    return torch.stack([left, right, left * right + picture[0, 2, 3]]).softmax(0)


def vintage(row):
    return torch.stack([row[:5].sum() * row[6].tanh(), row[5:].sum(), row[12] ** 2])


MODELS = {
    "picture": (shades, lambda: pl.tasks.Image(8, labels=("a", "b", "c"), output="probabilities"), pictures(3, 8)),
    "row": (vintage, _wine_task, WINES),
}


def asked(method, kind, size, order):
    answer, task, inputs = MODELS[kind]
    model, seen = row_by_row(answer)
    subject = pl.wrap(model, task(), name=kind)
    subject.batch_size = lambda inputs: size
    query = question(method, subject, [inputs[place] for place in order])
    assert subject.fingerprint  # which a black box answers a probe for, once
    seen.clear()
    result = quick(method, kind)(subject, query)
    told = per_example(result) if query_type(METHODS[method]) is pl.Decision else []
    return seen, told


def perturbing() -> list[tuple[str, str]]:
    """Every method that perturbs, with every kind of input that it applies to."""
    found = []
    for method in ids():
        spec = METHODS[method].spec
        found += [
            (method, kind)
            for kind, (_, task, _) in MODELS.items()
            if "perturbation" in spec.properties and task().modality in spec.modalities
        ]
    return found


@pytest.mark.parametrize(("method", "kind"), perturbing())
def test_the_points_asked_about_are_the_same_for_any_batch_and_order(method, kind):
    seen, told = asked(method, kind, 64, (0, 1, 2))
    assert seen
    for size, order in ((1, (0, 1, 2)), (7, (0, 1, 2)), (64, (2, 0, 1)), (7, (1, 2, 0))):
        again, answers = asked(method, kind, size, order)
        assert again == seen
        for place, found in zip(order, answers, strict=False):
            assert torch.allclose(
                found.double(), told[place].double(), rtol=0, atol=1e-10 * float(told[place].abs().max())
            )
