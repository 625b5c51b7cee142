"""CLEAR: the largest response of several classes at each place, whatever method gives the responses."""

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from torch import nn

import pellucid as pl
from engine.networks import seeded
from pellucid.core.catalogue import build
from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.core.query import Unit
from pellucid.methods import LRP, Clear, Gradient, InputXGradient, Occlusion
from pellucid.tasks.tensor import TensorTask


def linear(weight):
    module = nn.Linear(len(weight[0]), len(weight), bias=False).double()
    module.weight.data = torch.tensor(weight).double()
    return module


WEIGHT = [[2.0, -1.0, 0.0], [1.0, 1.0, -1.0], [-3.0, 0.5, 2.0]]


class Stripes(nn.Module):
    """Logits of vertical and of horizontal stripes and of even grey: one detector each, averaged over the picture."""

    def __init__(self):
        super().__init__()
        self.filters = nn.Conv2d(1, 3, 2, bias=False)
        self.filters.weight.data = torch.tensor([[[[1.0, -1], [1, -1]]], [[[1, 1], [-1, -1]]], [[[1, 1], [1, 1]]]])

    def forward(self, pixels):
        return self.filters(pixels).relu().mean((2, 3)) * torch.tensor([1.0, 1.0, 0.01])


def stripes():
    """Vertical stripes in the left half, horizontal ones in the right."""
    rows, columns = torch.meshgrid(torch.arange(16), torch.arange(16), indexing="ij")
    return torch.where(columns < 8, columns % 2, rows % 2).float()[None, None]


def halves_won(answer, left, right):
    """Of the dominant response in each half, the share where that half's class dominates."""
    response, classes = answer.dominant_response[0, 0].clamp(min=0), answer.dominant_class[0, 0]
    middle = response.shape[1] // 2
    parts = (response[:, :middle], classes[:, :middle], left), (response[:, middle:], classes[:, middle:], right)
    return [float(mass[won == number].sum() / mass.sum()) for mass, won, number in parts]


def test_of_a_linear_map_the_dominant_class_has_the_largest_term():
    subject = pl.wrap(linear(WEIGHT))
    found = Clear(inner=InputXGradient())(subject, pl.Decision(torch.tensor([[1.0, -2.0, 0.5]]).double()))
    assert found.classes.tolist() == [[0, 1, 2]]
    terms = torch.tensor([[2.0, 2.0, 0.0], [1.0, -2.0, -0.5], [-3.0, -1.0, 1.0]]).double()
    torch.testing.assert_close(found.responses[0], terms[found.classes[0]], rtol=1e-12, atol=0)
    assert found.dominant_response.tolist() == [[2.0, 2.0, 1.0]]
    assert found.dominant_class.tolist() == [[0, 0, 2]]
    assert found.value[0].tolist() == terms.sum(1)[found.classes[0]].tolist()
    assert found.shares()[0][found.classes[0].tolist().index(0)].item() == pytest.approx(0.8)


@pytest.mark.parametrize("inner", [LRP(composite="epsilon"), Gradient(), Occlusion()], ids=lambda inner: inner.spec.id)
def test_the_dominant_response_is_the_largest_of_what_the_inner_method_says_of_each_class_alone(inner):
    layers = lambda: nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 4))  # noqa: E731
    subject = pl.wrap(seeded(layers))
    points = torch.randn(3, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = Clear(inner=inner, classes=(3, 0, 2))(subject, pl.Decision(points))
    alone = torch.stack([inner(subject, pl.Decision(points, target=number)).scores for number in (3, 0, 2)], 1)
    torch.testing.assert_close(found.responses, alone, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(found.dominant_response, alone.amax(1), rtol=1e-6, atol=1e-9)
    assert torch.equal(found.dominant_class, torch.tensor([3, 0, 2])[alone.argmax(1)])


def test_every_half_is_dominated_by_its_own_class_on_a_network_where_that_is_known():
    subject = pl.wrap(Stripes().eval(), pl.tasks.Image(16, mean=(0.0,), deviation=(1.0,)))
    shares = halves_won(Clear()(subject, pl.Decision(stripes())), 0, 1)
    assert min(shares) >= 0.9
    mirrored = halves_won(Clear()(subject, pl.Decision(stripes().transpose(2, 3).flip(3))), 1, 0)
    assert min(mirrored) < 0.9  # transposed stripes lie above each other: the halves are not told by their side


@pytest.mark.slow
def test_of_two_photographs_side_by_side_each_is_dominated_by_its_own_class():
    whole = Image.new("RGB", (448, 224))
    for number, name in enumerate(("cat", "coffee")):
        picture = Image.fromarray(getattr(data, name)())
        side = min(picture.size)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        square = picture.crop((left, top, left + side, top + side)).resize((224, 224))
        whole.paste(square, (224 * number, 0))
    found = Clear(classes=(285, 967))(pl.load("efficientnet-lite0"), pl.Decision(np.asarray(whole)))
    assert min(halves_won(found, 285, 967)) >= 0.8


def test_the_most_likely_classes_are_compared_and_the_target_is_one_of_them():
    subject = pl.wrap(seeded(lambda: nn.Linear(4, 6)))
    points = torch.randn(2, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    order = subject.scores(points).argsort(dim=1, descending=True)
    assert Clear(most=3)(subject, pl.Decision(points)).classes.tolist() == order[:, :3].tolist()
    asked = Clear(most=3)(subject, pl.Decision(points, target=order[:, 5]))
    assert asked.classes.tolist() == torch.cat([order[:, 5:], order[:, :2]], 1).tolist()
    assert Clear(most=99)(subject, pl.Decision(points)).classes.tolist() == order.tolist()


@pytest.mark.parametrize("foil", [0, 2])
def test_with_a_foil_each_response_is_that_of_the_class_rather_than_the_foil(foil):
    subject = pl.wrap(linear(WEIGHT))
    point = torch.tensor([[1.0, -2.0, 0.5]]).double()
    found = Clear(inner=InputXGradient())(subject, pl.Decision(point, foil=foil))
    assert sorted(found.classes[0].tolist()) == sorted({0, 1, 2} - {foil})
    terms = point * torch.tensor(WEIGHT).double()
    torch.testing.assert_close(found.responses[0], (terms - terms[foil])[found.classes[0]], rtol=1e-12, atol=0)
    assert found.foil.tolist() == [foil]
    assert "rather than" in found.table()[0]["class"]


def test_how_far_to_trust_each_class_stays_with_its_class_and_example():
    subject = pl.wrap(seeded(lambda: nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 4))))
    points = torch.randn(3, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    inner = LRP(composite="epsilon")
    found = Clear(inner=inner, classes=(3, 0))(subject, pl.Decision(points))
    for number, target in enumerate((3, 0)):
        alone, one = inner(subject, pl.Decision(points, target=target)), found.of_class(number)
        torch.testing.assert_close(one.reaching, alone.reaching, rtol=1e-9, atol=0)
        torch.testing.assert_close(one.value, alone.value, rtol=1e-12, atol=0)
        assert torch.equal(one.converged, alone.converged)
        torch.testing.assert_close(one.scores, alone.scores, rtol=1e-9, atol=1e-12)


def test_classes_may_be_named_by_label_and_a_position_is_kept():
    class PerPosition(nn.Module):
        def forward(self, points):
            return torch.stack([points, 2 * points, -points], -1)

    subject = pl.wrap(PerPosition(), TensorTask(labels=("one", "two", "minus")))
    points = torch.tensor([[1.0, 3.0]])
    found = Clear(inner=InputXGradient(), classes=("two", 2))(subject, pl.Decision(points, target=(0, "two")))
    assert found.responses.tolist() == [[[2.0, 0.0], [-1.0, 0.0]]]
    assert found.position.tolist() == [[0]]
    assert found.of_class(0).question() == "two at position 0"
    in_words = Clear(inner=InputXGradient(), classes="two, 2")(subject, pl.Decision(points, target=(0, "two")))
    assert torch.equal(in_words.responses, found.responses)
    assert build({"method": "clear", "classes": "two, 2"}).classes == "two, 2"
    assert build({"method": "clear", "classes": "1,2", "inner": "gradient"}) == Clear(inner=Gradient(), classes=(1, 2))


@pytest.mark.parametrize(
    ("fields", "asked", "message"),
    [
        ({"classes": (0, 7)}, {}, "class 7 is outside the 3 outputs"),
        ({"classes": ()}, {}, "name each once"),
        ({"classes": (1, 1)}, {}, "not all different"),
        ({"classes": (0, 1)}, {"target": 2}, "target 2 is not among the classes"),
        ({"classes": (0, 1)}, {"foil": 1}, "the foil is among the classes"),
    ],
)
def test_classes_that_contradict_the_question_are_refused(fields, asked, message):
    with pytest.raises(UsageError, match=message):
        Clear(**fields)(pl.wrap(linear(WEIGHT)), pl.Decision(torch.ones(1, 3).double(), **asked))


def test_of_one_output_alone_there_is_none_besides_the_foil():
    with pytest.raises(UsageError, match="no class besides the foil"):
        Clear()(pl.wrap(linear([[1.0, 2.0]])), pl.Decision(torch.ones(1, 2).double(), foil=0))


def test_a_unit_has_no_classes_to_compare():
    subject = pl.wrap(nn.Sequential(linear(WEIGHT)))
    with pytest.raises(NotAnswerable, match="a unit has no classes"):
        Clear()(subject, pl.Decision(torch.ones(1, 3).double(), of=Unit("0", 1)))


def test_a_metric_is_no_inner_method():
    with pytest.raises(UsageError, match="answers a Decision with an Attribution"):
        Clear(inner=Clear())
