"""Comparing explanations: those of one kind freely, those of different kinds in a context only."""

import dataclasses

import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.core.errors import BadInput, NotComparable, UsageError
from pellucid.core.subject import Features
from pellucid.methods import CompareExplanations, Counterfactual, Gradient, InputXGradient, InterpretationScore

WIDE = 6
CONTEXT = pl.Context("name the column that should not count", "developer", "Which column is at fault?")


@pytest.fixture(scope="module")
def subject():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(WIDE, 8), nn.Tanh(), nn.Linear(8, 2)).double()
    return pl.wrap(module.eval(), pl.tasks.Tabular([f"x{n}" for n in range(WIDE)], ("no", "yes")), name="net")


@pytest.fixture(scope="module")
def decision():
    return pl.Decision(
        torch.randn(20, WIDE, generator=torch.Generator().manual_seed(1)).tolist(), target="yes", foil="no"
    )


@pytest.fixture(scope="module")
def explained(subject, decision):
    return InputXGradient()(subject, decision), Gradient()(subject, decision)


@pytest.fixture(scope="module")
def changed(subject, decision):
    return Counterfactual(budget=300)(subject, decision)


def test_explanations_of_one_kind_are_compared_without_a_context_and_of_two_kinds_are_refused(
    subject, explained, changed
):
    """Vector A19."""
    found = CompareExplanations()(subject, pl.Judgement(explained))
    assert found.context is None
    assert found.measures[0] == "rank correlation"
    with pytest.raises(NotComparable, match=r"different kinds \(Attribution, Counterfactuals \(wachter\)\)") as refusal:
        CompareExplanations()(subject, pl.Judgement([explained[0], changed]))
    assert refusal.value.exit_code == 3
    assert "Context" in str(refusal.value)


def test_in_a_context_outcomes_of_two_kinds_are_compared_and_nothing_of_what_they_hold(subject, explained, changed):
    asked = pl.Judgement([explained[0], changed], reference={"faulty": ["x1"]})
    found = CompareExplanations(context=CONTEXT)(subject, asked)
    assert found.context == CONTEXT
    assert found.kinds == ("Attribution", "Counterfactuals (wachter)")
    assert found.measures == ("more right by strongest",)
    scored = InterpretationScore(CONTEXT, outcome="fault-finding")(subject, asked)
    row = scored.readers.index("strongest")
    expected = float(scored.accuracy[row, 1] - scored.accuracy[row, 2])
    assert found.of("more right by strongest", *found.names) == pytest.approx(expected)
    assert found.of("more right by strongest", *found.names[::-1]) == pytest.approx(-expected)


def test_an_explanation_is_like_itself_and_unlike_its_negative(subject, explained):
    answer = explained[0]
    negative = dataclasses.replace(answer, scores=-answer.scores)
    found = CompareExplanations()(subject, pl.Judgement([answer, answer, negative]))
    same, opposite = found.names[:2], (found.names[0], found.names[2])
    assert found.of("rank correlation", *same) == pytest.approx(1)
    assert found.of("moved score", *same) == 0
    assert found.of("rank correlation", *opposite) == pytest.approx(-1)
    assert found.of("cosine", *opposite) == pytest.approx(-1)
    assert found.beyond_chance("rank correlation", *same)
    assert found.beyond_chance("moved score", *same)
    assert not found.beyond_chance("rank correlation", *opposite)
    sizes = CompareExplanations(signed=False)(subject, pl.Judgement([answer, negative]))
    assert float(sizes.value[0, 0]) == pytest.approx(1)


def test_a_map_that_knows_nothing_is_as_like_as_chance_makes_it(subject, decision, explained):
    drawn = torch.randn(explained[0].scores.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    known = dataclasses.replace(explained[0], scores=drawn)
    found = CompareExplanations(shuffles=200)(subject, pl.Judgement([explained[1], known]))
    middle, low, high = found.chance[0, 0].tolist()
    assert low < 0 < high
    assert low <= float(found.value[0, 0]) <= high
    # Of n examples with 6 regions each the mean rank correlation by chance has a spread of 1 / √(5 n).
    assert (high - low) / 2 == pytest.approx(1.96 / (5 * 20) ** 0.5, rel=0.25)
    assert abs(middle) < 0.05
    assert not any(found.beyond_chance(measure, *found.names) for measure in found.measures[:2])


def test_values_are_means_over_examples_with_intervals_that_hold_them(subject, explained):
    found = CompareExplanations(top=(0.5,))(subject, pl.Judgement(explained))
    assert torch.allclose(found.value, found.per_example.mean(2))
    assert bool((found.interval[..., 0] <= found.value).all() & (found.value <= found.interval[..., 1]).all())
    assert found.per_example.shape == (6, 1, 20)


def test_one_example_says_nothing_about_others(subject):
    asked = pl.Decision([[0.1, 0.2, -0.3, 0.4, 0.5, -0.6]])
    answers = [InputXGradient()(subject, asked), Gradient()(subject, asked)]
    found = CompareExplanations()(subject, pl.Judgement(answers))
    assert found.interval[0, 0].tolist() == [-1, 1]
    assert found.interval[-1, 0].tolist() == [0, 1]
    assert "all that is possible" in found.protocol


def test_maps_of_pixels_and_of_regions_meet_on_the_regions():
    subject = pl.load("digits-cnn")
    drawn = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    asked = pl.Decision(drawn, target=3)
    fine = InputXGradient()(subject, asked)
    parts = Features("part", (torch.arange(8)[:, None] // 4 * 2 + torch.arange(8) // 2 % 2).expand(2, 1, 8, 8))
    coarse = dataclasses.replace(fine, scores=parts.spread(parts.sums(fine.scores), fine.scores), features=parts)
    found = CompareExplanations()(subject, pl.Judgement([fine, coarse]))
    assert "over 4 shared regions" in found.protocol
    assert float(found.value[0, 0]) == pytest.approx(1, abs=1e-6)
    squares = CompareExplanations(grid=2)(subject, pl.Judgement([fine, coarse]))
    assert "grid of 2 × 2" in squares.protocol
    assert float(squares.value[0, 0]) < 1


def test_a_flat_map_is_pointed_out(subject, explained):
    flat = dataclasses.replace(explained[0], scores=torch.ones_like(explained[0].scores))
    found = CompareExplanations()(subject, pl.Judgement([explained[0], flat]))
    assert float(found.value[0, 0]) == 0
    assert "In 20 of 20 examples an explanation scores all regions alike" in found.summary()


def test_changes_of_two_counterfactuals_are_of_one_kind(subject, decision, changed):
    other = Counterfactual(budget=300, norm="l2")(subject, decision)
    found = CompareExplanations()(subject, pl.Judgement([changed, other]))
    assert found.kinds == ("Counterfactuals (wachter)",) * 2
    assert float(found.value[0, 0]) > 0.3


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        (lambda it, s, d: [it], UsageError, "at least two"),
        (lambda it, s, d: [], UsageError, "nothing to judge"),
        (lambda it, s, d: [it, "map"], UsageError, "not a str"),
        (lambda it, s, d: [it, it.asked(None)], BadInput, "does not know its decision"),
        (
            lambda it, s, d: [it, Gradient()(s, dataclasses.replace(d, target="no", foil="yes"))],
            NotComparable,
            "decisions",
        ),
        (lambda it, s, d: [it, Gradient()(s, dataclasses.replace(d, at="0"))], NotComparable, "different places"),
        (
            lambda it, s, d: [it, pl.methods.Response(replicates=20)(s, pl.Population(d.inputs, target="yes"))],
            NotComparable,
            "kinds",
        ),
        (
            lambda it, s, d: [pl.methods.Response(replicates=20)(s, pl.Population(d.inputs, target="yes"))] * 2,
            pl.NotAnswerable,
            "Response",
        ),
    ],
)
def test_what_has_no_distance_is_refused(subject, decision, explained, change, error, said):
    with pytest.raises(error, match=said):
        CompareExplanations()(subject, pl.Judgement(change(explained[0], subject, decision)))


def test_another_network_than_was_explained_is_noticed(subject, explained):
    other = pl.wrap(nn.Linear(WIDE, 2).double().eval(), subject.task, name="other")
    with pytest.raises(BadInput, match="explains net"):
        CompareExplanations()(other, pl.Judgement(explained))


@pytest.mark.parametrize("top", [(), (0.0,), (1.0,)])
def test_shares_lie_between_nothing_and_everything(top):
    with pytest.raises(UsageError, match="shares between 0 and 1"):
        CompareExplanations(top=top)


def test_scores_of_one_context_are_put_side_by_side(subject, explained):
    asked = [pl.Judgement([answer], reference={"faulty": ["x1"]}) for answer in explained]
    scores = [InterpretationScore(CONTEXT, outcome="fault-finding")(subject, one) for one in asked]
    found = CompareExplanations()(subject, pl.Judgement(scores))
    assert found.names == ("input-x-gradient", "gradient")
    assert found.context == CONTEXT
    together = InterpretationScore(CONTEXT, outcome="fault-finding")(
        subject, pl.Judgement(explained, reference={"faulty": ["x1"]})
    )
    assert float(found.value[0, 0]) == pytest.approx(float(together.accuracy[0, 1] - together.accuracy[0, 2]))
    assert float(found.per_example[0, 0].mean()) == pytest.approx(float(found.value[0, 0]))
    assert found.value[0, 0] != 0


def test_scores_of_different_contexts_have_no_ranking_and_no_mean(subject, explained):
    asked = pl.Judgement([explained[0]], reference={"faulty": ["x1"], "truth": [0] * 20})
    other = dataclasses.replace(CONTEXT, asker="auditor")
    first = InterpretationScore(CONTEXT, outcome="fault-finding")(subject, asked)
    for settings, said in (
        ({"context": other, "outcome": "fault-finding"}, "different contexts"),
        ({"context": CONTEXT, "outcome": "decision-quality"}, "fault-finding and one of decision-quality"),
        ({"context": CONTEXT, "outcome": "fault-finding", "questions": 5}, "different questions"),
    ):
        second = InterpretationScore(**settings)(subject, asked)
        with pytest.raises(NotComparable, match=said):
            CompareExplanations()(subject, pl.Judgement([first, second]))
    elsewhere = dataclasses.replace(first, about_what="other people")
    with pytest.raises(NotComparable, match="inputs or subjects"):
        CompareExplanations()(subject, pl.Judgement([first, elsewhere]))
    with pytest.raises(NotComparable, match="different kinds"):
        CompareExplanations()(subject, pl.Judgement([first, explained[0]]))
