"""Text as embeddings: words with their places, special tokens and padding that are no feature."""

import pytest
import torch
from torch import nn
from transformers import BertTokenizerFast

from pellucid.core.errors import BadInput
from pellucid.tasks.text import Text

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "warm", "film", "un", "##kind", "don", "'", "t", ",", "!"]


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    path.write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    table = nn.Embedding(len(WORDS), 4)
    table.weight.data = torch.arange(len(WORDS))[:, None].expand(-1, 4).clone().float()
    return Text(BertTokenizerFast(str(path)), table, ("bad", "good"), longest=8)


def test_the_point_is_the_embedding_of_each_token(task):
    inputs = task.prepare("a warm film")
    assert inputs.value[0, :, 0].tolist() == [2, 5, 6, 7, 3]
    assert not inputs.value.requires_grad


def test_shorter_texts_are_padded_and_the_padding_is_marked(task):
    inputs = task.prepare(["a warm film", "film"])
    assert inputs.mask.tolist() == [[True] * 5, [True] * 3 + [False] * 2]
    assert inputs.tensors["attention_mask"].tolist() == inputs.mask.int().tolist()


def test_words_are_features_with_their_places_in_the_text(task):
    features = task.features(task.prepare("unkind film!"), "words")
    assert features.labels == (("unkind", "film", "!"),)
    assert features.spans == (((0, 6), (7, 11), (11, 12)),)
    assert features.segments[0, :, 0].tolist() == [-1, 0, 0, 1, 2, -1]


def test_an_apostrophe_is_part_of_its_word(task):
    features = task.features(task.prepare("don't, film"), "words")
    assert features.labels == (("don't", ",", "film"),)
    assert features.segments[0, :, 0].tolist() == [-1, 0, 0, 0, 1, 2, -1]


def test_tokens_are_features_of_their_own(task):
    features = task.features(task.prepare(["unkind film", "a"]), "tokens")
    assert features.labels == (("un", "kind", "film"), ("a",))
    assert features.segments[1, :, 0].tolist() == [-1, 0, -1, -1, -1]
    assert features.kind == "token"


def test_every_baseline_leaves_special_tokens_and_padding_alone(task):
    inputs = task.prepare(["a warm film", "film"])
    words = task.features(inputs, "words").segments[:, :, 0] >= 0
    for name in task.baselines():
        replaced = task.baseline(inputs, name)
        assert torch.equal(replaced[~words], inputs.value[~words])
    assert task.baseline(inputs, "mask")[words].eq(4).all()
    assert not task.baseline(inputs, "zero")[words].any()


def test_a_baseline_does_not_depend_on_longer_texts_in_the_batch(task):
    alone, beside = task.prepare(["film"]), task.prepare(["film", "a warm film"])
    for name in task.baselines():
        assert torch.equal(task.baseline(beside, name)[:1, :3], task.baseline(alone, name))


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ("", "the text is empty"),
        (" \n", "the text is empty"),
        (7, "a text is a string, not a int"),
        (["film", None], "a text is a string, not a NoneType"),
        ("a warm film a warm film a", "9 tokens and the model reads 8; split it"),
        (torch.zeros(3, 4), r"shape \[batch, tokens, width\]"),
        ([], "."),
    ],
    ids=str,
)
def test_what_cannot_be_read_is_refused(task, raw, said):
    with pytest.raises(BadInput, match=said):
        task.prepare(raw)


def test_embeddings_can_be_given_and_their_positions_are_features(task):
    inputs = task.prepare(torch.ones(2, 3, 4))
    assert task.features(inputs, "words").counts() == (3, 3)
    assert inputs.tensors["attention_mask"].tolist() == [[1, 1, 1]] * 2
