"""The stand-in for a game: closed answers equal those of its own mean on every coalition, and additive games are exact."""

import pytest
import torch
from scipy.stats import t as student

from methods.shapley.games import table
from pellucid.engine import coalition_surrogate
from pellucid.engine.coalition_surrogate import PairSurrogate, shapley_estimate
from pellucid.engine.shapley import coalitions, pair_interactions, shapley_values

PLAYERS = 5


def known(worth, number):
    """Both halves of a game at some coalitions, all players first."""
    masks = coalitions(PLAYERS).flip(0)[:number]
    shown, rest = worth(masks.double()), worth((~masks).double())
    return masks, (shown - rest) / 2, (shown + rest) / 2


def mean_everywhere(fitted):
    """The mean of a fitted half on every coalition, from the covariance with what is known."""
    everywhere = coalitions(PLAYERS).double() * 2 - 1
    product = (1 + fitted.rates * everywhere[:, None] * fitted.signs).prod(2)
    mirrored = (1 - fitted.rates * everywhere[:, None] * fitted.signs).prod(2)
    if fitted.odd:
        covariance = (product - mirrored) / 2 - (everywhere * fitted.rates) @ fitted.signs.T
        trend = everywhere / 2
    else:
        covariance, trend = (product + mirrored) / 2 - 1, torch.ones(len(everywhere), 1).double()
    return trend @ fitted.coefficients + covariance / fitted.scale @ fitted._pull


def test_shapley_values_are_those_of_the_mean():
    masks, odd, _ = known(table(0, PLAYERS), 12)
    fitted = coalition_surrogate._best(masks.double() * 2 - 1, odd, True)
    expected = shapley_values(mean_everywhere(fitted))
    torch.testing.assert_close(shapley_estimate(masks, odd).mean, expected, rtol=0, atol=1e-6)
    assert float(expected.abs().max()) > 0.1


@pytest.mark.parametrize("index", ["sii", "stii", "fsii"])
def test_interactions_are_those_of_the_mean(index):
    masks, odd, even = known(table(1, PLAYERS), 14)
    surrogate = PairSurrogate(masks, odd, even, index)
    mean = mean_everywhere(surrogate._odd) + mean_everywhere(surrogate._even)
    expected = pair_interactions(mean, index)
    one, other = torch.triu_indices(PLAYERS, PLAYERS, 1)
    torch.testing.assert_close(surrogate.pairs().mean, expected[one, other], rtol=0, atol=1e-6)
    torch.testing.assert_close(surrogate.shapley_values().mean, shapley_values(mean), rtol=0, atol=1e-6)
    if index == "fsii":
        torch.testing.assert_close(surrogate.half_of_pairs().mean, expected.sum(1) / 2, rtol=0, atol=1e-6)


@pytest.mark.parametrize("index", ["sii", "stii", "fsii"])
def test_intervals_are_the_spread_of_games_drawn_from_the_model(index):
    masks, odd, even = known(table(2, PLAYERS), 11)
    surrogate = PairSurrogate(masks, odd, even, index)
    questions = {"shapley": surrogate.shapley_values(), "pairs": surrogate.pairs()}
    one, other = torch.triu_indices(PLAYERS, PLAYERS, 1)
    weights = {
        "shapley": torch.stack([shapley_values(unit) for unit in torch.eye(2**PLAYERS).double()], 1),
        "pairs": torch.stack(
            [pair_interactions(unit, index)[one, other] for unit in torch.eye(2**PLAYERS).double()], 1
        ),
    }
    for name, found in questions.items():
        total = sum(
            (_half_width(half, weights[name]) ** 2 for half in (surrogate._odd, surrogate._even)),
            torch.zeros(len(weights[name])).double(),
        )
        torch.testing.assert_close(found.half_width, total.sqrt(), rtol=1e-4, atol=1e-6)


def _half_width(fitted, weights):
    """Conditional spread of linear questions ``[questions, coalitions]``, by the covariance of all coalitions; the trend
    is one more thing that is not known, with a variance that is very large. It is wider where known values that the
    answer hangs on are further from what is said without them than expected."""
    everywhere = coalitions(PLAYERS).double() * 2 - 1
    product = (1 + fitted.rates * everywhere[:, None] * everywhere).prod(2)
    mirrored = (1 - fitted.rates * everywhere[:, None] * everywhere).prod(2)
    if fitted.odd:
        covariance = (product - mirrored) / 2 - (everywhere * fitted.rates) @ everywhere.T
        trend = everywhere / 2
    else:
        covariance, trend = (product + mirrored) / 2 - 1, torch.ones(len(everywhere), 1).double()
    covariance = covariance / fitted.scale + 1e6 * trend @ trend.T
    places = ((fitted.signs + 1) / 2 @ 2 ** torch.arange(PLAYERS).double()).long()
    seen = covariance[places][:, places] + 1e-6 * torch.eye(len(places)).double()
    across = covariance[:, places]
    hangs = weights @ torch.linalg.solve(seen, across.T).T
    rest = covariance - across @ torch.linalg.solve(seen, across.T)
    variance = (weights @ rest * weights).sum(1).clamp(min=0) * fitted.variance
    values = mean_everywhere(fitted)[places]
    missed, expected = torch.zeros(2, len(places), dtype=torch.float64)
    for place in range(len(places)):
        others = [other for other in range(len(places)) if other != place]
        told = torch.linalg.solve(seen[others][:, others], seen[others, place])
        missed[place] = (values[place] - told @ values[others]) ** 2
        expected[place] = (seen[place, place] - told @ seen[others, place]) * fitted.variance
    surprise = (hangs.square() @ missed) / (hangs.square() @ expected)
    return float(student.ppf(0.975, fitted.freedom)) * (variance * surprise.clamp(min=1)).sqrt()


def test_additive_games_are_exact_and_known_to_be():
    masks, odd, _ = known(lambda rows: rows @ torch.tensor([1.0, -2.0, 0.5, 3.0, 0.0]).double() + 7, 9)
    found = shapley_estimate(masks, odd)
    torch.testing.assert_close(found.mean, torch.tensor([1.0, -2.0, 0.5, 3.0, 0.0]).double(), rtol=0, atol=1e-10)
    assert float(found.half_width.max()) < 1e-8
