"""An evaluation measures what metrics measure one by one, asks nothing twice, and survives what cannot be read."""

import numpy as np
import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.core import meter
from pellucid.core.errors import BadInput, NotAnswerable, UsageError
from pellucid.reports.evaluating import evaluate

METHODS = ("gradient", "input-x-gradient", {"method": "occlusion", "window": 3})
METRICS = ("deletion", {"method": "region-perturbation", "region": 2, "steps": 4, "draws": 2}, "entropy")


def network(seed=0):
    torch.manual_seed(seed)
    layers = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3)).eval()
    return pl.wrap(layers, pl.tasks.Image(8, (0.5,), (0.25,), labels=("a", "b", "c")), name="network")


def pictures(number):
    draws = np.random.default_rng(0)
    return [draws.integers(0, 255, (8, 8), dtype=np.uint8) for _ in range(number)]


def passes(call):
    with meter.metered() as used:
        found = call()
    return found, sum(used.evaluations().values())


def test_it_measures_what_the_metrics_measure_one_by_one():
    subject, data = network(), pictures(3)
    found = evaluate(subject, data, METHODS, METRICS)
    assert found.rows == (
        "gradient",
        "input-x-gradient",
        "occlusion",
        "control: edge",
        "control: constant",
        "control: random",
    )
    for number, raw in enumerate(data):
        decision = pl.Decision(subject.prepare(raw))
        answers = [pl.build(m if isinstance(m, dict) else {"method": m})(subject, decision) for m in METHODS]
        for place, metric in enumerate(METRICS):
            judge = pl.build(metric if isinstance(metric, dict) else {"method": metric})
            alone = judge(subject, pl.Judgement(answers))
            expected = torch.cat([alone.per_example[:, 0], alone.control_per_example[:, 0]])
            torch.testing.assert_close(found.values[place, :, number], expected.double(), rtol=1e-5, atol=1e-6)
            assert found.higher_is_better[place] is alone.higher_is_better
            assert found.protocols[place] == alone.protocol


def test_model_calls_are_shared_between_metrics():
    subject, data = network(), pictures(1)
    metrics = [{"method": "deletion", "cover": "zero"}, {"method": "deletion", "cover": 0.0, "random_maps": 1}]
    _, alone = passes(lambda: evaluate(subject, data, ["gradient"], metrics[:1]))
    _, both = passes(lambda: evaluate(subject, data, ["gradient"], metrics))
    assert both == alone


def test_what_was_measured_is_kept_and_only_what_is_new_is_measured(tmp_path):
    subject, data = network(), pictures(4)
    first = evaluate(subject, data, METHODS[:2], METRICS, kept=tmp_path)
    again, used = passes(lambda: evaluate(subject, data, METHODS[:2], METRICS, kept=tmp_path))
    assert used == 0
    assert torch.equal(again.values, first.values)
    assert again.table() == first.table()
    more = evaluate(subject, data, METHODS, METRICS, kept=tmp_path)
    torch.testing.assert_close(more.values, evaluate(subject, data, METHODS, METRICS).values, rtol=1e-5, atol=1e-6)
    _, added = passes(lambda: evaluate(subject, [*data, pictures(5)[4]], METHODS, METRICS, kept=tmp_path))
    _, whole = passes(lambda: evaluate(subject, data, METHODS, METRICS))
    assert 0 < added < whole / 2


def test_nothing_kept_is_used_for_another_network_target_or_seed(tmp_path):
    data = pictures(2)
    evaluate(network(), data, ["gradient"], ["deletion"], kept=tmp_path)
    for subject, asked in (
        (network(1), {}),
        (network(), {"target": 2}),
        (network(), {"seed": 1}),
        (network(), {"of": "loss"}),
    ):
        _, used = passes(lambda s=subject, a=asked: evaluate(s, data, ["gradient"], ["deletion"], kept=tmp_path, **a))
        assert used > 0


def test_an_interrupted_run_keeps_what_was_done(tmp_path):
    subject, data = network(), pictures(5)

    def interrupt(done, total, what):
        if what == "2":
            raise KeyboardInterrupt

    with meter.reporting(interrupt), pytest.raises(KeyboardInterrupt):
        evaluate(subject, data, METHODS, METRICS, kept=tmp_path)
    _, rest = passes(lambda: evaluate(subject, data, METHODS, METRICS, kept=tmp_path))
    found, whole = passes(lambda: evaluate(subject, data, METHODS, METRICS))
    assert rest == pytest.approx(whole * 3 / 5, rel=0.2)
    assert torch.equal(evaluate(subject, data, METHODS, METRICS, kept=tmp_path).values, found.values)


def test_inputs_that_cannot_be_read_are_named_and_the_others_are_judged():
    data = [*pictures(2), "no-such-picture.png"]
    found = evaluate(network(), data, ["gradient"], ["entropy"], names=["one", "two", "three"])
    assert found.examples == ("one", "two")
    assert "no-such-picture" in found.failed["three"]
    with pytest.raises(BadInput, match="none of 1 inputs"):
        evaluate(network(), data[2:], ["gradient"], ["entropy"])


def test_what_does_not_apply_is_left_out_with_its_reason():
    closed = pl.wrap(
        lambda batch: torch.stack([batch.mean((1, 2, 3)), batch.amax((1, 2, 3))], 1),
        pl.tasks.Image(8, (0.5,), (0.25,), labels=("a", "b")),
        name="closed",
    )
    found = evaluate(closed, pictures(2), ["gradient", "occlusion"], ["deletion"])
    assert found.methods == ("occlusion",)
    assert "gradients" in found.refused["gradient"]
    with pytest.raises(NotAnswerable, match="gradient: needs"):
        evaluate(closed, pictures(2), ["gradient"], ["deletion"])


def test_a_metric_that_refuses_every_answer_is_named_and_the_others_are_measured():
    found = evaluate(network(), pictures(2), ["gradient", "occlusion"], ["entropy", "pointing-game"])
    assert bool(found.values[1].isnan().all())
    assert bool(found.values[0].isfinite().all())
    assert any("pointing-game" in name for name in found.refused)
    masks = [torch.zeros(8, 8, dtype=torch.bool), torch.ones(8, 8, dtype=torch.bool)]
    masks[0][2, 3] = True
    told = evaluate(network(), pictures(2), ["gradient"], ["pointing-game"], masks=masks)
    assert float(told.values[0, 0, 1]) == 1.0


def test_what_is_no_explanation_or_no_metric_is_a_usage_error():
    with pytest.raises(UsageError, match="what-if is not an explanation|not an explanation"):
        evaluate(network(), pictures(1), ["response"], ["deletion"])
    with pytest.raises(UsageError, match="not a metric"):
        evaluate(network(), pictures(1), ["gradient"], ["gradient"])
    with pytest.raises(BadInput, match="nothing to evaluate"):
        evaluate(network(), [])


def test_the_same_method_with_other_fields_is_another_row():
    found = evaluate(
        network(),
        pictures(2),
        [{"method": "occlusion", "window": 2}, {"method": "occlusion", "window": 4}],
        ["entropy"],
    )
    assert found.methods == ("occlusion (window=2)", "occlusion (window=4)")
    assert not torch.equal(found.values[0, 0], found.values[0, 1])
