"""What words are worth: scores of words, the margins without some of them, and people's judgement of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from examples.words.trees import NEUTRAL, Tree
from torch import Tensor

import pellucid as pl
from pellucid.core.seeds import generator
from pellucid.core.subject import Inputs

SHORTEST, DELETED, RANDOM_ORDERS, BATCH = 10, 5, 3, 64
RANDOM, UNSIGNED = "random", "gradient"


@dataclass(frozen=True)
class Sentence:
    """The words of a sentence, people's judgement of each (0 … 4), and the sentence's label (0 negative, 1 positive)."""

    words: tuple[str, ...]
    judgements: tuple[int, ...]
    label: int

    @property
    def text(self) -> str:
        return " ".join(self.words)

    def owners(self, spans: Sequence[tuple[int, int]]) -> Tensor:
        """The word that each token is a part of, −1 for special tokens and padding."""
        starts = np.cumsum([0, *(len(word) + 1 for word in self.words)])
        places = [int(np.searchsorted(starts, start, "right")) - 1 if end > start else -1 for start, end in spans]
        return torch.tensor(places)


def sentences(trees: Sequence[Tree], number: int = 0) -> list[Sentence]:
    """The sentences that are asked about; ``number`` draws so many at random, 0 takes all."""
    found = [
        Sentence(
            tuple(leaf.word for leaf in leaves), tuple(leaf.judgement for leaf in leaves), int(tree.judgement > NEUTRAL)
        )
        for tree in trees
        if tree.judgement != NEUTRAL and len(leaves := tree.leaves()) >= SHORTEST
    ]
    if not number:
        return found
    chosen = torch.randperm(len(found), generator=torch.Generator().manual_seed(0))[:number]
    return [found[place] for place in chosen.sort().values.tolist()]


def word_scores(subject: pl.Subject, method: Any, asked: Sequence[Sentence]) -> list[Tensor]:
    """For each sentence a score for each word: what it does for the true label rather than the other.

    A word's score is the sum over its tokens and their embeddings; for ``gradient`` it is the L2 norm, which has no sign.
    """
    found: list[Tensor] = []
    for start in range(0, len(asked), BATCH):
        part = asked[start : start + BATCH]
        inputs = subject.prepare([sentence.text for sentence in part])
        labels = [sentence.label for sentence in part]
        query = pl.Decision(inputs, target=labels, foil=[1 - label for label in labels])
        scores = method(subject, query).scores.double()
        unsigned = method.spec.id == UNSIGNED
        tokens = (scores**2).sum(2) if unsigned else scores.sum(2)
        for row, sentence in enumerate(part):
            words = _by_word(tokens[row], sentence, inputs.origins[row].spans)
            found.append(words.sqrt() if unsigned else words)
    return found


def _by_word(tokens: Tensor, sentence: Sentence, spans: Any) -> Tensor:
    owners = sentence.owners(spans)
    words = torch.zeros(len(sentence.words), dtype=torch.float64)
    return words.index_add_(0, owners[owners >= 0], tokens[: len(owners)][owners >= 0])


# Deleting words.


def margins(subject: pl.Subject, asked: Sequence[Sentence], deleted: Sequence[Sequence[int]], how: str) -> np.ndarray:
    """The score of the true label less that of the other, without the words ``deleted`` of each sentence.

    ``removed`` words are taken out of the text, which is read anew; ``masked`` ones become the word that stands for any
    word unknown to the network, or its mask.
    """
    order = sorted(range(len(asked)), key=lambda row: len(asked[row].text))
    found = np.zeros(len(asked))
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        part, gone = [asked[row] for row in rows], [set(deleted[row]) for row in rows]
        if how == "removed":
            texts = [
                " ".join(word for place, word in enumerate(sentence.words) if place not in without)
                for sentence, without in zip(part, gone, strict=True)
            ]
            scores = subject.scores(texts)
        else:
            scores = subject.scores(_masked(subject, part, gone))
        labels = torch.tensor([sentence.label for sentence in part])[:, None]
        found[rows] = (scores.gather(1, labels) - scores.gather(1, 1 - labels))[:, 0].double().numpy()
    return found


def _masked(subject: pl.Subject, part: Sequence[Sentence], gone: Sequence[set[int]]) -> Inputs:
    inputs = subject.prepare([sentence.text for sentence in part])
    masked = torch.zeros(inputs.value.shape[:2], dtype=torch.bool)
    for row, (sentence, without) in enumerate(zip(part, gone, strict=True)):
        owners = sentence.owners(inputs.origins[row].spans or ())
        masked[row, : len(owners)] = torch.isin(owners, torch.tensor(sorted(without), dtype=torch.long))
    return inputs.at(torch.where(masked[:, :, None], subject.task.baseline(inputs, "mask"), inputs.value))


@dataclass(frozen=True)
class Curves:
    """Margins ``[sentences, deleted words + 1]`` of each way to order words, and which sentences were right at first.

    Those of ``random`` are ``[orders, sentences, deleted words + 1]``.
    """

    right: np.ndarray
    margins: dict[str, np.ndarray]

    def accuracy(self, name: str, right: bool) -> np.ndarray:
        """The share of right answers after 0, 1, 2, … deletions, for sentences that were right or wrong at first."""
        return (self._margins(name, right) > 0).reshape(-1, DELETED + 1).mean(0)

    def effect(self, name: str, right: bool) -> np.ndarray:
        """How far the margin went the wanted way, as a mean over 1 … 5 deletions, for each sentence."""
        moved = self._margins(name, right)
        change = (moved[..., 1:] - moved[..., :1]).mean(-1)
        change = -change if right else change
        return change.mean(0) if change.ndim > 1 else change

    def _margins(self, name: str, right: bool) -> np.ndarray:
        return self.margins[name][..., self.right == right, :]


def curves(subject: pl.Subject, asked: Sequence[Sentence], scores: dict[str, list[Tensor]], how: str) -> Curves:
    """Delete one word after the other in the order that each method's scores say, and at random."""
    untouched = margins(subject, asked, [()] * len(asked), how)
    right = untouched > 0

    def followed(orders: Sequence[Sequence[int]]) -> np.ndarray:
        steps = [margins(subject, asked, [order[:count] for order in orders], how) for count in range(1, DELETED + 1)]
        return np.stack([untouched, *steps], 1)

    found = {}
    for name, values in scores.items():
        # A norm has no sign: the gradient deletes what matters most, right or wrong.
        signs = np.where(right | (name == UNSIGNED), 1, -1)
        orders = [
            (sign * value).argsort(descending=True, stable=True).tolist()
            for sign, value in zip(signs.tolist(), values, strict=True)
        ]
        found[name] = followed(orders)
    found[RANDOM] = np.stack(
        [followed([_shuffled(sentence, draw) for sentence in asked]) for draw in range(RANDOM_ORDERS)]
    )
    return Curves(right, found)


def _shuffled(sentence: Sentence, draw: int) -> list[int]:
    drawn = generator(draw, RANDOM, sentence.text)
    order: list[int] = torch.randperm(len(sentence.words), generator=drawn).tolist()
    return order


# People's judgement.


def auc(sizes: np.ndarray, polar: np.ndarray) -> float:
    """How often a polar word is larger than a neutral one of the same sentence; equals count half."""
    pairs = sizes[polar][:, None] - sizes[~polar][None]
    return float((pairs > 0).mean() + (pairs == 0).mean() / 2)


def agreement(asked: Sequence[Sentence], scores: Sequence[Tensor]) -> dict[str, np.ndarray]:
    """For each sentence: AUC of polar words by size, share of their signs that is people's, and that of dissenting ones.

    A dissenting word is judged against the label of its sentence: its sign cannot be guessed from the label. NaN where a
    sentence has no such word.
    """
    found: dict[str, list[float]] = {
        "polar words by size": [],
        "sign of polar words": [],
        "sign of dissenting words": [],
    }
    for sentence, values in zip(asked, scores, strict=True):
        judged = np.array(sentence.judgements) - NEUTRAL
        polar = judged != 0
        label = 2 * sentence.label - 1
        agrees = np.sign(values.numpy()) * label == np.sign(judged)
        dissenting = judged * label < 0
        both = polar.any() and not polar.all()
        found["polar words by size"].append(auc(values.abs().numpy(), polar) if both else np.nan)
        found["sign of polar words"].append(agrees[polar].mean() if polar.any() else np.nan)
        found["sign of dissenting words"].append(agrees[dissenting].mean() if dissenting.any() else np.nan)
    return {name: np.array(values) for name, values in found.items()}
