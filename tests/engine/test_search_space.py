"""The space of a search: bounds, choices and whole numbers, and what changes cost."""

import pytest
import torch

import pellucid as pl
from pellucid.core.errors import UsageError
from pellucid.engine.search_space import search_space

ROWS = torch.tensor([[10.0, 0.5, 1.0, 0.0], [20.0, 0.1, 0.0, 1.0], [40.0, 0.9, 0.0, 1.0], [12.0, 0.4, 1.0, 0.0]])
COLUMNS = ["age", "share", "pet cat", "pet dog"]


@pytest.fixture(scope="module")
def subject():
    task = pl.tasks.Tabular(
        COLUMNS,
        ["no", "yes"],
        means=ROWS.mean(0),
        deviations=ROWS.std(0),
        reference=ROWS,
        integers=["age"],
        choices={"pet": ["pet cat", "pet dog"]},
    )
    return pl.wrap(torch.nn.Linear(4, 2), task)


def space_of(subject, row=0, norm="l1", **fields):
    return search_space(subject, subject.prepare([ROWS[row].tolist()]), norm, **fields)


def offsets_to(space, subject, row):
    return space.offsets(subject.prepare([row]).value)


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_a_change_costs_one_per_median_absolute_deviation_and_a_choice_one(subject, norm):
    space, features = space_of(subject, norm=norm, weights="mad")
    spread = (ROWS - ROWS.median(0).values).abs().median(0).values
    assert features.labels == (("age", "share", "pet"),)
    older = offsets_to(space, subject, [10 + 2 * float(spread[0]), 0.5, 1, 0])
    assert float(space.cost(older)) == pytest.approx(2, abs=1e-5)
    dog = offsets_to(space, subject, [10, 0.5, 0, 1])
    assert float(space.cost(dog)) == pytest.approx(1, abs=1e-5)
    both = older + dog
    assert float(space.cost(both)) == pytest.approx(3 if norm == "l1" else 5**0.5, abs=1e-5)
    assert space.changed(both.where(both.abs() > 1e-4, 0.0)).tolist() == [[True, False, True]]


def test_points_and_offsets_are_inverse_and_zero_is_the_example_itself(subject):
    space, _ = space_of(subject, 2)
    given = subject.prepare([ROWS[2].tolist()]).value
    assert torch.equal(space.points(torch.zeros(1, 4).double()), given)
    moved = torch.tensor([[0.3, -0.2, 0.1, 0.7]]).double()
    assert torch.allclose(space.offsets(space.points(moved)), moved, atol=1e-5)


def test_snapping_makes_whole_numbers_and_one_choice(subject):
    space, _ = space_of(subject)
    near = offsets_to(space, subject, [17.4, 0.33, 0.4, 0.7])
    for outwards, age in ((False, 17), (True, 18)):
        own = subject.task.row(space.points(space.snapped(near, outwards))[0])
        assert own["age"] == pytest.approx(age, abs=1e-4)
        assert own["share"] == pytest.approx(0.33, abs=1e-6)
        assert (round(own["pet cat"], 5), round(own["pet dog"], 5)) == (0, 1)
    back = space.snapped(offsets_to(space, subject, [10.2, 0.5, 0.6, 0.5]))
    assert back[0, [0, 2, 3]].tolist() == [0, 0, 0]


def test_what_is_kept_is_told_apart_from_what_is_not(subject):
    space, _ = space_of(subject, increasing="share", immutable="pet")
    rows = {
        (15.0, 0.5, 1.0, 0.0): True,
        (15.3, 0.5, 1.0, 0.0): False,  # no whole number
        (10.0, 0.3, 1.0, 0.0): False,  # may only increase
        (10.0, 0.5, 0.0, 1.0): False,  # stays
        (90.0, 0.5, 1.0, 0.0): False,  # older than anyone in the reference
    }
    offsets = torch.cat([offsets_to(space, subject, list(row)) for row in rows])
    offsets = torch.where(offsets.abs() < 1e-6, 0.0, offsets)
    assert space.kept(offsets, None).tolist() == list(rows.values())
    free, _ = space_of(subject)
    halves = offsets_to(free, subject, [10, 0.5, 0.5, 0.5])
    assert not bool(free.kept(halves, None))
    assert bool(free.kept(offsets[:1], 1))
    both = offsets_to(free, subject, [15, 0.6, 1, 0])
    both = torch.where(both.abs() < 1e-6, 0.0, both)
    assert free.kept(both, 2).tolist() == [True]
    assert free.kept(both, 1).tolist() == [False]


def test_beside_a_choice_only_numbers_move(subject):
    space, _ = space_of(subject)
    dog = space.snapped(offsets_to(space, subject, [17, 0.5, 0, 1]))
    beside = space.beside(dog[0])
    assert beside.movable.tolist() == [True, True, False, False]
    own = subject.task.row(beside.points(torch.zeros(1, 4).double())[0])
    assert [round(own[name], 4) for name in COLUMNS] == [10, 0.5, 0, 1]


def test_an_example_outside_the_reference_is_within_its_own_bounds(subject):
    space, _ = search_space(subject, subject.prepare([[70.0, 0.5, 1, 0]]), "l1")
    assert bool((space.low <= 0).all() & (space.high >= 0).all())
    assert bool(space.kept(torch.zeros(1, 4).double(), 0))


@pytest.mark.parametrize("weights", [torch.tensor([1.0, 0.0, 1.0, 1.0]), torch.ones(3)])
def test_weights_that_mean_nothing_are_refused(subject, weights):
    with pytest.raises(UsageError, match="weights"):
        space_of(subject, weights=weights)


def test_a_tensor_says_which_elements_stay(subject):
    space, _ = space_of(subject, immutable=torch.tensor([True, False, True, True]))
    assert space.movable.tolist() == [False, True, False, False]


def test_a_value_that_the_reference_lacks_is_no_option_and_closes_no_other():
    columns, rows = ["pet cat", "pet dog", "pet fox"], torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    task = pl.tasks.Tabular(columns, ["no", "yes"], reference=rows, choices={"pet": columns})
    space, _ = search_space(pl.wrap(torch.nn.Linear(3, 2), task), task.prepare([[1.0, 0, 0]]), "l1")
    assert space.points(space.options(space.choices[0])).tolist() == [[0, 1, 0]]
    assert space.points(space.snapped(torch.tensor([[0.0, 0.9, 5.0]]).double()))[0].tolist() in ([0, 1, 0], [1, 0, 0])
    still, _ = search_space(pl.wrap(torch.nn.Linear(3, 2), task), task.prepare([[1.0, 0, 0]]), "l1", immutable="pet")
    assert not len(still.options(still.choices[0]))
