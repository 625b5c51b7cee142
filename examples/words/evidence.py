"""What deleting words and people's judgement say of each method, network by network, as tables with intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from examples.words.trees import NEUTRAL, Tree
from examples.words.worth import DELETED, RANDOM, UNSIGNED, Curves, Sentence, agreement, curves, sentences, word_scores
from torch import Tensor

import pellucid as pl
from pellucid.engine.rules import Epsilon
from pellucid.models.packaged import read_packaged
from pellucid.models.sentence_lstm import SentenceLSTM, WordTokenizer
from pellucid.tasks.text import Text

RESAMPLES = 2000
# ε as in arras2017explaining; both networks get the same, and it was not chosen by what is measured here.
METHODS: dict[str, Any] = {
    "lrp": pl.methods.LRP(composite="epsilon", rules={"*": Epsilon(1e-3)}),
    "input-x-gradient": pl.methods.InputXGradient(),
    UNSIGNED: pl.methods.Gradient(),
}
SIGNED = ("lrp", "input-x-gradient")
ORDERS = (*METHODS, RANDOM)
REPLACEMENTS = {"removed": "taken out of the text", "masked": "replaced by the mask or the unknown word"}
NEGATORS = ("not", "n't", "no", "never", "nothing", "without", "hardly", "lacks")


@dataclass(frozen=True)
class Table:
    """A title, heads and rows of text."""

    title: str
    heads: tuple[str, ...]
    rows: list[tuple[str, ...]]


@dataclass(frozen=True)
class Negation:
    """A sentence in which a word is turned round by a negator, and the score of every word for *positive*."""

    sentence: Sentence
    negator: int
    word: int
    scores: Tensor

    def follows_phrase(self, place: int) -> bool:
        """Whether the score of the word at ``place`` has the sign of the phrase, which is not that of the turned word."""
        return float(self.scores[place]) * (self.sentence.judgements[self.word] - NEUTRAL) < 0


@dataclass(frozen=True)
class Findings:
    """Everything about one network: curves by replacement, agreement by method, negated words by method."""

    name: str
    asked: Sequence[Sentence]
    curves: dict[str, Curves]
    agreement: dict[str, dict[str, np.ndarray]]
    negations: dict[str, list[Negation]]

    def tables(self) -> list[Table]:
        """All that was measured."""
        deletions = [
            self._deletions(how, right)
            for how, found in self.curves.items()
            for right in (True, False)
            if right in found.right
        ]
        return [*deletions, self._judgements(), self._negated()]

    def _deletions(self, how: str, right: bool) -> Table:
        found, rows = self.curves[how], []
        for name in ORDERS:
            shares, effect = found.accuracy(name, right), found.effect(name, right)
            ahead = "" if name == "lrp" else stated(found.effect("lrp", right) - effect)
            rows.append((name, *(f"{shares[count]:.1%}" for count in (1, 3, DELETED)), stated(effect), ahead))
        state = "right" if right else "wrong"
        title = f"Words {REPLACEMENTS[how]}: the {(found.right == right).sum()} sentences that were {state} at first"
        heads = ("order", "right after 1", "after 3", f"after {DELETED}", "margin moved by", "LRP moves it further by")
        return Table(title, heads, rows)

    def _judgements(self) -> Table:
        rows = []
        for name, measured in self.agreement.items():
            known = {"polar words by size": name != LABEL, "sign of polar words": name != UNSIGNED}
            rows.append(
                (
                    name,
                    *(
                        stated(values) if known.get(what, name not in (UNSIGNED, LABEL)) else "–"
                        for what, values in measured.items()
                    ),
                )
            )
        return Table(
            "Against people's judgement of single words", ("method", *next(iter(self.agreement.values()))), rows
        )

    def _negated(self) -> Table:
        rows = []
        for name, cases in self.negations.items():
            turned = np.array([case.follows_phrase(case.word) for case in cases], dtype=float)
            negators = np.array([case.follows_phrase(case.negator) for case in cases], dtype=float)
            rows.append((name, stated(turned), stated(negators)))
        title = f"{len(self.negations['lrp'])} words that a negator turns round"
        return Table(title, ("method", "word with the sign of the phrase", "negator with the sign of the phrase"), rows)


LABEL = "the sentence's label"


def gather(subject: pl.Subject, asked: Sequence[Sentence], trees: Sequence[Tree]) -> Findings:
    """Ask one network everything."""
    scores = {name: word_scores(subject, method, asked) for name, method in METHODS.items()}
    found = {how: curves(subject, asked, scores, how) for how in REPLACEMENTS}
    trivial = [torch.ones(len(sentence.words), dtype=torch.float64) for sentence in asked]
    agreeing = {name: agreement(asked, values) for name, values in {**scores, LABEL: trivial}.items()}
    places = negations(trees)
    negated = {}
    for name in SIGNED:
        values = word_scores(subject, METHODS[name], [sentence for sentence, *_ in places])
        # Scores are for the true label; here they are for *positive*.
        negated[name] = [
            Negation(sentence, negator, word, row * (2 * sentence.label - 1))
            for (sentence, negator, word), row in zip(places, values, strict=True)
        ]
    return Findings(subject.name, asked, found, agreeing, negated)


def lstm(path: Path) -> pl.Subject:
    """The subject of a network that ``scripts/train_lstm_sentiment.py`` wrote."""
    packaged = read_packaged(path, SentenceLSTM)
    module: Any = packaged.module.float()
    task = Text(WordTokenizer(packaged.features), module.embedding, packaged.labels)
    return pl.wrap(module, task, name="LSTM of the treebank")


def negations(trees: Sequence[Tree]) -> list[tuple[Sentence, int, int]]:
    """Sentences with the places of a negator and of the word that it turns round.

    Both are in a phrase of at most eight words, which people judged on the other side of neutral than the word.
    """
    found: dict[tuple[Sentence, int, int], None] = {}
    for tree in trees:
        places = {id(leaf): place for place, leaf in enumerate(tree.leaves())}
        for node in tree.nodes() if sentences([tree]) else ():
            inside = node.leaves()
            first = next((place for place, leaf in enumerate(inside) if leaf.word.lower() in NEGATORS), None)
            turned = [leaf for leaf in inside if (leaf.judgement - NEUTRAL) * (node.judgement - NEUTRAL) < 0]
            if first is not None and len(inside) <= 8 and len(turned) == 1 and turned[0] in inside[first + 1 :]:
                found[sentences([tree])[0], places[id(inside[first])], places[id(turned[0])]] = None
    return list(found)


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """The mean over sentences and its 95 % interval, bootstrapped over sentences; NaN entries are left out."""
    values = values[~np.isnan(values)]
    drawn = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.quantile(values[drawn].mean(1), (0.025, 0.975))
    return float(values.mean()), float(low), float(high)


def stated(values: np.ndarray) -> str:
    """Mean and interval in words; a dash where there is nothing to count."""
    if np.isnan(values).all():
        return "–"
    mean, low, high = interval(values)
    return f"{mean:.2f} ({low:.2f} to {high:.2f})"
