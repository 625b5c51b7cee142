"""A function is asked for scores and nothing else, and what it does wrong is said in one line."""

import numpy as np
import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.core import meter
from pellucid.core.errors import NotAnswerable, SubjectFailed, UsageError
from pellucid.core.spec import Access, Structure
from pellucid.methods.attribution.gradient import Gradient
from pellucid.methods.attribution.occlusion import Occlusion
from pellucid.subjects.callable import FunctionSubject
from pellucid.tasks import Tabular, TensorTask

WEIGHTS = torch.tensor([[1.0, -2.0], [0.5, 4.0], [3.0, 0.0]], dtype=torch.float64)
ROWS = torch.tensor([[1.0, 2.0, -1.0], [0.25, -3.0, 2.0]], dtype=torch.float64)


def linear(batch: torch.Tensor) -> torch.Tensor:
    return batch @ WEIGHTS


def test_scores_are_those_of_the_function():
    assert torch.equal(pl.wrap(linear).scores(ROWS), ROWS @ WEIGHTS)


def test_occlusion_by_zero_of_a_linear_function_is_weight_times_input():
    answer = Occlusion(baseline=0.0)(pl.wrap(linear), pl.Decision(ROWS, target=1))
    torch.testing.assert_close(answer.scores, ROWS * WEIGHTS[:, 1], rtol=0, atol=1e-12)


def test_occlusion_agrees_with_the_torch_twin():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)).double()
    query = pl.Decision(ROWS, target=0)
    twin = Occlusion()(pl.wrap(network), query)
    answer = Occlusion()(pl.wrap(lambda batch: network(batch)), query)
    torch.testing.assert_close(answer.scores, twin.scores, rtol=0, atol=1e-12)
    assert answer.evaluations == twin.evaluations


@pytest.mark.parametrize("numpy", [False, True])
def test_the_function_gets_the_kind_of_batch_it_wants(numpy):
    seen = []

    def scores(batch):
        seen.append(batch)
        return batch * 2

    found = pl.wrap(scores, numpy=numpy).scores(ROWS)
    assert isinstance(seen[0], np.ndarray if numpy else torch.Tensor)
    assert torch.equal(found, ROWS * 2)


def test_several_inputs_arrive_by_name():
    subject = pl.wrap(lambda given: given["left"] + 2 * given["right"], TensorTask(point="left"))
    found = subject.scores({"left": ROWS, "right": ROWS})
    assert torch.equal(found, 3 * ROWS)


def test_one_number_per_example_is_one_output():
    assert pl.wrap(lambda batch: batch.sum(1)).scores(ROWS).shape == (2, 1)


@pytest.mark.parametrize(
    ("answer", "output"),
    [({"scores": ROWS, "label": "a"}, "scores"), ((None, ROWS), 1), ([ROWS], lambda answer: answer[0])],
)
def test_output_picks_the_scores_out_of_an_answer(answer, output):
    assert torch.equal(pl.wrap(lambda batch: answer, output=output).scores(ROWS), ROWS)


def test_whole_numbers_and_lists_are_scores_too():
    found = pl.wrap(lambda batch: [[1, 0], [0, 1]], numpy=True).scores(ROWS)
    assert found.tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert found.is_floating_point()


def test_scores_do_not_share_the_memory_of_a_buffer_that_the_function_uses_again():
    buffer = torch.zeros(2, 3, dtype=torch.float64)
    subject = pl.wrap(lambda batch: buffer.copy_(batch))
    first = subject.scores(ROWS)
    subject.scores(-ROWS)
    assert torch.equal(first, ROWS)


def test_inputs_are_untouched_by_a_function_that_writes_into_its_batch():
    inputs = ROWS.clone()
    pl.wrap(lambda batch: batch.mul_(0)).scores(inputs)
    assert torch.equal(inputs, ROWS)


def divides(batch):
    raise ZeroDivisionError("division\nby zero")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (divides, r"divides failed on input \(2, 3\): ZeroDivisionError: division$"),
        (lambda batch: batch * float("nan"), "NaN or infinite"),
        (lambda batch: batch / 0, "NaN or infinite"),
        (lambda batch: batch[:1], "1 rows for 2 examples"),
        (lambda batch: batch.sum(), "not a single number"),
        (lambda batch: batch[:, :0], "no scores at all"),
        (lambda batch: [[1.0], [1.0, 2.0]], "must be numbers"),
        (lambda batch: [["a"], ["b"]], "must be numbers"),
        (lambda batch: batch * 1j, "complex"),
        (lambda batch: "positive", "returns a str"),
        (lambda batch: None, "returns a NoneType"),
    ],
)
def test_what_a_function_does_wrong_is_said_in_one_line(function, message):
    with pytest.raises(SubjectFailed, match=message) as caught:
        pl.wrap(function).scores(ROWS)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (lambda batch: (batch, batch), {}, "say where its scores are"),
        (lambda batch: {"scores": batch}, {"output": "score"}, "did you mean 'scores'"),
        (lambda batch: (batch,), {"output": 3}, "without 3"),
    ],
)
def test_an_answer_without_clear_scores_asks_which(function, options, message):
    with pytest.raises(UsageError, match=message):
        pl.wrap(function, **options).scores(ROWS)


def test_an_interruption_passes_through():
    def interrupted(batch):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pl.wrap(interrupted).scores(ROWS)


def test_it_offers_outputs_only():
    subject = pl.wrap(linear)
    assert subject.offers == {Access.OUTPUTS}
    assert subject.layers() == ()
    assert subject.module is None
    assert subject.structure == {Structure.CLASS_SCORES}
    assert pl.wrap(linear, TensorTask(output="value")).structure == frozenset()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"capture": ("block.3",)}, "no layer 'block.3'"),
        ({"replace": {"block.3": ROWS}}, "no layer 'block.3'"),
        ({"differentiable": True}, "no gradients"),
    ],
)
def test_its_inside_is_refused_by_name(asked, message):
    subject = pl.wrap(linear)
    with pytest.raises(NotAnswerable, match=f"linear .*{message}"):
        subject.run(subject.prepare(ROWS), **asked)


def test_a_gradient_is_refused_and_another_method_named():
    with pytest.raises(NotAnswerable, match=r"needs gradients.*occlusion"):
        Gradient()(pl.wrap(linear), pl.Decision(ROWS))


def test_passes_are_counted_per_example():
    subject = pl.wrap(linear)
    with meter.metered() as passes:
        subject.scores(ROWS)
    assert passes.evaluations() == {"F": 2, "B": 0}


def test_batches_respect_the_byte_budget():
    subject = pl.wrap(linear)
    inputs = subject.prepare(torch.zeros(4, 1000))
    with pl.byte_budget(12_000):
        assert subject.batch_size(inputs) == 3
    with pl.byte_budget(1):
        assert subject.batch_size(inputs) == 1


def wrapped(function, **options) -> FunctionSubject:
    return FunctionSubject(function, Tabular(["a", "b", "c"]), **{"name": "f", **options})


def test_equal_functions_have_equal_fingerprints_and_others_do_not():
    single = WEIGHTS.float()
    first = wrapped(lambda batch: batch @ single)
    assert first.stable
    assert first.fingerprint == wrapped(lambda batch: batch @ single).fingerprint
    others = [
        wrapped(lambda batch: batch @ (single + 1e-3)),
        wrapped(lambda batch: batch @ single, version="2"),
        wrapped(lambda batch: batch @ single, name="g"),
        FunctionSubject(lambda batch: batch @ single, Tabular(["a", "b", "d"]), name="f"),
    ]
    assert len({first.fingerprint, *(other.fingerprint for other in others)}) == 5


def test_functions_that_agree_at_zero_only_have_different_fingerprints():
    assert wrapped(lambda batch: batch).fingerprint != wrapped(lambda batch: 2 * batch).fingerprint


def test_a_function_that_changes_is_another_one():
    scale = [1.0]
    subject = wrapped(lambda batch: batch * scale[0])
    before = subject.fingerprint
    scale[0] = 2.0
    assert subject.fingerprint != before
    assert subject.stable
    scale[0] = 1.0
    assert subject.fingerprint == before


def test_a_function_that_answers_at_random_is_unstable():
    draws = torch.Generator().manual_seed(0)
    subject = wrapped(lambda batch: batch + torch.rand(len(batch), 1, generator=draws))
    assert not subject.stable
    assert subject.fingerprint.startswith("unstable")


def test_a_function_without_a_probe_or_without_an_answer_to_it_is_unstable():
    assert pl.wrap(linear).fingerprint.startswith("unstable")
    assert wrapped(lambda batch: batch[:0]).fingerprint.startswith("unstable")


def test_the_probe_stays_within_the_bounds_of_the_task():
    seen = []

    def watch(batch):
        seen.append(batch.clone())
        return batch.flatten(1)

    assert pl.wrap(watch, pl.tasks.Image(4)).stable
    assert all(bool((batch.abs() <= 1).all()) for batch in seen)
    assert len(seen[0].unique(dim=0)) > 1


def test_asking_leaves_the_random_numbers_of_the_caller():
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    assert wrapped(lambda batch: batch).stable
    assert torch.equal(torch.rand(3), expected)
