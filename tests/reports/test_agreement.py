"""What the panel agrees on is counted, not guessed."""

import pytest
import torch

from pellucid.core.subject import Features
from pellucid.reports.agreement import rank_agreement, shared_regions
from pellucid.results.attribution import Attribution

WORDS = ("a", "very", "good", "dull", "film")


def answer(*scores):
    segments = torch.arange(len(scores)).view(1, -1)
    return Attribution(
        scores=torch.tensor([scores]), value=torch.ones(1), features=Features("word", segments, (WORDS[: len(scores)],))
    )


def test_a_word_that_three_of_four_rank_first_is_shared():
    panel = [answer(0.0, 0.1, 0.9, -1.0, 0.2)] * 3 + [answer(0.9, 0.1, 0.2, -1.0, 0.2)]
    names, share = shared_regions(panel)
    assert names == ["good"]
    assert share == pytest.approx((3 * 0.9 / 1.2 + 0.2 / 1.4) / 4)


def test_what_speaks_against_is_never_called_evidence_for():
    assert shared_regions([answer(-1.0, -2.0, -3.0, -4.0, -5.0)] * 2)[0] == []


def test_rank_agreement_is_one_for_equal_and_minus_one_for_reversed_orders():
    one, other = answer(1.0, 2.0, 3.0, 4.0, 5.0), answer(5.0, 4.0, 3.0, 2.0, 1.0)
    assert rank_agreement([one, one]) == pytest.approx(1)
    assert rank_agreement([one, other]) == pytest.approx(-1)
    assert rank_agreement([one]) is None


def test_a_map_without_differences_is_left_out_of_the_agreement():
    assert rank_agreement([answer(1.0, 1.0, 1.0, 1.0, 1.0), answer(1.0, 2.0, 3.0, 4.0, 5.0)]) is None
