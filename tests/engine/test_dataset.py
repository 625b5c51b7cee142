"""Data sets are read one at a time, named where they cannot be, and known by the content of what the network sees."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import pellucid as pl
from pellucid.core.errors import BadInput
from pellucid.engine.dataset import DataSet


@pytest.fixture
def subject():
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 2)).eval()
    return pl.wrap(layers, pl.tasks.Image(8, labels=("a", "b")))


@pytest.fixture
def paths(tmp_path):
    draws = np.random.default_rng(0)
    for number in range(5):
        Image.fromarray(draws.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(tmp_path / f"{number}.png")
    return sorted(tmp_path.iterdir())


def test_files_that_cannot_be_read_are_left_out_and_named(subject, paths):
    paths[1].write_bytes(b"no picture")
    paths[3].unlink()
    data = DataSet(subject, paths, [path.stem for path in paths])
    assert data.names == ["0", "2", "4"]
    assert list(data.failed) == ["1", "3"]
    assert "not a picture" in data.failed["1"]
    seen = torch.cat([inputs.value for _, inputs in data.batches(2)])
    assert torch.equal(seen, subject.prepare([paths[0], paths[2], paths[4]]).value)


def test_a_data_set_of_which_nothing_can_be_read_is_refused_with_the_first_reason(subject, paths):
    with pytest.raises(BadInput, match=r"none of 2 inputs can be read; 0: .*missing"):
        DataSet(subject, ["missing-1.png", "missing-2.png"])
    with pytest.raises(BadInput, match="empty"):
        DataSet(subject, [])


def test_the_digest_is_that_of_the_content_in_its_order_whatever_the_form(subject, paths):
    data = DataSet(subject, paths)
    again = DataSet(subject, [Image.open(path) for path in paths])
    tensor = DataSet(subject, subject.prepare(paths).value)
    assert data.digest == again.digest == tensor.digest == DataSet(subject, subject.prepare(paths)).digest
    assert data.digest != DataSet(subject, paths[::-1]).digest
    assert data.digest != DataSet(subject, paths[:4]).digest
    changed = subject.prepare(paths).value.clone()
    changed[2, 0, 0, 0] += 1e-6
    assert data.digest != DataSet(subject, changed).digest


@pytest.mark.parametrize("first", range(7))
def test_batches_begin_at_the_same_examples_wherever_the_walk_begins(subject, first):
    raws = [torch.rand(3, 8, 8), torch.rand(3, 3, 8, 8), torch.rand(3, 8, 8), torch.rand(3, 8, 8)]
    data = DataSet(subject, raws)
    assert len(data) == 6
    assert data.names[:3] == ["0", "1 #0", "1 #1"]
    whole = list(data.batches(2))
    assert torch.equal(
        torch.cat([inputs.value for _, inputs in whole]), torch.cat([r.reshape(-1, 3, 8, 8) for r in raws])
    )
    expected = [(n, len(inputs)) for n, inputs in whole if n + len(inputs) > first]
    assert [(n, len(inputs)) for n, inputs in data.batches(2, first)] == expected


def test_examples_are_found_by_number(subject):
    raws = [torch.rand(3, 8, 8), torch.rand(3, 3, 8, 8), torch.rand(3, 8, 8)]
    data = DataSet(subject, raws)
    everything = torch.cat([raw.reshape(-1, 3, 8, 8) for raw in raws])
    assert torch.equal(data.inputs([4, 2]).value, everything[[4, 2]])
    assert data.raw(3) is raws[1]


def test_what_holds_several_examples_and_lies_in_memory_is_prepared_once(subject, monkeypatch):
    prepare, prepared = subject.prepare, []
    monkeypatch.setattr(subject, "prepare", lambda raw: prepared.append(raw) or prepare(raw))
    pixels = torch.rand(4, 3, 8, 8)
    data = DataSet(subject, pixels)
    assert len(prepared) == 1
    assert torch.equal(data.inputs([3, 1, 2]).value, pixels[[3, 1, 2]])
    assert torch.equal(torch.cat([inputs.value for _, inputs in data.batches(3)]), pixels)
    assert len(prepared) == 1


def test_examples_of_different_shapes_that_came_several_at_once_are_not_guessed_at():
    subject = pl.wrap(nn.Flatten(), pl.tasks.TensorTask())
    data = DataSet(subject, [torch.rand(2, 3), torch.rand(2, 4)])
    assert [len(inputs) for _, inputs in data.batches(8)] == [2, 2]
    with pytest.raises(BadInput):
        data.inputs([0, 3])


def test_only_one_batch_is_held_at_a_time(subject, paths, monkeypatch):
    prepared = []
    prepare = subject.prepare
    monkeypatch.setattr(subject, "prepare", lambda raw: prepared.append(raw) or prepare(raw))
    data = DataSet(subject, paths)
    prepared.clear()
    walk = data.batches(2)
    next(walk)
    assert prepared == paths[:2]
