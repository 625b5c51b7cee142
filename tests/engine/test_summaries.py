"""A layer's summary says what all activations at once would say, and is taken up where a pass ended."""

import numpy as np
import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.core.errors import UsageError
from pellucid.core.meter import metered, reporting
from pellucid.engine.summaries import summarise
from pellucid.store.activations import ActivationStore


def network():
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(1, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(5 * 36, 3)).eval()
    with torch.no_grad():
        layers[0].weight[1], layers[0].bias[1] = 0, 0.1  # says the same everywhere
        layers[0].weight[2], layers[0].bias[2] = 0, -1  # is rectified everywhere
        layers[0].weight[4] = 2 * layers[0].weight[0]
        layers[0].bias[3] = 1
        layers[0].bias[0] = layers[0].bias[4] = 5
    return pl.wrap(layers, pl.tasks.TensorTask(shape=(1, 8, 8)), name="network")


def at_a_time(number):
    """Let batches have so many examples."""
    made = network()
    total, _ = made._bytes_per_example(made.prepare(torch.rand(1, 1, 8, 8)))
    return pl.byte_budget(number * total)


@pytest.fixture
def points():
    return torch.rand(31, 1, 8, 8, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def places(points):
    return network().run(network().prepare(points), capture=["1"]).activations["1"].flatten(2)


def test_everything_is_that_of_all_activations_at_once(points, places):
    found = summarise(network(), points, ["1"], k=4, places=36)["1"]
    values, order = places.amax(2).T.sort(dim=1, descending=True, stable=True)
    live = [0, 3, 4]
    assert torch.allclose(found.strongest.values, values[:, :4], atol=1e-6)
    assert torch.equal(found.strongest.examples[live], order[live, :4])
    where = places[order[live, :4], torch.tensor(live)[:, None]].argmax(2)
    assert torch.equal(found.strongest.places[live], where)
    rows = places.movedim(1, 2).flatten(0, 1).double()
    assert found.moments.count == len(rows) == found.drawn.count
    assert torch.allclose(found.moments.mean, rows.mean(0), atol=1e-6)
    assert torch.allclose(found.moments.variance(), rows.var(0, correction=0), atol=1e-6)
    expected = np.corrcoef(rows[:, live].T.numpy())
    assert found.correlation()[live][:, live].numpy() == pytest.approx(expected, abs=1e-5)
    assert found.constant.tolist() == [False, True, True, False, False]
    assert torch.allclose(found.lowest, rows.amin(0).float(), atol=1e-6)
    assert torch.allclose(found.highest, rows.amax(0).float(), atol=1e-6)
    assert found.peaks.quantile(1.0).float().tolist() == found.highest.tolist()
    assert found.values.above_zero() == pytest.approx((rows > 0).double().mean(0))


def test_the_most_similar_unit_is_the_one_that_is_its_multiple(points):
    found = summarise(network(), points, ["1"])["1"]
    (first, correlation), *rest = found.similar(0)
    assert first == 4
    assert correlation == pytest.approx(1, abs=1e-6)
    assert [unit for unit, _ in rest] == [3]  # the others are constant
    assert found.similar(1) == []
    assert found.similar(0, 1) == [(first, correlation)]


@pytest.mark.parametrize("size", [1, 3, 31])
def test_batches_do_not_matter(points, size):
    one = summarise(network(), points, ["1"])["1"]
    with at_a_time(size):
        other = summarise(network(), points, ["1"])["1"]
    assert torch.equal(one.strongest.examples, other.strongest.examples)
    assert torch.allclose(one.strongest.values, other.strongest.values, atol=1e-6)
    assert torch.allclose(one.drawn.mean, other.drawn.mean, atol=1e-7)
    assert torch.allclose(one.moments.variance(), other.moments.variance(), atol=1e-7)


def test_what_is_kept_takes_no_pass_and_another_k_does(points, tmp_path):
    store = ActivationStore(tmp_path)
    first = summarise(network(), points, ["0", "1"], store)
    with metered() as meter:
        again = summarise(network(), points, ["0", "1"], store)
    assert meter.forward == 0
    for name, summary in first.items():
        state = again[name].state()
        assert all(torch.equal(state[key], tensor) for key, tensor in summary.state().items())
        assert again[name].layer == summary.layer
    with metered() as meter:
        summarise(network(), points, ["1"], store, k=3)
    assert meter.forward >= len(points)


def test_a_pass_that_was_interrupted_goes_on_with_the_same_bits(points, tmp_path):
    subject, store = network(), ActivationStore(tmp_path)

    def stop(done, total, what):
        if what == "activations" and done == 12:
            raise KeyboardInterrupt

    with at_a_time(4):
        whole = summarise(subject, points, ["0", "1"])
        with reporting(stop), pytest.raises(KeyboardInterrupt):
            summarise(subject, points, ["0"], store, every=0.0)
        with metered() as meter:
            found = summarise(subject, points, ["0"], store) | summarise(subject, points, ["1"], store)
    assert 19 <= meter.forward - 31 < 31  # of the first layer what was missing, of the second everything
    for name, summary in whole.items():
        state = found[name].state()
        assert all(torch.equal(state[key], tensor) for key, tensor in summary.state().items())


def test_correlations_of_very_wide_layers_are_left_out(monkeypatch, points):
    monkeypatch.setattr("pellucid.engine.summaries._CORRELATED", 4)
    found = summarise(network(), points, ["1", "3"])
    assert found["1"].correlation() is None
    assert found["1"].similar(0) == []
    assert found["3"].correlation().shape == (3, 3)


def test_nothing_to_rank_or_to_draw_is_refused(points):
    with pytest.raises(UsageError, match="k=0"):
        summarise(network(), points, ["1"], k=0)
