"""Weight attributions as data and as pictures."""

import pytest
import torch

import pellucid as pl
from pellucid.results.weight_scores import WeightScores


def made(**changes):
    fields = {
        "scores": {"conv": torch.tensor([[0.5, -2.0, 0.1]]), "head": torch.tensor([[1.0, 0.0]])},
        "kinds": ("Conv2d", "Linear"),
        "value": torch.tensor([3.0]),
        "top": torch.tensor([[[0, 1], [1, 0]]]),
        "effects": torch.tensor([[-1.5, -0.5]]),
        "together": torch.tensor([-1.0]),
        "control": torch.tensor([[0.1, 0.3]]),
        "target": torch.tensor([1]),
        "labels": ("dog", "cat"),
    }
    return WeightScores(**(fields | changes))


def test_the_table_sets_effects_beside_scores():
    first, second = made().table()
    assert (first["unit"], first["kind"], first["explains"]) == ("conv/1", "Conv2d", "cat")
    assert (first["score"], first["effect"]) == (-2.0, -1.5)
    assert first["control"] == pytest.approx(0.2)
    assert (second["unit"], second["score"], second["effect"]) == ("head/0", 1.0, -0.5)


def test_the_summary_counts_the_signs_that_agree():
    said = made().summary()
    assert "cat (value 3): hangs most on conv/1 (-2), head/0 (+1)" in said
    assert (
        "Without the 1 of 2 that act as the first does, together, the value falls by -1; without as many drawn from"
        in said
    )
    assert "the same layers by 0.2 on average (0.1 to 0.3 in 2 draws)" in said
    assert "Alone, 1 of 2 change it in the direction of their score." in said


def test_it_is_saved_and_drawn(tmp_path):
    found = made()
    loaded = pl.Result.load(found.save(tmp_path / "scores.pellucid"))
    assert loaded.table() == found.table()
    assert len(found.plot().getcolors(1 << 20)) > 5
    assert "conv/1" in found._repr_html_()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"value": torch.ones(2)}, "values of 2"),
        ({"kinds": ("Linear",)}, "1 kinds for 2 layers"),
        ({"effects": torch.ones(1, 3)}, "effects of"),
        ({"top": torch.tensor([[[0, 1], [5, 0]]])}, "not there"),
    ],
)
def test_fields_that_contradict_each_other_are_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        made(**changes)
