"""Which features change the same way when a box is hidden in each of several pictures, and how surely one may say so."""

from collections.abc import Sequence

import torch
from torch import Tensor

from pellucid.core.subject import Inputs, Subject
from pellucid.engine.batching import in_batches
from pellucid.results.profile import Line


class Hiding:
    """Pictures of which boxes can be hidden, and what that does to the features of some layers."""

    def __init__(self, subject: Subject, inputs: Inputs, layers: Sequence[str]) -> None:
        self._subject, self._inputs, self._layers = subject, inputs, tuple(layers)
        self._plain = self._features(inputs)

    def __call__(self, boxes: Tensor) -> Tensor:
        """The share of features whose changes differ in sign between two pictures when ``boxes`` ``[pictures, 4]`` get the
        pictures' mean colours, ``[2, layers, pictures, pictures]``: of all, and of those that change in one of the two.

        A change that is no larger than rounding has sign 0.
        """
        hidden = self._inputs.value.clone()
        for point, (top, left, bottom, right) in zip(hidden, boxes.tolist(), strict=True):
            point[:, top:bottom, left:right] = point.mean((1, 2), keepdim=True)
        pairs = []
        for before, after in zip(self._plain, self._features(self._inputs.at(hidden)), strict=True):
            change, rounding = before - after, 1e-5 * before.abs().amax(1, keepdim=True)
            signs = torch.where(change.abs() > rounding, change.sign(), 0).to(torch.int8)
            differing = torch.stack([(signs != one).sum(1) for one in signs]).double()
            changing = torch.stack([((signs != 0) | (one != 0)).sum(1) for one in signs]).double()
            pairs.append(torch.stack([differing / signs.shape[1], differing / changing.clamp(min=1)]))
        return torch.stack(pairs, 1)

    def _features(self, inputs: Inputs) -> list[Tensor]:
        sizes: list[int] = []

        def work(rows: slice) -> Tensor:
            run = self._subject.run(inputs.rows(rows), capture=self._layers, partial=True)
            parts = [run.activations[name].flatten(1).cpu() for name in self._layers]
            sizes[:] = [part.shape[1] for part in parts]
            return torch.cat(parts, 1)

        return list(in_batches(len(inputs), self._subject.batch_size(inputs), work).split(sizes, 1))


def elsewhere(boxes: Tensor, shares: Tensor, inputs: Inputs) -> Tensor:
    """Boxes of the same sizes in other places, at ``shares`` ``[pictures, 2]`` of the room that there is for each."""
    sides = boxes[:, 2:] - boxes[:, :2]
    room = torch.tensor(inputs.value.shape[2:]) - sides + 1
    corners = (shares * room).long().minimum(room - 1)
    return torch.cat([corners, corners + sides], 1)


def over_pairs(pairs: Tensor) -> Tensor:
    """The mean of ``[…, pictures, pictures]`` over all pairs of two pictures, ``[…]``."""
    number = pairs.shape[-1]
    return pairs.sum((-2, -1)) / (number * (number - 1))


def jackknifed(name: str, pairs: Tensor) -> Line:
    """The mean over pairs ``[places, pictures, pictures]``, with the 95 % interval that leaving out one picture at a time
    tells."""
    number = pairs.shape[-1]
    kept = [[row for row in range(number) if row != picture] for picture in range(number)]
    without = torch.stack([over_pairs(pairs[:, rows][:, :, rows]) for rows in kept])
    half = 1.96 * ((number - 1) / number * (without - without.mean(0)).square().sum(0)).sqrt()
    mean = over_pairs(pairs)
    return Line(name=name, mean=mean, low=mean - half, high=mean + half)
