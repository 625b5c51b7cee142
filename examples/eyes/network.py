"""The recordings of open and closed eyes, and a small network that learns to tell them apart."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

RATE, LENGTH, BLOCKS, STEP, GAP = 160, 320, 6, 20, 160
HERTZ = np.arange(LENGTH // 2 + 1) * RATE / LENGTH


class EyesNetwork(nn.Module):
    """Logits [B, 2] for microvolts [B, samples, electrodes]: mixtures of electrodes, filters over time, mean strength.

    A filter over electrodes and a filter over time commute, so the cheaper one comes first (after lawhern2018eegnet, whose
    order is the other one).
    """

    def __init__(self, electrodes: int = 64, sources: int = 8, rhythms: int = 16, taps: int = 65) -> None:
        super().__init__()
        self.spatial = nn.Conv1d(electrodes, sources, 1, bias=False)
        self.temporal = nn.Conv1d(sources, rhythms, taps, padding=taps // 2, groups=sources)
        self.activation = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool1d(1)
        self.classifier = nn.Linear(rhythms, 2)

    def forward(self, microvolts: Tensor) -> Tensor:
        rhythms = self.temporal(self.spatial(microvolts.transpose(1, 2) / 50))
        logits: Tensor = self.classifier(self.pool(self.activation(rhythms)).flatten(1))
        return logits


class FromSpectrum(nn.Module):
    """The signal [B, samples, electrodes] from its Fourier coefficients [B, 2 · frequencies, electrodes], real parts first.

    A fixed linear layer before a network, so that relevance goes on from samples to frequencies
    (after vielhaben2024explainable).
    """

    def __init__(self, length: int) -> None:
        super().__init__()
        waves = np.eye(length // 2 + 1)
        synthesis = np.concatenate([np.fft.irfft(waves, length), np.fft.irfft(1j * waves, length)])
        self.synthesis = nn.Linear(*synthesis.shape, bias=False)
        self.synthesis.weight = nn.Parameter(torch.from_numpy(synthesis.T).float(), requires_grad=False)

    def forward(self, coefficients: Tensor) -> Tensor:
        return self.synthesis(coefficients.transpose(1, 2)).transpose(1, 2)


def spectrum(windows: Tensor) -> Tensor:
    """The Fourier coefficients that ``FromSpectrum`` takes."""
    found = torch.fft.rfft(windows.double(), dim=1)
    return torch.cat([found.real, found.imag], dim=1).float()


@dataclass(frozen=True)
class Split:
    """Windows [B, samples, electrodes] to learn from, and those of a block of time that was held out, with labels."""

    known: Tensor
    known_labels: Tensor
    unseen: Tensor
    unseen_labels: Tensor


def splits(signals: Sequence[Tensor]) -> Iterator[Split]:
    """One split for each block of ten seconds of the two recordings ``[samples, electrodes]``: windows of the block do not
    overlap, and every training window ends a second before it or begins a second after it."""
    size = min(len(signal) for signal in signals) // BLOCKS
    for start in range(0, BLOCKS * size, size):
        parts: list[tuple[list[Tensor], list[Tensor]]] = []
        for signal in signals:
            free = [
                signal[begin : begin + LENGTH]
                for begin in range(0, BLOCKS * size - LENGTH + 1, STEP)
                if begin + LENGTH + GAP <= start or begin >= start + size + GAP
            ]
            parts.append((free, list(signal[start : start + size].split(LENGTH))))
        known, unseen = ([torch.stack(part[side]) for part in parts] for side in range(2))
        yield Split(torch.cat(known), _labels(known), torch.cat(unseen), _labels(unseen))


def _labels(groups: Sequence[Tensor]) -> Tensor:
    return torch.cat([torch.full((len(group),), label) for label, group in enumerate(groups)])


def trained(windows: Tensor, labels: Tensor, seed: int = 0, steps: int = 150) -> EyesNetwork:
    """A network that learned these windows: AdamW on batches of 32, no other choice made."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = EyesNetwork(windows.shape[2])
        optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.05)
        for _ in range(steps):
            rows = torch.randint(len(windows), (32,))
            optimizer.zero_grad()
            functional.cross_entropy(network(windows[rows]), labels[rows]).backward()
            optimizer.step()
    return network.eval().requires_grad_(False)


def untrained(electrodes: int, seed: int) -> EyesNetwork:
    """The same network with the weights it began with, for another seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return EyesNetwork(electrodes).eval().requires_grad_(False)
