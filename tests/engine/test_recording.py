"""Activations on disk are those of the network, whatever is kept of them, whenever the process was killed."""

import json
import multiprocessing
import os
import signal
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import pellucid as pl
from pellucid.core.errors import BadInput, CannotWrite, UsageError
from pellucid.core.meter import metered, reporting
from pellucid.engine import recording
from pellucid.engine.dataset import DataSet
from pellucid.engine.recording import record
from pellucid.engine.summaries import summarise
from pellucid.store.activations import ActivationStore
from pellucid.subjects.torch import TorchSubject

FOUR_AT_A_TIME = 9000  # bytes
LAYERS = ["0", "2", "4"]


def network(seed=0):
    torch.manual_seed(seed)
    layers = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.Flatten(), nn.Linear(6 * 16, 3)).eval()
    return pl.wrap(layers, pl.tasks.TensorTask(shape=(1, 8, 8)), name="network")


def points(number=23):
    return torch.rand(number, 1, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def subject(monkeypatch):
    monkeypatch.setattr(recording, "_EXAMPLES", 5)
    with pl.byte_budget(FOUR_AT_A_TIME):
        made = network()
        assert made.batch_size(made.prepare(points())) == 4
        yield made


@pytest.fixture
def expected():
    made = network()
    return made.run(made.prepare(points()), capture=LAYERS).activations


@pytest.fixture
def store(tmp_path):
    return ActivationStore(tmp_path / "kept")


def noted(monkeypatch, field):
    """What later passes are given under this name."""
    run, given = TorchSubject.run, []

    def noting(subject, inputs, **fields):
        given.append(fields.get(field))
        return run(subject, inputs, **fields)

    monkeypatch.setattr(TorchSubject, "run", noting)
    return given


def test_all_places_are_kept_as_rows_in_order(subject, store, expected):
    found = record(subject, points(), LAYERS, store)
    for name in ("0", "2"):
        rows = expected[name].flatten(2).movedim(1, 2)
        assert torch.allclose(found[name].values(), rows.flatten(0, 1), atol=1e-6)
        assert found[name].examples.tolist() == [number for number in range(23) for _ in range(rows.shape[1])]
        assert found[name].places.tolist() == list(range(rows.shape[1])) * 23
    assert torch.allclose(found["4"].values(), expected["4"], atol=1e-6)
    assert len(found["4"]) == 23
    assert found["2"].channels == 6
    assert found["2"].extent == (4, 4)
    assert found["4"].extent == ()


def test_strongest_places_means_and_samples(subject, store, expected):
    flat = expected["0"].flatten(2)
    strongest = record(subject, points(), ["0"], store, keep="max")["0"]
    assert torch.allclose(strongest.values(), flat.amax(2), atol=1e-6)
    assert torch.equal(strongest.places, flat.argmax(2))
    mean = record(subject, points(), ["0"], store, keep="mean")["0"]
    assert torch.allclose(mean.values(), flat.mean(2), atol=1e-6)
    assert mean.places is None
    sample = record(subject, points(), ["0"], store, keep="sample", sample=5)["0"]
    assert len(sample) == 5 * 23
    assert torch.allclose(sample.values(), flat[sample.examples, :, sample.places], atol=1e-6)
    other = record(subject, points(), ["0"], store, keep="sample", sample=5, seed=1)["0"]
    assert other.folder != sample.folder
    assert not torch.equal(other.places, sample.places)


def test_rows_are_read_in_any_order_across_shards(subject, store):
    found = record(subject, points(), ["2"], store)["2"]
    assert len(list(found.parts())) > 2
    numbers = torch.randint(0, len(found), (60,), generator=torch.Generator().manual_seed(0))
    assert torch.equal(found.rows(numbers), found.values()[numbers])
    assert found.rows([]).shape == (0, 6)
    with pytest.raises(IndexError, match="0 to"):
        found.rows([len(found)])


def test_half_precision_takes_half_and_refuses_what_it_cannot_hold(subject, store, expected):
    whole = record(subject, points(), ["0"], store)["0"]
    half = record(subject, points(), ["0"], store, precision="float16")["0"]
    assert half.values().dtype == torch.float16
    assert torch.allclose(half.values().float(), whole.values(), rtol=1e-3, atol=1e-4)
    assert half.size < 0.8 * whole.size
    subject.module[0].weight.data *= 1e6  # behind the back of autograd, which counts changes
    with pytest.raises(UsageError, match="too large for float16"):
        record(subject, points(), ["0"], store, precision="float16")


def test_only_missing_layers_are_computed(subject, store, monkeypatch):
    first = record(subject, points(), ["0"], store)["0"].values().clone()
    with metered() as meter:
        again = record(subject, points(), ["0"], store)["0"]
    assert meter.forward == 0
    assert torch.equal(again.values(), first)
    captured = noted(monkeypatch, "capture")
    assert list(record(subject, points(), ["0", "2"], store)) == ["0", "2"]
    assert [layers for layers in captured if layers] == [["2"]] * 6


@pytest.mark.parametrize("change", ["weights", "data", "preparation", "layer", "order"])
def test_whatever_an_entry_depends_on_gives_it_another_place(store, change):
    task, data, layer = pl.tasks.Image(8, mean=(0.5,), deviation=(0.5,)), points(4), "0"
    subject = pl.wrap(network().module, task)
    one = record(subject, data, [layer], store)[layer]
    if change == "weights":
        with torch.no_grad():
            subject.module[4].bias[0] += 1e-6  # above the layer, and still another model
    elif change == "data":
        data = data + torch.eye(8) * 1e-6
    elif change == "preparation":
        subject = pl.wrap(subject.module, pl.tasks.Image(8, mean=(0.4,), deviation=(0.5,)))
    elif change == "layer":
        layer = "2"
    else:
        data = data.flip(0)
    with metered() as meter:
        other = record(subject, data, [layer], store)[layer]
    assert meter.forward > 0
    assert other.folder != one.folder


def test_what_would_not_fit_the_budget_is_refused_before_any_pass_with_its_size(subject, tmp_path, monkeypatch):
    store = ActivationStore(tmp_path, budget=20_000)
    captured = noted(monkeypatch, "partial")
    with pytest.raises(CannotWrite, match=r"takes 23\.\d kB, more than the budget of 20 kB; keep only the max"):
        record(subject, points(), ["0"], store)
    assert True not in captured
    assert store.entries() == []
    assert len(record(subject, points(), ["0"], store, keep="max")["0"]) == 23


def test_entries_that_were_not_used_for_longest_make_room(subject, tmp_path):
    store = ActivationStore(tmp_path, budget=60_000)
    for number in range(2):
        record(subject, points() + number, ["0"], store)
    os.utime(record(subject, points(), ["0"], store)["0"].folder, (2e9, 2e9))  # the first one was used last
    third = record(subject, points() + 2, ["0"], store)["0"]
    assert len(third) == 23 * 36
    assert sum(entry["bytes"] for entry in store.entries()) <= 60_000
    with metered() as meter:
        record(subject, points(), ["0"], store)
    assert meter.forward == 0
    assert not list(tmp_path.glob(".gone*"))


def test_the_estimate_is_what_is_taken(subject, store):
    for keep in ("all", "max", "mean", "sample"):
        for precision in ("float32", "float16"):
            found = record(subject, points(), ["0", "2"], store, keep=keep, precision=precision)
            for entry in found.values():
                layer = recording.layers_at(subject, subject.prepare(points()), [entry.layer])[0]
                kept = recording._Kept(keep, 16, precision, 0)
                data = DataSet(subject, points())
                estimate = recording._size(layer, data, data.inputs([0]), kept)
                overhead = 700 + 300 * len(list(entry.parts()))
                assert estimate - 200 <= entry.size + 4 * 23 * 36 <= estimate + overhead + 8 * 23 * 36


def test_names_are_kept_beside_the_rows(subject, store):
    data = DataSet(subject, list(points(3)), ["one", "two", "three"])
    assert record(subject, data, ["0"], store)["0"].names == ("one", "two", "three")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"keep": "most"}, "keep='most'"),
        ({"precision": "float8"}, "precision='float8'; did you mean|float16"),
        ({"keep": "sample", "sample": 0}, "at least one place"),
    ],
)
def test_wrong_words_are_refused(subject, store, wrong, said):
    with pytest.raises(UsageError, match=said):
        record(subject, points(), ["0"], store, **wrong)


def test_unreadable_files_are_left_out_and_numbers_count_what_was_read(tmp_path, store):
    draws = np.random.default_rng(0)
    for number in range(4):
        Image.fromarray(draws.integers(0, 255, (8, 8), dtype=np.uint8)).save(tmp_path / f"{number}.png")
    (tmp_path / "1.png").write_bytes(b"nothing")
    subject = pl.wrap(network().module, pl.tasks.Image(8, mean=(0.5,), deviation=(0.5,)))
    paths = sorted(tmp_path.glob("*.png"))
    data = DataSet(subject, paths, [path.stem for path in paths])
    found = record(subject, data, ["4"], store)["4"]
    assert found.names == ("0", "2", "3")
    assert list(data.failed) == ["1"]
    expected = subject.scores([paths[0], paths[2], paths[3]])
    assert torch.allclose(found.values(), expected, atol=1e-5)


def test_a_pass_that_was_interrupted_at_any_batch_goes_on(subject, tmp_path):
    whole = record(subject, points(), LAYERS, ActivationStore(tmp_path / "whole"))
    store = ActivationStore(tmp_path / "broken")

    def stop(done, total, what):
        if what == "activations" and done in stops:
            stops.remove(done)
            raise KeyboardInterrupt

    stops = [4, 8, 16, 20]
    passes = 0
    for _ in range(4):
        with reporting(stop), metered() as meter, pytest.raises(KeyboardInterrupt):
            record(subject, points(), LAYERS, store)
        passes += meter.forward
    with metered() as meter:
        found = record(subject, points(), LAYERS, store)
    assert meter.forward < 23
    for name, entry in found.items():
        assert torch.equal(entry.values(), whole[name].values())
        assert torch.equal(entry.examples, whole[name].examples)


def test_a_shard_is_closed_after_a_while_however_small_it_is(subject, store, monkeypatch):
    monkeypatch.setattr(recording, "_SECONDS", 0.0)
    parts = list(record(subject, points(), ["4"], store)["4"].parts())
    assert [len(part) for part in parts] == [4, 4, 4, 4, 4, 3]


def test_a_damaged_shard_is_named(subject, store):
    found = record(subject, points(), ["0"], store)["0"]
    shard = sorted(found.folder.glob("0*"))[0]
    shard.write_bytes(shard.read_bytes()[:100])
    with pytest.raises(BadInput, match="damaged.*delete its folder"):
        record(subject, points(), ["0"], store)


def _both(folder):
    recording._EXAMPLES = 5
    made, store = network(), ActivationStore(folder)
    with pl.byte_budget(FOUR_AT_A_TIME):
        found = record(made, points(), LAYERS, store, keep="sample")
        return found, summarise(made, points(), LAYERS, store, every=0.0)


def _struck(folder, moment):
    """Both passes, killed for real just before or just after the file with this number appears under its name."""
    from pathlib import Path

    replace, count = Path.replace, 0

    def strike():
        nonlocal count
        if count == moment:
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1

    def struck(self, target):
        strike()
        found = replace(self, target)
        strike()
        return found

    Path.replace = struck
    _both(folder)


def _killed_again_and_again(folder, told):
    """A process for each moment, each of which takes up what the last one left."""
    torch.set_num_threads(1)
    _both(folder.with_name("whole"))  # what is imported on the way is then there for all
    killed = 0
    for moment in (0, 1, 3, 4, 8, 9, 12, 5, 6, 7, 2):
        child = os.fork()
        if child == 0:
            _struck(folder, moment)
            os._exit(0)
        killed += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    told.put(killed)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="this system cannot fork a process that may be killed at once")
def test_a_pass_that_is_killed_at_any_moment_loses_and_doubles_no_row(tmp_path):
    context = multiprocessing.get_context("spawn")
    told = context.Queue()
    process = context.Process(target=_killed_again_and_again, args=(tmp_path / "killed", told))
    process.start()
    assert told.get(timeout=120) >= 8
    process.join()
    found, summaries = _both(tmp_path / "killed")
    whole, whole_summaries = _both(tmp_path / "whole")
    for name in LAYERS:
        for part in ("values", "examples", "places"):
            one, other = (getattr(entry[name], part) for entry in (found, whole))
            assert torch.equal(one() if callable(one) else one, other() if callable(other) else other)
        one, other = summaries[name].state(), whole_summaries[name].state()
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)
    names = {path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole").rglob("*")}
    assert names == {p.relative_to(tmp_path / "killed") for p in (tmp_path / "killed").rglob("[!.]*")}
    assert json.loads(next((tmp_path / "killed").glob("*.json")).read_text()) == [f"0 #{n}" for n in range(23)]
