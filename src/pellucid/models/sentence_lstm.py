"""A sentence classifier that reads word by word in both directions, and the tokenizer that gives it words."""

import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.models.packaged import Packaged, load_packaged

# Contractions stand apart, as in treebanks: "does" "n't", "it" "'s".
_WORD = re.compile(r"n't\b|'(?:s|re|ve|ll|d|m)\b|\w+?(?=n't\b)|\w+|[^\w\s]")
_PADDING, _UNKNOWN = 0, 1


class WordTokenizer:
    """Lower-case words and punctuation as numbers, called as ``tasks.Text`` calls a tokenizer.

    Number 0 is padding and 1 is any word that is not in ``vocabulary``, which also stands for a masked word.
    """

    mask_token_id = _UNKNOWN

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self.vocabulary = tuple(vocabulary)
        self._numbers = {word: number for number, word in enumerate(self.vocabulary, start=2)}

    def __len__(self) -> int:
        return len(self.vocabulary) + 2

    def __call__(self, texts: Sequence[str], **_: Any) -> dict[str, list[Any]]:
        """Rows of equal length, padded at the end, with the character offsets of every word."""
        found = [list(_WORD.finditer(_plain(text))) for text in texts]
        longest = max(map(len, found), default=0)
        encoded: dict[str, list[Any]] = {"input_ids": [], "attention_mask": [], "offset_mapping": []}
        for words in found:
            padding = longest - len(words)
            numbers = [self._numbers.get(word.group(), _UNKNOWN) for word in words]
            encoded["input_ids"].append(numbers + [_PADDING] * padding)
            encoded["attention_mask"].append([1] * len(words) + [0] * padding)
            encoded["offset_mapping"].append([word.span() for word in words] + [(0, 0)] * padding)
        encoded["special_tokens_mask"] = [[1 - kept for kept in row] for row in encoded["attention_mask"]]
        return encoded

    @staticmethod
    def words(text: str) -> list[str]:
        """The words of a text as the vocabulary spells them."""
        return _WORD.findall(_plain(text))


class SentenceLSTM(nn.Module):
    """Logits [B, classes] from word embeddings [B, T, width] and their mask [B, T], 1 at words and 0 at padding.

    One LSTM reads the words forwards, another backwards; a linear map reads both last states. Padding comes after the
    words and is read by neither (hochreiter1997long). The embeddings are those of ``embedding``, which gradients reach.
    """

    def __init__(self, words: int, width: int, units: int, classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, width, padding_idx=_PADDING)
        self.forwards = nn.LSTM(width, units, batch_first=True)
        self.backwards = nn.LSTM(width, units, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(2 * units, classes)

    def forward(self, embeddings: Tensor, attention_mask: Tensor) -> Tensor:
        last = attention_mask.long().sum(1)[:, None, None] - 1
        # Position t of a row of n words becomes n − 1 − t; padding may become anything, as it is never read.
        places = torch.arange(embeddings.shape[1], device=embeddings.device)[:, None]
        turned = (last - places).clamp(min=0).expand(embeddings.shape)
        embeddings = self.dropout(embeddings)
        read, _ = self.forwards(embeddings)
        read_back, _ = self.backwards(embeddings.gather(1, turned))
        last = last.expand(-1, -1, read.shape[2])
        ends = torch.cat([read.gather(1, last), read_back.gather(1, last)], dim=2).squeeze(1)
        logits: Tensor = self.classifier(self.dropout(ends))
        return logits


def load_lstm_sentiment() -> Packaged:
    """Logits [B, 2] for "negative" and "positive"; ``features`` are the words that the network knows.

    Trained on film-review sentences and a list of opinion words; ``metadata["held_out"]`` has its accuracy on
    sentences that it has not seen. It is a subject to explain, not a good judge of sentiment.
    """
    packaged = load_packaged("lstm-sentiment", SentenceLSTM)
    packaged.module.float()  # Stored in half precision.
    return packaged


def _plain(text: str) -> str:
    """Lower case, with the typewriter's apostrophe, and every character at its old place."""
    lower = "".join(small if len(small := character.lower()) == 1 else character for character in text)
    return lower.replace("’", "'")
