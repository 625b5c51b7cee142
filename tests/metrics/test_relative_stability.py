"""Relative stability: element by element, over the copies that keep their class."""

import pytest
import torch
from torch import nn

import pellucid as pl
from metrics.reasked import Constant, judge, linear, network, rows, watched
from pellucid.core.errors import NotAnswerable
from pellucid.methods import Gradient, InputXGradient, Occlusion
from pellucid.metrics import RelativeStability


@pytest.mark.parametrize("of", ["input", "output", "representation"])
def test_constant_gradients_are_perfectly_stable(of):
    subject = pl.wrap(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1)).double(), pl.tasks.TensorTask(output="value"))
    found = judge(RelativeStability(of=of), subject, pl.Decision(rows(2, 3)), Gradient(), Constant())
    assert found.per_example.flatten().tolist() == pytest.approx([0] * 4, abs=1e-9)
    assert found.control["constant"].tolist() == [0, 0, 0]


def test_input_times_gradient_of_a_linear_model_changes_as_its_input_does():
    found = judge(RelativeStability(), linear(rows(1, 5)), pl.Decision(rows(3, 5)), InputXGradient())
    assert found.per_example[0].tolist() == pytest.approx([1, 1, 1])


def copies_of(subject, metric, point):
    answer = InputXGradient()(subject, pl.Decision(point))
    seen = watched(subject)
    found = metric(subject, pl.Judgement([answer]))
    return found, next(points for points in seen if len(points) == metric.copies)


def test_the_output_changes_by_the_scores_themselves():
    weights, point = rows(2, 4), rows(1, 4, seed=3)
    subject = linear(weights)
    subject.task.output = "logits"
    found, copies = copies_of(subject, RelativeStability(of="output", radius=1e-3), point)
    target = int((point @ weights.T).argmax())
    maps, changed = ((copies - point) / point).norm(dim=1), ((copies - point) @ weights.T).norm(dim=1)
    assert weights[target].abs().min() > 0
    assert float(found.value) == pytest.approx(float((maps / changed).max()), rel=1e-6)


@pytest.mark.parametrize("layer", [None, "1"])
def test_the_representation_is_what_the_last_layer_reads(layer):
    subject, point = network(), rows(1)
    weights = {name: value.detach() for name, value in subject.module.named_parameters()}
    found, copies = copies_of(subject, RelativeStability(of="representation", layer=layer, copies=6), point)

    def states(points):
        first = (points @ weights["0.weight"].T + weights["0.bias"]).relu()
        return first if layer else (first @ weights["2.weight"].T + weights["2.bias"]).relu()

    def relative(before, after):
        return torch.where(before == 0, 0, (after - before) / torch.where(before == 0, 1, before)).norm(dim=1)

    classes = subject.scores(copies).argmax(1)
    target = int(subject.scores(point).argmax())
    explained = InputXGradient()(subject, pl.Decision(torch.cat([point, copies]), target=target)).scores
    quotients = relative(explained[:1], explained[1:]) / relative(states(point), states(copies))
    assert float(found.value) == pytest.approx(float(quotients[classes == target].max()), rel=1e-6)


def test_copies_of_another_class_do_not_count():
    weights = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    subject = linear(weights)
    subject.task.output = "logits"
    point = torch.tensor([[0.01, 1.0]], dtype=torch.float64)
    metric = RelativeStability(of="output", radius=0.5, copies=40)
    found, copies = copies_of(subject, metric, point)
    kept = copies[:, 0] > 0
    assert 0 < int(kept.sum()) < 40
    quotients = ((copies - point)[:, 0] / 0.01).abs() / ((copies - point) @ weights.T).norm(dim=1)
    assert float(found.value) == pytest.approx(float(quotients[kept].max()))


def test_a_class_that_no_copy_keeps_is_refused():
    module = nn.Linear(2, 2).double()
    subject = pl.wrap(module, name="spike")
    answer = Gradient()(subject, pl.Decision(torch.ones(1, 2, dtype=torch.float64)))
    scores = subject.scores

    def flipped(inputs):
        found = scores(inputs)
        found[1:] = -found[:1]
        return found

    subject.scores = flipped
    with pytest.raises(NotAnswerable, match="smaller radius"):
        RelativeStability()(subject, pl.Judgement([answer]))


def test_elements_that_are_zero_are_left_out_and_dominate_in_the_convention_of_quantus():
    weights = torch.tensor([[1.0, 2.0, 0.0]], dtype=torch.float64)
    decision = pl.Decision(torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.float64))
    plain = judge(RelativeStability(), linear(weights), decision, InputXGradient())
    assert 0 < float(plain.value) <= 1  # the third element moves in the input only
    black = pl.Decision(torch.tensor([[1.0, 2.0, 0.0]], dtype=torch.float64))
    ones = torch.ones(1, 3, dtype=torch.float64)
    found = [
        judge(RelativeStability(of="output", compat=c), linear(ones), black, InputXGradient())
        for c in (None, "quantus")
    ]
    assert float(found[1].value) > 1000 * float(found[0].value)


def test_an_example_is_judged_the_same_alone_and_beside_others():
    subject, points = network(), rows(3)
    for of in ("input", "output", "representation"):
        together = judge(RelativeStability(of=of), subject, pl.Decision(points), Gradient(), InputXGradient())
        alone = judge(RelativeStability(of=of), subject, pl.Decision(points[1:2]), InputXGradient())
        assert float(together.per_example[1, 1]) == pytest.approx(float(alone.value), rel=1e-6)


def test_a_black_box_has_no_representation_but_an_input_and_an_output():
    subject = pl.wrap(lambda batch: torch.as_tensor(batch).tanh(), pl.tasks.TensorTask(), name="closed")
    answer = Occlusion()(subject, pl.Decision(rows(1).float()))
    assert RelativeStability(copies=2, radius=1e-3)(subject, pl.Judgement([answer])).value.isfinite().all()
    with pytest.raises(NotAnswerable, match="of='input'"):
        RelativeStability(of="representation")(subject, pl.Judgement([answer]))


def test_a_layer_that_returns_no_tensor_must_be_replaced_by_a_named_one():
    subject, decision = pl.load("lstm-sentiment"), pl.Decision(["a fine film"])
    with pytest.raises(NotAnswerable, match="name a layer"):
        judge(RelativeStability(of="representation"), subject, decision, Gradient())
