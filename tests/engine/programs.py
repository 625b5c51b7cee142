"""Random straight-line programs: functional, reused and in-place operations in any order, in float64."""

import torch
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

WIDTH = 4
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *(
                    "module",
                    "relu",
                    "relu_",
                    "leaky",
                    "sigmoid_",
                    "tanh",
                    "softmax",
                    "norm",
                    "add",
                    "add_",
                    "sub",
                    "half",
                ),
                *(
                    "product",
                    "product_",
                    "quotient",
                    "join",
                    "stack",
                    "split",
                    "slice",
                    "assign",
                    "mask",
                    "fill_",
                    "max",
                ),
                *("amax", "scale", "view", "outer", "sort", "clamp_", "index", "copy_"),
            ]
        ),
        st.integers(0, 5),
        st.integers(0, 5),
    ),
    min_size=2,
    max_size=12,
)


class Program(nn.Module):
    """A random straight-line program over vectors, with maps that any step may call again."""

    def __init__(self, steps):
        super().__init__()
        self.steps = steps
        self.maps = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.joins = nn.Linear(2 * WIDTH, WIDTH)
        self.double()

    def forward(self, point):
        values = [point * 1.0, point * 0.5]
        for name, one, two in self.steps:
            made = self.step(name, one, values[one % len(values)], values[two % len(values)])
            if made is not None:
                values.append(made)
        return sum(values[2:], start=values[0]).sum(1, keepdim=True)

    def step(self, name, number, first, second):
        match name:
            case "module":
                return self.maps[number % 3](first)
            case "relu":
                return functional.relu(first)
            case "relu_":
                first.relu_()
            case "leaky":
                return functional.leaky_relu(first, 0.1)
            case "sigmoid_":
                first.sigmoid_()
            case "tanh":
                return first.tanh()
            case "softmax":
                return first.softmax(1)
            case "norm":
                return functional.layer_norm(first, (WIDTH,), eps=0.1)
            case "add":
                return first + second
            case "add_":
                first += second
            case "sub":
                return torch.sub(first, second, alpha=0.5) + (1 - second)
            case "half":
                first[:, :2] += second[:, 2:]
            case "product":
                return first * second
            case "product_":
                first *= second.tanh()
            case "quotient":
                return first / (1 + second.square()) / 2
            case "join":
                return self.joins(torch.cat([first, second], 1))
            case "stack":
                return torch.stack([first, second], 1)[:, number % 2]
            case "split":
                return torch.cat(first.split(2, 1)[::-1], 1) + torch.unsafe_chunk(second, 2, 1)[1].repeat(1, 2)
            case "slice":
                made = first.clone()
                made[:, number % 3 :] = second[:, number % 3 :]
                return made
            case "assign":
                made = torch.zeros(len(first), WIDTH, dtype=first.dtype)
                made[:, ::2] = first[:, 1::2]
                made[made > 0.5] = 0.25
                return made
            case "mask":
                return torch.where(first > 0, first, second)
            case "fill_":
                first.masked_fill_(first < -1, -1.5)
            case "max":
                return torch.maximum(first, second)
            case "amax":
                return first.amax(1, keepdim=True) + second
            case "scale":
                first.mul_(1.5)
            case "view":
                return first.view(-1, 2, 2).transpose(1, 2).flip(2).reshape(-1, WIDTH)
            case "outer":
                return (first[:, :, None] @ second[:, None, :]).sum(2)
            case "sort":
                return first.sort(1).values
            case "clamp_":
                first.clamp_(-1, 1)
            case "index":
                return first[:, [2, 0, 0, 3]]
            case "copy_":
                first.copy_(second * 0.5)
        return None
