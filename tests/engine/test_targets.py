"""Which number is explained: classes by label or number, foils, quantities, positions and units."""

import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.core import meter
from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.core.query import Decision, Unit
from pellucid.core.subject import Inputs
from pellucid.engine.targets import again, class_index, resolve

LABELS = ("tabby, tabby cat", "Egyptian cat", "tiger cat", "crane", "crane", "7")
WEIGHTS = torch.tensor([[1.0, -1, 2, 0, 3, 1], [0.5, 2, 0, 1, -1, 0]], dtype=torch.float64)
ROWS = torch.tensor([[1.0, 0.5], [-1, 2], [0, 1]], dtype=torch.float64)


class Line(nn.Module):
    """Scores are ``rows @ WEIGHTS``, their softmax, or one column of them."""

    def __init__(self, columns=slice(None), probabilities=False):
        super().__init__()
        self.register_buffer("weights", WEIGHTS[:, columns])
        self.probabilities = probabilities
        self.hidden = nn.Identity()

    def forward(self, rows):
        scores = self.hidden(rows @ self.weights)
        return scores.softmax(-1) if self.probabilities else scores


class Positions(nn.Module):
    """Scores ``[batch, positions, classes]``: each position's own value times each class's factor."""

    def forward(self, values):
        return values[:, :, None] * torch.tensor([1.0, -2.0, 3.0], dtype=values.dtype)


SCORES = ROWS @ WEIGHTS


def line(output="logits", **fields):
    task = pl.tasks.Tabular(
        ("a", "b"), LABELS[: WEIGHTS[:, fields.get("columns", slice(None))].shape[1]], output=output
    )
    return pl.wrap(Line(**fields), task, name="line")


def value(subject, **asked):
    inputs = subject.prepare(ROWS)
    return resolve(subject, inputs, Decision(ROWS, **asked))(subject.run(inputs))


@pytest.mark.parametrize(
    ("word", "index"),
    [
        ("Egyptian cat", 1),
        ("egyptian CAT ", 1),
        ("tabby", 0),
        ("tabby cat", 0),
        ("tabby, tabby cat", 0),
        ("2", 2),
        ("7", 5),
    ],
)
def test_a_class_is_known_by_name_by_part_and_by_number(word, index):
    assert class_index(word, LABELS) == index


def test_a_label_that_looks_like_a_number_is_a_label():
    assert class_index("7", LABELS) == 5
    assert class_index("-1", LABELS) == -1


def test_an_ambiguous_name_lists_the_candidates():
    with pytest.raises(UsageError, match=r"ambiguous: 3 \(crane\), 4 \(crane\); use the number"):
        class_index("crane", LABELS)


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(UsageError, match=r"no class 'egyptian kat'; did you mean 'Egyptian cat'"):
        class_index("egyptian kat", LABELS)


@pytest.mark.parametrize(
    "target", [1, "Egyptian cat", -5, torch.tensor(1), torch.tensor([1, 1, 1]), [1, "Egyptian cat", -5]]
)
def test_targets_of_any_form_ask_for_the_same_scores(target):
    assert torch.equal(value(line(), target=target), SCORES[:, 1])


def test_without_a_target_each_example_is_asked_about_its_prediction():
    assert torch.equal(value(line()), SCORES.amax(1))


def test_each_example_may_have_a_target_and_a_foil_of_its_own():
    found = value(line(), target=[0, 1, 2], foil=[1, 2, "Egyptian cat"])
    expected = SCORES[[0, 1, 2], [0, 1, 2]] - SCORES[[0, 1, 2], [1, 2, 1]]
    assert torch.equal(found, expected)


def test_logits_give_probabilities_log_probabilities_and_losses():
    expected = SCORES.log_softmax(1)[:, 2]
    assert torch.allclose(value(line(), target=2, of="log-probability"), expected, rtol=1e-14)
    assert torch.allclose(value(line(), target=2, of="probability"), expected.exp(), rtol=1e-14)
    assert torch.allclose(value(line(), target=2, of="loss"), -expected, rtol=1e-14)
    assert torch.equal(value(line(), target=2, of="logit"), SCORES[:, 2])


def test_one_logit_is_the_logit_of_the_only_class():
    subject = line(columns=slice(4, 5))
    expected = SCORES[:, 4].sigmoid()
    assert torch.allclose(value(subject, target=0, of="probability"), expected, rtol=1e-14)


def test_probabilities_are_read_as_they_are():
    subject = line("probabilities", probabilities=True)
    expected = SCORES.softmax(1)[:, 2]
    assert torch.allclose(value(subject, target=2), expected, rtol=1e-14)
    assert torch.allclose(value(subject, target=2, of="probability"), expected, rtol=1e-12)
    assert torch.allclose(value(subject, target=2, of="loss"), -expected.log(), rtol=1e-14)
    with pytest.raises(NotAnswerable, match="answers with probabilities"):
        value(subject, target=2, of="logit")


def test_a_probability_of_zero_has_a_finite_logarithm():
    class Certain(nn.Module):
        def forward(self, rows):
            return torch.tensor([[1.0, 0.0]], dtype=rows.dtype).expand(len(rows), -1)

    subject = pl.wrap(Certain(), pl.tasks.Tabular(("a", "b"), ("yes", "no"), output="probabilities"))
    assert value(subject, target=1, of="log-probability").isfinite().all()


def test_a_value_has_no_probability():
    subject = line("value", columns=slice(0, 1))
    assert torch.equal(value(subject), SCORES[:, 0])
    with pytest.raises(NotAnswerable, match="answers with a value, which has no probability"):
        value(subject, of="probability")


def test_of_several_values_one_must_be_named():
    with pytest.raises(UsageError, match=r"answers with 6 values .*name one as target"):
        value(line("value"))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"target": 6}, r"target \(6,\) is outside the outputs \(6,\) of line"),
        ({"target": -7}, "outside the outputs"),
        ({"target": [1, 2]}, "2 targets for 3 examples"),
        ({"target": 1, "foil": 1}, "target and foil are the same output"),
        ({"target": 1, "foil": -5}, "the same output"),
        ({"target": [0, 1, 2], "foil": [1, 1, 1]}, "the same output"),
        ({"target": (0, 1)}, "has 2 parts; line has 1 output axes"),
        ({"target": "Siamese"}, "no class 'Siamese'"),
        ({"target": 1.5}, "target 1.5 is neither a label nor the number of a class"),
        ({"target": 1, "foil": object}, "foil .* is neither"),
    ],
    ids=str,
)
def test_a_question_that_makes_no_sense_is_refused(asked, said):
    with pytest.raises(UsageError, match=said):
        value(line(), **asked)


VALUES = torch.tensor([[1.0, 2.0, 5.0], [3.0, -4.0, 7.0]], dtype=torch.float64)


def positions(**asked):
    subject = pl.wrap(Positions(), name="positions")
    inputs = Inputs({"input": VALUES}, "input", torch.tensor([[True, True, False], [True, True, True]]))
    target = resolve(subject, inputs, Decision(VALUES, **asked))
    return target, target(subject.run(inputs))


def test_without_a_position_the_last_real_one_is_asked_about():
    target, found = positions(target=2)
    assert found.tolist() == [6.0, 21.0]
    assert target.public(target.index).tolist() == [[1, 2], [2, 2]]


def test_a_target_with_its_position_asks_there():
    target, found = positions(target=(0, 1), foil=0)
    assert found.tolist() == [-2.0 - 1.0, -6.0 - 3.0]
    assert target.foil.tolist() == [[0, 0], [0, 0]]


def test_the_target_of_an_answer_can_be_asked_again():
    target, found = positions(target=[(0, 1), (2, 0)])
    assert positions(target=target.public(target.index))[1].tolist() == found.tolist() == [-2.0, 7.0]


def test_the_prediction_is_that_of_the_position():
    _, found = positions()
    assert found.tolist() == [6.0, 21.0]


def test_a_foil_may_lie_at_another_position():
    _, found = positions(target=(0, 0), foil=(1, 2))
    assert found.tolist() == [1.0 - 6.0, 3.0 + 12.0]


def test_a_unit_is_the_activation_that_its_index_names():
    subject = line()
    inputs = subject.prepare(ROWS)
    for index, expected in (((1,), SCORES[:, 1]), (4, SCORES[:, 4])):
        target = resolve(subject, inputs, Decision(ROWS, of=Unit("hidden", index)))
        run = subject.run(inputs, capture=target.capture)
        assert torch.equal(target(run), expected)
        assert target.index is None


def test_a_channel_is_the_mean_over_its_places():
    subject = pl.wrap(nn.Sequential(nn.Conv2d(1, 2, 1), nn.Flatten(), nn.Linear(8, 2)).double(), name="maps")
    inputs = subject.prepare(torch.rand(3, 1, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    target = resolve(subject, inputs, Decision(None, of=Unit("0", 1)))
    run = subject.run(inputs, capture=("0",))
    assert torch.allclose(target(run), run.activations["0"][:, 1].mean((1, 2)), rtol=1e-14)


@pytest.mark.parametrize(
    ("unit", "said"),
    [(Unit(None, 1), "needs a layer"), (Unit("hidden"), "needs an index"), (Unit("hidden", 9), "outside layer hidden")],
)
def test_a_unit_that_is_not_there_is_refused(unit, said):
    subject = line()
    inputs = subject.prepare(ROWS)

    def ask():
        target = resolve(subject, inputs, Decision(ROWS, of=unit))
        return target(subject.run(inputs, capture=target.capture))

    with pytest.raises(UsageError, match=said):
        ask()


def test_a_unit_has_no_target_and_a_quantity_is_known_by_name():
    with pytest.raises(UsageError, match="a unit as `of` has no target"):
        Decision(ROWS, target=1, of=Unit("hidden", 1))
    with pytest.raises(UsageError, match="did you mean 'probability'"):
        Decision(ROWS, of="probabilty")


def test_rows_of_a_question_ask_the_same_of_repeated_examples():
    subject = line()
    inputs = subject.prepare(ROWS)
    target = resolve(subject, inputs, Decision(ROWS, target=[0, 1, 2]))
    index = torch.tensor([2, 2, 0])
    found = target.rows(index)(subject.run(inputs.rows(index)))
    assert torch.equal(found, SCORES[[2, 2, 0], [2, 2, 0]])


def test_a_question_asked_again_keeps_its_target_without_a_pass():
    subject, decision = line(), Decision(ROWS, target=[0, 3, 2], foil=1, of="log-probability")
    inputs = subject.prepare(ROWS)
    target = resolve(subject, inputs, decision)
    repeated = again(decision, inputs.rows(torch.tensor([1, 1])), target.rows(torch.tensor([1, 1])))
    with meter.metered() as passes:
        assert resolve(subject, repeated.inputs, repeated) is repeated.target
    assert passes.forward == 0
    assert repeated.target.index.tolist() == target.index[[1, 1]].tolist()
    assert (repeated.foil, repeated.of) == (1, "log-probability")
    unit = Decision(ROWS, of=Unit("hidden", 2))
    assert again(unit, inputs, resolve(subject, inputs, unit)).target is None
