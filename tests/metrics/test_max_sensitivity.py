"""Max-sensitivity: zero for constant gradients, closed forms of input × gradient, and copies that every map shares."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import pellucid as pl
from metrics.reasked import Constant, judge, linear, network, rows, watched
from pellucid.core.errors import NotAnswerable
from pellucid.core.subject import Features
from pellucid.engine.erasing import shared_calls
from pellucid.methods import Gradient, InputXGradient, Lime
from pellucid.metrics import LocalLipschitz, MaxSensitivity, RelativeStability


def test_the_gradient_of_a_linear_model_never_changes():
    found = judge(MaxSensitivity(), linear([[1.0, -2.0, 0.5]]), pl.Decision(rows(3, 3)), Gradient(), Constant())
    assert torch.equal(found.value, torch.zeros(2, dtype=torch.float64))
    assert found.higher_is_better is False


def test_input_times_gradient_changes_with_the_input_alone():
    weights, point = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64), rows(1, 4)
    subject = linear(weights[None])
    answer = InputXGradient()(subject, pl.Decision(point))
    seen = watched(subject)
    found = MaxSensitivity(copies=7, radius=0.1)(subject, pl.Judgement([answer]))
    copies = torch.cat(seen).unique(dim=0)
    copies = copies[(copies != point).any(1)]
    assert len(copies) == 7
    assert float((copies - point).abs().max()) <= 0.1 * float(point.max() - point.min())
    changes = [float((weights * (copy - point[0])).norm() / (weights * point[0]).norm()) for copy in copies]
    assert float(found.value) == pytest.approx(max(changes), rel=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.01, 100), st.integers(0, 5))
def test_the_scale_of_the_scores_does_not_matter(scale, seed):
    weights = rows(1, 4, seed)
    decision = pl.Decision(rows(2, 4, seed + 10))
    one = judge(MaxSensitivity(), linear(weights), decision, InputXGradient())
    other = judge(MaxSensitivity(), linear(scale * weights), decision, InputXGradient())
    assert torch.allclose(one.value, other.value, rtol=1e-9)


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6))
def test_more_copies_never_find_less(few, more):
    subject, decision = network(), pl.Decision(rows(2))
    one = judge(MaxSensitivity(copies=few), subject, decision, InputXGradient())
    other = judge(MaxSensitivity(copies=few + more), subject, decision, InputXGradient())
    assert bool((other.value >= one.value).all())


def test_random_maps_change_by_the_distance_of_two_independent_maps():
    decision = pl.Decision(rows(1, 4000))
    found = judge(MaxSensitivity(copies=3), linear(rows(1, 4000)), decision, Gradient())
    assert float(found.control["random"][0]) == pytest.approx(math.sqrt(2), rel=0.05)
    assert found.control["constant"].tolist() == [0, 0, 0]


def test_a_map_of_zeros_that_stays_so_is_stable():
    found = judge(MaxSensitivity(), linear([[0.0, 0.0, 0.0]]), pl.Decision(rows(2, 3)), InputXGradient())
    assert torch.equal(found.per_example, torch.zeros(1, 2, dtype=torch.float64))


def test_an_example_is_judged_the_same_alone_and_beside_others():
    subject, points = network(), rows(3)
    together = judge(MaxSensitivity(), subject, pl.Decision(points), Gradient(), InputXGradient())
    alone = judge(MaxSensitivity(), subject, pl.Decision(points[1:2]), InputXGradient())
    assert float(together.per_example[1, 1]) == pytest.approx(float(alone.value), rel=1e-9)


def test_metrics_that_look_at_the_same_copies_have_them_explained_once():
    subject, decision = network(), pl.Decision(rows(2), target=0)
    judgement = pl.Judgement([Gradient()(subject, decision), InputXGradient()(subject, decision)])
    metrics = (MaxSensitivity(), LocalLipschitz(), RelativeStability(of="output"))
    apart = [metric(subject, judgement) for metric in metrics]
    with shared_calls():
        together = [metric(subject, judgement) for metric in metrics]
    assert [found.evaluations["B"] for found in apart] == [40, 40, 40]
    assert [found.evaluations["B"] for found in together] == [40, 0, 0]
    for one, other in zip(apart, together, strict=True):
        assert torch.equal(one.per_example, other.per_example)
    # Another seed or radius is another question.
    with shared_calls():
        for metric in (MaxSensitivity(), MaxSensitivity(seed=1), MaxSensitivity(radius=0.1)):
            assert metric(subject, judgement).evaluations["B"] == 40


def test_padding_does_not_move():
    subject = pl.wrap(
        torch.nn.Sequential(torch.nn.Flatten(1), torch.nn.LazyLinear(1)).double(),
        pl.tasks.Sequence("abcdef", output="value", labels=("sum",)),
    )
    decision = pl.Decision(["fade", "be"])
    subject.scores(decision.inputs)
    answer = Gradient()(subject, decision)
    seen = watched(subject)
    MaxSensitivity(copies=3)(subject, pl.Judgement([answer]))
    short = [points for points in seen if len(points) == 3][1]
    assert bool((short[:, :2] != short[:1, :2]).any())
    assert torch.equal(short[:, 2:], torch.zeros_like(short[:, 2:]))


def test_a_black_box_is_asked_for_outputs_only():
    subject = pl.wrap(
        lambda batch: np.tanh(np.asarray(batch)).sum(1, keepdims=True), pl.tasks.TensorTask(output="value")
    )
    found = judge(MaxSensitivity(copies=2), subject, pl.Decision(rows(1).float()), Lime(samples=30))
    assert float(found.value) > 0
    assert found.evaluations["F"] > 50


def test_a_saved_answer_is_asked_again_by_what_its_file_says(tmp_path):
    subject, decision = network(), pl.Decision(rows(2))
    answer = InputXGradient()(subject, decision)
    answer.save(tmp_path / "answer")
    loaded = pl.Result.load(tmp_path / "answer").asked(decision)
    found = [MaxSensitivity()(subject, pl.Judgement([given])).value for given in (answer, loaded)]
    assert torch.equal(*found)


def test_whole_numbers_are_refused():
    subject = pl.wrap(
        torch.nn.Embedding(5, 2).requires_grad_(False), pl.tasks.TensorTask(output="value"), name="lookup"
    )
    decision = pl.Decision(torch.tensor([[1], [2]]), target=(0, 0))
    answer = pl.Attribution(
        scores=torch.ones(2, 1),
        value=torch.zeros(2),
        features=Features("element", torch.zeros(2, 1, dtype=torch.long)),
        query=decision,
    )
    with pytest.raises(NotAnswerable, match="whole numbers"):
        MaxSensitivity()(subject, pl.Judgement([answer]))
