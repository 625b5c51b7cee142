"""Counterfactuals: closed forms on linear models, optima on small ones, constraints that hold, and honest failures."""

import itertools
from collections import OrderedDict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import make_moons
from sklearn.ensemble import RandomForestClassifier
from torch import nn

import pellucid as pl
from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.methods import Counterfactual
from pellucid.tasks.tensor import TensorTask

WEIGHT = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
BIAS = 0.7
POINTS = torch.tensor([[1.0, 0.3, -2.0], [0.0, 2.0, 1.0]], dtype=torch.float64)
VALUES = POINTS @ WEIGHT + BIAS


def linear(weight, bias=0.0):
    weight = torch.as_tensor(weight, dtype=torch.float64)
    module = nn.Linear(weight.shape[1], weight.shape[0]).double()
    module.weight.data, module.bias.data = weight.clone(), torch.full((len(weight),), bias).double()
    return module


def line(black=False):
    """A linear model of one value, with its gradients or without."""
    module, task = linear(WEIGHT[None], BIAS), TensorTask(output="value")
    return pl.wrap(lambda batch: module(batch).detach(), task) if black else pl.wrap(module, task)


def seeded(build, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build().double().eval()


@pytest.mark.parametrize("black", [False, True])
@pytest.mark.parametrize("scale", [torch.ones(3).double(), torch.tensor([1.0, 4.0, 0.25]).double()])
def test_the_nearest_point_on_a_plane_is_the_projection_onto_it(scale, black):
    found = Counterfactual(norm="l2", weights=scale.sqrt(), wanted=0.0)(line(black), pl.Decision(POINTS))
    expected = POINTS - VALUES[:, None] * (WEIGHT / scale) / (WEIGHT @ (WEIGHT / scale))
    assert bool(found.found.all())
    assert torch.allclose(found.points[:, 0], expected, rtol=0, atol=1e-6)
    distances = VALUES.abs() / (WEIGHT @ (WEIGHT / scale)).sqrt()
    assert torch.allclose(found.distance[:, 0], distances, rtol=0, atol=1e-6)


def test_the_cheapest_sum_of_changes_moves_the_element_that_gains_most_per_cost():
    costs = torch.tensor([1.0, 5.0, 0.2]).double()
    found = Counterfactual(weights=costs, wanted=0.0)(line(), pl.Decision(POINTS))
    moved = found.points[:, 0] - POINTS
    assert torch.allclose(moved, torch.stack([0 * VALUES, 0 * VALUES, -VALUES / 0.5], 1), rtol=0, atol=1e-6)
    assert found.changes.tolist() == [[1], [1]]


@pytest.mark.parametrize("strength", [0.1, 1.0, 100.0])
def test_at_a_fixed_weight_the_minimum_itself_is_returned(strength):
    asked = Counterfactual(norm="l2", weights="none", weight=strength, wanted=0.5)
    found = asked(line(), pl.Decision(POINTS))
    expected = POINTS - strength * (VALUES - 0.5)[:, None] * WEIGHT / (1 + strength * WEIGHT @ WEIGHT)
    assert torch.allclose(found.points[:, 0], expected, rtol=0, atol=1e-6)
    assert not bool(found.found.any())  # the minimum lies short of the value
    assert bool(found.converged.all())
    assert all(found.reason)


def test_bounds_turn_the_projection_into_the_nearest_point_of_the_box():
    task = pl.tasks.Tabular(["a", "b"], ["no", "yes"], reference=torch.tensor([[0.0, 0.0], [1.0, 4.0]]))
    subject = pl.wrap(linear([[0.0, 0.0], [1.0, 1.0]], 0.0), task)
    subject.module.bias.data = torch.tensor([3.0, 0.0]).double()  # yes where a + b > 3, and a stays below 1
    found = Counterfactual(norm="l2", weights="none")(subject, pl.Decision(torch.tensor([[0.5, 0.5]]).double()))
    assert torch.allclose(found.points[0, 0], torch.tensor([1.0, 2.0]).double(), atol=1e-6)


@pytest.mark.parametrize("wanted", [-3.0, 4.0])
def test_a_value_is_reached_from_below_and_from_above(wanted):
    found = Counterfactual(wanted=wanted)(line(), pl.Decision(POINTS))
    assert bool(found.found.all())
    assert torch.allclose(found.after[:, 0, 0], torch.full((2,), wanted).double(), atol=1e-6)
    assert bool(((found.after[:, 0, 0] - wanted) * (found.before[:, 0] - wanted) <= 0).all())


def moons():
    points, labels = make_moons(300, noise=0.15, random_state=0)
    points, labels = torch.tensor(points), torch.tensor(labels)

    def build():
        return nn.Sequential(nn.Linear(2, 24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 2))

    module = seeded(build)
    optimiser = torch.optim.Adam(module.parameters(), 1e-2)
    for _ in range(150):
        optimiser.zero_grad()
        nn.functional.cross_entropy(module(points), labels).backward()
        optimiser.step()
    return module, points


@pytest.mark.slow
@pytest.mark.parametrize("black", [False, True])
@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_between_two_moons_the_distance_is_that_of_a_dense_grid(norm, black):
    module, points = moons()
    rows = points[:30]
    axis = torch.linspace(-3, 3.5, 1001).double()
    grid = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        own, others = module(rows).argmax(1), module(grid).argmax(1)
    away = [grid[others != one] - row for row, one in zip(rows, own, strict=True)]
    best = torch.stack([(a.abs().sum(1) if norm == "l1" else a.norm(dim=1)).min() for a in away])
    subject = pl.wrap(lambda batch: module(batch.double()).detach()) if black else pl.wrap(module)
    found = Counterfactual(norm=norm, seconds=None)(subject, pl.Decision(rows))
    assert bool(found.found.all())
    assert bool(found.converged.all())
    assert float(found.distance.mean() / best.mean()) <= 1.05
    assert float((found.distance[:, 0] / best).max()) <= 1.1


def mixed(seed, black=False):
    """A random network over two numbers, a whole number and a choice of three."""
    reference = torch.rand(40, 6, generator=torch.Generator().manual_seed(seed)) * 4
    reference[:, 2] = reference[:, 2].mul(5).round()
    colours = torch.randint(0, 3, (40,), generator=torch.Generator().manual_seed(seed + 1))
    reference[:, 3:] = torch.eye(3)[colours]
    task = pl.tasks.Tabular(
        ["a", "b", "count", "colour red", "colour green", "colour blue"],
        ["x", "y", "z"],
        means=reference.mean(0),
        deviations=reference.std(0),
        reference=reference,
        integers=["count"],
        choices={"colour": ["colour red", "colour green", "colour blue"]},
    )

    def build():
        return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3))

    module = seeded(build, seed).float()
    model = (lambda batch: module(batch).detach()) if black else module
    return pl.wrap(model, task), reference


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    immutable=st.sampled_from([None, "a", "count", "colour", "a,colour"]),
    increasing=st.sampled_from([None, "b", "count"]),
    max_changes=st.sampled_from([None, 1, 2]),
    black=st.booleans(),
)
def test_what_is_found_is_decided_otherwise_and_keeps_all_constraints(seed, immutable, increasing, max_changes, black):
    subject, reference = mixed(seed, black)
    asked = Counterfactual(
        immutable=immutable, increasing=increasing, max_changes=max_changes, budget=3000, seconds=None
    )
    rows = reference[:2]
    prepared = subject.prepare([row.tolist() for row in rows])
    found = asked(subject, pl.Decision(prepared))
    before = subject.scores(prepared).argmax(1)
    for example, row in enumerate(rows):
        point = found.points[example, 0]
        own = point.double() * subject.task.deviations + subject.task.means
        changed = (point != prepared.value[example]).tolist()
        if bool(found.found[example, 0]):
            assert int(subject.scores(point[None]).argmax()) != int(before[example])
            assert not found.reason[example]
        else:
            assert found.reason[example]
        if bool(found.kept[example, 0]):
            assert bool((own >= reference.amin(0) - 1e-4).all() & (own <= reference.amax(0) + 1e-4).all())
            assert abs(float(own[2]) - round(float(own[2]))) < 1e-4
            assert sorted(own[3:].round(decimals=4).abs().tolist()) == [0, 0, 1]
            if increasing is not None:
                place = subject.task.columns.index(increasing)
                assert float(own[place]) >= float(row[place]) - 1e-4
            frozen = [
                p for p, name in enumerate(subject.task.columns) if name.split()[0] in (immutable or "").split(",")
            ]
            assert not any(changed[place] for place in frozen)
            features = [any(changed[p] for p in group) for group in ([0], [1], [2], [3, 4, 5])]
            assert sum(features) <= (max_changes or 4)
            assert sum(features) == int(found.changes[example, 0])


def test_a_forest_is_searched_without_gradients():
    draws = np.random.default_rng(0)
    rows = draws.normal(size=(300, 4))
    forest = RandomForestClassifier(20, random_state=0).fit(rows, rows[:, 0] + rows[:, 1] > 0)
    task = pl.tasks.Tabular(list("abcd"), reference=torch.tensor(rows[:100]).float())
    found = Counterfactual(budget=4000, seconds=None)(
        pl.wrap(forest, task), pl.Decision([row.tolist() for row in rows[:4]])
    )
    assert bool(found.found.all())
    assert found.evaluations["B"] == 0
    predicted = forest.predict(found.points[:, 0].numpy())
    assert (predicted != forest.predict(rows[:4].astype(np.float32))).all()


def test_the_foil_is_what_comes_first():
    subject, reference = mixed(3)
    rows = [row.tolist() for row in reference[:3]]
    for foil in ("x", "y", "z"):
        others = [row for row in rows if subject.task.labels[int(subject.scores(row).argmax())] != foil]
        found = Counterfactual(budget=4000)(subject, pl.Decision(others, foil=foil)) if others else None
        if found is not None:
            good = found.after[:, 0].argmax(1) == "xyz".index(foil)
            assert torch.equal(good & found.kept[:, 0], found.found[:, 0])
            assert bool(good.any())


def test_a_class_reaches_the_probability_that_is_wanted():
    subject = pl.wrap(linear([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]]))
    decision = pl.Decision(torch.tensor([[2.0, 1.0]]).double(), foil=1, of="probability")
    plain, sure = (Counterfactual(wanted=wanted)(subject, decision) for wanted in (None, 0.9))
    assert float(sure.after[0, 0].softmax(0)[1]) == pytest.approx(0.9, abs=1e-6)
    assert float(sure.distance[0, 0]) > float(plain.distance[0, 0])


def test_one_output_is_decided_by_its_sign():
    subject = pl.wrap(linear(WEIGHT[None], BIAS))
    found = Counterfactual(norm="l2", weights="none")(subject, pl.Decision(POINTS))
    assert torch.allclose(found.distance[:, 0], VALUES.abs() / WEIGHT.norm(), atol=1e-6)
    assert bool((found.after[:, 0, 0] * found.before[:, 0] < 0).all())


def test_a_unit_inside_the_network_can_be_asked():
    module = seeded(lambda: nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)))
    subject = pl.wrap(module)
    decision = pl.Decision(POINTS, of=pl.Unit(layer="0", index=2))
    found = Counterfactual(wanted=5.0)(subject, decision)
    assert torch.allclose(module[0](found.points[:, 0])[:, 2], torch.tensor([5.0, 5.0]).double(), atol=1e-6)


def test_what_is_decided_otherwise_already_needs_no_change():
    subject = pl.wrap(linear([[1.0, 0.0], [0.0, 1.0]]))
    found = Counterfactual()(subject, pl.Decision(torch.tensor([[2.0, 1.0]]).double(), target=1))
    assert bool(found.found[0, 0])
    assert float(found.distance[0, 0]) == 0
    assert "nothing has to change" in found.summary()


def test_where_no_change_helps_the_closest_attempt_and_the_reason_are_told():
    task = pl.tasks.Tabular(["a", "b"], ["no", "yes"], reference=torch.tensor([[0.0, 0.0], [1.0, 1.0]]))
    subject = pl.wrap(linear([[0.0, 0.0], [1.0, 1.0]]), task)
    subject.module.bias.data = torch.tensor([3.0, 0.0]).double()
    found = Counterfactual(seconds=None)(subject, pl.Decision(torch.tensor([[0.5, 0.5]]).double()))
    assert not bool(found.found.any())
    assert bool(found.converged.all())
    assert torch.allclose(found.points[0, 0], torch.ones(2).double())  # as near to yes as the bounds allow
    assert "no admissible change" in found.reason[0]
    assert found.summary().startswith("None was found")


@pytest.mark.parametrize("kind", ["wachter", "diverse", "pertinent-negative"])
def test_the_budget_is_kept_and_running_out_of_it_is_told(kind):
    module = seeded(lambda: nn.Sequential(nn.Linear(40, 16), nn.Tanh(), nn.Linear(16, 2)))
    found = Counterfactual(kind=kind, budget=30)(pl.wrap(module), pl.Decision(torch.zeros(1, 40).double()))
    assert sum(found.evaluations.values()) <= 30 + 10  # the search, and what is asked before and after it
    assert not bool(found.converged[0])
    assert bool(found.found.all()) or "budget of" in found.reason[0]


def test_a_limit_of_time_ends_the_search():
    asked = Counterfactual(seconds=1e-9, wanted=0.0)
    found = asked(line(), pl.Decision(POINTS[:1]))
    assert "the time was over" in found.reason[0]
    assert not bool(found.found.any() | found.converged.any())


def test_diverse_ones_are_valid_and_change_different_things():
    module = linear([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    subject = pl.wrap(module)
    found = Counterfactual(kind="diverse", number=3)(subject, pl.Decision(-torch.ones(1, 3).double(), target=0))
    assert bool(found.found.all())
    assert bool((module(found.points[0]).argmax(1) == 1).all())
    assert {tuple(found.differs(0, number).tolist()) for number in range(3)} == {(0,), (1,), (2,)}
    assert bool((found.distance[0].diff() >= 0).all())


def test_without_diversity_the_nearest_are_chosen():
    module = linear([[0.0, 0.0, 0.0], [1.0, 0.9, 0.5]])
    decision = pl.Decision(-torch.ones(1, 3).double(), target=0)
    near = Counterfactual(kind="diverse", number=2, diversity=0.0)(pl.wrap(module), decision)
    assert near.differs(0, 0).tolist() == [0]
    assert float(near.distance[0, 1]) == pytest.approx(2.4 / 0.9, abs=1e-6)


@pytest.mark.parametrize("strength", [0.5, 3.0])
@pytest.mark.parametrize("kind", ["pertinent-negative", "pertinent-positive"])
def test_with_a_linear_margin_the_soft_threshold_is_the_answer(kind, strength):
    rows = torch.tensor([[0.0, 0.0, 0.0, 0.0], [1.0, -0.4, 0.02, 0.6]]).double()
    subject, beta = pl.wrap(linear(rows)), 0.1
    asked = Counterfactual(kind=kind, weight=strength, beta=beta, kappa=1e3, baseline=0.0)
    if kind == "pertinent-negative":  # from nothing every element may move either way
        given_, target = torch.zeros(1, 4).double(), 0
    else:  # towards what is there, and no further
        given_, target = torch.tensor([[9.0, -9.0, 9.0, -9.0]]).double(), 1
    found = asked(subject, pl.Decision(given_, target=target, foil=1 - target))
    pull = strength * rows[1]
    expected = pull.sign() * (pull.abs() - beta).clamp(min=0) / 2
    if kind == "pertinent-positive":
        expected[3] = 0  # it would have to leave the side that the example is on
    assert torch.allclose(found.points[0, 0], expected, rtol=0, atol=1e-6)


def test_negatives_move_away_from_nothing_and_positives_stay_within_the_example():
    module = seeded(lambda: nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3)), 5)
    points = torch.randn(5, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    before = module(points).argmax(1)
    negative = Counterfactual(kind="pertinent-negative", baseline=0.0, kappa=0.1)(pl.wrap(module), pl.Decision(points))
    moved = negative.points[:, 0] - points
    assert bool((moved * points >= 0).all())
    scores = module(negative.points[:, 0]).detach()
    lead = scores.scatter(1, before[:, None], -torch.inf).amax(1) - scores.gather(1, before[:, None])[:, 0]
    assert torch.equal(lead >= 0.1 - 1e-6, negative.found[:, 0])  # κ beyond the boundary, or it does not count
    assert bool(negative.found.any())
    positive = Counterfactual(kind="pertinent-positive", baseline=0.0)(pl.wrap(module), pl.Decision(points))
    held = positive.points[:, 0]
    assert bool(((held * points >= 0) & (held.abs() <= points.abs() + 1e-9)).all())
    assert torch.equal(module(held).argmax(1) == before, positive.found[:, 0])
    assert bool(positive.found.any())
    assert bool((positive.changes < 6).any())


def test_an_autoencoder_pulls_what_is_found_towards_what_is_likely():
    subject = pl.wrap(linear([[0.0, 0.0], [1.0, 1.0]], 0.0))
    only_first = torch.tensor([1.0, 0.0]).double()
    decision = pl.Decision(torch.tensor([[-1.0, 0.0]]).double(), target=0, foil=1)
    settings_ = {"kind": "pertinent-negative", "baseline": torch.tensor([-9.0, -9.0]).double(), "beta": 0.0}
    plain = Counterfactual(**settings_)(subject, decision)
    likely = Counterfactual(**settings_, gamma=100.0, autoencoder=lambda points: points * only_first)(subject, decision)
    assert bool(plain.found.all() and likely.found.all())
    assert abs(float(likely.points[0, 0, 1])) < 0.05 < float(plain.points[0, 0, 1])


class Additive(nn.Module):
    """A map of one channel, its mean, and a score of the mean: swaps add up."""

    def __init__(self, bias):
        super().__init__()
        self.features, self.head = nn.Identity(), nn.Linear(1, 2)
        self.head.weight.data, self.head.bias.data = torch.tensor([[0.0], [1.0]]), torch.tensor([0.0, bias])

    def forward(self, maps):
        return self.head(self.features(maps).mean((2, 3)))


def fewest_swaps(query, other, bias):
    """By trying all sets of cells of either map; None where none flips."""
    bits = (np.arange(2**16)[:, None] >> np.arange(16)) & 1
    size, lost, won = bits.sum(1), bits @ query.flatten().numpy(), bits @ other.flatten().numpy()
    for count in range(17):
        best = float(query.sum()) - lost[size == count].min() + won[size == count].max()
        if best / 16 + bias > 0:
            return count
    return None


def test_with_an_additive_head_greedy_swaps_are_as_few_as_can_be():
    draws = torch.Generator().manual_seed(0)
    counts = []
    for _ in range(30):
        query, other = torch.randn(2, 4, 4, dtype=torch.float64, generator=draws)
        bias = float(-torch.rand((), generator=draws) * 1.2 - query.mean())
        subject = pl.wrap(Additive(bias).double())
        asked = Counterfactual(kind="region-swap", layer="features", distractor=other[None, None], seconds=None)
        found = asked(subject, pl.Decision(query[None, None], target=0, foil=1))
        expected = fewest_swaps(query, other, bias)
        counts.append(expected)
        assert bool(found.found[0, 0]) == (expected is not None)
        cells = found.swaps.cells[0]
        assert len(cells) == (16 if expected is None else expected)
        assert len(cells[:, 0].unique()) == len(cells[:, 2].unique()) == len(cells)
        assert bool(found.reason[0]) == (expected is None)
    assert None in counts
    assert len(set(counts)) > 4


def test_swapped_maps_are_those_of_the_network_and_their_gaps_its_own():
    module = seeded(
        lambda: nn.Sequential(
            OrderedDict(conv=nn.Conv2d(1, 3, 3, padding=1), act=nn.ReLU(), flat=nn.Flatten(), head=nn.Linear(48, 3))
        ),
        1,
    )
    draws = torch.Generator().manual_seed(4)
    query, others = torch.randn(1, 1, 4, 4, generator=draws).double(), torch.randn(2, 1, 4, 4, generator=draws).double()
    own, foil = int(module(query).argmax()), (int(module(query).argmax()) + 1) % 3
    asked = Counterfactual(kind="region-swap", layer="act", distractor=others)
    found = asked(pl.wrap(module), pl.Decision(query, foil=foil))
    module.requires_grad_(False)
    maps, pool = module.act(module.conv(query))[0].flatten(1), module.act(module.conv(others)).flatten(2)
    for cell, picture, other in found.swaps.cells[0].tolist():
        maps[:, cell] = pool[picture, :, other]
    assert torch.allclose(found.points[0, 0].flatten(1), maps, atol=1e-12)
    scores = module.head(maps.reshape(1, -1))[0]
    assert torch.allclose(found.after[0, 0], scores, atol=1e-9)
    rest = torch.cat([scores[:foil], scores[foil + 1 :]])
    assert float(found.swaps.gaps[0][-1]) == pytest.approx(float(scores[foil] - rest.max()), abs=1e-9)
    assert own != foil
    # The first swap is the best one of all.
    start = module.act(module.conv(query))[0].flatten(1)
    gaps = []
    for cell, picture, other in itertools.product(range(16), range(2), range(16)):
        tried = start.clone()
        tried[:, cell] = pool[picture, :, other]
        scores = module.head(tried.reshape(1, -1))[0]
        gaps.append(float(scores[foil] - torch.cat([scores[:foil], scores[foil + 1 :]]).max()))
    assert float(found.swaps.gaps[0][1]) == pytest.approx(max(gaps), abs=1e-9)


@pytest.mark.parametrize("kind", ["pertinent-negative", "pertinent-positive", "region-swap"])
def test_kinds_that_look_inside_are_refused_by_black_boxes_with_the_way_out(kind):
    with pytest.raises(NotAnswerable, match="needs (gradients|activations).*kind='wachter'"):
        Counterfactual(kind=kind)(line(black=True), pl.Decision(POINTS))


def test_fields_of_another_kind_are_refused_instead_of_ignored():
    for kind, field in [
        ("wachter", {"kappa": 1.0}),
        ("diverse", {"weight": 1.0}),
        ("region-swap", {"immutable": "a"}),
        ("pertinent-positive", {"increasing": "a"}),
        ("pertinent-negative", {"distractor": "a.png"}),
        ("wachter", {"number": 2}),
    ]:
        with pytest.raises(UsageError, match=f"{next(iter(field))}=…"):
            Counterfactual(kind=kind, **field)
    with pytest.raises(UsageError, match="autoencoder"):
        Counterfactual(kind="pertinent-negative", gamma=1.0)


def test_questions_that_say_too_little_are_refused():
    subject, _ = mixed(0)
    with pytest.raises(UsageError, match="wanted"):
        Counterfactual()(line(), pl.Decision(POINTS))
    with pytest.raises(UsageError, match="there is no feature 'cont'; did you mean 'count'"):
        Counterfactual(immutable="cont")(subject, pl.Decision([[1, 1, 1, 1, 0, 0]]))
    with pytest.raises(UsageError, match="no order"):
        Counterfactual(increasing="colour")(subject, pl.Decision([[1, 1, 1, 1, 0, 0]]))
    with pytest.raises(UsageError, match="another picture"):
        Counterfactual(kind="region-swap")(subject, pl.Decision([[1, 1, 1, 1, 0, 0]]))
    with pytest.raises(NotAnswerable, match="map of cells"):
        Counterfactual(kind="region-swap", distractor=[1, 1, 1, 1, 0, 0])(
            subject, pl.Decision([[2, 1, 1, 1, 0, 0]], foil="z", target="x")
        )
    with pytest.raises(NotAnswerable, match="several classes"):
        Counterfactual(kind="pertinent-positive")(line(), pl.Decision(POINTS))
