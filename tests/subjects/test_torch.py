"""A module is read without leaving a trace, and answers through its fast copy as it does by itself."""

import copy
import types
import warnings

import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.core import meter
from pellucid.core.errors import NotAnswerable, SubjectFailed, UsageError
from pellucid.core.spec import Structure
from pellucid.tasks import TensorTask


class Small(nn.Module):
    """A convolution with batch norm, one activation called twice, dropout: all that differs between the modes."""

    def __init__(self, failing=False):
        super().__init__()
        self.stem, self.norm, self.relu = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()
        self.drop, self.head, self.failing = nn.Dropout(0.5), nn.Linear(4, 3), failing

    def forward(self, pixels):
        features = self.relu(self.norm(self.stem(pixels))).mean((2, 3))
        if self.failing:
            raise RuntimeError("first line\nsecond line")
        return self.head(self.drop(self.relu(features - 0.1)))


@pytest.fixture
def network():
    torch.manual_seed(0)
    module = Small().double()
    module(torch.randn(8, 2, 6, 6, dtype=torch.float64))  # so that batch norm has statistics of its own
    return module.train()


PIXELS = torch.randn(5, 2, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def plain(module, pixels=PIXELS):
    with torch.no_grad():
        return copy.deepcopy(module).eval()(pixels)


def traces(module):
    """All that could be left behind on a module."""
    return (
        {name: (tensor.clone().flatten().tolist(), tensor.grad) for name, tensor in module.state_dict().items()},
        [child.training for child in module.modules()],
        [len(child._forward_hooks) + len(child._forward_pre_hooks) for child in module.modules()],
        [parameter.requires_grad for parameter in module.parameters()],
    )


def test_scores_are_those_of_the_module_in_eval_mode(network):
    torch.testing.assert_close(pl.wrap(network).scores(PIXELS), plain(network), rtol=0, atol=1e-12)


@pytest.mark.parametrize("asked", [{}, {"original": True}, {"differentiable": True}, {"capture": ("relu",)}])
def test_every_way_of_running_gives_the_same_scores_and_leaves_no_trace(network, asked):
    before = traces(network)
    subject = pl.wrap(network)
    found = subject.run(subject.prepare(PIXELS), **asked).scores
    torch.testing.assert_close(found.detach(), plain(network), rtol=0, atol=1e-12)
    subject.layers()
    assert traces(network) == before


def test_no_trace_is_left_after_a_failure():
    module = Small(failing=True).double().train()
    before = traces(module)
    subject = pl.wrap(module)
    for asked in ({}, {"capture": ("relu",)}, {"differentiable": True}):
        with pytest.raises(SubjectFailed, match=r"Small failed on input \(\d, 2, 6, 6\): RuntimeError: first line$"):
            subject.run(subject.prepare(PIXELS), **asked)
    assert traces(module) == before


def test_scores_do_not_depend_on_the_size_of_batches(network):
    subject = pl.wrap(network)
    whole = subject.scores(PIXELS)
    with pl.byte_budget(1):
        torch.testing.assert_close(subject.scores(PIXELS), whole, rtol=0, atol=1e-12)


def test_the_second_call_of_a_module_is_captured_by_its_number(network):
    subject = pl.wrap(network)
    inputs = subject.prepare(PIXELS)
    found = subject.run(inputs, capture=["relu", "relu#1"]).activations
    assert found["relu"].shape == (5, 4, 6, 6)
    torch.testing.assert_close(found["relu#1"], (found["relu"].mean((2, 3)) - 0.1).relu())


def test_a_replaced_layer_is_what_the_rest_of_the_network_reads(network):
    subject = pl.wrap(network)
    inputs = subject.prepare(PIXELS)
    features = subject.run(inputs, capture=["relu#1"]).activations["relu#1"]
    found = subject.run(inputs, replace={"relu#1": 2 * features}).scores
    torch.testing.assert_close(found, copy.deepcopy(network).eval().head(2 * features).detach())


def test_a_function_in_the_place_of_a_layer_reads_what_earlier_ones_have_made(network):
    subject, before = pl.wrap(network), traces(network)
    plan = {"relu": lambda output: 2 * output, "relu#1": lambda output: output - 1}
    found = subject.run(subject.prepare(PIXELS), capture=["relu"], replace=plan)
    twin = copy.deepcopy(network).eval().requires_grad_(False)
    features = 2 * twin.relu(twin.norm(twin.stem(PIXELS)))
    torch.testing.assert_close(found.activations["relu"], features)
    torch.testing.assert_close(found.scores, twin.head(twin.relu(features.mean((2, 3)) - 0.1) - 1))
    assert traces(network) == before


def test_a_replacement_is_not_written_into_by_what_follows():
    module = nn.Sequential(nn.Linear(2, 2), nn.ReLU(inplace=True))
    subject = pl.wrap(module)
    replacement = torch.tensor([[-1.0, 2.0]])
    assert subject.run(subject.prepare(replacement), replace={"0": replacement}).scores.tolist() == [[0.0, 2.0]]
    assert replacement.tolist() == [[-1.0, 2.0]]
    point = replacement.clone().requires_grad_()
    scores = subject.run(subject.prepare(replacement), replace={"0": point}, differentiable=True).scores
    (gradient,) = torch.autograd.grad(scores.sum(), point)
    assert gradient.tolist() == [[0.0, 1.0]]


def test_rows_that_take_the_place_of_one_example_run_from_their_layer_on(network):
    subject = pl.wrap(network)
    one = subject.prepare(PIXELS[:1])
    features = torch.randn(7, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    with meter.metered() as passes:
        found = subject.run(one, replace={"relu#1": features}).scores
    torch.testing.assert_close(found, copy.deepcopy(network).eval().head(features).detach())
    assert passes.evaluations() == {"F": 7, "B": 0}
    with pytest.raises(SubjectFailed, match="7 rows for 5 examples"):
        subject.run(subject.prepare(PIXELS), replace={"relu#1": features})


def test_a_graph_from_a_layer_on_reaches_down_to_it_and_no_further(network):
    subject, before = pl.wrap(network), traces(network)
    pixels = PIXELS.clone().requires_grad_()
    run = subject.run(subject.prepare(PIXELS).at(pixels), capture=["stem"], differentiable="relu#1")
    start = run.activations["relu#1"]
    assert not run.activations["stem"].requires_grad
    assert start.is_leaf
    (gradient,) = torch.autograd.grad(run.scores[:, 1].sum(), start)
    torch.testing.assert_close(gradient, network.head.weight[1].detach().expand(5, 4))
    torch.testing.assert_close(run.scores.detach(), plain(network), rtol=0, atol=1e-12)
    assert torch.is_grad_enabled()
    assert traces(network) == before


@pytest.mark.parametrize("enabled", [True, False])
def test_what_was_recorded_before_a_pass_is_recorded_after_it_whatever_happens(network, enabled):
    subject = pl.wrap(network)
    with torch.set_grad_enabled(enabled):
        subject.run(subject.prepare(PIXELS), differentiable="relu")
        assert torch.is_grad_enabled() is enabled
        network.failing = True
        with pytest.raises(SubjectFailed):
            subject.run(subject.prepare(PIXELS), differentiable="relu")
        assert torch.is_grad_enabled() is enabled


class Centres(nn.Module):
    """Writes into its own input."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 2)

    def forward(self, rows):
        rows -= 1
        return self.head(rows)


def test_a_model_that_writes_into_its_input_answers_the_same_each_time_and_spares_the_caller():
    module, rows = Centres(), torch.ones(2, 3)
    subject = pl.wrap(module)
    expected = module.head(torch.zeros(2, 3)).detach()
    for _ in range(2):
        torch.testing.assert_close(subject.scores(rows), expected)
    assert torch.equal(rows, torch.ones(2, 3))


def test_a_model_that_writes_into_its_input_has_gradients():
    module = Centres()
    subject = pl.wrap(module)
    point = torch.ones(2, 3, requires_grad=True)
    run = subject.run(subject.prepare(torch.ones(2, 3)).at(point), differentiable=True)
    (gradient,) = torch.autograd.grad(run.scores[:, 1].sum(), point)
    torch.testing.assert_close(gradient, module.head.weight[1].detach().expand(2, 3))


def shifted(module):
    with torch.no_grad():
        module.head.weight += 1


def exchanged(module):
    module.head.weight.data = torch.ones(3, 4)


@pytest.mark.parametrize("change", [shifted, exchanged, nn.Module.double])
def test_the_fast_copy_follows_the_module(change):
    torch.manual_seed(0)
    module = Small().eval()
    subject = pl.wrap(module)
    subject.scores(PIXELS)
    change(module)
    torch.testing.assert_close(
        subject.scores(PIXELS), plain(module, PIXELS.to(module.head.weight.dtype)), rtol=1e-5, atol=1e-6
    )


def test_the_fingerprint_changes_with_the_weights_and_comes_back_with_them(network):
    subject = pl.wrap(network)
    before = subject.fingerprint
    assert pl.wrap(copy.deepcopy(network)).fingerprint == before
    with torch.no_grad():
        network.head.bias += 1
        assert subject.fingerprint != before
        network.head.bias.copy_(subject.module.head.bias - 1)
    assert pl.wrap(network, TensorTask(labels=("a", "b", "c"))).fingerprint != before


@pytest.mark.parametrize(
    ("answer", "output"),
    [
        (lambda scores: {"scores": scores, "loss": None}, "scores"),
        (lambda scores: (None, scores), 1),
        (lambda scores: types.SimpleNamespace(logits=scores), None),
        (lambda scores: {"deep": [scores]}, lambda answer: answer["deep"][0]),
    ],
)
def test_output_picks_the_scores(answer, output):
    class Answering(nn.Linear):
        def forward(self, rows):
            return answer(super().forward(rows))

    module, rows = Answering(3, 2), torch.eye(3)
    expected = nn.functional.linear(rows, module.weight, module.bias).detach()
    torch.testing.assert_close(pl.wrap(module, output=output).scores(rows), expected)


@pytest.mark.parametrize(
    ("answer", "output", "error", "message"),
    [
        (lambda rows: {"scores": rows}, "score", UsageError, "did you mean 'scores'"),
        (lambda rows: (rows,), 3, UsageError, "returns a tuple without 3"),
        (lambda rows: (rows, rows), None, UsageError, "say where its scores are"),
        (lambda rows: None, None, SubjectFailed, "returns a NoneType"),
        (lambda rows: rows[:1], None, SubjectFailed, "1 rows for 3 examples"),
        (lambda rows: rows.sum(), None, SubjectFailed, "not a single number"),
        (lambda rows: rows * torch.nan, None, SubjectFailed, "NaN or infinite"),
        (lambda rows: [1, 2, 3], None, SubjectFailed, "not a list"),
    ],
)
def test_an_answer_without_scores_is_refused(answer, output, error, message):
    class Answering(nn.Module):
        def forward(self, rows):
            return answer(rows)

    with pytest.raises(error, match=message):
        pl.wrap(Answering(), output=output).scores(torch.eye(3))


def test_an_unknown_layer_is_refused_with_the_nearest(network):
    subject = pl.wrap(network)
    with pytest.raises(UsageError, match="no layer 'haed'; did you mean 'head'"):
        subject.run(subject.prepare(PIXELS), capture=["haed"])
    with pytest.raises(UsageError, match="'head#1' is not called"):
        subject.run(subject.prepare(PIXELS), capture=["head#1"])


def test_layers_come_in_the_order_of_their_first_call(network):
    layers = pl.wrap(network, TensorTask(shape=(2, 6, 6))).layers()
    assert [(layer.name, layer.calls) for layer in layers] == [
        ("stem", 1),
        ("norm", 1),
        ("relu", 2),
        ("drop", 1),
        ("head", 1),
    ]
    assert layers[0].shape == (4, 6, 6)


def test_layers_have_the_shapes_of_the_inputs_that_are_named(network):
    subject = pl.wrap(network)
    assert {layer.shape for layer in subject.layers()} == {None}
    layers = subject.layers(subject.prepare(PIXELS[:, :, :4]))
    assert [layer.shape for layer in layers] == [(4, 4, 6), (4, 4, 6), (4, 4, 6), (4,), (3,)]
    assert subject.layers(subject.prepare(PIXELS))[0].shape == (4, 6, 6)


def test_layers_are_those_of_now_and_cost_nothing(network):
    subject, inputs = pl.wrap(network), TensorTask().prepare(PIXELS)
    with meter.metered() as passes:
        assert [layer.kind for layer in subject.layers(inputs)][2] == "ReLU"
        network.relu = nn.Tanh()
        assert [layer.kind for layer in subject.layers(inputs)][2] == "Tanh"
    assert passes.evaluations() == {"F": 0, "B": 0}


def test_structure_is_read_from_the_modules(network):
    assert pl.wrap(network).structure == {Structure.CONVOLUTION, Structure.RELU, Structure.CLASS_SCORES}
    lstm = pl.wrap(nn.LSTM(2, 2), TensorTask(output="value"), output=0)
    assert lstm.structure == {Structure.RECURRENCE}


def test_half_precision_answers_in_single_precision():
    torch.manual_seed(0)
    module = nn.Linear(3, 2)
    found = pl.wrap(copy.deepcopy(module).bfloat16()).scores(torch.eye(3))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, module(torch.eye(3)).detach(), rtol=0, atol=0.02)


def test_passes_are_counted_per_example(network):
    subject = pl.wrap(network)
    with meter.metered() as passes:
        subject.scores(PIXELS)
    assert passes.evaluations() == {"F": 5, "B": 0}


def test_a_module_is_moved_to_the_device_that_is_asked_for():
    subject = pl.wrap(nn.Linear(3, 2), device="meta")
    assert subject.device == torch.device("meta")
    assert subject.module.weight.device == torch.device("meta")


@pytest.mark.parametrize("device", ["nonsense", "cuda:99"])
def test_a_device_that_is_not_there_is_refused(device):
    with pytest.raises(UsageError, match=f"there is no device '{device}' to run on"):
        pl.wrap(nn.Linear(3, 2), device=device)


class Rectified(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, features):
        return torch.relu(self.linear(features))


def with_scripted_part():
    torch.manual_seed(0)
    parts = nn.Linear(3, 4), Rectified(), nn.Linear(4, 2)
    plain = nn.Sequential(*parts).double()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scripting is deprecated, and still met
        return plain, nn.Sequential(parts[0], torch.jit.script(parts[1]), parts[2])


@pytest.mark.parametrize("method", [pl.methods.Gradient(), pl.methods.LRP(composite="epsilon"), pl.methods.Occlusion()])
def test_a_scripted_part_is_answered_like_the_plain_one_and_no_hook_stays(method):
    plain, scripted = with_scripted_part()
    rows = torch.randn(2, 3, generator=torch.Generator().manual_seed(1)).double()
    found, expected = (method(pl.wrap(network), pl.Decision(rows, target=0)).scores for network in (scripted, plain))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    assert [len(module._forward_hooks) for module in (scripted, scripted[0], scripted[2])] == [0, 0, 0]


def test_a_scripted_layer_cannot_be_read():
    _, scripted = with_scripted_part()
    with pytest.raises(NotAnswerable, match="'1' of Sequential is scripted"):
        pl.methods.Gradient()(pl.wrap(scripted), pl.Decision(torch.randn(2, 3).double(), target=0, at="1"))
    assert [len(module._forward_hooks) for module in (scripted, scripted[0], scripted[2])] == [0, 0, 0]


def test_another_module_takes_the_place_of_its_own():
    class Named(nn.Linear):
        def forward(self, rows):
            return {"scores": super().forward(rows)}

    own, other = Named(3, 2), Named(3, 2)
    subject = pl.wrap(own, TensorTask(), name="named", output="scores")
    found, rows = subject.with_module(other), torch.ones(2, 3)
    assert torch.equal(found.scores(rows), other(rows)["scores"])
    assert torch.equal(subject.scores(rows), own(rows)["scores"])
    assert (found.name, found.task, found.module) == ("named", subject.task, other)
    assert found.fingerprint != subject.fingerprint


def test_what_has_no_module_cannot_be_given_another():
    subject = pl.wrap(lambda rows: rows.sum(1, keepdim=True), TensorTask(), name="closed")
    with pytest.raises(NotAnswerable, match="closed has no module"):
        subject.with_module(nn.Linear(3, 2))
