"""The sentence LSTM reads words in both directions and never padding, and its tokenizer keeps every word's place."""

import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import pellucid as pl
from pellucid.core.errors import BadInput
from pellucid.methods.attribution.lrp import LRP
from pellucid.models.sentence_lstm import SentenceLSTM, WordTokenizer, load_lstm_sentiment


def small():
    torch.manual_seed(0)
    return SentenceLSTM(words=9, width=5, units=4, classes=2).double().eval()


def last_state(lstm, sequence):
    """The published equations for one sentence, word by word."""
    hidden = cell = torch.zeros(lstm.hidden_size, dtype=sequence.dtype)
    for word in sequence:
        gates = lstm.weight_ih_l0 @ word + lstm.bias_ih_l0 + lstm.weight_hh_l0 @ hidden + lstm.bias_hh_l0
        entry, forget, candidate, output = gates.chunk(4)
        cell = forget.sigmoid() * cell + entry.sigmoid() * candidate.tanh()
        hidden = output.sigmoid() * cell.tanh()
    return hidden


def test_the_logits_follow_the_equations_in_both_directions_whatever_the_padding():
    module, lengths = small(), (6, 1, 4)
    embeddings = torch.randn(3, 6, 5, dtype=torch.float64)
    mask = torch.arange(6) < torch.tensor(lengths)[:, None]
    logits = module(embeddings, mask)
    for row, length in enumerate(lengths):
        words = embeddings[row, :length]
        ends = torch.cat([last_state(module.forwards, words), last_state(module.backwards, words.flip(0))])
        torch.testing.assert_close(logits[row], module.classifier(ends), atol=1e-12, rtol=0)


def test_padding_has_no_gradient_and_no_relevance():
    module = small()
    task = pl.tasks.Text(WordTokenizer(["good", "bad", "film", "a", "not", "very", "."]), module.embedding)
    subject = pl.wrap(module, task)
    texts = ["a very good film", "bad"]
    for method in (pl.methods.Gradient(), LRP(composite="epsilon")):
        scores = method(subject, pl.Decision(texts, target=1)).scores
        assert not scores[1, 1:].any()
        assert scores[1, 0].any()


def test_words_are_lower_case_and_contractions_stand_apart():
    assert WordTokenizer.words("It’s WELL-made, but doesn't can't 'n'") == [
        *("it", "'s", "well", "-", "made", ",", "but", "does", "n't", "ca", "n't", "'", "n", "'")
    ]


def test_rows_are_padded_and_unknown_words_have_one_number():
    tokenizer = WordTokenizer(["a", "film"])
    encoded = tokenizer(["A dull film", "film"])
    assert len(tokenizer) == 4
    assert encoded["input_ids"] == [[2, 1, 3], [3, 0, 0]]
    assert encoded["attention_mask"] == [[1, 1, 1], [1, 0, 0]]
    assert encoded["special_tokens_mask"] == [[0, 0, 0], [0, 1, 1]]
    assert encoded["offset_mapping"] == [[(0, 1), (2, 6), (7, 11)], [(0, 4), (0, 0), (0, 0)]]


@given(st.text(max_size=40))
def test_every_word_is_found_at_its_offsets_and_nothing_but_space_is_left_out(text):
    encoded = WordTokenizer(())([text])
    spans = encoded["offset_mapping"][0]
    words = WordTokenizer.words(text)
    assert len(spans) == len(words)
    done = 0
    for (start, end), word in zip(spans, words, strict=True):
        assert start >= done
        assert end - start == len(word)
        assert not text[done:start].strip()
        done = end
    assert not text[done:].strip()


def test_the_network_of_the_package_is_frozen_single_precision_and_tells_what_it_was_trained_on():
    before = torch.get_rng_state()
    packaged = load_lstm_sentiment()
    assert torch.equal(torch.get_rng_state(), before)
    assert packaged.labels == ("negative", "positive")
    assert packaged.module.embedding.num_embeddings == len(WordTokenizer(packaged.features))
    assert {parameter.dtype for parameter in packaged.module.parameters()} == {torch.float32}
    assert not any(parameter.requires_grad for parameter in packaged.module.parameters())
    assert "CC BY 4.0" in packaged.metadata["data"]
    assert packaged.metadata["held_out"]["accuracy"] > 0.75


def test_the_network_of_the_package_keeps_its_held_out_accuracy():
    path = Path(__file__).resolve().parents[2] / "../shared/data/nltk-corpora/corpora/sentence_polarity.zip"
    if not path.exists():
        pytest.skip("needs the sentence polarity data set, which is not here")
    subject, held_out = pl.load("lstm-sentiment"), load_lstm_sentiment().metadata["held_out"]
    right = count = 0
    with zipfile.ZipFile(path) as archive:
        for label, name in enumerate(("neg", "pos")):
            lines = archive.read(f"sentence_polarity/rt-polarity.{name}").decode("latin-1").splitlines()[9::10]
            found = torch.cat([subject.scores(lines[start : start + 64]) for start in range(0, len(lines), 64)])
            right, count = right + int((found.argmax(1) == label).sum()), count + len(lines)
    assert count == held_out["count"]
    assert right / count == pytest.approx(held_out["accuracy"], abs=2e-3)


def test_texts_without_a_word_are_refused():
    subject = pl.load("lstm-sentiment")
    with pytest.raises(BadInput, match="the text is empty"):
        subject.prepare(["a film", "  "])


def test_an_unknown_word_is_read_as_a_masked_one():
    subject = pl.load("lstm-sentiment")
    inputs = subject.prepare("a zxqwv film")
    masked = subject.task.baseline(inputs, "mask")
    torch.testing.assert_close(inputs.value[0, 1], masked[0, 1], rtol=0, atol=0)
    assert not torch.equal(inputs.value[0, 2], masked[0, 2])
