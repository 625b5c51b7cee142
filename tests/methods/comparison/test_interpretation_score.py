"""Interpretation scores: what stated readers can and cannot find, people's answers, and scores that keep their context."""

import dataclasses
import json

import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.core.errors import BadInput, NotAnswerable, UsageError
from pellucid.engine.arms import CONTROL, SHUFFLED
from pellucid.engine.proportions import share_interval
from pellucid.methods import Counterfactual, InputXGradient, InterpretationScore, Occlusion
from pellucid.metrics import ForwardSimulation

COLUMNS = ("age", "dose", "leak", "weight", "unused")
KNOWN = ("age", "dose", "weight", "unused")
CONTEXT = pl.Context("name what is at fault", "developer", "Which column?", knowledge=KNOWN)
DECIDE = pl.Context("follow the advice or not", "domain expert", "Is it so?", knowledge=KNOWN)


def linear(weights):
    """A model whose second class scores the weighted sum of the columns, and the first nothing."""
    layer = nn.Linear(len(weights), 2, bias=False).double()
    with torch.no_grad():
        layer.weight.copy_(torch.stack([torch.zeros(len(weights)), torch.tensor(weights)]))
    return pl.wrap(layer.eval(), pl.tasks.Tabular(COLUMNS[: len(weights)], ("well", "ill")), name="linear")


def rows(number, seed=0):
    draws = torch.randn(number, len(COLUMNS), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (draws.sign() * (0.5 + draws.abs())).tolist()


@pytest.fixture(scope="module")
def leaking():
    """A model that goes by a leak, and by nothing in the last column."""
    return linear([1.0, -1.0, 40.0, 1.0, 0.0])


@pytest.fixture(scope="module")
def explained(leaking):
    return InputXGradient()(leaking, pl.Decision(rows(60), target="ill", foil="well"))


def accuracy(found, reader, arm):
    return float(found.accuracy[found.readers.index(reader), arm])


def test_a_reader_of_the_strongest_feature_finds_a_leak_and_without_explanations_guesses(leaking, explained):
    asked = pl.Judgement([explained], reference={"faulty": ["leak"]})
    found = InterpretationScore(CONTEXT, outcome="fault-finding")(leaking, asked)
    assert found.context == CONTEXT
    assert found.arms == (CONTROL, "input-x-gradient")
    assert accuracy(found, "strongest", 1) == accuracy(found, "unexpected", 1) == 1.0
    assert 0.05 < accuracy(found, "strongest", 0) < 0.4
    assert accuracy(found, "strongest" + SHUFFLED, 1) < 0.4
    assert found.helps("strongest", "input-x-gradient") is True
    assert found.interval[0, 1].tolist() == pytest.approx(share_interval(60, 60))
    assert all("not a person" in told for told in found.about)
    assert found.choices[:2] == ("no fault", "leak")


def test_the_same_explanation_does_not_show_what_the_model_ought_to_use_if_only_the_strongest_is_shown(
    leaking, explained
):
    asked = pl.Judgement([explained], reference={"faulty": ["unused"]})
    whole, codes = (
        InterpretationScore(CONTEXT, outcome="fault-finding", shown=shown)(leaking, asked) for shown in (None, 1)
    )
    assert accuracy(whole, "missing", 1) == 1.0
    assert accuracy(whole, "strongest", 1) == accuracy(codes, "strongest", 1) == 0.0
    # One column is shown, the leak: the four that it knows all look alike.
    assert accuracy(codes, "missing", 1) == pytest.approx(0.25, abs=0.2)
    assert accuracy(codes, "missing", 0) == accuracy(codes, "missing", 1)


def test_who_finds_no_fault_is_right_where_there_is_none():
    sound = linear([1.0, -1.0, 0.0, 1.0, 1.0])
    answer = InputXGradient()(sound, pl.Decision(rows(20), target="ill", foil="well"))
    found = InterpretationScore(CONTEXT, outcome="fault-finding")(
        sound, pl.Judgement([answer], reference={"faulty": []})
    )
    assert accuracy(found, "unexpected", 1) == 1.0
    assert accuracy(found, "strongest", 1) == 0.0
    assert set(found.truth.tolist()) == {0}


def test_of_several_that_are_at_fault_any_one_will_do(leaking, explained):
    asked = pl.Judgement([explained], reference={"faulty": ["leak", "dose"]})
    found = InterpretationScore(CONTEXT, outcome="fault-finding", reader="strongest")(leaking, asked)
    assert "leak or dose" in found.choices
    assert accuracy(found, "strongest", 1) == 1.0


def test_a_mask_says_what_is_at_fault_in_a_picture():
    class Corner(nn.Module):
        def forward(self, pixels):
            return torch.stack([pixels[:, 0, :4, :4].sum((1, 2)), pixels[:, 0].mean((1, 2))], 1)

    subject = pl.wrap(Corner().double(), pl.tasks.Image(8, (0.5,), (0.5,), ("patch", "rest")), name="corner")
    drawn = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mask = torch.zeros(8, 8)
    mask[:4, :4] = 1
    answer = InputXGradient()(subject, pl.Decision(drawn, target="patch"))
    found = InterpretationScore(CONTEXT, outcome="fault-finding", reader="strongest")(
        subject, pl.Judgement([answer], reference=mask)
    )
    assert accuracy(found, "strongest", 1) == 1.0
    assert found.choices[1] == "what the reference marks"
    with pytest.raises(UsageError, match="does not fit the point"):
        InterpretationScore(CONTEXT, outcome="fault-finding")(
            subject, pl.Judgement([answer], reference=torch.zeros(3, 3))
        )


@pytest.mark.parametrize(("target", "foil"), [("ill", "well"), ("well", "ill"), (None, None)])
def test_who_knows_what_should_count_does_not_follow_advice_that_a_leak_speaks_for(target, foil):
    """Whichever class was explained, the strengths that speak for the advice are what is read."""
    weights = torch.tensor([1.0, 1.0, 6.0, 1.0, 1.0], dtype=torch.float64)
    subject = linear(weights.tolist())
    data = torch.tensor(rows(80), dtype=torch.float64)
    data[::2, 2] = 0
    truth = (data[:, [0, 1, 3, 4]].sum(1) > 0).long()
    explain = InputXGradient() if target else Occlusion(baseline="zero")
    answer = explain(subject, pl.Decision(data.tolist(), target=target, foil=foil))
    if target is None:  # The score of "well" is always zero: only where "ill" is advised anything is explained.
        assert not answer.scores[subject.scores(data.tolist()).argmax(1) == 0].any()
    asked = pl.Judgement([answer], reference={"truth": truth})
    found = InterpretationScore(DECIDE, outcome="decision-quality", studied=40)(subject, asked)
    advice = (data @ weights > 0).long()
    speaking = (data * weights * (2 * advice[:, None] - 1)).clamp(min=0)
    distrusted = speaking[:, 2] > speaking.sum(1) / 2
    if target is None:
        distrusted &= advice == 1
    asked_about = torch.tensor([int(question.removeprefix("example ")) for question in found.questions])
    right = (advice == truth)[asked_about]
    assert (
        accuracy(found, "trusting", 1) == accuracy(found, "expecting", 0) == pytest.approx(float(right.double().mean()))
    )
    expected = torch.where(distrusted[asked_about], ~right, right)
    assert accuracy(found, "expecting", 1) == pytest.approx(float(expected.double().mean()))
    assert bool(distrusted[asked_about].any())
    assert found.studied == len(found.questions) == 40


def test_experience_with_explanations_tells_when_not_to_follow():
    """The advice is wrong wherever the leak speaks for illness."""
    subject = linear([1.0, 1.0, 2.0, 1.0, 1.0])
    data = torch.tensor(rows(200))
    data[:, 2] = torch.where(torch.arange(200) % 2 == 0, -1.0, 1.0)
    follow = subject.scores(data.tolist()).argmax(1)
    truth = torch.where(data[:, 2] < 0, follow, 1 - follow)
    answer = InputXGradient()(subject, pl.Decision(data.tolist(), target="ill", foil="well"))
    found = InterpretationScore(DECIDE, outcome="decision-quality", studied=100, reader="experienced")(
        subject, pl.Judgement([answer], reference={"truth": truth.tolist()})
    )
    assert accuracy(found, "experienced", 1) > 0.9
    assert accuracy(found, "experienced" + SHUFFLED, 1) < 0.75


def test_labels_say_what_is_true_too(leaking, explained):
    classes = leaking.scores(rows(60)).argmax(1)
    named = [("well", "ill")[place] for place in classes.tolist()]
    score = InterpretationScore(DECIDE, outcome="decision-quality", reader="trusting")
    found = score(leaking, pl.Judgement([explained], reference={"truth": named}))
    assert accuracy(found, "trusting", 0) == 1.0
    assert "whoever always says it is right" in found.summary()


def test_explanations_of_different_kinds_are_asked_the_same_questions(leaking):
    explained = InputXGradient()(leaking, pl.Decision(rows(15), target="ill", foil="well"))
    changed = Counterfactual(budget=300)(leaking, pl.Decision(rows(15)))
    asked = pl.Judgement([explained, changed], reference={"faulty": ["leak"]})
    found = InterpretationScore(CONTEXT, outcome="fault-finding", reader="strongest")(leaking, asked)
    assert found.arms == (CONTROL, "input-x-gradient", "counterfactual")
    # The cheapest way to another answer is the column with the largest weight.
    assert accuracy(found, "strongest", 2) > 0.9


def test_forward_simulation_is_that_of_its_method_with_a_context(leaking, explained):
    settings = {"studied": 6, "edited": 0.25, "reader": "linear"}
    plain = ForwardSimulation(**settings)(leaking, pl.Judgement([explained]))
    found = InterpretationScore(CONTEXT, **settings)(leaking, pl.Judgement([explained]))
    assert torch.equal(found.predicted, plain.predicted)
    assert torch.equal(found.interval, plain.interval)
    assert found.outcome == "forward-simulation"
    assert found.summary().startswith("In the context: name what is at fault (developer")
    changed = Counterfactual(budget=200)(leaking, pl.Decision(rows(20)))
    with pytest.raises(NotAnswerable, match="not from Counterfactuals"):
        InterpretationScore(CONTEXT)(leaking, pl.Judgement([changed]))


def test_a_reader_of_reason_codes_sees_no_other_scores(leaking, explained, monkeypatch):
    import pellucid.methods.comparison.interpretation_score as module

    seen = []
    plain = module.inner_call(ForwardSimulation)

    def watched(cls):
        return lambda method, subject, query: seen.extend(query.results) or plain(method, subject, query)

    monkeypatch.setattr(module, "inner_call", watched)
    InterpretationScore(CONTEXT, shown=2, studied=6)(leaking, pl.Judgement([explained]))
    (shown,) = seen
    assert (shown.scores != 0).sum(1).unique().tolist() == [2]
    kept = shown.scores != 0
    assert torch.equal(shown.scores[kept], explained.scores[kept])
    assert float(explained.scores.abs()[~kept].max(0).values) <= float(explained.scores.abs()[:, 2].max())


def test_the_answers_of_people_are_scored_beside_programs(leaking, explained, tmp_path):
    asked = pl.Judgement([explained], reference={"faulty": ["leak"]})
    score = InterpretationScore(CONTEXT, outcome="fault-finding", reader="strongest", questions=4)
    paper = score.questionnaire(leaking, asked)
    assert set(paper["arms"]) == {CONTROL, "input-x-gradient"}
    assert next(iter(paper["arms"]["input-x-gradient"].values())).keys() >= {"leak"}
    assert paper["choices"][1] == "leak"
    record = {"quiz": paper["quiz"], "reader": "Ada", "answers": {}}
    record["answers"][CONTROL] = {"0": "leak", "1": "age", "2": "no fault"}
    record["answers"]["input-x-gradient"] = dict.fromkeys("0123", "leak")
    (tmp_path / "ada.json").write_text(json.dumps(record), encoding="utf-8")
    found = dataclasses.replace(score, answers=str(tmp_path))(leaking, asked)
    place = found.readers.index("Ada")
    assert found.about[place] == "a person who answered the questions"
    assert found.accuracy[place].tolist() == pytest.approx([1 / 3, 1.0])
    (tmp_path / "ada.json").write_text(json.dumps({**record, "quiz": "another"}), encoding="utf-8")
    with pytest.raises(BadInput, match="another quiz"):
        dataclasses.replace(score, answers=str(tmp_path))(leaking, asked)


def test_a_score_keeps_its_context_in_a_file(leaking, explained, tmp_path):
    asked = pl.Judgement([explained], reference={"faulty": ["leak"]})
    found = InterpretationScore(CONTEXT, outcome="fault-finding")(leaking, asked)
    loaded = pl.Result.load(found.save(tmp_path / "score.pellucid"))
    assert isinstance(loaded, pl.Interpretation)
    assert loaded.context == CONTEXT
    assert loaded.table() == found.table()
    assert "finds the fault in 60 of 60" in loaded.summary()


@pytest.mark.parametrize(
    ("settings", "reference", "error", "said"),
    [
        ({"outcome": "fault-finding"}, None, UsageError, "says what is at fault"),
        ({"outcome": "fault-finding"}, {"faulty": "leak"}, UsageError, "says what is at fault"),
        (
            {"outcome": "fault-finding"},
            {"faulty": ["colour"]},
            UsageError,
            "no explanation has a feature called colour",
        ),
        ({"outcome": "fault-finding", "reader": "none"}, {"faulty": ["leak"]}, NotAnswerable, "nobody reads"),
        ({"outcome": "decision-quality"}, {"faulty": ["leak"]}, UsageError, "says what is true"),
        ({"outcome": "decision-quality"}, {"truth": [0]}, UsageError, "1 true classes for 60"),
        ({"outcome": "decision-quality", "studied": 60}, {"truth": [0] * 60}, NotAnswerable, "at least one more"),
    ],
)
def test_what_cannot_be_scored_is_refused(leaking, explained, settings, reference, error, said):
    with pytest.raises(error, match=said):
        InterpretationScore(CONTEXT, **settings)(leaking, pl.Judgement([explained], reference=reference))


def test_readers_belong_to_an_outcome_and_may_need_knowledge():
    with pytest.raises(UsageError, match="did you mean|known"):
        InterpretationScore(CONTEXT, outcome="fault-finding", reader="linear")
    ignorant = pl.Context("name what is at fault", "developer", "Which column?")
    for outcome, reader in (("fault-finding", "missing"), ("decision-quality", "expecting")):
        with pytest.raises(UsageError, match="what it knows to matter"):
            InterpretationScore(ignorant, outcome=outcome, reader=reader)


def test_a_model_of_values_is_not_right_or_wrong():
    layer = nn.Linear(len(COLUMNS), 1).double()
    subject = pl.wrap(layer.eval(), pl.tasks.Tabular(COLUMNS, output="value"), name="value")
    answer = Occlusion()(subject, pl.Decision(rows(12)))
    with pytest.raises(NotAnswerable, match="answers with a value"):
        InterpretationScore(DECIDE, outcome="decision-quality")(
            subject, pl.Judgement([answer], reference={"truth": [0] * 12})
        )
