"""The digits that classes prefer: drawn by a trained generator others recognise them, as plain pixels they do not."""

from pathlib import Path

import pytest
import torch
from examples.preferred_digits import TOGETHER, both, drawn, picture, pixels, second_network
from scripts.train_mnist import held_out_digits, training_digits

import pellucid as pl
from pellucid.methods import TrainDecoder

MNIST = Path(__file__).resolve().parents[2] / "../shared/data/mnist-20k"


@pytest.mark.slow
@pytest.mark.skipif(not MNIST.exists(), reason="the digits of MNIST are not here")
def test_an_independent_network_recognises_what_the_generator_draws_and_not_plain_pixels_of_equal_activation():
    digits, labels = training_digits(MNIST)
    subject, second = pl.load("mnist-cnn"), second_network(digits, labels)
    held_out, truth = held_out_digits(MNIST)
    assert (second.scores(held_out[:2000]).argmax(1) == truth[:2000]).float().mean() > 0.93
    decoder = TrainDecoder("classifier", steps=800)(subject, pl.Fit(digits))
    generated = drawn(subject, decoder, second, digits)
    plain = pixels(subject, generated.activations, decoder, second, digits)
    assert generated.recognised.sum() >= 9
    assert plain.recognised.sum() <= 5
    assert (plain.activations > 0.98 * generated.activations).all()
    assert generated.outside.max() < 1e-5
    assert plain.outside.min() > 0.1
    assert plain.nearest.mean() > 2 * generated.nearest.mean()
    pairs = both(subject, decoder)
    for asked, result in zip(TOGETHER, pairs, strict=True):
        assert set(subject.scores(result.images).topk(2).indices[0].tolist()) == set(asked)
    drawing = picture([generated, plain], second, pairs)
    assert drawing.width > 1300
    assert torch.isfinite(generated.images).all()
    assert "recognised by the second network" in str(generated)
