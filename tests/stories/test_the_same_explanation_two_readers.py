"""The story of two readers: faults are as it says, every task keeps its context, and its claim holds on the census."""

from pathlib import Path

import pytest
import torch
from examples.changes.incomes import Table, incomes
from examples.the_same_explanation_two_readers import LOST, NOTE, network, noted, situations, table, tell

import pellucid as pl
from pellucid.core.errors import NotComparable
from pellucid.methods import CompareExplanations

DATA = Path(__file__).resolve().parents[2] / "../shared/data"


def people(number, seed):
    """A census of our own: who is older and works longer earns more."""
    rows = torch.randn(number, 4, generator=torch.Generator().manual_seed(seed))
    return Table(("age", LOST, "education-num", "noise"), {}, rows, rows[:, 0] + rows[:, 1] > 0)


@pytest.fixture(scope="module")
def found():
    return tell(people(1500, 0), people(300, 1), 80, epochs=3)


def test_the_note_knows_the_answer_in_training_only_and_the_lost_column_never_arrives():
    train, test = noted(people(2000, 0), people(500, 1))
    written = train.rows[:, -1] != 0
    assert float(written.float().mean()) == pytest.approx(0.5, abs=0.05)
    assert float(((train.rows[:, -1] > 0) == train.rich)[written].float().mean()) == pytest.approx(0.97, abs=0.02)
    assert set(test.rows[:, -1].tolist()) == {0.0, 1.0}
    subject = network(train, epochs=1)
    rows = test.rows[:8].clone()
    before = subject.scores(rows.tolist())
    rows[:, test.columns.index(LOST)] += 5
    assert torch.equal(subject.scores(rows.tolist()), before)


def test_every_task_is_scored_in_its_own_context_on_the_same_people(found):
    tasks = situations(("age", LOST, "education-num", "noise", NOTE))
    assert {task for task, _ in found} == set(tasks)
    for (task, _), score in found.items():
        assert score.context == tasks[task].context
        assert len(score.questions) == 80
        assert score.readers[0] == tasks[task].reader
    lines = table(found).splitlines()
    assert len(lines) == 2 + len(found)


def test_what_is_lost_is_found_in_the_whole_table(found):
    whole = found["find what is lost", "whole table"]
    assert float(whole.accuracy[0, 1]) == 1.0


def test_scores_of_two_tasks_are_no_ranking(found):
    scores = [found["decide", "whole table"], found["find what is lost", "whole table"]]
    train, _ = noted(people(1500, 0), people(300, 1))
    with pytest.raises(NotComparable, match="different contexts"):
        CompareExplanations()(network(train, epochs=1), pl.Judgement(scores))


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "fairness-tabular").is_dir(), reason="the census data are not beside the repository")
def test_three_reasons_serve_who_decides_and_not_who_looks_for_what_is_lost():
    found = tell(*incomes(DATA / "fairness-tabular"), people=1000)
    name = "integrated-gradients"
    assert found["decide", "three reasons"].helps("expecting", name) is True
    assert found["find what is lost", "three reasons"].helps("missing", name) is None
    assert found["find what is lost", "whole table"].helps("missing", name) is True
    assert 0.4 < float(found["find the leak", "three reasons"].accuracy[0, 1]) < 0.6
