"""Random draws that depend on what is asked, never on where it stands in a batch."""

import hashlib

import torch

from pellucid.core.content import digest


def generator(seed: int, method: str, example: torch.Tensor) -> torch.Generator:
    """A CPU generator seeded by ``(seed, method, content of the prepared example)``.

    ``example`` is one example without its batch dimension, so the draws are bit-equal for any batch size, order or
    neighbours.
    """
    content = f"{seed}:{method}:{digest(example)}".encode()
    number = int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little") >> 1
    return torch.Generator().manual_seed(number)
