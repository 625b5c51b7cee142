"""A store of activations: whole or not there, by content, within its budget, and never of two models in one place."""

import os
import time
from pathlib import Path

import pytest
import torch

from pellucid.core.errors import BadInput, CannotWrite
from pellucid.store.activations import ActivationStore, Key, in_bytes

KEY = Key("model", "layer", "data", ("all", "float32"))
FACTS = {"name": "a model", "shape": (3,), "axis": 0, "examples": 6}


def rows(first, last):
    numbers = torch.arange(first, last)
    return {"values": numbers[:, None] + torch.tensor([0.0, 0.25, 0.5]), "examples": numbers}


@pytest.fixture
def store(tmp_path):
    return ActivationStore(tmp_path / "kept")


def fill(store, key=KEY, *cuts):
    store.begin(key, FACTS)
    bounds = (0, *cuts, 6)
    for first, last in zip(bounds, bounds[1:], strict=False):
        store.append(key, first, last, rows(first, last))


def test_shards_are_read_as_one(store):
    fill(store, KEY, 2, 5)
    found = store.activations(KEY)
    assert torch.equal(found.values(), rows(0, 6)["values"])
    assert found.rows([5, 0, 3]).tolist() == rows(0, 6)["values"][[5, 0, 3]].tolist()
    assert [len(part) for part in found.parts()] == [2, 3, 1]
    assert found.size == store.entries()[0]["bytes"]


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="this system does not tell what is mapped")
def test_values_stay_in_their_file_until_they_are_used(store):
    fill(store)
    found = store.activations(KEY)
    (part,) = found.parts()
    assert str(found.folder / "000000000000-000000000006.safetensors") in Path("/proc/self/maps").read_text()
    assert len(part) == 6


def test_an_entry_with_a_gap_or_without_an_end_is_not_whole(store):
    store.begin(KEY, FACTS)
    store.append(KEY, 0, 2, rows(0, 2))
    store.append(KEY, 4, 6, rows(4, 6))
    assert not store.whole(KEY)
    assert store.done(KEY) == 2
    with pytest.raises(BadInput, match="does not hold all activations of layer"):
        store.activations(KEY)
    store.append(KEY, 2, 4, rows(2, 4))
    assert store.whole(KEY)
    assert store.activations(KEY).examples.tolist() == list(range(6))


@pytest.mark.parametrize("field", ["subject", "layer", "data", "what"])
def test_every_part_of_a_key_is_part_of_its_place(store, field):
    fill(store)
    other = Key(**{**vars(KEY), field: "another" if field != "what" else ("all", "float16")})
    assert not store.whole(other)
    assert store.facts(other) == {}
    fill(store, other)
    assert len(store.entries()) == 2


def test_a_state_is_replaced_whole_and_comes_back_bit_for_bit(store):
    assert store.state(KEY) is None
    store.begin(KEY, FACTS)
    for number in (1.0, float("nan")):
        store.keep_state(KEY, {"value": torch.tensor([number, -0.0]), "count": torch.tensor(3)})
    found = store.state(KEY)
    assert found["value"].isnan().tolist() == [True, False]
    assert int(found["count"]) == 3


def test_what_a_killed_process_had_begun_to_write_is_swept_when_it_is_old(store):
    fill(store)
    folder = store.activations(KEY).folder
    old, new = folder / ".000.safetensors.abc", folder / ".001.safetensors.abc"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    store.begin(KEY, FACTS)
    assert not old.exists()
    assert new.exists()  # it may be another process's
    assert store.whole(KEY)


def test_room_is_made_by_what_was_not_used_for_longest(tmp_path):
    store = ActivationStore(tmp_path)
    keys = [Key("model", f"layer {number}", "data", ("all", "float32")) for number in range(3)]
    for number, key in enumerate(keys):
        fill(store, key)
        os.utime(store.activations(key).folder, (number, number))
    size = store.entries()[0]["bytes"]
    os.utime(store.activations(keys[0]).folder)  # reading is using
    limited = ActivationStore(tmp_path, 3 * size)
    limited.make_room({KEY: size, keys[0]: size}, "advice")
    assert [store.whole(key) for key in keys] == [True, False, True]


def test_what_cannot_fit_is_refused_with_the_way_out_and_drops_nothing(tmp_path, monkeypatch):
    store = ActivationStore(tmp_path, 10_000)
    fill(store)
    with pytest.raises(CannotWrite, match="takes 12 kB, more than the budget of 10 kB; keep less"):
        store.make_room({Key("other", "layer", "data", ()): 12_000}, "keep less")
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 5_000})())
    with pytest.raises(CannotWrite, match="takes 6 kB more, and 5 kB are free"):
        store.make_room({Key("other", "layer", "data", ()): 6_000}, "keep less")
    assert store.whole(KEY)


def test_a_folder_that_cannot_be_made_and_a_damaged_manifest_are_named(tmp_path, store):
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotWrite, match="name another folder"):
        ActivationStore(tmp_path / "file" / "kept")
    fill(store)
    (store.activations(KEY).folder / "manifest.json").write_text("{")
    with pytest.raises(BadInput, match="damaged"):
        store.activations(KEY)


@pytest.mark.parametrize(
    ("number", "said"), [(12, "12 bytes"), (1500, "1.5 kB"), (20_000_000, "20 MB"), (3 * 10**12, "3e+03 GB")]
)
def test_bytes_are_said_for_people(number, said):
    assert in_bytes(number) == said
