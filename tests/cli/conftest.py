"""A small model in a file of its own, pictures for it, and the program called in this process."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pellucid.cli.app import main

MODEL = '''
import torch
from torch import nn
import pellucid as pl

class Corner(nn.Module):
    """Class 1 is the mean of the top left quarter, class 0 is nothing."""
    def forward(self, pixels):
        corner = pixels[:, :, :4, :4].mean((1, 2, 3))
        return torch.stack([torch.zeros_like(corner), 4 * corner + 1], 1)

def pictures():
    task = pl.tasks.Image(8, mean=(0.0,), deviation=(1.0,), labels=("nothing", "corner"))
    return pl.wrap(Corner().eval(), task, name="corner-detector")

def filters():
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 36, 2)).eval()
    return pl.wrap(layers, pl.tasks.Image(8, mean=(0.0,), deviation=(1.0,), labels=("a", "b")), name="filters")

def rows():
    task = pl.tasks.Tabular(["age", "dose"], labels=("ill", "well"))
    torch.manual_seed(0)
    return pl.wrap(nn.Linear(2, 2).eval(), task, name="ward")

def black_box():
    task = pl.tasks.Tabular(["age", "dose"], labels=("ill", "well"))
    return pl.wrap(lambda batch: torch.stack([batch.sum(1), -batch.sum(1)], 1), task, name="oracle")

def broken():
    class Broken(nn.Module):
        def forward(self, pixels):
            raise ValueError("the moon is full")
    return pl.wrap(Broken().eval(), pl.tasks.Image(8, mean=(0.0,), deviation=(1.0,), labels=("a", "b")))

def interrupted():
    class Interrupted(Corner):
        calls = 0
        def forward(self, pixels):
            Interrupted.calls += 1
            if Interrupted.calls > 5:
                raise KeyboardInterrupt
            return super().forward(pixels)
    return pl.wrap(Interrupted().eval(), pl.tasks.Image(8, mean=(0.0,), deviation=(1.0,), labels=("nothing", "corner")))

def stopped():
    raise KeyboardInterrupt
'''


@dataclass(frozen=True)
class Answered:
    """What the program said, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def one_line(self) -> bool:
        """Whether the error is one line that begins with the program's name, and nothing else was said."""
        ended = self.err.count("\n") == 1 and self.err.endswith("\n")
        return self.err.startswith("pellucid: ") and ended and not self.out


@pytest.fixture
def pellucid(capsys):
    """Call the program: ``pellucid("map", "--json")``."""

    def call(*words):
        code = main([str(word) for word in words])
        said = capsys.readouterr()
        return Answered(code, said.out, said.err)

    return call


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("model") / "small.py"
    path.write_text(MODEL)
    return str(path)


@pytest.fixture
def picture(tmp_path) -> Path:
    pixels = np.full((16, 16), 20, dtype=np.uint8)
    pixels[:8, :8] = 220
    path = tmp_path / "bright.png"
    Image.fromarray(pixels).save(path)
    return path
