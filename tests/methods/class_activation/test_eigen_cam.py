"""Eigen-CAM: the first principal direction of the activations, its sign, and that no class enters."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import nn

import pellucid as pl
from methods.class_activation.networks import PICTURES, asked, averaged, draws, seeded
from pellucid.methods import EigenCam


def first_eigenvector(rows):
    """Of the Gram matrix of ``[positions, channels]``."""
    return np.linalg.eigh(rows.T @ rows)[1][:, -1]


def test_it_projects_on_the_first_eigenvector_of_the_gram_matrix():
    net = averaged()
    maps = net[:3](PICTURES).detach()
    scores = asked(EigenCam(), net, at="2").scores
    for activation, found in zip(maps, scores, strict=True):
        rows = activation.flatten(1).T.numpy()
        expected = rows @ first_eigenvector(rows)
        expected *= np.sign(expected @ rows.sum(1))
        np.testing.assert_allclose(found.sum(0).flatten().numpy(), expected, atol=1e-12)
        np.testing.assert_allclose(found.sum((1, 2)) ** 2, (rows * first_eigenvector(rows)).sum(0) ** 2, atol=1e-12)


def test_centred_it_is_the_first_principal_component_along_the_channels_sum():
    net = averaged()
    maps = net[:2](PICTURES).detach()
    found = asked(EigenCam(centred=True), net, at="1").scores.sum(1).flatten(1)
    for activation, scores in zip(maps, found, strict=True):
        rows = activation.flatten(1).T.numpy()
        expected = PCA(1).fit_transform(rows)[:, 0]
        expected *= np.sign(np.corrcoef(expected, rows.sum(1))[0, 1])
        np.testing.assert_allclose(scores.numpy(), expected, atol=1e-10)


@pytest.mark.parametrize("seed", range(5))
def test_after_a_rectifier_no_place_is_negative(seed):
    """Perron and Frobenius: the first singular vector of a matrix without negative entries has none either."""
    assert bool((asked(EigenCam(), averaged(seed)).scores >= -1e-15).all())


@pytest.mark.parametrize("centred", [True, False])
def test_the_sign_follows_the_activity(centred):
    """Where all channels are turned over, so is their sum, and with it the map."""
    net = seeded(lambda: nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten(), nn.Linear(256, 2)))
    first = asked(EigenCam(centred=centred), net, at="0").scores.sum(1)
    net[0].weight.data *= -1
    net[0].bias.data *= -1
    torch.testing.assert_close(asked(EigenCam(centred=centred), net, at="0").scores.sum(1), -first)


def test_no_class_changes_the_map_and_a_note_says_so():
    net = averaged()
    first, second = (asked(EigenCam(), net, target=target) for target in (0, 3))
    assert torch.equal(first.scores, second.scores)
    assert torch.equal(asked(EigenCam(), net, target=0, foil=3).scores, first.scores)
    assert not torch.equal(first.value, second.value)
    assert "the same whatever class" in first.notes[-1]


def test_it_needs_no_gradient():
    answer = asked(EigenCam(), averaged())
    assert answer.evaluations == {"F": 2, "B": 0}


class Padded(nn.Module):
    """A convolution over a series that leaves its length."""

    def __init__(self):
        super().__init__()
        self.convolution, self.head = nn.Conv1d(2, 3, 1, bias=False), nn.Linear(3, 2)

    def forward(self, series):
        return self.head(self.convolution(series.transpose(1, 2)).amax(2))


@pytest.mark.parametrize("centred", [True, False])
def test_padding_does_not_turn_the_direction(centred):
    subject = pl.wrap(seeded(Padded).float(), pl.tasks.Sequence(channels=("left", "right")))
    long, short = draws(6, 2).float(), draws(3, 2, seed=2).float()
    method = EigenCam(centred=centred)
    together = method(subject, pl.Decision([long, short], target=0)).scores[1]
    alone = method(subject, pl.Decision([short], target=0)).scores[0]
    torch.testing.assert_close(together[:3], alone, rtol=1e-5, atol=1e-6)
    assert not together[3:].any()
