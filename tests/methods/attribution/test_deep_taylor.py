"""Deep Taylor decomposition: the closed forms of one neuron, consistency of whole networks, and where it is not defined."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

import pellucid as pl
from engine.networks import explained, seeded
from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.engine.rules import Composite, Epsilon, Norm
from pellucid.methods.attribution.deep_taylor import DeepTaylor


def linear(weight, bias=None):
    module = nn.Linear(len(weight[0]), len(weight), bias=bias is not None).double()
    module.weight.data = torch.tensor(weight, dtype=torch.float64)
    if bias is not None:
        module.bias.data = torch.tensor(bias, dtype=torch.float64)
    return module


def row(*values):
    return torch.tensor([values], dtype=torch.float64)


def scores(network, point, at="input", target=0, **fields):
    return DeepTaylor(**fields)(pl.wrap(network), pl.Decision(point, target=target, at=at)).scores


NEURON = nn.Sequential(linear([[1.0, -2.0, 0.5]], [-0.25]), nn.ReLU())


def test_one_neuron_between_other_rectifiers_is_shared_by_the_z_plus_rule():
    network = nn.Sequential(nn.ReLU(), *NEURON)
    network = nn.Sequential(linear(torch.eye(3).tolist()), *network)
    point = row(2.0, 0.5, 1.0)
    found = scores(network, point, at="1")
    torch.testing.assert_close(found, row(2.0, 0.0, 0.5) / 2.5 * network(point).item())


def test_one_neuron_on_bounded_inputs_is_shared_by_the_z_box_rule():
    point = row(2.0, -1.0, 1.0)
    low, high = -3.0, 3.0
    terms = row(2.0 + 3.0, -2 * (-1.0 - 3.0), 0.5 * (1.0 + 3.0))
    found = scores(NEURON, point, low=low, high=high)
    torch.testing.assert_close(found, terms / terms.sum() * NEURON(point).item())


def test_the_published_box_relevances_come_out_of_two_neurons():
    network = linear([[1, -2, 0.5], [-1, 3, 2]], [0.5, -1])
    point = row(2.0, -1.0, 1.0)
    first, second = (scores(network, point, target=number, low=-3.0, high=3.0) for number in (0, 1))
    expected = row(13 / 15, 0.8, -2 / 3)
    torch.testing.assert_close(first * 3 / 5 + second * 2 / 4, expected, rtol=1e-7, atol=0)


def test_one_neuron_on_unbounded_inputs_is_shared_by_the_w_square_rule():
    point = row(2.0, -1.0, 1.0)
    found = scores(NEURON, point)
    torch.testing.assert_close(found, row(1.0, 4.0, 0.25) / 5.25 * NEURON(point).item())


def test_pooled_neurons_get_what_they_add():
    class Pooled(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden, self.relu = linear(torch.eye(4).tolist()), nn.ReLU()

        def forward(self, point):
            return self.relu(self.hidden(point)).sum(1, keepdim=True)

    point = row(3.0, -1.0, 0.0, 1.0)
    torch.testing.assert_close(scores(Pooled(), point, at="relu"), row(3.0, 0.0, 0.0, 1.0))


def test_a_mean_gives_only_to_terms_that_raise_it():
    class Mean(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden = linear([[1.0, 0.0], [0.0, 1.0]])

        def forward(self, point):
            return self.hidden(point).mean(1, keepdim=True)

    torch.testing.assert_close(scores(Mean(), row(3.0, -2.0)), row(0.5, 0.0))


def test_two_layers_written_out():
    network = seeded(lambda: nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)))
    network[0].bias.data = -network[0].bias.data.abs()
    network[2].bias.data = -network[2].bias.data.abs()
    point = torch.rand(5, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64) * 2 - 1
    hidden = network[1](network[0](point)).detach()
    plus = network[2].weight.data[1].clamp(min=0)
    shares = (hidden * plus / (hidden * plus).sum(1, keepdim=True)).nan_to_num()
    above = shares * network(point)[:, 1:2].detach()
    weight = network[0].weight.data
    up, down = weight.clamp(min=0), weight.clamp(max=0)
    terms = (point[:, None] + 1) * up + (point[:, None] - 1) * down
    boxed = (terms / terms.sum(2, keepdim=True) * above[:, :, None]).sum(1)
    torch.testing.assert_close(scores(network, point, target=1, low=-1.0, high=1.0), boxed, rtol=1e-9, atol=1e-12)
    squared = (weight**2 / (weight**2).sum(1, keepdim=True) * above[:, :, None]).sum(1)
    torch.testing.assert_close(scores(network, point, target=1), squared, rtol=1e-9, atol=1e-12)


class Residual(nn.Module):
    """A convolution, a block beside an identity, maximum and mean pooling: rectifiers only."""

    def __init__(self):
        super().__init__()
        self.stem, self.block = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.norm, self.head = nn.BatchNorm2d(4), nn.Linear(4 * 4, 3)

    def forward(self, pixels):
        found = functional.relu(self.norm(self.stem(pixels)))
        found = functional.max_pool2d((found + self.block(found)).relu_(), 2)
        return self.head(functional.avg_pool2d(found, 2).flatten(1)).relu()


def consistent(network, point, **fields):
    """Whether no relevance is negative and all of it is the score, for the class with the largest score."""
    found = DeepTaylor(**fields)(pl.wrap(network), pl.Decision(point))
    positive = bool((found.scores >= 0).all())
    return positive and torch.allclose(found.scores.flatten(1).sum(1), found.value.double(), rtol=1e-9, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    widths=st.lists(st.integers(1, 9), min_size=0, max_size=4),
    bounded=st.booleans(),
    pool=st.booleans(),
)
def test_without_positive_biases_relevance_is_positive_and_conserved(seed, widths, bounded, pool):
    torch.manual_seed(seed)
    layers, inputs = [], 6
    for width in (*widths, 3):
        layers += [nn.Linear(inputs, width * (2 if pool else 1)), nn.ReLU(), *[nn.MaxPool1d(2)][: int(pool)]]
        inputs = width
    network = nn.Sequential(*layers).double()
    for module in network.modules():
        if isinstance(module, nn.Linear):
            module.bias.data = -module.bias.data.abs() / 5
    fields = {"low": -1.0, "high": 1.0} if bounded else {}
    assert consistent(network, torch.rand(3, 6, dtype=torch.float64) * 2 - 1, **fields)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), bounded=st.booleans())
def test_convolutions_residual_sums_and_pooling_keep_it_positive_and_conserved(seed, bounded):
    network = seeded(Residual, seed)
    network.norm.bias.data = network.norm.running_mean * network.norm.weight / (network.norm.running_var + 1e-5).sqrt()
    for module in (network.stem, network.block, network.head):
        module.bias.data.zero_()
    fields = {"low": -1.0, "high": 1.0} if bounded else {}
    point = torch.rand(2, 2, 8, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1
    assert consistent(network, point, **fields)


def test_a_residual_sum_gives_only_to_terms_that_raise_it():
    class Skip(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden, self.branch = linear([[1.0, 0.0], [0.0, 1.0]]), linear([[0.0, -0.5], [0.0, 0.5]])

        def forward(self, point):
            found = self.hidden(point).relu()
            return (found + self.branch(found)).relu().sum(1, keepdim=True)

    point = row(1.0, 1.0)
    found = DeepTaylor()(pl.wrap(Skip()), pl.Decision(point))
    assert found.value.item() == 2
    torch.testing.assert_close(found.scores, row(0.5, 1.5))
    plain = Composite("proportion", Epsilon(0.0), sum=Norm(0.0))
    torch.testing.assert_close(explained(Skip(), point, plain).scores, row(1.0, 1.0), rtol=1e-5, atol=0)


def test_positive_biases_absorb_their_share_or_are_left_out():
    network = nn.Sequential(linear([[1.0, 0.0], [0.0, 1.0]]), nn.ReLU(), linear([[1.0, 1.0]], [2.0]))
    point = row(1.0, 3.0)
    absorbed = DeepTaylor()(pl.wrap(network), pl.Decision(point))
    assert absorbed.absorbed["bias"].item() == pytest.approx(2)
    torch.testing.assert_close(absorbed.scores, row(1.0, 3.0))
    assert absorbed.reaching.item() == pytest.approx(4 / 6)
    assert "biases are positive" in absorbed.notes[-1]
    ignored = DeepTaylor(biases="ignore")(pl.wrap(network), pl.Decision(point))
    torch.testing.assert_close(ignored.scores, row(1.5, 4.5))
    assert ignored.reaching.item() == pytest.approx(1)
    assert not ignored.notes


def test_a_value_beyond_its_bounds_moves_them():
    inside = scores(NEURON, row(2.0, -1.0, 1.0), low=-1.0, high=2.0)
    beyond = scores(NEURON, row(2.0, -1.0, 1.0), low=-0.5, high=1.5)
    assert (beyond >= 0).all()
    assert not torch.equal(inside, beyond)
    expected = row(1.0 * 2.5, -2.0 * (-1.0 - 1.5), 0.5 * 1.5)
    torch.testing.assert_close(beyond, expected / expected.sum() * NEURON(row(2.0, -1.0, 1.0)).item())


def test_bounds_that_values_moved_stay_with_their_example_in_any_batch():
    points = torch.cat([row(2.0, -1.0, 1.0), row(9.0, -0.2, 1.0), row(1.0, 0.0, -7.0)])
    method, query = DeepTaylor(low=-1.0, high=1.0), pl.Decision(points, target=0)
    whole = method(pl.wrap(NEURON), query)
    with pl.byte_budget(1):
        parts = method(pl.wrap(NEURON), query)
    torch.testing.assert_close(parts.scores, whole.scores)
    for number in range(3):
        torch.testing.assert_close(
            whole.scores[number], scores(NEURON, points[number : number + 1], low=-1.0, high=1.0)[0]
        )


def test_a_foil_is_subtracted_and_a_negative_score_is_said_to_be_one():
    network = linear([[1.0, 2.0], [3.0, -1.0]])
    point = row(1.0, 1.0)
    both = DeepTaylor()(pl.wrap(network), pl.Decision(point, target=0, foil=1))
    one, other = (scores(network, point, target=number) for number in (0, 1))
    torch.testing.assert_close(both.scores, one - other)
    assert "both signs" in both.notes[-1]
    negative = DeepTaylor()(pl.wrap(network), pl.Decision(row(-1.0, -1.0), target=0))
    assert negative.value.item() == -3
    assert negative.quality["positive"].item() == 1
    assert "no evidence to decompose" in negative.notes[-1]


def test_relevance_that_has_not_the_sign_of_the_score_is_told():
    norm = nn.BatchNorm1d(2, eps=0.0).double()
    norm.bias.data = torch.tensor([-2.0, 0.0], dtype=torch.float64)
    network = nn.Sequential(linear([[1.0, 0.0], [0.0, 1.0]]), nn.ReLU(), norm, linear([[-1.0, 1.0]])).eval()
    found = DeepTaylor()(pl.wrap(network), pl.Decision(row(1.0, 3.0)))
    torch.testing.assert_close(found.scores, row(-1.0, 3.0))
    assert found.quality["positive"].item() < 0.99
    assert "not consistent" in found.notes[-1]


BETWEEN = {
    "aten.sigmoid": nn.Sigmoid(),
    "aten.gelu": nn.GELU(),
    "aten.leaky_relu": nn.LeakyReLU(),
    "aten.hardtanh": nn.Hardtanh(),
    "aten.native_layer_norm": nn.LayerNorm(4),
    "aten._softmax": nn.Softmax(1),
    "aten.threshold": nn.Threshold(0.0, -1.0),
}


@pytest.mark.parametrize("name", BETWEEN)
def test_what_is_no_rectifier_is_refused_by_name_and_place(name):
    network = seeded(lambda: nn.Sequential(nn.Linear(4, 4), BETWEEN[name], nn.Linear(4, 2)))
    with pytest.raises(NotAnswerable, match=rf"not {name}, called in '1'.*ask lrp"):
        DeepTaylor()(pl.wrap(network), pl.Decision(row(1.0, 2.0, 3.0, 4.0)))


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (lambda found: -found, "no rectifier"),
        (lambda found: found * -2, "changes the sign"),
        (lambda found: found * found, "both depend on the input"),
        (lambda found: found @ found.mT @ found, "both depend on the input"),
        (lambda found: found.clamp(max=1.0), "no rectifier"),
    ],
)
def test_functions_are_looked_at_as_modules_are(step, reason):
    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden, self.head = nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, point):
            return self.head(step(self.hidden(point)))

    with pytest.raises(NotAnswerable, match=reason):
        DeepTaylor()(pl.wrap(seeded(Network)), pl.Decision(row(1.0, 2.0, 3.0, 4.0)))


@pytest.mark.parametrize(
    "rectifier", [nn.ReLU6(), nn.Hardtanh(0.0, 2.0), nn.Threshold(0.0, 0.0), nn.ReLU(inplace=True), nn.Dropout()]
)
def test_every_rectifier_is_one(rectifier):
    network = seeded(
        lambda: nn.Sequential(nn.Linear(4, 4, bias=False), nn.ReLU(), rectifier, nn.Linear(4, 2, bias=False))
    )
    assert consistent(nn.Sequential(network, nn.ReLU()), row(1.0, 2.0, 3.0, 4.0))


def test_what_does_not_lead_to_the_score_may_be_anything():
    class Aside(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden, self.seen = nn.Linear(4, 2), None

        def forward(self, point):
            self.seen = point.sigmoid()
            return self.hidden(point).relu()

    assert consistent(seeded(Aside), row(1.0, 2.0, 3.0, 4.0))


def test_one_bound_alone_is_refused():
    with pytest.raises(UsageError, match="both low= and high="):
        DeepTaylor(low=0.0)


def test_pictures_are_boxed_by_their_task_and_tables_without_reference_are_not():
    picture = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    digits = pl.load("digits-cnn")
    by_task = DeepTaylor()(digits, pl.Decision(picture, target=3)).scores
    assert torch.equal(by_task, DeepTaylor(low=0.0, high=1.0)(digits, pl.Decision(picture, target=3)).scores)
    network = seeded(lambda: nn.Linear(3, 2))
    free = pl.wrap(network, pl.tasks.Tabular(("a", "b", "c")))
    weight = network.weight.data[0] ** 2
    found = DeepTaylor()(free, pl.Decision([[1.0, 2.0, 3.0]], target=0))
    torch.testing.assert_close(found.scores[0].double(), (weight / weight.sum() * found.value), rtol=1e-5, atol=1e-7)
