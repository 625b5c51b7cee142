"""A network with a unit that sees only a red square, pictures with and without one, and where the squares are."""

import torch
from torch import nn
from torch.nn import functional

import pellucid as pl

SIDE, SQUARE = 32, 8


class RedSquare(nn.Module):
    """Redness, rectified and pooled functionally, then one unit that wants a whole square of it on a ground without any.

    The other channels are noise.
    """

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.colour, self.square = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 3, SQUARE // 2 + 2, padding=3)
            self.head = nn.Linear(3, 2)
        red = torch.tensor([1.0, -1.0, -1.0]).view(3, 1, 1)
        self.colour.weight.data[0], self.colour.bias.data[0] = red, -0.2
        template = torch.full((SQUARE // 2 + 2, SQUARE // 2 + 2), -0.5)
        template[1:-1, 1:-1] = 1
        self.square.weight.data[0] = 0
        self.square.weight.data[0, 0] = template
        self.square.bias.data[0] = -4

    def forward(self, pixels):
        found = functional.max_pool2d(functional.relu(self.colour(pixels)), 2)
        return self.head(functional.relu(self.square(found)).amax((2, 3)))


def pictures(number=60, squares=20, seed=1):
    """Pictures ``[number, 3, 32, 32]`` of patches in all colours on noise, and the boxes of the red squares in the first
    ``squares`` of a random order (-1 where there is none)."""
    source = torch.Generator().manual_seed(seed)
    drawn = 0.3 * torch.rand(number, 3, SIDE, SIDE, generator=source)
    boxes = torch.full((number, 4), -1)
    order = torch.randperm(number, generator=source)
    for rank, picture in enumerate(order.tolist()):
        y, x = (2 * torch.randint(1, (SIDE - SQUARE) // 2 - 1, (2,), generator=source)).tolist()
        colour = torch.tensor([0.9, 0.05, 0.05])
        if rank >= squares:  # another colour, or a red stroke that is no square
            other = rank % 3
            colour = torch.tensor([[0.1, 0.9, 0.1], [0.1, 0.1, 0.9], [0.9, 0.9, 0.9]])[other]
            drawn[picture, :, 2 : 2 + 2, 4:20] = torch.tensor([0.9, 0.05, 0.05]).view(3, 1, 1)
        else:
            boxes[picture] = torch.tensor([y, x, y + SQUARE, x + SQUARE])
        drawn[picture, :, y : y + SQUARE, x : x + SQUARE] = colour.view(3, 1, 1)
    return drawn, boxes


def subject():
    """The planted network as a subject of pictures from 0 to 1."""
    return pl.wrap(RedSquare(), pl.tasks.Image(SIDE, (0.0,) * 3, (1.0,) * 3, labels=("a", "b")), name="planted")
