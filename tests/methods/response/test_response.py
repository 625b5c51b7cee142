"""Responses: closed forms, what theory says of variables that go together, and intervals over cases."""

import numpy as np
import pytest
import torch

import pellucid as pl
from pellucid.core import meter
from pellucid.core.errors import BadInput
from pellucid.methods import Response

WEIGHTS = torch.tensor([2.0, -1.0, 0.0], dtype=torch.float64)


def valued(function):
    return pl.wrap(lambda rows: function(rows)[:, None], pl.tasks.TensorTask(output="value"), name="function")


def normal(cases, columns=3, seed=0, correlation=0.0):
    draws = torch.randn(cases, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    draws[:, 1] = correlation * draws[:, 0] + (1 - correlation**2) ** 0.5 * draws[:, 1]
    return draws


def curve(subject, data, **fields):
    return Response(features=(0,), **fields)(subject, pl.Population(data)).curves[0]


def linear(rows):
    return rows @ WEIGHTS.to(rows)


def product(rows):
    return rows[:, 0] * rows[:, 1]


def test_a_linear_score_responds_in_a_line_through_its_mean():
    data = normal(300)
    dependence, effect = (curve(valued(linear), data, kind=kind) for kind in ("partial-dependence", "ale"))
    assert dependence.grid[[0, -1]].tolist() == [data[:, 0].min(), data[:, 0].max()]
    torch.testing.assert_close(dependence.mean, 2 * dependence.grid - data[:, 1].mean())
    torch.testing.assert_close(effect.mean.diff(), 2 * effect.grid.diff())
    assert effect.grid[[0, -1]].tolist() == [data[:, 0].min(), data[:, 0].max()]
    # The effects are 0 on average over the cases, each at the middle of its bin.
    bins = (torch.searchsorted(effect.grid, data[:, 0].contiguous()) - 1).clamp(min=0)
    middle = (effect.mean[1:] + effect.mean[:-1]) / 2
    assert abs(float(middle[bins].mean())) < 1e-9


def test_slopes_are_the_derivative_and_centred_curves_start_at_zero():
    data = normal(200)
    for kind in ("partial-dependence", "ale", "ice"):
        slope = curve(valued(linear), data, kind=kind, form="derivative")
        torch.testing.assert_close(slope.mean, torch.full_like(slope.mean, 2.0))
        start = curve(valued(linear), data, kind=kind, form="centred")
        torch.testing.assert_close(start.mean, 2 * (start.grid - start.grid[0]))
        assert torch.equal(start.low[:1], start.mean[:1])


def test_where_variables_go_together_dependence_and_effects_differ_as_theory_says():
    """x₁x₂ with x₂ = x₁: the dependence on x₁ is x₁ · mean(x₂), the effect is ∫ E[x₂ | x₁] dx₁ = x₁² / 2."""
    data = torch.rand(2000, 1, generator=torch.Generator().manual_seed(3), dtype=torch.float64).mul(2).expand(-1, 2)
    dependence, effect = (
        curve(valued(product), data, kind=kind, cases=2000, grid=30) for kind in ("partial-dependence", "ale")
    )
    torch.testing.assert_close(dependence.mean, dependence.grid * data[:, 1].mean())
    found = effect.mean - effect.mean[0]
    expected = (effect.grid.square() - effect.grid[0] ** 2) / 2
    torch.testing.assert_close(found, expected, rtol=0, atol=5e-3)
    assert dependence.companion == "element 1"
    assert dependence.correlation == pytest.approx(1)


def test_a_warning_names_what_goes_with_a_variable():
    subject, data = valued(product), normal(100, correlation=0.9)
    said = Response(features=(0,))(subject, pl.Population(data)).summary()
    assert "goes with element 1" in said
    assert "kind='ale'" in said
    assert "goes with" not in Response(features=(0,), kind="ale")(subject, pl.Population(data)).summary()
    assert "goes with" not in Response(features=(0,))(subject, pl.Population(normal(100))).summary()


def test_effects_are_those_that_are_added_up_bin_by_bin_in_numpy():
    data = normal(157, seed=5).numpy()

    def function(rows):
        return (rows[:, 0] * rows[:, 1] + rows[:, 0] ** 3).sin()

    found = curve(valued(function), torch.from_numpy(data), kind="ale", grid=9)
    edges = np.unique(np.quantile(data[:, 0], np.linspace(0, 1, 9), method="lower"))
    rise, middle, number = [0.0], [], []
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        inside = (data[:, 0] > low) & (data[:, 0] <= high) | ((data[:, 0] == low) & (low == edges[0]))
        at_low, at_high = data[inside].copy(), data[inside].copy()
        at_low[:, 0], at_high[:, 0] = low, high
        change = function(torch.from_numpy(at_high)) - function(torch.from_numpy(at_low))
        rise.append(rise[-1] + float(change.mean()))
        middle.append((rise[-1] + rise[-2]) / 2)
        number.append(int(inside.sum()))
    assert sum(number) == len(data)
    assert found.grid.numpy() == pytest.approx(edges)
    assert found.mean.numpy() == pytest.approx(np.array(rise) - np.average(middle, weights=number))


def test_single_cases_are_shown_as_they_are_and_no_more_than_wanted():
    data = normal(30)
    found = curve(valued(product), data, kind="ice", curves=7, grid=5)
    slopes = (found.individual[:, -1] - found.individual[:, 0]) / (found.grid[-1] - found.grid[0])
    assert found.individual.shape == (7, 5)
    assert all(float((slope - data[:, 1]).abs().min()) < 1e-9 for slope in slopes)
    assert curve(valued(product), data).individual is None


@pytest.mark.parametrize(("kind", "least"), [("partial-dependence", 0.92), ("ale", 0.92)])
def test_intervals_hold_the_response_in_the_whole_population(kind, least):
    """x₁x₂ of independent x₂ with mean 1: the dependence is x₁, the effect x₁ too."""
    hits = []
    for seed in range(80):
        data = normal(60, 2, seed)
        data[:, 1] += 1
        found = curve(valued(product), data, kind=kind, grid=4, seed=seed, form="centred")
        truth = found.grid - found.grid[0]
        hits.append(((found.low <= truth) & (truth <= found.high))[1:])
    assert least <= float(torch.stack(hits).double().mean()) <= 0.985


def test_a_product_does_everything_together_and_a_sum_nothing():
    data = normal(80, 2)
    data -= data.mean(0)
    ask = Response(features=(0, 1), joint=True)
    whole = ask(valued(product), pl.Population(data)).surface
    none = ask(valued(lambda rows: rows[:, 0].exp() + rows[:, 1]), pl.Population(data)).surface
    torch.testing.assert_close(whole.mean, whole.grids[0][:, None] * whole.grids[1], rtol=0, atol=1e-9)
    assert whole.interaction[0] > 0.95
    assert max(none.interaction) < 1e-6
    assert int(whole.counts.sum()) == 80
    together = Response(features=(0, 1), joint=True, kind="ale", grid=6)
    second = together(valued(lambda rows: product(rows) + 3 * rows[:, 0]), pl.Population(data)).surface
    twist = second.mean[1:, 1:] - second.mean[1:, :-1] - second.mean[:-1, 1:] + second.mean[:-1, :-1]
    expected = second.grids[0].diff()[:, None] * second.grids[1].diff()
    filled = (twist - expected).abs() < 1e-9
    assert filled.double().mean() > 0.8
    assert bool((twist[~filled].abs() < 1e-9).all())
    flat = together(valued(lambda rows: rows[:, 0].exp() + rows[:, 1]), pl.Population(data)).surface
    assert float(flat.mean.abs().max()) < 1e-9


def test_joint_effects_leave_nothing_to_either_variable_alone():
    data = normal(400, 2, seed=2)
    asked = Response(features=(0, 1), joint=True, kind="ale", grid=5)
    found = asked(valued(lambda rows: (rows[:, 0] * rows[:, 1]).tanh()), pl.Population(data)).surface
    edges = [grid.numpy() for grid in found.grids]
    bins = [np.searchsorted(edge, column).clip(1) - 1 for edge, column in zip(edges, data.numpy().T, strict=True)]
    number = np.zeros((4, 4))
    np.add.at(number, tuple(bins), 1)
    mean = found.mean.numpy()
    corners = (mean[1:, 1:] + mean[1:, :-1] + mean[:-1, 1:] + mean[:-1, :-1]) / 4
    assert abs((corners * number).sum()) < 1e-9
    along = np.diff(mean, axis=0)
    first = ((along[:, 1:] + along[:, :-1]) / 2 * number).sum(1) / number.sum(1)
    assert np.abs(first).max() < 1e-9


class Shop:
    """Rows of a price, and a colour as two columns of which one is 1."""

    columns = ("price", "red", "blue")

    def __init__(self):
        self.task = pl.tasks.Tabular(
            self.columns,
            means=[10.0, 0.0, 0.0],
            deviations=[2.0, 1.0, 1.0],
            output="value",
            choices={"colour": ("red", "blue")},
        )
        self.subject = pl.wrap(
            lambda rows: rows[:, :1] * 3 + rows[:, 1:2] * 5 + rows[:, 2:] * 7, self.task, name="shop"
        )


ROWS = [[8.0, 1, 0], [10.0, 0, 1], [14.0, 1, 0], [11.0, 0, 1]]


def test_columns_are_asked_about_in_their_own_units_and_choices_as_a_whole():
    found = Response()(Shop().subject, pl.Population(ROWS))
    price, colour = found.curves
    assert (price.variable, colour.variable) == ("price", "colour")
    assert price.grid.tolist() == [8, 10, 11, 14]
    assert price.mean.tolist() == pytest.approx([(p - 10) / 2 * 3 + 6 for p in (8, 10, 11, 14)])
    assert colour.labels == ("red", "blue")
    assert colour.mean.tolist() == pytest.approx([5 + 1.125, 7 + 1.125])
    assert colour.counts.tolist() == [2, 2]
    assert "highest for blue" in found.summary()
    assert float(found.level) == pytest.approx(6 + 1.125)
    with pytest.raises(pl.NotAnswerable, match="no order"):
        Response(features="colour", kind="ale")(Shop().subject, pl.Population(ROWS))
    with pytest.raises(pl.UsageError, match="no distance"):
        Response(features="colour", form="derivative")(Shop().subject, pl.Population(ROWS))


@pytest.mark.parametrize("features", ["price,colour", ("price", "colour"), (0, "colour"), "0, colour"])
def test_features_are_named_in_several_ways(features):
    found = Response(features=features)(Shop().subject, pl.Population(ROWS))
    assert [one.variable for one in found.curves] == ["price", "colour"]
    by_query = Response()(Shop().subject, pl.Population(ROWS, features=("price",)))
    assert [one.variable for one in by_query.curves] == ["price"]


def test_characters_and_channels_are_asked_about_by_place():
    letters = pl.tasks.Sequence(vocabulary="abc", output="value")
    worth = torch.tensor([1.0, 2.0, 4.0])
    subject = pl.wrap(lambda batch: (batch @ worth)[:, 1:2], letters, name="second")
    found = Response(features=(1,))(subject, pl.Population(["ab", "cca", "a", "bb"])).curves[0]
    assert found.variable == "position 1"
    assert found.labels == ("a", "b", "c")
    assert found.mean.tolist() == [1, 2, 4]
    assert int(found.counts.sum()) == 3
    waves = pl.tasks.Sequence(channels=("pulse", "breath"), output="value")
    subject = pl.wrap(lambda batch: batch[:, 2, 1:] * 3, waves, name="waves")
    data = [torch.randn(4, 2, generator=torch.Generator().manual_seed(seed)) for seed in range(5)]
    found = Response(features="2:breath")(subject, pl.Population(data)).curves[0]
    torch.testing.assert_close(found.mean, 3 * found.grid, rtol=1e-5, atol=1e-5)
    assert found.grid[[0, -1]].tolist() == pytest.approx([float(f(d[2, 1] for d in data)) for f in (min, max)])


def test_cases_count_once_in_any_order_and_only_so_many_are_asked_about():
    subject, data = valued(product), normal(50)
    forwards, backwards = (Response(cases=20, kind="ice")(subject, pl.Population(d)) for d in (data, data.flip(0)))
    assert forwards.table() == backwards.table()
    assert torch.equal(forwards.curves[0].individual, backwards.curves[0].individual)
    assert forwards.cases == 20
    assert "20 of 50 cases" in forwards.summary()
    with meter.metered() as passes:
        Response(features=(0,), grid=6)(subject, pl.Population(data))
    assert passes.forward == 50 + 6 * 50


@pytest.mark.parametrize("size", [1, 7, 64])
def test_a_response_does_not_depend_on_the_batch_size(size, monkeypatch):
    subject, data = valued(product), normal(40)
    plain = Response(features=(0,), kind="ale")(subject, pl.Population(data)).curves[0]
    monkeypatch.setattr(type(subject), "batch_size", lambda self, inputs: size)
    found = Response(features=(0,), kind="ale")(subject, pl.Population(data)).curves[0]
    torch.testing.assert_close(found.low, plain.low, rtol=0, atol=1e-10)


def test_where_there_are_hardly_any_cases_is_said():
    data = torch.cat([torch.linspace(20, 60, 200), torch.tensor([100.0])]).double()[:, None]
    found = Response()(valued(lambda rows: rows[:, 0] / 10), pl.Population(data))
    assert found.curves[0].thin.tolist()[-9:-1] == [True] * 8
    said = found.summary()
    assert "the mean value rises by" in said
    assert "there is hardly any data" in said
    assert said.index("above 57.89 there is hardly any data") > said.index("rises")


def test_a_change_within_its_interval_may_be_chance():
    data = normal(40, 2, seed=1)
    found = Response(features=(0,))(valued(product), pl.Population(data))
    assert "may be chance" in found.summary()


@pytest.mark.parametrize(
    ("fields", "error", "said"),
    [
        ({"features": "elemnt 1"}, pl.UsageError, "no column"),
        ({"features": (7,)}, pl.UsageError, "places are 0 to 2"),
        ({"joint": True, "features": (0,)}, pl.UsageError, "two features"),
        ({"features": (2,)}, pl.NotAnswerable, "same value"),
    ],
)
def test_what_cannot_be_asked_is_refused(fields, error, said):
    data = normal(10)
    data[:, 2] = 1
    with pytest.raises(error, match=said):
        Response(**fields)(valued(linear), pl.Population(data))


def test_classes_must_be_named_pictures_and_texts_are_refused_with_the_way_out():
    wine = pl.load("wine-mlp")
    rows = [wine.task.row(point) for point in wine.task.reference[:5]]
    with pytest.raises(pl.UsageError, match="name one of"):
        Response()(wine, pl.Population(rows))
    found = Response(features="alcohol")(wine, pl.Population(rows, target=1, of="probability"))
    assert found.quantity == f"probability of {wine.task.labels[1]}"
    assert 0 <= float(found.level) <= 1
    with pytest.raises(BadInput, match="only one"):
        Response()(wine, pl.Population(rows[:1], target=0))
    with pytest.raises(pl.NotAnswerable, match="what-if"):
        Response()(pl.load("digits-cnn"), pl.Population(torch.zeros(3, 1, 8, 8), target=0))


def test_variables_that_never_differ_are_left_out_where_none_is_named():
    data = normal(10)
    data[:, 2] = 1
    found = Response()(valued(linear), pl.Population(data))
    assert [one.variable for one in found.curves] == ["element 0", "element 1"]
    assert "element 2 has the same value in all cases" in found.summary()
    with pytest.raises(pl.NotAnswerable, match="every variable"):
        Response()(valued(linear), pl.Population(torch.ones(5, 3).double()))
