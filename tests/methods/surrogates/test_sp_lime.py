"""SP-LIME: words and columns matched across cases, picks that cover them, and refusals where nothing can be matched."""

import math

import pytest
import torch

import pellucid as pl
from pellucid.core.errors import BadInput, NotAnswerable, UsageError
from pellucid.methods import Lime, Occlusion, SpLime

COLUMNS = ("age", "income", "debt", "years")
ROWS = torch.tensor(
    [[1.0, 0, 0, 0], [2.0, 3.0, 0, 0], [0, 0, 5.0, 0], [1.0, 3.0, 0, 0], [0, 0, 0, 0]], dtype=torch.float64
)


def table(weights=(1.0, -2.0, 0.5, 0.0)):
    weights = torch.tensor(weights, dtype=torch.float64)
    return pl.wrap(lambda row: (row @ weights)[:, None], pl.tasks.Tabular(COLUMNS, output="value"), name="table")


BLANK = Occlusion(baseline=0.0)


def test_importance_sums_over_cases_and_the_picks_cover_it():
    result = SpLime(budget=2, explain=BLANK)(table(), pl.Population(ROWS))
    assert result.names == ("age", "income", "debt")  # nothing that scores 0 everywhere
    assert result.importance.tolist() == pytest.approx([2.0, math.sqrt(12), math.sqrt(2.5)])
    assert result.total.tolist() == pytest.approx([4, -12, 2.5])
    assert result.occurrences.tolist() == [3, 2, 1]
    assert result.picked.tolist() == [1, 2]
    worth = 2 + math.sqrt(12) + math.sqrt(2.5)
    assert result.covered.tolist() == pytest.approx([(2 + math.sqrt(12)) / worth, 1])


def test_picked_cases_come_with_their_own_explanations():
    result = SpLime(budget=2, explain=BLANK)(table(), pl.Population(ROWS))
    assert len(result.explanations) == 2
    for rank, number in enumerate(result.picked.tolist()):
        alone = BLANK(table(), pl.Decision(ROWS[number : number + 1]))
        assert torch.equal(result.explanations.scores[rank], alone.scores[0])


def test_no_case_is_picked_that_adds_nothing():
    result = SpLime(budget=5, explain=BLANK)(table(), pl.Population(ROWS))
    assert result.picked.tolist() == [1, 2]
    assert any("no further one" in note for note in result.notes)


def test_words_are_matched_whatever_their_place_and_letters():
    subject = pl.load("minilm-sentiment")
    texts = ["Good food", "awful Food", "good good service"]
    result = SpLime(budget=3, explain=Occlusion())(subject, pl.Population(texts, target="positive"))
    assert set(result.names) == {"good", "food", "awful", "service"}
    places = dict(zip(result.names, result.occurrences.tolist(), strict=True))
    assert (places["good"], places["food"]) == (2, 2)
    assert result.total[result.names.index("good")] > 0 > result.total[result.names.index("awful")]


def test_a_sparse_lime_explains_unless_another_method_is_named():
    method = SpLime(budget=1)
    assert method.explain == Lime(samples=300, keep=6)
    result = SpLime(budget=1, explain=Lime(keep=1, baseline=0.0))(table(), pl.Population(ROWS))
    assert result.occurrences.max() <= 5
    assert int((result.explanations.by_feature()[0] != 0).sum()) == 1


def test_targets_may_be_one_per_case():
    weights = torch.eye(4, dtype=torch.float64)[:, :2]
    subject = pl.wrap(lambda row: row @ weights, pl.tasks.Tabular(COLUMNS), name="two")
    ones = torch.ones(2, 4, dtype=torch.float64)
    result = SpLime(budget=2, explain=BLANK)(subject, pl.Population(ones, target=[0, 1]))
    assert result.names == ("age", "income")
    assert result.explanations.target.tolist() == [0, 1]
    with pytest.raises(UsageError, match="3 targets for 2"):
        SpLime(explain=BLANK)(subject, pl.Population(ones, target=[0, 1, 1]))


def test_cases_that_cannot_be_explained_are_counted_and_the_others_are_picked_from():
    rows = torch.cat([torch.zeros(1, 4, dtype=torch.float64), ROWS[:3]])
    result = SpLime(budget=2, explain=Lime(baseline=0.0))(table(), pl.Population(rows))
    assert any(note.startswith("1 of 4 cases") for note in result.notes)
    assert result.picked.tolist() == [2, 3]


def test_what_has_nothing_to_match_is_refused():
    picture = pl.wrap(lambda pixels: pixels.mean((2, 3)), pl.tasks.Image(8), name="picture")
    with pytest.raises(NotAnswerable, match="Ask: lime"):
        SpLime()(picture, pl.Population([torch.zeros(3, 8, 8)]))
    with pytest.raises(BadInput, match="no cases"):
        SpLime()(table(), pl.Population([]))
    with pytest.raises(NotAnswerable, match="nothing"):
        SpLime(explain=BLANK)(table((0.0, 0.0, 0.0, 0.0)), pl.Population(ROWS))


def test_an_answer_shows_itself_and_survives_saving(tmp_path):
    result = SpLime(budget=2, explain=BLANK)(table(), pl.Population(ROWS))
    loaded = pl.Result.load(result.save(tmp_path / "picks.pellucid"))
    assert loaded.table() == result.table()
    assert [row["case"] for row in result.table()] == [1, 2]
    assert "income" in result.summary()
    assert result.plot().width > 100
    page = result._repr_html_()
    assert "2 of 5 cases" in page
    assert "income" in page
