"""Which sentences a network has not seen in its training, whatever their spelling there."""

import re
from collections.abc import Iterable, Sequence

from examples.words.trees import Tree
from scripts.train_minilm_sentiment import sentences as rated


def held_out_texts(ratings: str) -> list[str]:
    """What the training of the head of ``minilm-sentiment`` held out of these lines of ratings."""
    texts, _, held_out = rated(ratings)
    return [text for text, held in zip(texts, held_out.tolist(), strict=True) if held]


def among(trees: Sequence[Tree], texts: Iterable[str]) -> list[Tree]:
    """The trees that are one of these texts, each once."""
    wanted = set(map(_letters, texts))
    return list({letters: tree for tree in trees if (letters := _letters(tree.text)) in wanted}.values())


def apart_from(trees: Sequence[Tree], texts: Iterable[str]) -> list[Tree]:
    """The trees that are none of these texts."""
    unwanted = set(map(_letters, texts))
    return [tree for tree in trees if _letters(tree.text) not in unwanted]


def _letters(text: str) -> str:
    """Letters and digits alone: treebanks set spaces and quotes in ways of their own."""
    return re.sub(r"[^a-z0-9]", "", text.lower())
