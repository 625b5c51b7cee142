"""What must stay of a decision, and how much is left until it does not."""

import pytest
import torch

from pellucid.core.query import Unit
from pellucid.core.subject import Run
from pellucid.engine.targets import Target
from pellucid.engine.verdicts import outcome, verdict

SCORES = torch.tensor([[3.0, 1.0, 2.0], [0.0, 0.5, 0.2]], dtype=torch.float64)


def asked(target, foil=None, of="score", output="logits"):
    index = torch.tensor([[target]])
    return Target(of, output, index, None if foil is None else torch.tensor([[foil]]), ("a", "b", "c"))


def found(target, keep="decision", share=None, scores=SCORES):
    outcomes = outcome(Run(scores), target)
    return outcomes, verdict(target, outcomes, keep, share)


def test_the_predicted_class_must_stay_first():
    outcomes, must = found(asked(0))
    assert outcomes.tolist() == [[3.0, 1.0, 0.0], [0.0, -0.5, 1.0]]
    assert (must.side, must.share, must.whole, must.nothing) == (1, 0.0, 1.0, -0.5)
    assert must.slack(outcomes).tolist() == [1.0, -0.5]
    assert found(asked(0), share=0.5)[1].slack(outcomes).tolist() == [1.0, -2.0]


@pytest.mark.parametrize(("target", "foil", "side"), [(2, 1, 1), (1, 2, -1)])
def test_the_side_that_won_against_the_foil_must_stay_ahead(target, foil, side):
    outcomes, must = found(asked(target, foil))
    assert must.side == side
    assert must.whole == 1.0
    assert must.slack(outcomes).tolist() == pytest.approx([1.0, -0.3])
    assert must.favour(torch.tensor([2.0, -1.0])).tolist() == [2.0 * side, -1.0 * side]


def test_of_a_class_that_is_not_predicted_and_of_values_the_quantity_must_stay():
    outcomes, must = found(asked(2))
    assert (must.side, must.share, must.whole, must.nothing) == (0, 0.9, 2.0, 0.2)
    assert must.slack(outcomes).tolist() == pytest.approx([1.0, -9.0])
    assert must.slack(torch.tensor([[2.09, 0, 0], [1.91, 0, 0], [2.5, 0, 0]])).tolist() == pytest.approx(
        [0.5, 0.5, -16 / 9]
    )
    assert must.favour(torch.tensor([2.0, -1.0])).tolist() == [2.0, 1.0]
    values, of_values = found(asked(0, output="value"))
    assert values[:, 1:].tolist() == [[0.0, -1.0]] * 2
    assert of_values.side == 0
    assert found(asked(0), keep="score")[1].side == 0


def test_a_single_score_must_stay_on_its_side_of_the_threshold():
    scores = torch.tensor([[-2.0], [1.0]], dtype=torch.float64)
    outcomes, must = found(asked(0), scores=scores)
    assert (must.side, must.whole, must.nothing) == (-1, 2.0, -1.0)
    assert must.slack(outcomes).tolist() == [1.0, -0.5]
    _, of_chances = found(asked(0, output="probabilities"), scores=torch.tensor([[0.75], [0.25]]).double())
    assert (of_chances.side, of_chances.whole, of_chances.nothing) == (1, 0.25, -0.25)


def test_what_raises_the_loss_speaks_against_the_decision():
    outcomes, must = found(asked(0, of="loss"))
    assert must.side == 1
    assert must.favour(torch.tensor([2.0])).tolist() == [-2.0]
    assert outcomes[0, 0].item() == pytest.approx(-SCORES.log_softmax(1)[0, 0].item())


def test_a_unit_has_a_quantity_and_no_decision():
    unit = Target(Unit("layer", 1), "logits", None, None, ())
    outcomes = outcome(Run(SCORES, {"layer": torch.tensor([[1.0, 4.0], [0.0, 2.0]])}), unit)
    assert outcomes.tolist() == [[4.0, 0.0, -1.0], [2.0, 0.0, -1.0]]
    assert verdict(unit, outcomes, "decision", None).side == 0


def test_scores_with_positions_are_read_where_the_target_lies():
    scores = torch.stack([SCORES, SCORES.flip(1)], 1)
    outcomes = outcome(Run(scores), Target("score", "logits", torch.tensor([[1, 2]]), None, ()))
    assert outcomes.tolist() == [[3.0, 1.0, 2.0], [0.0, -0.5, 1.0]]


def test_a_quantity_that_never_moves_is_kept_by_any_route():
    same = torch.tensor([[1.0, 2.0], [1.0, 2.0]], dtype=torch.float64)
    outcomes, must = found(asked(0), keep="score", scores=same)
    assert bool((must.slack(outcomes) > 0).all())
    assert float(must.slack(torch.tensor([[1.1, 0.0, 0.0]]))) < 0
