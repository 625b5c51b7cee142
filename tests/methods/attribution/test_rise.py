"""RISE: what all masks together say, intervals that hold it, and as few masks as are needed."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.core import meter
from pellucid.methods import Rise

ESTIMATORS = ["centred", "paper"]


def valued(function):
    return pl.wrap(function, pl.tasks.TensorTask(output="value"), name="function")


def perceptron(features=12, scale=1.0):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(features, 16), nn.Tanh(), nn.Linear(16, 1)).double().eval()
    return pl.wrap(network, pl.tasks.TensorTask(output="value"))


def row(features=12, seed=4):
    return torch.randn(1, features, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def enumerated(subject, point, probability, estimator):
    """The scores over all masks, from their definition, in NumPy."""
    masks = np.array(list(itertools.product([0.0, 1.0], repeat=point.shape[1])))
    answers = subject.scores(torch.from_numpy(masks) * point)[:, 0].numpy()
    shown = masks.sum(1)
    chances = probability**shown * (1 - probability) ** (masks.shape[1] - shown)
    while_shown = (chances * answers) @ masks / probability
    while_hidden = (chances * answers) @ (1 - masks) / (1 - probability)
    return while_shown if estimator == "paper" else while_shown - while_hidden


def inside(answer, truth, example=0):
    low, high = (side[example].numpy() for side in answer.interval)
    return (low <= truth) & (truth <= high)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("probability", [0.5, 0.2])
def test_few_features_are_scored_over_all_masks_exactly(estimator, probability):
    subject, point = perceptron(5), row(5)
    answer = Rise(estimator=estimator, probability=probability)(subject, pl.Decision(point))
    assert answer.by_feature()[0].numpy() == pytest.approx(enumerated(subject, point, probability, estimator))
    assert answer.evaluations["F"] <= 2**5 + 2
    assert answer.quality["masks"].tolist() == [32]
    assert torch.equal(*(side[0] for side in answer.interval))
    assert bool(answer.converged)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("probability", [0.5, 0.3])
def test_intervals_hold_the_scores_over_all_masks_in_95_of_100_cases(estimator, probability):
    subject, point = perceptron(), row()
    truth = enumerated(subject, point, probability, estimator)
    made = [Rise(500, estimator=estimator, probability=probability, tolerance=1e-9, seed=seed) for seed in range(60)]
    answers = [one(subject, pl.Decision(point)) for one in made]
    assert 0.92 <= np.mean([inside(answer, truth) for answer in answers]) <= 0.98
    scores = np.stack([answer.by_feature()[0].numpy() for answer in answers])
    apart = np.abs(scores.mean(0) - truth) / (scores.std(0, ddof=1) / np.sqrt(len(scores)))
    assert apart.max() < 4


@pytest.mark.slow
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_intervals_hold_the_scores_of_twelve_features_over_200_seeds(estimator):
    subject, point = perceptron(), row()
    truth = enumerated(subject, point, 0.5, estimator)
    answers = [
        Rise(600, estimator=estimator, tolerance=1e-9, seed=seed)(subject, pl.Decision(point)) for seed in range(200)
    ]
    assert 0.92 <= np.mean([inside(answer, truth) for answer in answers]) <= 0.98


class Pictures(nn.Module):
    """Two small convolutions over grey pictures."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 6, 3, 2), nn.ReLU(), nn.Conv2d(6, 8, 3, 2), nn.ReLU(), nn.Flatten())
        self.head = nn.Linear(8 * 3 * 3, 3)

    def forward(self, pixels):
        return self.head(self.body(pixels))


def picture_subject():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Pictures().eval()
        with torch.no_grad():
            network.head.weight.mul_(6)
    return pl.wrap(network, pl.tasks.Image(16, mean=(0.0,), deviation=(1.0,)))


def picture():
    rows, columns = torch.meshgrid(torch.linspace(0, 1, 16), torch.linspace(0, 1, 16), indexing="ij")
    return ((5 * rows).sin() * (7 * columns).cos() / 2 + 0.5)[None, None]


SEGMENTS = (torch.arange(16)[:, None] * 4 // 16) * 11 + (torch.arange(16) * 11 // 16)


@pytest.mark.slow
@pytest.mark.parametrize("fields", [{"features": SEGMENTS}, {"cells": 5}], ids=["44 segments", "soft cells"])
def test_intervals_hold_the_long_run_scores_of_a_picture_over_200_seeds(fields):
    subject, asked = picture_subject(), pl.Decision(picture(), target=1)
    long = Rise(150_000, tolerance=1e-9, seed=10**6, **fields)(subject, asked)
    truth = long.by_feature()[0].numpy()
    hits = [inside(Rise(800, tolerance=1e-9, seed=seed, **fields)(subject, asked), truth) for seed in range(200)]
    assert len(truth) == (44 if "features" in fields else 256)
    assert 0.92 <= np.mean(hits) <= 0.98


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_soft_masks_of_a_picture_score_what_all_of_them_say(estimator):
    """4 × 4 pixels, 2 × 2 cells at 2 × 2 places: 64 masks, upsampled here by torch."""
    weights = torch.arange(16.0).view(4, 4)
    subject = pl.wrap(
        lambda pixels: ((pixels[:, 0] * weights).sum((1, 2)) ** 2)[:, None],
        pl.tasks.Image(4, mean=(0.0,), deviation=(1.0,), output="value"),
        name="square",
    )
    point = torch.linspace(0.1, 1, 16).view(1, 1, 4, 4)
    masks = []
    for bits in itertools.product([0.0, 1.0], repeat=4):
        cells = torch.tensor(bits).view(1, 1, 2, 2)
        large = nn.functional.interpolate(cells, (6, 6), mode="bilinear", align_corners=False)[0, 0]
        masks += [large[i : i + 4, j : j + 4] for i in range(2) for j in range(2)]
    masks = torch.stack(masks).double()
    answers = subject.scores((masks[:, None] * point).float())[:, 0].double()
    mean = (masks * answers[:, None, None]).mean(0)
    slope = (mean - answers.mean() / 2) / (masks - 0.5).square().mean(0)
    truth = (mean / 0.5 if estimator == "paper" else slope).flatten().numpy()
    made = [Rise(600, cells=2, baseline=0.0, estimator=estimator, tolerance=1e-9, seed=seed) for seed in range(30)]
    answers = [one(subject, pl.Decision(point)) for one in made]
    assert 0.88 <= np.mean([inside(answer, truth) for answer in answers]) <= 1
    scores = np.stack([answer.by_feature()[0].double().numpy() for answer in answers])
    assert (np.abs(scores.mean(0) - truth) / (scores.std(0, ddof=1) / np.sqrt(30))).max() < 4
    assert np.abs(scores.mean(0) - truth).max() < 0.02 * np.abs(truth).max()


def test_parts_that_add_up_are_known_before_many_masks_are_drawn():
    weights = torch.linspace(-2, 3, 20, dtype=torch.float64)
    answer = Rise()(valued(lambda rows: rows @ weights[:, None]), pl.Decision(torch.ones(1, 20).double()))
    assert bool(answer.converged)
    assert answer.evaluations["F"] < 1100
    assert answer.by_feature()[0].numpy() == pytest.approx(weights.numpy())


def test_the_budget_is_kept_and_a_missed_tolerance_is_told():
    subject, point = perceptron(), row()
    with meter.metered() as passes:
        answer = Rise(100, tolerance=1e-9)(subject, pl.Decision(point))
    assert passes.forward <= 102
    assert answer.converged.tolist() == [False]
    assert answer.quality["masks"].tolist() == [100]
    loose = Rise(4000, tolerance=0.5)(subject, pl.Decision(point))
    assert bool(loose.converged)
    half = loose.interval[1][0] - loose.by_feature()[0]
    assert half.max() <= 0.5 * loose.by_feature()[0].abs().max()
    assert int(loose.quality["masks"]) < 4000


def test_pairs_of_opposite_masks_cancel_what_does_not_depend_on_which_part_is_shown():
    def even(rows):
        return ((rows - 0.5).sum(1, keepdim=True)) ** 2

    answer = Rise(400)(valued(even), pl.Decision(torch.ones(1, 14).double()))
    assert answer.by_feature()[0].abs().max() < 1e-9
    assert (answer.interval[1][0] - answer.interval[0][0]).max() < 1e-9


@pytest.mark.parametrize("fields", [{"features": SEGMENTS}, {}], ids=["segments", "soft cells"])
@pytest.mark.parametrize("size", [1, 7, 64])
def test_masks_and_scores_do_not_depend_on_the_batch_size_or_the_order(size, fields):
    subject, seen = picture_subject(), []
    batch = torch.cat([picture(), picture().flip(2), picture().flip(3)])

    class Watched:
        def __getattr__(self, name):
            return getattr(subject, name)

        def batch_size(self, inputs):
            return size

        def run(self, inputs, **options):
            seen.append(inputs.value)
            return subject.run(inputs, **options)

    found = Rise(100, **fields)(Watched(), pl.Decision(batch.flip(0), target=0))
    plain = Rise(100, **fields)(subject, pl.Decision(batch, target=0))
    assert max(map(len, seen[1:])) <= size
    torch.testing.assert_close(found.scores.flip(0), plain.scores, rtol=0, atol=1e-5 * float(plain.scores.abs().max()))
    alone = Rise(100, **fields)(subject, pl.Decision(batch[1:2], target=0))
    torch.testing.assert_close(alone.scores[0], plain.scores[1], rtol=0, atol=1e-5 * float(plain.scores.abs().max()))


def test_what_looks_the_same_hidden_as_shown_is_refused():
    with pytest.raises(pl.NotAnswerable, match="looks the same"):
        Rise(baseline=0.3)(picture_subject(), pl.Decision(torch.full((1, 1, 16, 16), 0.3), target=0))


def test_a_whole_number_input_is_hidden_like_any_other():
    subject = valued(lambda rows: rows[:, :1].double() * 3 + rows[:, 1:2].double())
    answer = Rise(baseline=0.0)(subject, pl.Decision(torch.tensor([[2, 5]])))
    assert answer.by_feature()[0].tolist() == pytest.approx([6, 5])
