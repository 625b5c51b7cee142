"""One pass for several layers: patterns, early end, nothing shown twice, nothing left behind, bad values named."""

from dataclasses import replace

import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.core.errors import NotAnswerable, SubjectFailed, UsageError
from pellucid.core.meter import metered
from pellucid.engine.dataset import DataSet
from pellucid.engine.units import layers_at
from pellucid.engine.walking import Seen, layer_names, layers_named, walk
from pellucid.models.sentence_lstm import WordTokenizer


def network():
    torch.manual_seed(0)
    block = lambda i, o: nn.Sequential(nn.Conv2d(i, o, 3), nn.ReLU())  # noqa: E731
    stages = nn.Sequential(block(1, 4), block(4, 6))
    return nn.Sequential(stages, nn.Flatten(), nn.Linear(6 * 16, 3)).eval()


@pytest.fixture
def subject():
    return pl.wrap(network(), pl.tasks.TensorTask(shape=(1, 8, 8)), name="network")


class Noted:
    """A sink that keeps what it is shown."""

    def __init__(self, layer, done=0):
        self.layer, self.done, self.shown = layer, done, []

    def take(self, seen):
        self.shown.append(seen)
        self.done += len(seen.places)


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["0.*"], ["0.0", "0.1"]),
        (["0.?.0"], ["0.0.0", "0.1.0"]),
        (["*"], ["0", "1", "2"]),
        (["0.**"], ["0.0.0", "0.0.1", "0.0", "0.1.0", "0.1.1", "0.1"]),
        (["2", "0.1", "2"], ["0.1", "2"]),
    ],
)
def test_patterns_mean_layers_in_the_order_of_the_network(subject, patterns, expected):
    assert layer_names(subject, subject.task.example(), patterns) == expected


def test_unknown_names_and_patterns_are_answered_with_the_nearest(subject):
    with pytest.raises(UsageError, match=r"no layer of network matches '3\.\*'"):
        layer_names(subject, subject.task.example(), ["3.*"])
    with pytest.raises(UsageError, match=r"did you mean '0\.1\.1'"):
        layers_named(subject, subject.task.example(), ["0.1.7"])


def test_a_subject_that_shows_its_outputs_only_is_refused():
    box = pl.wrap(lambda batch: batch[:, :2], pl.tasks.TensorTask(shape=(3,)), name="box")
    with pytest.raises(NotAnswerable, match="outputs only"):
        layer_names(box, box.prepare(torch.rand(1, 3)), ["*"])


def test_every_layer_sees_every_example_once_in_order_whatever_it_has_already(subject):
    data = DataSet(subject, torch.rand(11, 1, 8, 8))
    first, second, third = layers_at(subject, data.inputs([0]), ["0.0", "0.1", "2"])
    sinks = [Noted(first), Noted(second, 4), Noted(third, 11)]
    hooks = [len(module._forward_hooks) for module in subject.module.modules()]
    walk(subject, data, sinks, "activations")
    assert [len(module._forward_hooks) for module in subject.module.modules()] == hooks
    run = subject.run(data.inputs(range(11)), capture=["0.0", "0.1"])
    for sink, done, name in ((sinks[0], 0, "0.0"), (sinks[1], 4, "0.1")):
        shown = torch.cat([seen.places for seen in sink.shown])
        assert torch.allclose(shown, run.activations[name][done:].flatten(2), atol=1e-6)
        assert [d for seen in sink.shown for d in seen.digests] == data.digests[done:]
        assert sink.shown[0].first == done
    assert sinks[2].shown == []
    with metered() as meter:
        walk(subject, data, sinks, "activations")
    assert meter.forward == 0


def test_where_memory_runs_out_the_batch_is_halved_and_nothing_is_shown_twice(subject, monkeypatch):
    data = DataSet(subject, torch.rand(8, 1, 8, 8))
    sinks = [Noted(layer) for layer in layers_at(subject, data.inputs([0]), ["0.0", "0.1"])]
    take = Noted.take

    def scarce(sink, seen):
        if sink is sinks[1] and len(seen.places) > 2:
            raise MemoryError
        take(sink, seen)

    monkeypatch.setattr(Noted, "take", scarce)
    walk(subject, data, sinks, "activations")
    for sink in sinks:
        assert [d for seen in sink.shown for d in seen.digests] == data.digests


def test_a_layer_that_answers_with_no_number_names_the_input(subject):
    points = torch.rand(3, 1, 8, 8)
    points[1] = 3e38
    subject.module[0][0][0].weight.data.fill_(1)
    data = DataSet(subject, points, ["one"])
    (layer,) = layers_at(subject, data.inputs([0]), ["0.1.0"])
    with pytest.raises(SubjectFailed, match=r"layer '0\.1\.0' gives NaN or infinite values for one #1"):
        walk(subject, data, [Noted(layer)], "activations")


def test_drawn_places_depend_on_content_and_seed_only():
    places = torch.rand(3, 2, 50)
    seen = Seen(places, 0, ["x", "y", "z"])
    turned = Seen(places.flip(0), 7, ["z", "y", "x"])
    draws = {seen.digests[row]: chosen.tolist() for row, chosen in seen.drawn(8, 0)}
    assert draws == {turned.digests[row]: chosen.tolist() for row, chosen in turned.drawn(8, 0)}
    assert draws["x"] != draws["y"]
    assert all(chosen == sorted(set(chosen)) and len(chosen) == 8 for chosen in draws.values())
    assert draws != {seen.digests[row]: chosen.tolist() for row, chosen in seen.drawn(8, 1)}
    assert [chosen.tolist() for _, chosen in seen.drawn(50, 0)] == [list(range(50))] * 3


def test_padding_is_never_seen():
    places = torch.tensor([[[1.0, 2.0, 9.0]], [[3.0, 9.0, 9.0]]])
    seen = Seen(places, 5, ["x", "y"], torch.tensor([[True, True, False], [True, False, False]]))
    values, codes = seen.peaks()
    assert values.tolist() == [[2], [3]]
    assert (codes >> 32).tolist() == [[5], [6]]
    assert seen.means().tolist() == [[1.5], [3]]
    assert Seen(-places, 5, ["x", "y"], seen.valid).lowest().tolist() == [-3]
    assert seen.valid_places().tolist() == [[1], [2], [3]]
    assert [chosen.tolist() for _, chosen in seen.drawn(2, 0)] == [[0, 1], [0]]


class Reader(nn.Module):
    """Words one by one, then their mean."""

    def __init__(self, words):
        super().__init__()
        self.embedding, self.each, self.out = nn.Embedding(words, 4), nn.Linear(4, 5), nn.Linear(5, 2)
        self.read, self.places = nn.Identity(), nn.Embedding(9, 4)

    def forward(self, embeddings, attention_mask):
        places = self.places(torch.arange(embeddings.shape[1])[None])
        each = self.each(self.read(embeddings) + 0 * places) * attention_mask[..., None] + 100 * (
            1 - attention_mask[..., None]
        )
        return self.out((each * attention_mask[..., None]).sum(1) / attention_mask.sum(1, keepdim=True))


TEXTS = ["good film", "bad", "bad film , good film"]


@pytest.fixture
def reader():
    torch.manual_seed(0)
    tokenizer = WordTokenizer(["good", "bad", "film"])
    module = Reader(len(tokenizer)).eval()
    return pl.wrap(module, pl.tasks.Text(tokenizer, module.embedding, labels=("bad", "good")), name="reader")


@pytest.mark.parametrize(("name", "width"), [("each", 5), ("read", 4)])  # made by weights, and read as it is
def test_texts_of_different_lengths_are_seen_word_by_word_without_their_padding(reader, name, width):
    data = DataSet(reader, TEXTS)
    assert data.lengths == [2, 1, 5]
    (layer,) = layers_at(reader, data.inputs([0]), [name])
    sink = Noted(layer)
    walk(reader, data, [sink], "activations")
    shown = torch.cat([seen.valid_places() for seen in sink.shown])
    alone = torch.cat([reader.run(reader.prepare(text), capture=[name]).activations[name][0] for text in TEXTS])
    assert shown.shape == (8, width)
    assert torch.allclose(shown, alone, atol=1e-6)


def test_a_layer_that_does_not_keep_examples_apart_is_refused_by_name(reader):
    data = DataSet(reader, TEXTS)
    with pytest.raises(NotAnswerable, match="'places' answers 3 examples with 1 rows"):
        walk(reader, data, [Noted(layer) for layer in layers_at(reader, data.inputs([0]), ["places"])], "activations")


def test_a_layer_with_other_channels_for_other_inputs_is_refused_by_name(reader):
    data = DataSet(reader, TEXTS)
    layer = replace(layers_at(reader, data.inputs([0]), ["each"])[0], axis=0)
    with pytest.raises(NotAnswerable, match="'each' has 2 channels for one input and 5 for another"):
        walk(reader, data, [Noted(layer)], "activations")


def test_a_layer_that_is_called_again_is_named_by_its_call(subject):
    twice = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    module = nn.Sequential(twice, twice, nn.Linear(4, 2)).eval()
    again = pl.wrap(module, pl.tasks.TensorTask(shape=(4,)))
    data = DataSet(again, torch.randn(5, 4))
    sinks = [Noted(layer) for layer in layers_named(again, data.inputs([0]), ["0.1#1", "0.1"])]
    walk(again, data, sinks, "activations")
    points = data.inputs(range(5)).value
    for sink, calls in zip(sinks, (2, 1), strict=True):
        expected = (twice if calls == 1 else module[:2])(points).detach()
        assert torch.allclose(torch.cat([seen.places for seen in sink.shown])[..., 0], expected, atol=1e-6)
