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
    return pl.Decision(torch.randn(20, WIDE, generator=torch.Generator().manual_seed(1)).tolist(), target="yes", foil="no")


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
    asked = pl.Judgement([explained[0], changed], reference={"faulty": ["x2"]})
    found = CompareExplanations(context=CONTEXT)(subject, asked)
    assert found.context == CONTEXT
    assert found.kinds == ("Attribution", "Counterfactuals (wachter)")
    assert found.measures == ("more right by strongest",)
    scored = InterpretationScore(CONTEXT, outcome="fault-finding")(subject, asked)
    row = scored.readers.index("strongest")
    expected = float(scored.accuracy[row, 1] - scored.accuracy[row, 2])
    assert found.of("more right by strongest", *found.names) == pytest.approx(expected)
    assert found.of("more right by strongest", *found.names[::-1]) == pytest.approx(-expected)
