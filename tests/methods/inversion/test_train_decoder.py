"""Decoders: losses by their formula, reconstructions of what was held out, and training that goes on after a stop."""

import dataclasses

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import pellucid as pl
from pellucid.core.errors import BadInput, NotAnswerable, UsageError
from pellucid.core.meter import reporting
from pellucid.engine.decoders import new_decoder, stage_sizes
from pellucid.methods.inversion.train_decoder import TrainDecoder
from pellucid.results.decoder import decoded


@pytest.fixture(scope="module")
def subject():
    return pl.load("digits-cnn")


def digits(number):
    return torch.tensor(load_digits().images[:number]).float()[:, None] / 16


@pytest.fixture(scope="module")
def shallow(subject):
    return TrainDecoder("convolution1", steps=120, batch=16, rate=3e-3)(subject, pl.Fit(digits(300)))


def test_pictures_that_were_held_out_are_reconstructed(shallow):
    picture, code = shallow.errors.mean(1).tolist()
    assert len(shallow.held_out) == 30
    assert picture < 0.1
    assert code < 0.1
    assert shallow.reconstructions.shape == (8, 1, 8, 8)
    assert 0 <= shallow.reconstructions.min() <= shallow.reconstructions.max() <= 1
    assert "miss" in shallow.summary()


def test_deeper_codes_tell_less_of_the_picture(subject, shallow):
    deep = TrainDecoder("classifier", steps=120, batch=16, rate=3e-3)(subject, pl.Fit(digits(300)))
    assert deep.intervals[0, 1] > 3 * shallow.intervals[0, 2]


def test_losses_are_mean_squares_over_variances(subject):
    data = digits(40)
    made = TrainDecoder("classifier", steps=1, batch=36, rate=1e-12, comparator="convolution2")(subject, pl.Fit(data))
    seen = data[[number for number in range(40) if number not in made.held_out]].double()
    run = subject.run(subject.prepare(seen), capture=("classifier", "convolution2"))
    shown = made(run.activations["classifier"].float()).detach()
    again = subject.run(subject.prepare(shown), capture=("convolution2",)).activations["convolution2"]
    aim = run.activations["convolution2"].double()
    expected = (shown - seen).square().mean() / seen.var(0, correction=0).mean()
    torch.testing.assert_close(made.curves["picture"][0].double(), expected, rtol=1e-5, atol=0)
    expected = (again - aim).square().mean() / aim.var(0, correction=1).mean()
    torch.testing.assert_close(made.curves["code"][0].double(), expected, rtol=1e-5, atol=0)


def test_errors_are_those_of_the_rows_that_were_held_out(subject, shallow):
    data = digits(300)
    mean = data[[number for number in range(300) if number not in shallow.held_out]].mean(0)
    real = data[shallow.held_out].double()
    code = subject.run(subject.prepare(real), capture=("convolution1",)).activations["convolution1"]
    missed = (shallow(code.float()) - real).square().sum((1, 2, 3)) / (real - mean).square().sum((1, 2, 3))
    torch.testing.assert_close(shallow.errors[0], missed, rtol=1e-5, atol=0)
    assert shallow.intervals[0, 1] < shallow.errors[0].mean() < shallow.intervals[0, 2]
    torch.testing.assert_close(shallow.mean, subject_mean(subject, data, shallow), rtol=1e-5, atol=1e-6)


def subject_mean(subject, data, made):
    seen = data[[number for number in range(len(data)) if number not in made.held_out]]
    return subject.run(subject.prepare(seen), capture=(made.layer,)).activations[made.layer].mean(0)


class Stopped(Exception):
    pass


def test_training_that_was_stopped_ends_as_if_it_never_had_been(subject, tmp_path):
    method, query = TrainDecoder("convolution2", steps=56, batch=8, width=4), pl.Fit(digits(60))

    def stop(done, total, what):
        if (done, what) == (54, "train-decoder"):
            raise Stopped

    kept = dataclasses.replace(method, folder=str(tmp_path / "kept"))
    with pytest.raises(Stopped), reporting(stop):
        kept(subject, query)
    reached = []
    with reporting(lambda done, total, what: reached.append((done, what))):
        resumed = kept(subject, query)
    assert min(done for done, what in reached if what == "train-decoder") == 51
    whole = method(subject, query)
    for name, weight in whole.weights.items():
        assert torch.equal(resumed.weights[name], weight), name
    for name, curve in whole.curves.items():
        assert torch.equal(resumed.curves[name], curve), name
    assert len(list((tmp_path / "kept").iterdir())) == 1
    dataclasses.replace(kept, seed=1, steps=1)(subject, query)
    files = list((tmp_path / "kept").iterdir())
    assert len(files) == 2
    for file in files:
        file.write_bytes(b"not what was kept")
    with pytest.raises(BadInput, match="damaged"):
        kept(subject, query)


def test_without_an_adversary_there_is_no_verdict_to_learn_from(subject):
    made = TrainDecoder("classifier", steps=3, adversarial=0)(subject, pl.Fit(digits(20)))
    assert (made.curves["adversary"] == 0).all()
    beside = TrainDecoder("classifier", steps=3, adversarial=0.5)(subject, pl.Fit(digits(20)))
    assert (beside.curves["adversary"] > 0).all()
    assert not torch.equal(beside.weights["0.weight"], made.weights["0.weight"])


@pytest.mark.parametrize(
    ("code", "picture"),
    [((5,), (1, 9, 14)), ((4, 1, 1), (3, 16, 16)), ((6, 7, 4), (2, 30, 17)), ((3, 9, 9), (1, 9, 9))],
)
def test_codes_and_pictures_of_any_shape(code, picture):
    sizes = stage_sizes(code, picture)
    assert sizes[-1] == picture[1:]
    weights = new_decoder(code, picture, sizes, 8, torch.Generator().manual_seed(0))
    shown = decoded(weights, torch.randn(2, *code, generator=torch.Generator().manual_seed(1)), 1.0, sizes, None)
    assert shown.shape == (2, *picture)
    assert not torch.allclose(shown[0], shown[1])


def test_colour_pictures_of_networks_in_double_precision():
    network = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2)).double()
    subject = pl.wrap(network.eval(), pl.tasks.Image(8))
    draws = torch.rand(12, 3, 8, 8, generator=torch.Generator().manual_seed(2)) * 2 - 1
    made = TrainDecoder("1", steps=2, batch=32)(subject, pl.Fit(draws))
    assert made.code == (4, 4, 4)
    assert made(torch.zeros(1, 4, 4, 4)).shape == (1, 3, 8, 8)
    assert all(parameter.grad is None for parameter in network.parameters())


def test_what_cannot_be_learned_from_is_refused(subject):
    with pytest.raises(NotAnswerable, match="many pictures"):
        TrainDecoder("classifier")(subject, pl.Fit(digits(1)))
    with pytest.raises(BadInput, match="the same"):
        TrainDecoder("classifier")(subject, pl.Fit(digits(1).expand(5, -1, -1, -1)))
    with pytest.raises(UsageError, match="supervision"):
        TrainDecoder("classifier")(subject, pl.Fit(digits(9), supervision=[1]))
    with pytest.raises(UsageError, match="classifier"):
        TrainDecoder("clasifier")(subject, pl.Fit(digits(9)))
    with pytest.raises(UsageError, match="both 0"):
        TrainDecoder("classifier", picture=0, code=0)
