"""FullGrad: all terms add up to the score, and the paper's map by its own steps."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

import pellucid as pl
from methods.class_activation.networks import PICTURES, asked, draws, rectified, seeded
from pellucid.methods import FullGrad, InputXGradient


class Residual(nn.Module):
    """Batch norms with statistics of their own, a module that is called twice, in-place ReLU, a sum, two poolings."""

    def __init__(self, activation=None):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.block, self.block_norm = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4, affine=False)
        self.relu, self.pool = activation or nn.ReLU(inplace=True), nn.MaxPool2d(2)
        self.hidden, self.head = nn.Linear(4, 6), nn.Linear(6, 3)
        for norm in (self.norm, self.block_norm):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
        nn.init.normal_(self.norm.weight)
        nn.init.normal_(self.norm.bias)

    def forward(self, pixels):
        features = self.pool(self.relu(self.norm(self.stem(pixels))))
        features = features + self.relu(self.block_norm(self.block(features)))
        again = self.block_norm(self.block(features))
        again += features
        return self.head(self.relu(self.hidden(self.relu(again).mean((2, 3)))))


def total(answer):
    absorbed = sum(answer.absorbed.values())
    return answer.scores.flatten(1).sum(1) + absorbed + answer.residual


@pytest.mark.parametrize("of", ["score", "log-probability"])
def test_terms_add_up_to_the_score_of_a_piecewise_linear_network(of):
    net = seeded(Residual)
    answer = asked(FullGrad(values="signed"), net, of=of, foil=2 if of == "score" else None)
    torch.testing.assert_close(total(answer), answer.value, rtol=0, atol=1e-12)
    if of == "score":
        assert float(answer.residual.abs().max()) < 1e-12
        assert answer.notes == ()
    else:  # The logarithm of a softmax is not linear, and no module of the network.
        assert float(answer.residual.abs().min()) > 1e-3
        assert "% of the score open" in answer.notes[-1]


SMOOTH = [nn.GELU, nn.SiLU, nn.ReLU6, nn.Tanh, nn.Hardswish, nn.LeakyReLU, lambda: nn.ELU(inplace=True)]


@pytest.mark.parametrize("activation", SMOOTH)
def test_activations_count_with_what_they_add_to_their_linear_part(activation):
    answer = asked(FullGrad(values="signed"), seeded(lambda: Residual(activation())), 3 * PICTURES)
    torch.testing.assert_close(answer.residual, torch.zeros(2).double(), rtol=0, atol=1e-12)
    torch.testing.assert_close(total(answer), answer.value, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "norm", [lambda: nn.GroupNorm(2, 4), lambda: nn.InstanceNorm2d(4), lambda: nn.LayerNorm([4, 8, 8])]
)
def test_norms_of_the_example_itself_count_too(norm):
    net = seeded(
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), norm(), nn.ReLU(), nn.Flatten(), nn.Linear(256, 2))
    )
    answer = asked(FullGrad(values="signed"), net)
    assert float(answer.residual.abs().max()) < 1e-10
    torch.testing.assert_close(total(answer), answer.value, rtol=0, atol=1e-10)


def test_functions_that_add_something_are_left_open():
    class Functional(Residual):
        def forward(self, pixels):
            return self.head(functional.softplus(self.hidden(functional.relu(self.stem(pixels)).mean((2, 3)))))

    net = seeded(Functional)
    answer = asked(FullGrad(values="signed"), net)
    hidden = net.hidden(functional.relu(net.stem(PICTURES)).mean((2, 3))).detach()
    added = functional.softplus(hidden) - hidden * hidden.sigmoid()
    torch.testing.assert_close(answer.residual, added @ net.head.weight[1].detach(), rtol=0, atol=1e-12)
    torch.testing.assert_close(total(answer), answer.value, rtol=0, atol=1e-12)
    assert "of the score open" in answer.notes[-1]


def test_biases_without_a_position_are_absorbed():
    net = seeded(lambda: nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2)))
    answer = asked(FullGrad(values="signed"), net)
    torch.testing.assert_close(answer.absorbed["biases without a position"], net[3].bias[1].detach().expand(2))
    torch.testing.assert_close(answer.scores, asked(InputXGradient(), net).scores, rtol=0, atol=1e-14)


def test_a_bias_acts_where_its_gradient_is():
    """One unit of a coarse map covers 4 × 4 pixels; what it adds is shared out around there, and nowhere else."""
    net = seeded(lambda: nn.Sequential(nn.Conv2d(3, 1, 4, stride=4), nn.Flatten(), nn.Linear(4, 2, bias=False)))
    net[0].weight.data.zero_()
    net[2].weight.data[1] = torch.tensor([1.0, 0, 0, 0])
    scores = asked(FullGrad(values="signed"), net, PICTURES[:1]).scores[0].sum(0)
    along = torch.tensor([1, 1, 0.875, 0.625, 0.375, 0.125, 0, 0]).double() / 4
    torch.testing.assert_close(scores, net[0].bias.detach() * along[:, None] * along, rtol=0, atol=1e-12)


def stretched(terms):
    amounts = terms.abs()
    low, high = amounts.flatten(1).amin(1), amounts.flatten(1).amax(1)
    return (amounts - low.view(-1, 1, 1, 1)) / (high - low).view(-1, 1, 1, 1)


def test_the_paper_adds_stretched_absolute_maps_of_input_and_layers():
    net = seeded(
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2)
        )
    )
    net[1].running_mean.uniform_(-1, 1)
    net[1].running_var.uniform_(0.5, 2)
    point = PICTURES.clone().requires_grad_()
    first = net[0](point)
    second = net[1](first)
    score = net[2:](second)[:, 1].sum()
    slopes = torch.autograd.grad(score, [point, first, second])
    scale = net[1].weight / (net[1].running_var + net[1].eps).sqrt()
    shift = net[1].bias - net[1].running_mean * scale
    expected = stretched(slopes[0] * PICTURES).sum(1, keepdim=True)
    for slope, bias in ((slopes[1], net[0].bias), (slopes[2], shift)):
        maps = stretched(slope * bias.view(1, -1, 1, 1)).sum(1, keepdim=True)
        expected = expected + functional.interpolate(maps, (8, 8), mode="bilinear", align_corners=False)
    answer = asked(FullGrad(), net)
    torch.testing.assert_close(answer.scores.sum(1, keepdim=True), expected.detach(), rtol=0, atol=1e-12)
    assert float(answer.residual.abs().max()) < 1e-12


def test_at_a_layer_the_account_begins_there():
    net = seeded(Residual)
    answer = asked(FullGrad(values="signed"), net, at="pool")
    assert answer.scores.shape == (2, 4, 4, 4)
    torch.testing.assert_close(total(answer), answer.value, rtol=0, atol=1e-12)
    assert float(answer.residual.abs().max()) < 1e-12
    bare = rectified()
    torch.testing.assert_close(
        asked(FullGrad(values="signed"), bare, at="1").scores, asked(InputXGradient(), bare, at="1").scores
    )


def test_rows_of_a_table_have_no_map_but_an_account():
    net = seeded(lambda: nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3))).float()
    subject = pl.wrap(net, pl.tasks.Tabular(list("abcde"), list("xyz")))
    answer = FullGrad(values="signed")(subject, pl.Decision(draws(2, 5).float(), target=1))
    torch.testing.assert_close(total(answer), answer.value, rtol=0, atol=1e-5)
    assert bool(answer.absorbed["biases without a position"].abs().min() > 1e-3)


class Padded(nn.Module):
    """A linear map at every position, and their mean over all of them, padding too."""

    def __init__(self):
        super().__init__()
        self.wide, self.head = nn.Linear(3, 4), nn.Linear(4, 2, bias=False)

    def forward(self, sequence):
        return self.head(self.wide(sequence).relu().mean(1))


def test_what_biases_do_at_padding_is_absorbed():
    net = seeded(Padded).float()
    net.wide.bias.data.fill_(1.0)
    subject = pl.wrap(net, pl.tasks.Sequence("abc", labels=("no", "yes")))
    answer = FullGrad(values="signed")(subject, pl.Decision(["abca", "cb"], target=1))
    expected = net.head(torch.ones(1, 4))[0, 1].detach() * 2 / 4
    assert answer.absorbed["biases at padding"].tolist() == pytest.approx([0, float(expected)], abs=1e-6)
    torch.testing.assert_close(total(answer), answer.value, rtol=0, atol=1e-6)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6))
def test_whatever_the_weights_terms_add_up(seed):
    answer = asked(FullGrad(values="signed"), seeded(Residual, seed), draws(1, 3, 8, 8, seed=seed))
    torch.testing.assert_close(total(answer), answer.value, rtol=1e-10, atol=1e-11)
    assert float(answer.residual.abs().max()) <= 1e-11 * (1 + float(answer.scores.abs().sum()))


def test_it_costs_one_backward_pass_and_batches_do_not_matter():
    net = seeded(Residual)
    whole = asked(FullGrad(), net)
    assert whole.evaluations == {"F": 2, "B": 2}
    with pl.byte_budget(1):
        torch.testing.assert_close(asked(FullGrad(), net).scores, whole.scores, rtol=0, atol=1e-12)
