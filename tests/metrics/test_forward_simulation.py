"""Forward simulation: what readers can learn from explanations and what not, people's answers, and intervals that cover."""

import dataclasses
import json
from types import SimpleNamespace

import pytest
import torch
from sklearn.datasets import load_wine
from torch import nn

import pellucid as pl
from pellucid.core.errors import BadInput, NotAnswerable, UsageError
from pellucid.core.subject import Features
from pellucid.methods.attribution.input_x_gradient import InputXGradient
from pellucid.methods.attribution.occlusion import Occlusion
from pellucid.metrics.forward_simulation import CONTROL, SHUFFLED, ForwardSimulation, _notes

WIDE = 12


def linear_model(seed=0, outputs=2):
    """A linear model of twelve columns, in double precision."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layer = nn.Linear(WIDE, outputs).double()
    task = pl.tasks.Tabular([f"x{number}" for number in range(WIDE)], ("no", "yes", "maybe")[:outputs])
    return pl.wrap(layer.eval(), task, name="linear")


def rows(number, seed=0):
    return torch.randn(number, WIDE, generator=torch.Generator().manual_seed(seed)).tolist()


def randomly(answer, seed=0):
    """The same explanation with scores that know nothing."""
    scores = torch.randn(answer.scores.shape, generator=torch.Generator().manual_seed(seed)).to(answer.scores)
    return dataclasses.replace(answer, scores=scores, provenance=None)


def test_who_reads_the_coefficients_of_a_linear_model_predicts_it_perfectly_and_random_explanations_do_not_help():
    subject = linear_model()
    decision = pl.Decision(rows(120), target="yes", foil="no")
    good = InputXGradient()(subject, decision)
    found = ForwardSimulation(reader="linear", studied=6)(subject, pl.Judgement([good, randomly(good)]))
    assert found.arms == (CONTROL, "input-x-gradient", "answer")
    assert float(found.accuracy[0, 1]) == 1.0
    assert found.helps("linear", "input-x-gradient") is True
    assert found.helps("linear", "answer") is not True
    assert float(found.accuracy[0, 2]) < 0.75


def test_what_is_gained_from_shuffled_scores_too_is_pointed_out():
    subject = linear_model()
    decision = pl.Decision(rows(120), target="yes", foil="no")
    good = InputXGradient()(subject, decision)
    told = ForwardSimulation(reader="linear", studied=6)(subject, pl.Judgement([good]))
    assert told.readers == ("linear", "linear, scores shuffled")
    assert float(told.accuracy[1, 1]) < 0.75
    assert not any("scores shuffled" in note for note in told.notes)


@pytest.mark.parametrize(("by_chance", "pointed_out"), [(18, True), (17, True), (6, False)])
def test_a_gain_that_shuffled_scores_give_too_is_no_thanks_to_the_explanations(by_chance, pointed_out):
    truth = torch.ones(20, dtype=torch.long)

    def right(number):
        return (torch.arange(20) < number).long()

    rows = {
        "linear": torch.stack([right(4), right(18)]),
        "linear" + SHUFFLED: torch.stack([right(4), right(by_chance)]),
    }
    told = _notes(SimpleNamespace(truth=truth), rows, (CONTROL, "lime"))
    assert any("than with its scores shuffled" in note for note in told) is pointed_out


def test_a_linear_model_of_three_classes_is_predicted_from_explanations_of_each():
    subject = linear_model(outputs=3)
    good = InputXGradient()(subject, pl.Decision(rows(150)))
    found = ForwardSimulation(reader="linear", studied=30)(subject, pl.Judgement([good]))
    assert float(found.accuracy[0, 1]) == 1.0
    assert float(found.accuracy[0, 0]) < 0.95


def test_a_value_is_predicted_above_or_below_the_middle():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = nn.Linear(WIDE, 1).double()
    task = pl.tasks.Tabular([f"x{number}" for number in range(WIDE)], output="value")
    subject = pl.wrap(layer.eval(), task, name="value")
    good = InputXGradient()(subject, pl.Decision(rows(80)))
    found = ForwardSimulation(reader="linear", studied=8)(subject, pl.Judgement([good]))
    assert float(found.accuracy[0, 1]) == 1.0


def test_a_loss_is_read_the_other_way_round():
    subject = linear_model()
    loss = Occlusion()(subject, pl.Decision(rows(60), target="yes", of="loss"))
    score = Occlusion()(subject, pl.Decision(rows(60), target="yes"))
    by_loss, by_score = (
        ForwardSimulation(reader="linear", studied=10)(subject, pl.Judgement([answer])) for answer in (loss, score)
    )
    assert float(by_loss.accuracy[0, 1]) > 0.8
    assert torch.equal(by_loss.truth, by_score.truth)


class WordSum(nn.Module):
    """The sum of the embeddings, which are single numbers."""

    def forward(self, embeddings, attention_mask):
        score = (embeddings[..., 0] * attention_mask).sum(1)
        return torch.stack([torch.zeros_like(score), score], 1)


def word_model():
    tokenizer = pl.load("lstm-sentiment").task.tokenizer
    worth = {"good": 3.0, "great": 2.0, "bad": -3.0, "dull": -2.0}
    numbers = {tokenizer([word])["input_ids"][0][0]: value for word, value in worth.items()}

    def embed(tokens):
        values = 1e-7 * tokens[..., None].float()  # so that no two words are the same
        for number, value in numbers.items():
            values[tokens == number] = value
        return values

    return pl.wrap(WordSum(), pl.tasks.Text(tokenizer, embed, ("negative", "positive")), name="words")


def test_words_are_learned_from_the_examples_that_hold_them():
    subject = word_model()
    studied = ["the good film", "a bad play", "great story", "dull story"]
    texts = studied + [f"{a} {b} and {c}" for a in ("good", "great") for b in ("bad", "dull") for c in ("film", "play")]
    answer = InputXGradient()(subject, pl.Decision(texts, target="positive", foil="negative"))
    found = ForwardSimulation(reader="linear", studied=8, edited=1.0)(subject, pl.Judgement([answer]))
    assert float(found.accuracy[0, 1]) == 1.0
    assert float(found.accuracy[0, 0]) < 1.0
    assert all("without" in question for question in found.questions)


def test_the_model_is_not_told_apart_where_it_always_answers_the_same():
    subject = pl.wrap(
        lambda rows: torch.stack([rows.sum(1) + 99, rows.sum(1)], 1), linear_model().task, name="constant"
    )
    answer = Occlusion()(subject, pl.Decision(rows(20)))
    found = ForwardSimulation(studied=4)(subject, pl.Judgement([answer]))
    assert bool((found.accuracy == 1).all())
    assert "always says it" in found.summary()
    assert "the same with explanations and without" in found.summary()


@pytest.fixture(scope="module")
def asked():
    wine = load_wine().data[::3].tolist()
    subject = pl.load("wine-mlp")
    return subject, pl.Judgement([InputXGradient()(subject, pl.Decision(wine))])


def record(subject, judgement, method, wrong):
    """The answers of someone who is wrong on the first ``wrong`` questions of each arm."""
    shown = method.material(subject, judgement)
    answers = {}
    for arm, number in zip((CONTROL, *shown.arms), wrong, strict=True):
        places = [(int(t) + (q < number)) % len(shown.quiz.choices) for q, t in enumerate(shown.quiz.truth)]
        answers[arm] = {str(q): shown.quiz.choices[place] for q, place in enumerate(places)}
    return {"quiz": shown.quiz.identity, "reader": "Ada", "answers": answers}


def test_the_answers_of_people_are_counted_like_those_of_programs(asked, tmp_path):
    subject, judgement = asked
    path = tmp_path / "ada.json"
    method = ForwardSimulation(questions=10, answers=str(path), reader="none")
    path.write_text(json.dumps(record(subject, judgement, method, (6, 1))))
    found = method(subject, judgement)
    assert found.readers == ("Ada",)
    assert found.about == ("a person who took the quiz",)
    assert found.accuracy.tolist() == [[pytest.approx(0.4), pytest.approx(0.9)]]
    assert float(found.difference) == pytest.approx(0.5)
    assert "Ada: predicts 4 of 10" in found.summary()


def test_several_people_are_a_folder_and_stand_beside_the_programs(asked, tmp_path):
    subject, judgement = asked
    method = ForwardSimulation(questions=10, answers=str(tmp_path))
    for name, wrong in (("a", (6, 1)), ("b", (0, 0))):
        (tmp_path / f"{name}.json").write_text(json.dumps(record(subject, judgement, method, wrong)))
    assert method(subject, judgement).readers[-2:] == ("Ada", "Ada (b)")


def test_questions_that_are_open_count_for_nothing(asked, tmp_path):
    subject, judgement = asked
    path = tmp_path / "ada.json"
    method = ForwardSimulation(questions=10, answers=str(path), reader="none")
    kept = record(subject, judgement, method, (0, 0))
    kept["answers"][CONTROL] = {"0": kept["answers"][CONTROL]["0"]}
    path.write_text(json.dumps(kept))
    found = method(subject, judgement)
    assert found.predicted[0, 0].tolist()[1:] == [-1] * 9
    assert "1 of 1 (100%" in found.summary()
    assert found.difference_interval[0, 0].tolist()[0] < -0.5


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[]", "holds no answers of a quiz"),
        ("{", "holds no answers in JSON"),
        ('{"quiz": "other", "answers": {}}', "answers to another quiz"),
    ],
)
def test_files_that_are_not_answers_to_this_quiz_are_refused(asked, tmp_path, content, said):
    path = tmp_path / "answers.json"
    path.write_text(content)
    with pytest.raises(BadInput, match=said):
        ForwardSimulation(answers=str(path))(*asked)


def test_an_answer_that_is_no_choice_is_refused(asked, tmp_path):
    path = tmp_path / "answers.json"
    method = ForwardSimulation(answers=str(path))
    kept = record(*asked, method, (0, 0))
    kept["answers"][CONTROL]["0"] = "beer"
    path.write_text(json.dumps(kept))
    with pytest.raises(BadInput, match="answers question '0' with 'beer'"):
        method(*asked)


def test_what_cannot_be_asked_is_refused(asked, tmp_path):
    subject, judgement = asked
    with pytest.raises(NotAnswerable, match="nobody reads"):
        ForwardSimulation(reader="none")(subject, judgement)
    with pytest.raises(NotAnswerable, match="at least one more"):
        ForwardSimulation(studied=60)(subject, judgement)
    with pytest.raises(BadInput, match=r"no \.json file"):
        ForwardSimulation(answers=str(tmp_path))(subject, judgement)
    with pytest.raises(UsageError, match="nothing to judge"):
        ForwardSimulation()(subject, pl.Judgement([]))


@pytest.mark.slow
def test_intervals_cover_what_more_questions_would_give():
    subject = linear_model(3)
    answer = randomly(InputXGradient()(subject, pl.Decision(rows(400, 1), target="yes", foil="no")))
    covered = []
    for seed in range(60):
        few, all_ = (
            ForwardSimulation(questions=questions, seed=seed)(subject, pl.Judgement([answer]))
            for questions in (20, None)
        )
        inside = (few.interval[..., 0] <= all_.accuracy) & (all_.accuracy <= few.interval[..., 1])
        differs = few.difference_interval[..., 0] <= all_.difference
        differs &= all_.difference <= few.difference_interval[..., 1]
        covered += [inside.flatten(), differs.flatten()]
    share = float(torch.cat(covered).double().mean())
    assert 0.92 <= share <= 1.0


def test_the_same_explanation_twice_gives_the_same_arm_twice(asked):
    subject, judgement = asked
    both = pl.Judgement([judgement.results[0], judgement.results[0]])
    found = ForwardSimulation()(subject, both)
    assert torch.equal(found.predicted[:, 1], found.predicted[:, 2])
    assert found.arms[1:] == ("input-x-gradient", "input-x-gradient #2")


def test_explanations_by_tokens_are_read_by_words():
    subject = word_model()
    texts = ["good film", "bad film", "great play", "dull play", "good play", "bad play"]
    answer = InputXGradient()(subject, pl.Decision(texts, target=1, foil=0))
    renamed = dataclasses.replace(answer, features=Features("token", answer.features.segments))
    plain, other = (ForwardSimulation(studied=3)(subject, pl.Judgement([one])) for one in (answer, renamed))
    assert torch.equal(plain.predicted, other.predicted)
