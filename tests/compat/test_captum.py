"""Captum's call shapes on our engine: closed forms, several inputs, what is refused, and nothing left behind."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from pellucid.compat import captum as compat
from pellucid.core.errors import NotAnswerable, PellucidError, UsageError

WEIGHTS = torch.tensor([[2.0, -1.0, 0.5], [1.0, 3.0, -2.0]], dtype=torch.float64)
FIRST = torch.tensor([[1.0, 2.0, 3.0], [-1.0, 0.5, 4.0]], dtype=torch.float64)
SECOND = torch.arange(8, dtype=torch.float64).view(2, 2, 2)
COMPLETE = (
    "InputXGradient",
    "IntegratedGradients",
    "DeepLift",
    "LRP",
    "FeatureAblation",
    "ShapleyValueSampling",
    "KernelShap",
)
AT_LAYERS = ("LayerGradCam", "LayerIntegratedGradients", "LayerConductance")


class Two(nn.Module):
    """W x of three numbers, plus the sum of a second input times an argument."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 2, bias=False).double()
        self.linear.weight.data = WEIGHTS.clone()

    def forward(self, first, second=None, factor=1):
        scores = self.linear(first)
        return scores if second is None else scores + factor * second.flatten(1).sum(1, keepdim=True)


class Curved(nn.Module):
    """Two linear maps with a rectifier in between, so that every name has something to say."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.conv, self.relu, self.head = nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.relu(self.conv(x)).flatten(1))


PICTURE = torch.linspace(-1, 1, 32).view(2, 1, 4, 4)


def asked(name, network):
    """A call of every name that works on pictures."""
    layer = (network.relu,) if name.startswith(("Layer", "Neuron")) or name == "GuidedGradCam" else ()
    attribution = getattr(compat, name)(network, *layer)
    more = {
        "Occlusion": {"sliding_window_shapes": (1, 2, 2)},
        "GradientShap": {"baselines": torch.zeros(3, 1, 4, 4)},
        "KernelShap": {
            "feature_mask": torch.arange(4).view(1, 1, 2, 2).repeat_interleave(2, 2).repeat_interleave(2, 3)
        },
        "NeuronGradient": {"neuron_selector": (1, 0, 0)},
    }.get(name, {})
    target = {} if name in ("LayerActivation", "NeuronGradient") else {"target": 1}
    return lambda **changed: attribution.attribute(PICTURE, **{**target, **more, **changed})


CLASSES = sorted(set(compat.__all__) - {"NoiseTunnel", "infidelity", "sensitivity_max"})


def test_captum_is_not_needed():
    code = "import sys; sys.modules['captum'] = None; from pellucid.compat.captum import IntegratedGradients"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", COMPLETE)
def test_of_a_linear_model_scores_are_weight_times_input_whatever_the_method(name):
    scores = getattr(compat, name)(Two()).attribute(FIRST, target=[0, 1])
    torch.testing.assert_close(scores, WEIGHTS * FIRST, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", COMPLETE)
def test_several_inputs_come_back_as_a_tuple_of_their_shapes(name):
    more = {"n_samples": 200} if name == "KernelShap" else {}
    scores = getattr(compat, name)(Two()).attribute((FIRST, SECOND), target=1, additional_forward_args=3, **more)
    assert isinstance(scores, tuple)
    torch.testing.assert_close(scores[0], WEIGHTS[1] * FIRST, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(scores[1], 3 * SECOND, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", COMPLETE)
def test_an_attribution_can_be_asked_again_with_other_shapes_and_arguments(name):
    attribution = getattr(compat, name)(Two())
    attribution.attribute(FIRST, target=0)
    found = attribution.attribute((FIRST[:1], SECOND[:1]), target=0, additional_forward_args=2)
    torch.testing.assert_close(found[1], 2 * SECOND[:1], rtol=1e-6, atol=1e-7)
    found = attribution.attribute((FIRST[:1], SECOND[:1]), target=0, additional_forward_args=5)
    torch.testing.assert_close(found[1], 5 * SECOND[:1], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("target", [1, [1, 1], torch.tensor([1, 1]), torch.tensor(1), (1,), -1, [(1,), (1,)]])
def test_targets_of_any_form_mean_the_same(target):
    scores = compat.Saliency(Two()).attribute(FIRST, target=target, abs=False)
    torch.testing.assert_close(scores, WEIGHTS[1].expand(2, 3))


@pytest.mark.parametrize("target", [None, 2, (0, 0), [0], "first", True])
def test_targets_that_name_no_output_are_refused(target):
    with pytest.raises(UsageError, match="target"):
        compat.Saliency(Two()).attribute(FIRST, target=target)


@pytest.mark.parametrize("baselines", [None, 0, 0.5, torch.full((1, 3), 0.5), FIRST / 2])
def test_baselines_of_any_form_are_where_the_rise_begins(baselines):
    start = 0.0 if baselines is None else baselines
    scores, delta = compat.IntegratedGradients(Two()).attribute(FIRST, baselines, 0, return_convergence_delta=True)
    torch.testing.assert_close(scores, WEIGHTS[0] * (FIRST - start))
    assert delta.abs().max() < 1e-12


def test_functions_that_are_no_modules_are_explained_in_their_own_precision():
    scores = compat.Saliency(lambda x: (x**3).sum(1)).attribute(FIRST)
    torch.testing.assert_close(scores, 3 * FIRST**2, rtol=1e-14, atol=0)


def test_a_layer_can_lie_in_a_module_that_a_function_calls():
    network = Curved()
    found = compat.LayerActivation(lambda x: network(x)[:, :1], network.conv).attribute(PICTURE)
    torch.testing.assert_close(found, network.conv(PICTURE).detach())


def test_groups_share_across_inputs_and_each_element_gets_the_whole():
    masks = (torch.tensor([[0, 0, 1]]), torch.tensor([[[1, 2], [2, 2]]]))
    first, second = compat.FeatureAblation(Two()).attribute((FIRST, SECOND), target=0, feature_mask=masks)
    parts = WEIGHTS[0] * FIRST
    together = parts[:, 2] + SECOND[:, 0, 0]
    torch.testing.assert_close(first, torch.stack([parts[:, 0] + parts[:, 1]] * 2 + [together], 1))
    torch.testing.assert_close(second[:, 0, 0], together)
    torch.testing.assert_close(second[:, 1, 1], SECOND[:, 0, 1] + SECOND[:, 1, 0] + SECOND[:, 1, 1])


@pytest.mark.parametrize("kind", ["smoothgrad", "smoothgrad_sq", "vargrad"])
def test_noise_averages_what_the_attribution_says(kind):
    model, samples = lambda x: (x**2).sum(1), 400
    found = compat.NoiseTunnel(compat.Saliency(model)).attribute(FIRST, kind, samples, stdevs=0.1, abs=False)
    right = {"smoothgrad": 2 * FIRST, "smoothgrad_sq": 4 * FIRST**2 + 0.04, "vargrad": torch.full_like(FIRST, 0.04)}
    error = {"smoothgrad": 0.2, "smoothgrad_sq": 4 * FIRST.abs().max() * 0.2, "vargrad": 0.06}[kind]
    assert (found - right[kind]).abs().max() < 5 * error / samples**0.5
    again = compat.NoiseTunnel(compat.Saliency(model)).attribute(FIRST[1:], kind, samples, stdevs=0.1, abs=False)
    assert torch.equal(again, found[1:])  # whatever the neighbours


def test_draws_follow_the_seed_of_torch():
    with torch.random.fork_rng():
        found = []
        for seed in (1, 1, 2):
            torch.manual_seed(seed)
            torch.rand(seed)
            found.append(compat.NoiseTunnel(compat.InputXGradient(Two())).attribute(FIRST, target=0))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_gradient_shap_returns_what_each_draw_misses():
    baselines = torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]], dtype=torch.float64)
    scores, delta = compat.GradientShap(Two()).attribute(
        FIRST, baselines, n_samples=4, target=0, return_convergence_delta=True
    )
    torch.testing.assert_close(scores, WEIGHTS[0] * (FIRST - 0.5))  # each baseline in turn
    assert delta.shape == (8,)
    assert delta.abs().max() < 1e-12


def test_infidelity_is_zero_where_scores_tell_what_happens_and_the_square_of_what_they_miss_elsewhere():
    def halved(inputs):
        return inputs / 2, inputs / 2

    slopes = WEIGHTS[:1].expand(2, 3)
    assert compat.infidelity(Two(), halved, FIRST, slopes, target=0).abs().max() < 1e-20
    missed = compat.infidelity(Two(), halved, FIRST, 0 * slopes, target=0)
    torch.testing.assert_close(missed, (FIRST @ WEIGHTS[0] / 2) ** 2)
    assert compat.infidelity(Two(), halved, FIRST, 7 * slopes, target=0, normalize=True).abs().max() < 1e-20


def test_sensitivity_is_the_largest_relative_change():
    found = compat.sensitivity_max(lambda x: x, FIRST, lambda x, radius: x + radius, perturb_radius=0.5)
    torch.testing.assert_close(found, (0.75**0.5) / FIRST.norm(dim=1))
    assert compat.sensitivity_max(compat.Saliency(Two()).attribute, FIRST, target=0).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda: compat.DeepLift(Two(), eps=1e-3), "eps is not supported"),
        (lambda: compat.Lime(Two(), similarity_func=max), "pl.methods.Lime"),
        (lambda: compat.LayerActivation(Two(), "linear"), "one module as layer"),
        (lambda: compat.LayerActivation(Two(), nn.ReLU(), device_ids=[0]), "device_ids is not supported"),
        (lambda: compat.LRP(Two()).attribute(FIRST, target=0, verbose=True), "verbose is not supported"),
        (lambda: compat.IntegratedGradients(Two()).attribute(FIRST, target=0, n_steps=0), "at least 1"),
        (lambda: compat.IntegratedGradients(Two()).attribute(FIRST, target=0, method="simpson"), "no rule 'simpson'"),
        (lambda: compat.IntegratedGradients(Two()).attribute(FIRST, torch.zeros(5, 3), 0), "does not fit"),
        (lambda: compat.KernelShap(Two()).attribute(FIRST, target=0, n_samples=3), "n_samples=3 is too few"),
        (lambda: compat.FeatureAblation(Two()).attribute(FIRST, target=0, feature_mask=torch.tensor([[-1, 0, 1]])), "from 0"),
        (lambda: compat.FeatureAblation(Two()).attribute(FIRST, target=0, perturbations_per_eval=0), "at least 1"),
        (lambda: compat.FeatureAblation(Two()).attribute(FIRST, target=0, weights=1), "weights is not supported"),
        (lambda: compat.Occlusion(Two()).attribute(FIRST, (1,), (2,), target=0), "leave gaps"),
        (lambda: compat.NoiseTunnel(compat.Saliency(Two())).attribute(FIRST, "median", target=0), "no nt_type"),
        (lambda: compat.NoiseTunnel(Two()), "takes an attribution"),
        (lambda: compat.Saliency(3), "a module or a function"),
        (lambda: compat.LRP(lambda x: x), "give the module itself"),
        (lambda: compat.Saliency(Two()).attribute([1.0, 2.0], target=0), "must be a tensor"),
        (lambda: compat.Saliency(Two()).attribute((FIRST, SECOND[:1]), target=0), "number of examples"),
    ],
)  # fmt: skip
def test_what_cannot_be_honoured_is_refused_with_the_way_out(ask, words):
    with pytest.raises(UsageError, match=words):
        ask()


class Ruled:
    """A rule as captum's are: known by its name and its fields."""

    def __init__(self, name, **fields):
        self.__class__ = type(name, (), {})
        self.__dict__.update(fields)


def test_rules_that_layers_hold_are_read_by_their_names():
    network = nn.Sequential(nn.Linear(2, 1, bias=False), nn.ReLU())
    network[0].weight.data = torch.tensor([[1.0, 3.0]])
    network[0].rule = Ruled("EpsilonRule", STABILITY_FACTOR=4.0)
    point = torch.tensor([[1.0, 1.0]])
    torch.testing.assert_close(compat.LRP(network).attribute(point), torch.tensor([[0.5, 1.5]]))
    network[0].weight.data = torch.tensor([[-1.0, 3.0]])
    network[0].rule = Ruled("Alpha1_Beta0_Rule", set_bias_to_zero=False)
    torch.testing.assert_close(compat.LRP(network).attribute(point), torch.tensor([[0.0, 2.0]]))
    network[1].rule = Ruled("GammaRule", gamma=0.25, set_bias_to_zero=False)
    with pytest.raises(UsageError, match="GammaRule of a ReLU has no weights"):
        compat.LRP(network).attribute(point)


def test_names_in_words_are_captums():
    assert compat.InputXGradient(Two()).get_name() == "Input X Gradient"
    assert compat.LRP(Two()).get_name() == "LRP"


def test_whole_numbers_have_no_gradient_but_can_be_hidden():
    words = torch.tensor([[1, 2, 3], [0, 1, 0]])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        table = nn.Embedding(4, 2)
    model = lambda x: table(x).sum((1, 2))  # noqa: E731
    with pytest.raises(NotAnswerable, match="whole numbers"):
        compat.Saliency(model).attribute(words)
    worth = table.weight.detach().sum(1)
    torch.testing.assert_close(compat.FeatureAblation(model).attribute(words), worth[words] - worth[0])


def test_a_model_that_mixes_its_batch_has_no_gradient_per_example():
    model = lambda x: x.sum()  # noqa: E731
    with pytest.raises(NotAnswerable, match="one number per example"):
        compat.Saliency(model).attribute(FIRST)
    torch.testing.assert_close(compat.FeatureAblation(model).attribute(FIRST), FIRST.sum(0, keepdim=True))


def test_a_layer_that_is_called_twice_names_no_one_place():
    square = nn.Linear(2, 2)
    with pytest.raises(NotAnswerable, match="more than once"):
        compat.LayerActivation(nn.Sequential(square, square), square).attribute(torch.ones(1, 2))


def state(network):
    """Everything of a network that an explanation could leave changed."""
    hooks = [
        (len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks), m.training, sorted(m.__dict__))
        for m in network.modules()
    ]
    return hooks, [p.grad for p in network.parameters()], [p.requires_grad for p in network.parameters()]


@pytest.mark.parametrize("name", CLASSES)
def test_nothing_is_left_on_the_model(name):
    network = Curved().train()
    network.relu.eval()
    before, weights = state(network), [p.clone() for p in network.parameters()]
    point = PICTURE.clone()
    asked(name, network)()
    assert state(network) == before
    assert all(torch.equal(p, q) for p, q in zip(network.parameters(), weights, strict=True))
    assert torch.equal(PICTURE, point)
    assert not PICTURE.requires_grad


@pytest.mark.parametrize("name", CLASSES)
def test_nothing_is_left_on_the_model_after_an_exception(name):
    network = Curved().train()
    network.relu.eval()
    before = state(network)
    network.head.forward = broken
    with pytest.raises(PellucidError, match="the head is broken"):
        asked(name, network)()
    del network.head.forward
    assert state(network) == before


def broken(x):
    raise RuntimeError("the head is broken")
