"""A Hugging Face classifier answers as it does by itself, and its words can be asked about."""

import json
import sys
from types import SimpleNamespace

import pytest
import torch

import pellucid as pl
from pellucid.core.errors import BadInput, MissingExtra, NotAnswerable, UsageError
from pellucid.core.spec import Access, Structure
from pellucid.methods.attribution.gradient import Gradient
from pellucid.methods.attribution.occlusion import Occlusion
from pellucid.subjects.huggingface import text_classifier

transformers = pytest.importorskip("transformers")

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "an",
    "example",
    "of",
    "a",
    "long",
    "##er",
    "text",
    "good",
    "bad",
]
TEXTS = ["a good text", "an example of a longer bad text"]
SIZES = {
    "vocab_size": len(WORDS),
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 24,
    "initializer_range": 0.5,
}


def tokenizer():
    return transformers.BertTokenizerFast(vocab={word: number for number, word in enumerate(WORDS)})


def model(seed=0, **options):
    config = transformers.BertConfig(**SIZES, **({"id2label": {0: "negative", 1: "positive", 2: "neither"}} | options))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return transformers.BertForSequenceClassification(config).eval()


def saved(folder, network):
    network.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("classifier"), model())


def logits(network, texts=TEXTS):
    """What the model answers to the tokens of each text alone."""
    words = tokenizer()
    with torch.no_grad():
        return torch.cat([network(**words(text, return_tensors="pt")).logits for text in texts])


def test_scores_are_those_that_the_model_gives_to_tokens(folder):
    subject = pl.load(f"hf:{folder}")
    torch.testing.assert_close(subject.scores(TEXTS), logits(model()), rtol=0, atol=1e-5)


def test_it_offers_what_a_torch_subject_does(folder):
    subject = pl.load(f"hf:{folder}", name="mine")
    assert subject.name == "mine"
    assert pl.load(f"hf:{folder}").name == folder.name
    assert subject.offers == {Access.OUTPUTS, Access.GRADIENTS, Access.ACTIVATIONS, Access.WEIGHTS}
    assert Structure.ATTENTION in subject.structure
    assert subject.task.labels == ("negative", "positive", "neither")
    assert subject.task.output == "logits"


def test_layers_have_the_names_of_the_model(folder):
    subject = pl.load(f"hf:{folder}")
    names = {layer.name for layer in subject.layers()}
    assert {"bert.encoder.layer.0", "bert.encoder.layer.1.attention", "classifier"} <= names
    run = subject.run(subject.prepare(TEXTS), capture=["classifier"])
    assert torch.equal(run.activations["classifier"], run.scores)


def test_gradient_is_that_of_autograd_at_the_embeddings(folder):
    network, words = model(), tokenizer()
    ids = words(TEXTS[0], return_tensors="pt")
    point = network.get_input_embeddings()(ids["input_ids"]).detach().requires_grad_()
    score = network(inputs_embeds=point, attention_mask=ids["attention_mask"]).logits[0, 1]
    (expected,) = torch.autograd.grad(score, point)
    answer = Gradient()(pl.load(f"hf:{folder}"), pl.Decision(TEXTS[0], target="positive"))
    torch.testing.assert_close(answer.scores, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("method", [Gradient(), Occlusion()])
def test_features_are_words_and_padding_scores_exactly_zero(folder, method):
    answer = method(pl.load(f"hf:{folder}"), pl.Decision(TEXTS, target="positive"))
    assert answer.features.labels == tuple(tuple(text.split()) for text in TEXTS)
    padded = ~answer.mask
    assert padded[0].any()
    assert not answer.scores[padded].any()


def test_occlusion_by_the_mask_token_is_the_fall_when_the_word_is_written_as_mask(folder):
    network = model()
    answer = Occlusion(baseline="mask")(pl.load(f"hf:{folder}"), pl.Decision(TEXTS[0], target="positive"))
    plain = logits(network, [TEXTS[0]])[0, 1]
    masked = logits(network, ["[MASK] good text", "a [MASK] text", "a good [MASK]"])[:, 1]
    # Positions of [CLS] and [SEP] stay; each word is one token here.
    torch.testing.assert_close(answer.scores[0, 1:4].mean(-1), plain - masked, rtol=0, atol=1e-5)


def test_a_model_at_hand_is_wrapped_with_its_tokenizer_and_left_in_its_mode():
    network = model().train()
    subject = text_classifier(network, tokenizer(), name="at hand")
    torch.testing.assert_close(subject.scores(TEXTS), logits(model()), rtol=0, atol=1e-5)
    assert subject.module is network
    assert all(module.training for module in network.modules())


def test_a_checkpoint_in_half_precision_is_read_in_single_precision(tmp_path):
    subject = pl.load(f"hf:{saved(tmp_path, model().half())}")
    assert subject.dtype == torch.float32
    torch.testing.assert_close(subject.scores(TEXTS), logits(model()), rtol=0, atol=0.05)


@pytest.mark.parametrize(
    "options",
    [{"id2label": {0: "stars"}}, {"problem_type": "regression"}, {"problem_type": "multi_label_classification"}],
)
def test_scores_that_do_not_exclude_each_other_are_values(options):
    subject = text_classifier(model(**options), tokenizer(), name="several")
    assert subject.task.output == "value"
    with pytest.raises(NotAnswerable, match="has no probability"):
        Occlusion()(subject, pl.Decision(TEXTS[0], target=0, of="probability"))


def test_the_longest_text_is_that_of_the_positions(folder):
    subject = pl.load(f"hf:{folder}")
    assert subject.scores(["a " * 22]).shape == (1, 3)
    with pytest.raises(BadInput, match="25 tokens and the model reads 24"):
        subject.scores(["a " * 23])


def test_fingerprints_tell_weights_apart(folder, tmp_path):
    first, same = (pl.load(f"hf:{folder}", name="a").fingerprint for _ in range(2))
    assert first == same
    assert first != pl.load(f"hf:{saved(tmp_path, model(seed=1))}", name="a").fingerprint


def test_a_model_that_reads_padding_through_embeddings_is_refused():
    config = transformers.GPT2Config(
        vocab_size=len(WORDS), n_positions=24, n_embd=16, n_layer=1, n_head=2, pad_token_id=0, num_labels=2
    )
    network = transformers.GPT2ForSequenceClassification(config).eval()
    with pytest.raises(NotAnswerable, match="answers otherwise through padded embeddings"):
        text_classifier(network, tokenizer(), name="decoder")


def test_a_tokenizer_without_offsets_is_refused():
    with pytest.raises(NotAnswerable, match="use a fast tokenizer"):
        text_classifier(model(), SimpleNamespace(is_fast=False), name="slow")


def test_an_untrained_head_is_refused_and_its_draws_are_not_the_callers(tmp_path):
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    with pytest.raises(
        BadInput, match=r"no trained weights for classifier\.(weight|bias); name a model that was tuned"
    ):
        pl.load(f"hf:{saved(tmp_path, model().bert)}")
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("name", ["nobody/such-a-model", "/no/such/folder"])
def test_nothing_is_fetched_unless_it_is_asked_for(name):
    with pytest.raises(BadInput, match=r"no folder .* and no downloaded model of this name; .*download=True"):
        pl.load(f"hf:{name}")


def test_a_folder_of_something_else_is_refused_in_one_line(folder, tmp_path):
    with pytest.raises(BadInput, match="is no folder of a sequence classifier") as caught:
        pl.load(f"hf:{tmp_path}")
    assert "\n" not in str(caught.value)
    saved(tmp_path, model())
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(BadInput, match="is no folder of a sequence classifier") as caught:
        pl.load(f"hf:{tmp_path}")
    assert "\n" not in str(caught.value)


def test_code_in_the_folder_is_not_run(tmp_path):
    saved(tmp_path, model())
    proof = tmp_path / "executed"
    (tmp_path / "own_model.py").write_text(f"import os; os.mkdir({str(proof)!r})")
    config = json.loads((tmp_path / "config.json").read_text())
    config["auto_map"] = {"AutoModelForSequenceClassification": "own_model.Model", "AutoConfig": "own_model.Config"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    torch.testing.assert_close(pl.load(f"hf:{tmp_path}").scores(TEXTS), logits(model()), rtol=0, atol=1e-5)
    config["model_type"] = "own"
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(BadInput):
        pl.load(f"hf:{tmp_path}")
    assert not proof.exists()


def test_loading_is_silent_and_leaves_the_random_numbers(folder, capfd):
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    pl.load(f"hf:{folder}")
    assert torch.equal(torch.rand(3), expected)
    assert capfd.readouterr() == ("", "")
    assert transformers.utils.logging.is_progress_bar_enabled()


def test_without_transformers_the_command_that_installs_it_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtra, match=r'pip install "pellucid\[text\]"'):
        pl.load(f"hf:{folder}")


def test_its_options_are_named(folder):
    with pytest.raises(UsageError, match="no option 'labels'; it takes download, device, name"):
        pl.load(f"hf:{folder}", labels=["a"])
