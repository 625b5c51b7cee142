"""Train the sentiment head on film-review sentences that at least twenty people rated, over the frozen MiniLM encoder.

    python scripts/train_minilm_sentiment.py

The ratings are part of the source distribution of vaderSentiment 0.5 (MIT), which pip fetches and checks. The label is
the sign of the mean rating, from −4 to 4; sentences with a mean nearer to 0 than 0.5 are left out. Every tenth sentence
is held out. The choice of the head was made on another tenth of the rest, which is part of the training here.
"""

import argparse
import io
import logging
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from pellucid.models.packaged import Packaged
from pellucid.models.sentiment import SentimentHead, SentimentNetwork, load_minilm

WEIGHTS = Path(__file__).resolve().parent.parent / "src" / "pellucid" / "models" / "weights"
SOURCE = "vaderSentiment==0.5"
SOURCE_SHA256 = "5d97c37f3ef6e24eef331122e055dbedafeb6a56abfce0608b326701116ea49a"
RATINGS = ("additional_resources/hutto_ICWSM_2014.tar.gz", "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt")
LABELS = ("negative", "positive")
NEUTRAL = 0.5
SEED = 0
PASSES = 10
BATCH = 64

log = logging.getLogger("train_minilm_sentiment")


def ratings() -> str:
    """Lines of number, mean rating and sentence. Pip refuses an archive with another digest before it opens it."""
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder, "requirements.txt")
        wanted.write_text(f"{SOURCE} --hash=sha256:{SOURCE_SHA256}\n")
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
        subprocess.run([*pip, "--require-hashes", "--dest", folder, "-r", str(wanted)], check=True)
        with zipfile.ZipFile(next(Path(folder).glob("*.zip"))) as archive:
            inner = archive.read(f"vaderSentiment-0.5/{RATINGS[0]}")
    with tarfile.open(fileobj=io.BytesIO(inner)) as archive:
        member = archive.extractfile(RATINGS[1])
        assert member is not None
        return member.read().decode("utf-8")


def sentences(lines: str) -> tuple[list[str], Tensor, Tensor]:
    """The clear sentences, their labels and whether each is held out."""
    texts, labels, held_out = [], [], []
    for line in lines.splitlines():
        number, rating, text = line.split("\t")
        if abs(float(rating)) >= NEUTRAL:
            texts.append(text)
            labels.append(int(float(rating) > 0))
            held_out.append(int(number) % 10 == 0)
    return texts, torch.tensor(labels), torch.tensor(held_out)


def token_states(network: SentimentNetwork, texts: list[str]) -> list[Tensor]:
    """The encoder's answer for every sentence [tokens, 384], in half precision: it never changes in the training."""
    states: list[Tensor] = []
    for start in range(0, len(texts), BATCH):
        encoded = network.tokenizer(texts[start : start + BATCH], padding=True, return_tensors="pt")
        mask = encoded["attention_mask"]
        with torch.no_grad():
            batch = network.token_states(network.word_embeddings(encoded["input_ids"]), mask)
        states += [row[kept].half() for row, kept in zip(batch, mask.bool(), strict=True)]
        if start % (BATCH * 20) == 0:
            log.info("encoded %d of %d sentences", start, len(texts))
    return states


def padded(states: list[Tensor]) -> tuple[Tensor, Tensor]:
    lengths = torch.tensor([len(row) for row in states])
    return pad_sequence(states, batch_first=True).float(), torch.arange(int(lengths.max())) < lengths[:, None]


def train(head: SentimentHead, states: list[Tensor], labels: Tensor) -> None:
    steps = PASSES * len(states) // BATCH
    optimizer = torch.optim.AdamW(head.parameters(), lr=2e-3, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    head.train()
    for _ in range(steps):
        rows = torch.randint(len(states), (BATCH,))
        loss = functional.cross_entropy(head(*padded([states[row] for row in rows])), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    head.eval()


def accuracy(network: SentimentNetwork, texts: list[str], labels: Tensor) -> float:
    """Of the whole network in single precision, as it is used."""
    right = 0
    for start in range(0, len(texts), BATCH):
        encoded = network.tokenizer(texts[start : start + BATCH], padding=True, return_tensors="pt")
        with torch.no_grad():
            logits = network(network.word_embeddings(encoded["input_ids"]), encoded["attention_mask"])
        right += int((logits.argmax(dim=-1) == labels[start : start + BATCH]).sum())
    return right / len(texts)


def accuracy_of_counting_words(known: list[str], wanted: Tensor, unseen: list[str], labels: Tensor) -> float:
    """What logistic regression on single words and pairs reaches, to judge the network's accuracy by."""
    words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    model = make_pipeline(words, LogisticRegression(C=5, max_iter=1000)).fit(known, wanted.numpy())
    return float(model.score(unseen, labels.numpy()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--into", type=Path, default=WEIGHTS, help="the folder for the file (default: the package's own)"
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    texts, labels, held_out = sentences(ratings())
    architecture = {"width": 384, "hidden": 128, "classes": 2, "dropout": 0.5}
    head = SentimentHead(**architecture)
    network = SentimentNetwork(*load_minilm(), head)
    known = [text for text, held in zip(texts, held_out, strict=True) if not held]
    unseen = [text for text, held in zip(texts, held_out, strict=True) if held]
    train(head, token_states(network, known), labels[~held_out])
    metadata = {
        "architecture": architecture,
        "data": f"film-review sentences with mean ratings, from the source distribution of {SOURCE} (MIT), "
        f"SHA-256 {SOURCE_SHA256}; means nearer to 0 than {NEUTRAL} left out",
        "seed": SEED,
        "training sentences": len(known),
        "held_out": {
            "rows": "every tenth sentence: numbers 10, 20, …",
            "count": len(unseen),
            "accuracy": accuracy(network, unseen, labels[held_out]),
            "accuracy of logistic regression on words and pairs": accuracy_of_counting_words(
                known, labels[~held_out], unseen, labels[held_out]
            ),
            "share of the larger class": float(labels[held_out].double().mean().sub(0.5).abs() + 0.5),
        },
    }
    path = arguments.into / "minilm-sentiment.safetensors"
    Packaged(head, labels=LABELS, metadata=metadata).save(path)
    log.info("%s: %s bytes, held out: %s", path, path.stat().st_size, metadata["held_out"])


if __name__ == "__main__":
    main()
