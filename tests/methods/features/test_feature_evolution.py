"""Feature evolution: the strongest example of every checkpoint, jumps, and how much of the end was there before."""

import copy

import numpy as np
import pytest
import torch

import pellucid as pl
from methods.features.planted import RedSquare, pictures, subject
from pellucid.core.errors import UsageError
from pellucid.methods import FeatureEvolution, TopExamples


def states():
    """The planted unit is noise, then wants green squares, then red ones weakly, then as it is."""
    noise, green, weak = (copy.deepcopy(RedSquare()) for _ in range(3))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        noise.square.weight.data.normal_()
    green.colour.weight.data[0] = torch.tensor([-1.0, 1.0, -1.0]).view(3, 1, 1)
    weak.square.weight.data[0] *= 0.9
    return noise, green, weak


def test_each_checkpoint_has_the_top_examples_of_that_state():
    data = pictures()[0]
    query = pl.Unit("square", 0, data=data)
    found = FeatureEvolution(checkpoints=(*states(), "final"))(subject(), query)
    assert found.checkpoints == ("checkpoint 1", "checkpoint 2", "checkpoint 3", "final")
    final = None
    for number, state in reversed(list(enumerate((*states(), RedSquare())))):
        known = TopExamples()(subject().with_module(state), query)
        final = set(known.examples.tolist()) if final is None else final
        assert torch.equal(found.examples[number], known.examples)
        torch.testing.assert_close(found.values[number], known.measures["activation"][known.examples])
        assert float(found.overlap[number]) == len(final & set(known.examples.tolist())) / 9
        assert found.regions[number].tolist() == known.regions[0].tolist()
    assert float(found.overlap[-1]) == 1
    first = found.examples[:, 0].tolist()
    assert found.jumps.tolist() == [False] + [first[place] != first[place - 1] for place in range(1, 4)]
    assert bool(found.jumps[2])
    assert found.settled() == max(place for place, jump in enumerate(found.jumps.tolist()) if jump)


def test_without_an_index_the_channel_is_that_of_the_last_checkpoint():
    data = pictures()[0]
    found = FeatureEvolution(checkpoints=(states()[0], "final"))(subject(), pl.Unit("square", data=data))
    assert found.index == TopExamples()(subject(), pl.Unit("square", data=data)).index


def test_a_unit_that_never_changes_has_no_jump():
    found = FeatureEvolution(checkpoints="final, final")(subject(), pl.Unit("square", 0, data=pictures()[0]))
    assert found.jumps.tolist() == [False, False]
    assert "is the same at all" in found.summary()
    assert found.overlap.tolist() == [1, 1]


def test_one_checkpoint_is_refused():
    with pytest.raises(UsageError, match="two or more states of the network, not 1"):
        FeatureEvolution(checkpoints="final")(subject(), pl.Unit("square", 0, data=pictures()[0]))


def test_the_picture_frames_jumps_and_a_file_holds_no_picture(tmp_path):
    found = FeatureEvolution(checkpoints=(*states(), "final"))(subject(), pl.Unit("square", 0, data=pictures()[0]))
    shown = np.asarray(found.plot())
    assert (shown == np.array([0xD5, 0x5E, 0x00])).all(-1).any()
    loaded = pl.Result.load(found.save(tmp_path / "unit.pellucid"))
    assert loaded.table() == found.table()
    assert loaded.shown is None
    assert loaded.plot().size[0] > 0
    assert "another example" in loaded._repr_html_()
