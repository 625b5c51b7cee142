"""From games to an attribution: shares reach the right elements, and what must be said of an example is said of it."""

import pytest
import torch

import pellucid as pl
from pellucid.core.errors import UsageError
from pellucid.engine.playing import Games, Shares, ran_out
from pellucid.tasks.tensor import TensorTask

ROWS = torch.tensor([[1.0, 2.0, 3.0], [4.0, 0.0, 6.0]], dtype=torch.float64)
GROUPS = torch.tensor([0, 1, 1])


def games(rows=ROWS, features=GROUPS):
    subject = pl.wrap(lambda batch: batch.sum(1, keepdim=True), TensorTask(output="value"))
    query = pl.Decision(rows)
    return subject, query, Games.of(subject, query, features, 0.0, "somebody")


def share(game, source):
    return Shares(torch.tensor([1.0, 4.0]).double() * (game.row + 1), note="said" if game.row else "")


def test_shares_are_spread_over_the_elements_of_their_feature_and_the_rest_is_residual():
    subject, query, played = games()
    answer = played.shared(subject, query, share)
    assert answer.scores.tolist() == [[1, 2, 2], [2, 4, 4]]
    assert answer.value.tolist() == [6, 10]
    assert answer.quality["baseline"].tolist() == [0, 0]
    assert answer.residual.tolist() == [1, 0]
    assert answer.interval is None
    assert answer.converged is None


def test_notes_name_their_example_where_there_are_several():
    subject, query, played = games()
    assert played.shared(subject, query, share).notes == ("Example 1: said",)
    subject, query, played = games(features=None)
    notes = played.shared(subject, query, lambda game, source: Shares(torch.zeros(3).double())).notes
    assert notes == ("Example 1: 1 of 3 features look the same hidden as shown: they cannot score.",)
    subject, query, played = games(ROWS[1:], features=None)
    notes = played.shared(subject, query, lambda game, source: Shares(torch.zeros(3).double())).notes
    assert notes[0].startswith("1 of 3")


def test_intervals_lie_around_the_shares():
    subject, query, played = games()

    def unsure(game, source):
        return Shares(torch.ones(2).double(), torch.tensor([0.5, 0.25]).double(), game.row == 1)

    answer = played.shared(subject, query, unsure)
    low, high = answer.interval
    assert low[1].tolist() == [0.5, 0.75]
    assert high[1].tolist() == [1.5, 1.25]
    assert answer.converged.tolist() == [False, True]


def test_draws_are_of_the_example_and_not_of_its_place():
    _, _, played = games()
    _, _, backwards = games(ROWS.flip(0))
    first, second = (torch.rand(3, generator=source) for source in played.sources)
    assert torch.equal(torch.rand(3, generator=backwards.sources[1]), first)
    assert not torch.equal(first, second)


def test_a_number_of_parts_is_asked_of_pictures_only():
    subject, query, _ = games()
    with pytest.raises(UsageError, match=r"somebody\(segments=…\) asks for parts of a picture"):
        Games.of(subject, query, None, 0.0, "somebody", segments=2)


@pytest.mark.parametrize("budget", [7, 2048])
def test_a_budget_that_ran_out_is_named(budget):
    assert f"budget of {budget} coalitions ran out" in ran_out(budget)
