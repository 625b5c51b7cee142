"""Parameter randomisation: what copies the picture is caught, what asks the network is not, and the network stays."""

import pytest
import torch
from scipy.stats import spearmanr
from sklearn.datasets import load_digits
from torch import nn

import pellucid as pl
from metrics.reasked import CopiedEdges, judge, linear, network, rows
from pellucid.core.content import digest
from pellucid.core.errors import NotAnswerable
from pellucid.core.subject import Features
from pellucid.engine.judged import judged
from pellucid.engine.randomising import randomised
from pellucid.engine.resemblance import Resemblance
from pellucid.methods import LRP, Gradient, InputXGradient, Occlusion
from pellucid.metrics import ParameterRandomisation


@pytest.fixture(scope="module")
def digits():
    subject = pl.load("digits-cnn")
    return subject, pl.Decision(torch.tensor(load_digits().images[:20] / 16, dtype=torch.float32)[:, None])


@pytest.mark.parametrize("similarity", ["spearman", "ssim"])
@pytest.mark.parametrize("layers", [1, 3])
def test_a_map_that_copies_edges_is_caught_and_gradients_are_not(digits, similarity, layers):
    metric = ParameterRandomisation(layers=layers, similarity=similarity)
    found = judge(metric, *digits, Gradient(), LRP(), CopiedEdges())
    names = dict(zip(found.names, found.value.tolist(), strict=True))
    assert names["test-copied-edges"] == 1
    assert found.control["edge"].tolist() == [1, 1, 1]
    assert found.control["constant"].tolist() == [1, 1, 1]
    assert not found.beats("test-copied-edges", "edge")
    assert found.beats("gradient", "edge")
    assert found.beats("lrp", "edge")
    assert names["gradient"] < 0.3
    assert names["lrp"] < 0.7
    assert abs(float(found.control["random"][0])) < 0.15


def test_input_times_gradient_keeps_the_order_of_the_input_as_adebayo_found(digits):
    found = judge(ParameterRandomisation(layers=1), *digits, InputXGradient())
    signed = judge(ParameterRandomisation(layers=1, absolute=False), *digits, InputXGradient())
    assert float(found.value) > 0.8
    assert float(signed.value) < 0.2


def test_the_value_is_the_last_stage_whatever_the_number_of_stages(digits):
    found = [judge(ParameterRandomisation(layers=layers), *digits, Gradient()) for layers in (1, 2, 10)]
    assert torch.equal(found[0].value, found[1].value)
    assert torch.equal(found[0].value, found[2].value)
    assert [result.curve.shape[1] for result in found] == [2, 3, 4]  # two convolutions and one layer on top
    assert torch.equal(found[1].curve[:, 0], torch.ones(4, dtype=torch.float64))
    assert torch.allclose(found[2].curve[0, -1], found[2].value[0])
    assert found[0].evaluations["B"] == 20


def test_independent_stages_are_averaged(digits):
    found = judge(ParameterRandomisation(layers=3, order="independent"), *digits, Gradient())
    assert float(found.value) == pytest.approx(float(found.curve[0, 1:].mean()))


@pytest.mark.parametrize("absolute", [True, False])
def test_the_gradient_of_a_linear_model_is_compared_with_the_new_weights(absolute):
    weights = rows(1, 40)
    subject, decision = linear(weights), pl.Decision(rows(2, 40))
    found = judge(ParameterRandomisation(redrawn="permuted", absolute=absolute), subject, decision, Gradient())
    asked = judged(subject, pl.Judgement([Gradient()(subject, decision)]))
    (other,) = randomised(subject, asked.inputs, 4, "cascading", "permuted", asked.seed)
    pair = [weights.flatten(), other.module.weight.detach().flatten()]
    expected = spearmanr(*(scores.abs() if absolute else scores for scores in pair)).statistic
    assert found.per_example[0].tolist() == pytest.approx([expected, expected])
    assert sorted(pair[0].tolist()) == sorted(pair[1].tolist())


def test_a_network_that_never_learned_is_like_any_other():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        module = nn.Sequential(nn.Linear(200, 50), nn.ReLU(), nn.Linear(50, 3)).double()
    found = judge(ParameterRandomisation(), pl.wrap(module, name="fresh"), pl.Decision(rows(20, 200)), Gradient())
    assert abs(float(found.value)) < 0.1
    assert found.interval[0, 0] < 0.05


def test_an_interrupted_stage_leaves_the_network_bit_by_bit_as_it_was():
    subject, decision = network(), pl.Decision(rows(2))
    answer = Gradient()(subject, decision)
    before, stamp = digest(dict(subject.module.state_dict())), subject.fingerprint
    calls = []

    def interrupt(module, given):
        calls.append(module)
        if module is not subject.module and len(calls) > 2:
            raise KeyboardInterrupt

    handle = subject.module.register_forward_pre_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        ParameterRandomisation()(subject, pl.Judgement([answer]))
    handle.remove()
    assert calls[-1] is not subject.module
    assert digest(dict(subject.module.state_dict())) == before
    assert subject.fingerprint == stamp
    assert torch.equal(Gradient()(subject, decision).scores, answer.scores)


def test_an_example_is_judged_the_same_alone_and_beside_others():
    subject, points = network(), rows(3)
    together = judge(ParameterRandomisation(), subject, pl.Decision(points), Gradient(), InputXGradient())
    alone = judge(ParameterRandomisation(), subject, pl.Decision(points[1:2]), InputXGradient())
    assert float(together.per_example[1, 1]) == pytest.approx(float(alone.value))


def test_words_of_a_text_are_compared_and_padding_is_not():
    subject = pl.load("lstm-sentiment")
    texts = ["a gripping and funny film", "dull"]
    together = judge(ParameterRandomisation(layers=1), subject, pl.Decision(texts), Gradient())
    alone = judge(ParameterRandomisation(layers=1), subject, pl.Decision(texts[:1]), Gradient())
    assert set(together.control) == {"constant", "random"}
    assert float(together.per_example[0, 0]) == pytest.approx(float(alone.value), abs=1e-6)
    assert float(together.per_example[0, 1]) in (0.0, 1.0)  # one word has no order


@pytest.mark.parametrize(("other", "expected"), [([1.0, 1, 1], 0), ([3.0, 2, 1], -1), ([10.0, 20, 30], 1)])
def test_a_map_without_order_resembles_itself_only(other, expected):
    alike = Resemblance(Features("element", torch.arange(3)[None]), "spearman", False)
    map = torch.tensor([[1.0, 2, 3]])
    assert float(alike(map, torch.tensor([other]))) == pytest.approx(expected)
    flat = torch.ones(1, 3)
    assert float(alike(flat, flat)) == 1


def test_structural_similarity_of_anything_but_pictures_is_refused():
    with pytest.raises(NotAnswerable, match="spearman"):
        judge(ParameterRandomisation(similarity="ssim"), network(), pl.Decision(rows(1)), Gradient())


def test_a_black_box_is_refused():
    subject = pl.wrap(lambda batch: batch.sum(1, keepdim=True), pl.tasks.TensorTask(output="value"), name="closed")
    answer = Occlusion()(subject, pl.Decision(rows(1).float()))
    with pytest.raises(NotAnswerable, match="needs weights"):
        ParameterRandomisation()(subject, pl.Judgement([answer]))
