"""The story of words that decide: what is deleted, counted and compared is what the page says it is."""

from pathlib import Path

import numpy as np
import pytest
import torch
from examples.words import evidence, worth
from examples.words.evidence import LABEL, METHODS, gather, interval, negations
from examples.words.page import markdown, page
from examples.words.trees import parsed, read_trees
from examples.words.unseen import among, apart_from, held_out_texts
from examples.words.worth import Curves, Sentence, agreement, auc, margins, sentences, word_scores

import pellucid as pl
from pellucid.models.sentence_lstm import SentenceLSTM, WordTokenizer

TREEBANK = Path(__file__).resolve().parents[2] / "../shared/data/sst-trees"


def line(label, *words):
    """A sentence in the treebank's form; every phrase ends with the sentence and is judged as it is."""
    (judgement, word), *rest = ((int(word[0]), word[1:]) if word[0].isdigit() else (2, word) for word in words)
    if not rest:
        return f"({judgement} {word})"
    return f"({label} ({judgement} {word}) {line(label, *(f'{judgement}{word}' for judgement, word in rest))})"


LINES = (
    line(4, "The", "film", "is", "4wonderful", "and", "3warm", "throughout", "its", "two", "long", "hours"),
    line(1, "A", "0dull", "made-for-tv", "story", "-LRB-", "again", "-RRB-", "that", "is", "n't", "3funny"),
    line(1, "Nobody", "in", "this", "long", "and", "1tedious", "family", "drama", "smiles", "."),
    line(3, "It", "is", "a", "3charming", "little", "tale", "of", "two", "old", "friends", "."),
)
TREES = [parsed(line) for line in LINES]


@pytest.fixture(scope="module")
def subject():
    return pl.load("lstm-sentiment")


@pytest.fixture(scope="module")
def asked():
    return sentences(TREES)


def test_trees_have_their_words_judgements_and_phrases():
    tree = parsed("(1 (2 -LRB-) (1 (2 not) (3 half\\/good)))")
    assert tree.text == "( not half/good"
    assert [leaf.judgement for leaf in tree.leaves()] == [2, 2, 3]
    assert [node.text for node in tree.nodes() if node.judgement == 1] == ["( not half/good", "not half/good"]


def test_sentences_that_a_network_was_trained_on_are_known_by_their_letters():
    ratings = (
        f"10\t-2.0\t{TREES[1].text.replace(' n', 'n').upper()}\n11\t3.1\t{TREES[0].text}\n20\t0.1\t{TREES[2].text}\n"
    )
    assert among(TREES * 2, held_out_texts(ratings)) == [TREES[1]]
    assert apart_from(TREES, [TREES[1].text.replace(" ", "  ")]) == [TREES[0], *TREES[2:]]


@pytest.mark.parametrize("line", ["(3 (2 a) (2 b)", "3 a", ""])
def test_a_damaged_tree_is_refused(line):
    with pytest.raises(ValueError, match="bracket"):
        parsed(line)


def test_neutral_and_short_sentences_are_left_out_and_a_draw_is_always_the_same():
    short, neutral = parsed("(4 (2 a) (4 gem))"), parsed(LINES[0].replace("(4", "(2", 1))
    assert sentences([short, neutral]) == []
    assert sentences(TREES * 3, 5) == sentences(TREES * 3, 5)
    assert len(sentences(TREES * 3, 5)) == 5


def test_every_token_belongs_to_its_word(subject, asked):
    inputs = subject.prepare(asked[1].text)
    owners = asked[1].owners(inputs.origins[0].spans).tolist()
    assert [owners.count(place) for place in range(len(asked[1].words))] == [1, 1, 5, 1, 1, 1, 1, 1, 1, 1, 1]
    assert asked[1].words[2] == "made-for-tv"


@pytest.mark.parametrize("name", evidence.SIGNED)
def test_word_scores_share_out_all_that_arrives(subject, asked, name):
    found = word_scores(subject, METHODS[name], asked)
    for sentence, words in zip(asked, found, strict=True):
        answer = METHODS[name](subject, pl.Decision(sentence.text, target=sentence.label, foil=1 - sentence.label))
        assert float(words.sum()) == pytest.approx(float(answer.scores.double().sum()), abs=1e-4)


def test_norms_of_gradients_have_no_sign(subject, asked):
    found = word_scores(subject, METHODS["gradient"], asked)
    assert all(bool((words > 0).all()) for words in found)


@pytest.mark.parametrize("how", evidence.REPLACEMENTS)
def test_margins_without_deletions_are_those_of_the_text(subject, asked, how):
    scores = subject.scores([sentence.text for sentence in asked])
    expected = [
        float(row[sentence.label] - row[1 - sentence.label]) for row, sentence in zip(scores, asked, strict=True)
    ]
    np.testing.assert_allclose(margins(subject, asked, [()] * len(asked), how), expected, rtol=0, atol=1e-4)


def test_removed_words_are_not_read_and_masked_ones_are_read_as_unknown(subject, asked):
    (removed,) = margins(subject, asked[:1], [(3,)], "removed")
    (masked,) = margins(subject, asked[:1], [(3,)], "masked")
    texts = [asked[0].text.replace("wonderful ", ""), asked[0].text.replace("wonderful", "zxqwv")]
    scores = subject.scores(texts)
    np.testing.assert_allclose([removed, masked], (scores[:, 1] - scores[:, 0]).numpy(), rtol=0, atol=1e-4)


def test_effects_are_the_way_that_was_wanted():
    right = np.array([True, False])
    moved = np.array([[5.0, 4, 3, 2, 1, 0], [-1, 0, 1, 2, 3, 4]])
    found = Curves(right, {"lrp": moved, worth.RANDOM: np.stack([moved, moved[:, :1].repeat(6, 1)])})
    assert found.effect("lrp", True).tolist() == [3]
    assert found.effect("lrp", False).tolist() == [3]
    assert found.effect(worth.RANDOM, True).tolist() == [1.5]
    assert found.accuracy("lrp", True).tolist() == [1, 1, 1, 1, 1, 0]
    assert found.accuracy(worth.RANDOM, False).tolist() == [0, 0, 0.5, 0.5, 0.5, 0.5]


def test_auc_is_the_share_of_pairs_in_order():
    assert auc(np.array([3.0, 1, 2, 2]), np.array([True, True, False, False])) == 0.5
    assert auc(np.array([3.0, 2, 2]), np.array([True, True, False])) == 0.75


def test_scores_like_peoples_judgement_agree_fully():
    sentence = Sentence(("a", "good", "bad", "film"), (2, 4, 1, 2), 0)
    # For the true label, which is negative: what is good speaks against it.
    found = agreement([sentence], [torch.tensor([0.0, -2, 1, 0])])
    assert {name: values.tolist() for name, values in found.items()} == {
        "polar words by size": [1],
        "sign of polar words": [1],
        "sign of dissenting words": [1],
    }
    (dissent,) = agreement([sentence], [torch.ones(4)])["sign of dissenting words"]
    assert dissent == 0


def test_a_negator_and_the_word_that_it_turns_round_are_found():
    ((sentence, negator, word),) = negations(TREES)
    assert (sentence.words[negator], sentence.words[word]) == ("n't", "funny")


def test_intervals_leave_out_what_is_missing_and_hold_the_mean():
    mean, low, high = interval(np.array([0.0, np.nan, 1, 1, 0]))
    assert mean == 0.5
    assert low < 0.5 < high


def test_everything_is_told_on_one_page(subject, asked):
    found = gather(subject, asked, TREES)
    told = page([found])
    assert found.curves["removed"].right.all()  # So there is no table of sentences that were wrong at first.
    assert told.count("<table>") == len(found.tables()) == 4
    assert "n&#x27;t turns funny round" in told
    assert "input-x-gradient" in markdown(found.tables()[0])
    assert set(found.agreement) == {*METHODS, LABEL}


@pytest.mark.slow
def test_relevance_finds_the_words_that_decide_in_an_lstm_of_the_treebank(monkeypatch):
    if not (TREEBANK / "train.txt").exists():
        pytest.skip("needs the Stanford Sentiment Treebank, which is not here")
    from scripts import train_lstm_sentiment as training

    monkeypatch.setattr(training, "PASSES", 2)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        corpus = training.treebank(TREEBANK)
        words = training.vocabulary([text for text, _ in corpus.train])
        tokenizer = WordTokenizer(words)
        module = SentenceLSTM(len(tokenizer), 60, 60, 2, 0.5)
        training.train(module, tokenizer, corpus)
    network = pl.wrap(module.eval().requires_grad_(False), pl.tasks.Text(tokenizer, module.embedding), name="lstm")
    trees = apart_from(read_trees(TREEBANK / "test.txt"), [text for text, _ in corpus.train])
    found = gather(network, sentences(trees, 500), trees)
    drawn = found.curves["removed"]
    assert drawn.right.mean() > 0.75
    for right in (True, False):
        for other in ("input-x-gradient", "gradient", worth.RANDOM):
            assert interval(drawn.effect("lrp", right) - drawn.effect(other, right))[1] > 0, (right, other)
    lrp, plain = (interval(found.agreement[name]["sign of polar words"]) for name in ("lrp", LABEL))
    assert lrp[1] > plain[2]
