"""Partial dependence and single cases beside those of scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_diabetes
from sklearn.ensemble import RandomForestRegressor
from sklearn.inspection import partial_dependence

import pellucid as pl
from pellucid.methods import Response

pytestmark = pytest.mark.reference

TABLE = load_diabetes(scaled=False)


@pytest.fixture(scope="module")
def forest():
    return RandomForestRegressor(20, max_depth=5, random_state=0).fit(TABLE.data, TABLE.target)


@pytest.mark.parametrize("column", ["bmi", "s5", "sex"])
def test_dependence_and_single_cases_are_those_of_scikit_learn(forest, column):
    task = pl.tasks.Tabular(TABLE.feature_names, output="value")
    rows = TABLE.data[:150].astype(np.float32)
    made = Response(features=column, kind="ice", grid=12, curves=150)
    found = made(pl.wrap(forest, task), pl.Population(torch.from_numpy(rows))).curves[0]
    place = TABLE.feature_names.index(column)
    expected = partial_dependence(forest, rows, [place], custom_values={place: found.grid.numpy()}, kind="both")
    assert found.grid.numpy() == pytest.approx(np.asarray(expected["grid_values"][0]))
    assert found.mean.numpy() == pytest.approx(expected["average"][0], rel=1e-5)
    cases, known = (np.sort(curves, axis=0) for curves in (found.individual.numpy(), expected["individual"][0]))
    assert cases == pytest.approx(known, rel=1e-5)


def test_the_joint_dependence_is_that_of_scikit_learn(forest):
    task = pl.tasks.Tabular(TABLE.feature_names, output="value")
    rows = TABLE.data[:60].astype(np.float32)
    made = Response(features=("bmi", "s5"), joint=True, grid=5)
    found = made(pl.wrap(forest, task), pl.Population(torch.from_numpy(rows))).surface
    places = [TABLE.feature_names.index(name) for name in ("bmi", "s5")]
    values = dict(zip(places, (grid.numpy() for grid in found.grids), strict=True))
    expected = partial_dependence(forest, rows, places, custom_values=values, method="brute", kind="average")
    assert found.mean.numpy() == pytest.approx(expected["average"][0], rel=1e-5)
