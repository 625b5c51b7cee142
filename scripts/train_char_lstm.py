"""Train the character model on the 'tiny Shakespeare' selection (public domain), in less than ten minutes of one core.

    python scripts/train_char_lstm.py --text FILE

The text is not part of this repository; its SHA-256 is checked, so that the recorded score means what it says. The
first nine tenths are cut into parallel streams that are read in order, the state carried along; the last tenth is held
out.
"""

import argparse
import hashlib
import logging
import math
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from pellucid.core.errors import BadInput
from pellucid.models.character_lstm import CharacterLSTM
from pellucid.models.packaged import Packaged

WEIGHTS = Path(__file__).resolve().parent.parent / "src" / "pellucid" / "models" / "weights" / "char-lstm.safetensors"
TEXT_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
SEED = 0
UNITS = 128
STREAMS = 64
LENGTH = 64
STEPS = 12_000
EXCERPT = 500

log = logging.getLogger("train_char_lstm")


def read(path: Path) -> str:
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != TEXT_SHA256:
        raise BadInput(f"{path} is not the 'tiny Shakespeare' selection: expected SHA-256 {TEXT_SHA256}, found {found}")
    return content.decode("ascii")


def bits_per_character(module: CharacterLSTM, characters: Tensor) -> float:
    """Of every character but the first, each predicted from all before it."""
    one_hot = functional.one_hot(characters[:-1], module.lstm.input_size).float()[None]
    with torch.no_grad():
        logits = module(one_hot, *module.initial_state(1))[0]
    return float(functional.cross_entropy(logits.double(), characters[1:])) / math.log(2)


def train(module: CharacterLSTM, characters: Tensor) -> None:
    """Truncated back-propagation through time; every pass over the text begins at another place."""
    optimizer = torch.optim.AdamW(module.parameters(), lr=4e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    per_pass = (len(characters) // STREAMS - 1) // LENGTH - 1
    for step in range(STEPS):
        position = step % per_pass
        if position == 0:
            start = int(torch.randint(LENGTH, ()))
            streams = characters[start : start + STREAMS * (LENGTH * per_pass + 1)].view(STREAMS, -1)
            hidden, cell = module.initial_state(STREAMS)
        window = streams[:, position * LENGTH : (position + 1) * LENGTH + 1]
        one_hot = functional.one_hot(window[:, :-1], module.lstm.input_size).float()
        states, hidden, cell = module.unroll(one_hot, hidden.detach(), cell.detach())
        loss = functional.cross_entropy(module.classifier(states).flatten(0, 1), window[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 500 == 0:
            log.info("step %d: %.3f bits per character in training", step, loss.item() / math.log(2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, required=True, help="the 'tiny Shakespeare' selection")
    parser.add_argument("--into", type=Path, default=WEIGHTS, help="the file to write (default: the package's own)")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    text = read(arguments.text)
    vocabulary = tuple(sorted(set(text)))
    characters = torch.tensor([vocabulary.index(character) for character in text])
    known = len(text) * 9 // 10
    architecture = {"characters": len(vocabulary), "units": UNITS, "layers": 1}
    module = CharacterLSTM(**architecture)
    train(module, characters[:known])
    module.eval()
    held_out = {
        "rows": "the last tenth of the text",
        "count": len(text) - known,
        "bits per character": bits_per_character(module, characters[known:]),
        "excerpt": text[known : known + EXCERPT],
        "bits per character of the excerpt": bits_per_character(module, characters[known : known + EXCERPT]),
    }
    metadata = {
        "architecture": architecture,
        "data": f"the 'tiny Shakespeare' selection, public domain, {len(text):,} characters, SHA-256 {TEXT_SHA256}",
        "seed": SEED,
        "held_out": held_out,
    }
    Packaged(module, labels=vocabulary, features=vocabulary, metadata=metadata).save(arguments.into)
    log.info("%s: %.4f bits per character held out", arguments.into, held_out["bits per character"])


if __name__ == "__main__":
    main()
