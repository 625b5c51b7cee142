"""The sentence classifier is the published encoder with our head, and it never looks at padding or the network."""

import importlib.util
import shutil
import socket
import sys

import pytest
import torch

from pellucid.core.errors import BadInput, MissingExtra
from pellucid.models.packaged import Packaged
from pellucid.models.sentiment import ENCODER, MaskedMean, SentimentHead, load_minilm, load_minilm_sentiment

installed = pytest.mark.skipif(
    any(importlib.util.find_spec(package) is None for package in (ENCODER.package, "transformers")),
    reason="the encoder or transformers is not installed",
)

CLEAR = {
    "A warm, funny and wonderful film.": "positive",
    "I loved every minute of it.": "positive",
    "A brilliant cast makes this a delight.": "positive",
    "Beautifully acted and deeply moving.": "positive",
    "Dull, slow and far too long.": "negative",
    "A waste of time and money.": "negative",
    "The plot is a mess and the acting is terrible.": "negative",
    "Boring from the first scene to the last.": "negative",
}


@pytest.fixture(scope="module")
def packaged() -> Packaged:
    return load_minilm_sentiment()


def encode(packaged: Packaged, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    encoded = packaged.module.tokenizer(texts, padding=True, return_tensors="pt")
    return packaged.module.word_embeddings(encoded["input_ids"]), encoded["attention_mask"]


@installed
def test_sentence_vectors_have_the_published_cosines(packaged):
    sentences = ["A cat sits on the mat.", "A feline is resting on a rug.", "The stock market fell sharply today."]
    embeddings, mask = encode(packaged, sentences)
    vectors = MaskedMean()(packaged.module.token_states(embeddings, mask), mask)
    vectors = vectors / vectors.norm(dim=1, keepdim=True)
    cosines = vectors @ vectors.T
    assert cosines[0, 1].item() == pytest.approx(0.586, abs=5e-4)
    assert cosines[0, 2].item() == pytest.approx(0.0911, abs=5e-5)
    assert cosines[1, 2].item() == pytest.approx(0.0916, abs=5e-5)


@installed
def test_clear_sentences_get_their_label(packaged):
    found = packaged.module(*encode(packaged, list(CLEAR))).argmax(dim=-1)
    assert [packaged.labels[index] for index in found] == list(CLEAR.values())


@installed
def test_the_logits_of_one_sentence_are_those_of_the_training(packaged):
    logits = packaged.module(*encode(packaged, ["A warm, funny and wonderful film."]))
    torch.testing.assert_close(logits, torch.tensor([[-4.1738, 4.4542]]), atol=1e-3, rtol=0)


@installed
def test_embeddings_as_input_give_the_states_of_token_numbers(packaged):
    encoded = packaged.module.tokenizer(["From numbers or from vectors?"], return_tensors="pt")
    expected = packaged.module.encoder(**encoded).last_hidden_state
    found = packaged.module.token_states(*encode(packaged, ["From numbers or from vectors?"]))
    assert torch.equal(found, expected)


@installed
def test_padding_has_no_influence_at_all(packaged):
    embeddings, mask = encode(packaged, ["Fine.", "A sentence that is a good deal longer than the other one."])
    embeddings.requires_grad_()
    logits = packaged.module(embeddings, mask)
    (gradient,) = torch.autograd.grad(logits[0, 1], embeddings)
    padding = mask[0] == 0
    assert padding.any()
    assert (gradient[0][padding] == 0).all()
    assert gradient[0][~padding].abs().min() > 0
    torch.testing.assert_close(packaged.module(*encode(packaged, ["Fine."]))[0], logits[0], atol=1e-5, rtol=0)


@installed
def test_the_tokenizer_knows_the_characters_of_every_token_and_cuts_nothing(packaged):
    text = "Unbelievably good. " * 40
    encoded = packaged.module.tokenizer([text], return_offsets_mapping=True)
    offsets = [span for span in encoded["offset_mapping"][0] if span != (0, 0)]
    assert "".join(text[start:end] for start, end in offsets) == text.replace(" ", "")
    assert len(offsets) > 128


@installed
def test_loading_is_silent_frozen_offline_and_draws_no_random_numbers(monkeypatch, capfd):
    def refused(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refused)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    module = load_minilm_sentiment().module
    assert torch.equal(torch.get_rng_state(), before)
    assert capfd.readouterr() == ("", "")
    assert not any(part.training for part in module.modules())
    assert not any(parameter.requires_grad for parameter in module.parameters())
    assert ENCODER.package not in sys.modules


@installed
def test_the_record_does_not_hide_the_simpler_rival(packaged):
    held_out = packaged.metadata["held_out"]
    assert held_out["count"] == 1007
    assert 0.78 < held_out["accuracy"] < 0.85
    assert held_out["accuracy of logistic regression on words and pairs"] > held_out["accuracy"]


@installed
def test_weights_with_a_flipped_byte_are_refused(tmp_path, monkeypatch):
    folder = tmp_path / ENCODER.package / "model"
    shutil.copytree(ENCODER.path().parent, folder)
    (tmp_path / ENCODER.package / "__init__.py").write_text("raise RuntimeError")
    file = folder / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(BadInput, match=ENCODER.sha256):
        load_minilm()


def test_without_the_encoder_the_message_names_the_command(monkeypatch):
    pytest.importorskip("transformers")
    monkeypatch.setitem(sys.modules, ENCODER.package, None)
    with pytest.raises(MissingExtra, match=ENCODER.install):
        load_minilm_sentiment()


def test_without_transformers_the_message_names_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtra, match=r'pip install "pellucid\[text\]"'):
        load_minilm_sentiment()


def test_the_head_is_a_sum_of_shares_of_tokens_plus_the_bias():
    torch.manual_seed(0)
    head = SentimentHead(width=5, hidden=4, classes=2, dropout=0.5).double().eval()
    states, mask = torch.randn(2, 3, 5, dtype=torch.float64), torch.tensor([[1, 1, 1], [1, 0, 0]])
    logits = head(states, mask)
    for row, count in enumerate((3, 1)):
        shares = [head.classifier.weight @ head.hidden(states[row, token]).clamp(min=0) for token in range(count)]
        torch.testing.assert_close(logits[row], sum(shares) / count + head.classifier.bias, atol=1e-12, rtol=0)
