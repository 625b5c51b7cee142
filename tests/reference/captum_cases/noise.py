"""Cases of averages over random baselines."""

import torch
from captum.testing.helpers.basic_models import (
    BasicLinearModel,
    BasicModel2,
    BasicModel_MultiLayer,
    BasicModel_MultiLayer_MultiInput,
)
from captum.testing.helpers.classification_models import SoftmaxModel

from reference.captum_cases.case import Case, Refused, attributed, drawn, seeded

LINE = torch.arange(80.0).view(2, 40)
BASELINES = torch.arange(160.0).view(4, 40)
SOFTMAX = seeded(SoftmaxModel, 40, 20, 10)
LINEAR = seeded(BasicLinearModel)
SEVEN = (torch.ones(10, 3), torch.ones(10, 4))
TUPLES = [(1, 0, 0), (0, 1, 1), (1, 1, 1), (0, 0, 0)]


def _gradient_shap():
    name, still = "GradientShap", (torch.zeros(20, 3), torch.zeros(20, 4))
    for samples in (5, 50):
        yield attributed(
            name,
            f"a linear model, {samples} draws",
            LINEAR,
            SEVEN,
            baselines=still,
            n_samples=samples,
            return_convergence_delta=True,
            tolerance=1e-5,
        )
    yield attributed(
        name,
        "a linear model, not times the way",
        LINEAR,
        SEVEN,
        baselines=tuple(baseline + 1 for baseline in still),
        options={"multiply_by_inputs": False},
        n_samples=50,
    )
    for title, baselines in (
        ("a tensor", BASELINES),
        ("a function", lambda: BASELINES),
        ("a function of the inputs", lambda inputs: torch.arange(2.0 * inputs.shape[1]).view(2, -1)),
    ):
        yield attributed(
            name,
            f"ten classes, {title} as baselines",
            SOFTMAX,
            LINE,
            baselines=baselines,
            target=torch.tensor(1),
            n_samples=100,
            stdevs=0.009,
            tolerance=0.05,
        )
    yield attributed(
        name,
        "a function that returns an array",
        SOFTMAX,
        LINE,
        baselines=lambda: BASELINES.numpy(),
        target=torch.tensor(1),
        differs="refused sooner",
        ours=Refused("baselines are tensors"),
    )
    pair = (torch.tensor([[3.0]]), torch.tensor([[1.0]]))
    yield attributed(
        name,
        "two numbers",
        BasicModel2,
        pair,
        baselines=(torch.zeros(1, 1), torch.zeros(1, 1)),
        n_samples=1500,
        expected=(torch.tensor([[1.5]]), torch.tensor([[-0.5]])),
        tolerance=0.01,
    )
    many = {"n_samples": 300, "stdevs": 0.0, "tolerance": 0.6}
    single = 0.5 * drawn(1, 3, seed=4)
    for title, target, more in (
        ("a target per example", [0, 1, 1, 0], {}),
        ("targets in outputs of four axes", TUPLES, {"additional_forward_args": (None, True)}),
        ("a tensor as target", torch.tensor([0]), {}),
        ("a tensor of targets", torch.tensor([0, 1, 1, 0]), {}),
    ):
        yield attributed(
            name, title, BasicModel_MultiLayer, drawn(4, 3), baselines=single, target=target, **many, **more
        )
    yield attributed(
        name,
        "several inputs",
        BasicModel_MultiLayer_MultiInput,
        (drawn(6, 3), drawn(6, 3, seed=1)),
        baselines=(drawn(1, 3, seed=2), drawn(1, 3, seed=3)),
        additional_forward_args=(drawn(6, 3, seed=5), 5),
        target=[0, 1, 1, 0, 0, 1],
        **{**many, "tolerance": 2.0},
    )


def _tunnels():
    """What the noise tunnel does beside averaging."""
    drawn_from = {"nt_samples": 60, "stdevs": 0.0, "draw_baseline_from_distrib": True}
    yield attributed(
        "IntegratedGradients",
        "baselines drawn from a distribution",
        LINEAR,
        SEVEN,
        noise=drawn_from,
        baselines=(drawn(5, 3).repeat(1, 1), drawn(5, 4)),
        tolerance=0.4,
    )
    yield attributed(
        "IntegratedGradients",
        "deltas of every copy",
        BasicModel_MultiLayer,
        drawn(4, 3),
        target=0,
        noise={"nt_samples": 3, "stdevs": 0.0, "return_convergence_delta": True},
        tolerance=1e-3,
    )
    yield attributed(
        "Saliency",
        "a kind of average that does not exist",
        BasicModel_MultiLayer,
        drawn(4, 3),
        target=0,
        noise={"nt_type": "median"},
        differs="refused sooner",
        ours=Refused("there is no nt_type 'median'"),
    )
    yield attributed(
        "Saliency",
        "a deviation per input",
        BasicModel2,
        (torch.tensor([3.0]), torch.tensor([1.0])),
        noise={"nt_samples": 5, "stdevs": (0.01, 0.0)},
        tolerance=1e-4,
    )
    yield Case("NoiseTunnel", "its name and whether it multiplies", _told, expected=torch.ones(3), tolerance=0.0)


def _told(names):
    tunnel = names.NoiseTunnel(names.IntegratedGradients(BasicModel2()))
    found = [tunnel.multiplies_by_inputs, tunnel.has_convergence_delta(), tunnel.get_name() == "Noise Tunnel"]
    return torch.tensor(found).float()


CASES = (*_gradient_shap(), *_tunnels())
