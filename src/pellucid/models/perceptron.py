"""Multilayer perceptrons on two small tables: cultivars of wine, and the progression of diabetes."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from pellucid.models.packaged import Packaged, load_packaged


class MultilayerPerceptron(nn.Module):
    """Linear layers with a ReLU between each two: [B, inputs] standardised columns to [B, outputs].

    Layers are ``layers.0``, ``layers.1`` (the first ReLU), ``layers.2`` and so on.
    """

    def __init__(self, inputs: int, hidden: Sequence[int], outputs: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in pairwise((inputs, *hidden)):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(hidden[-1], outputs))

    def forward(self, rows: Tensor) -> Tensor:
        outputs: Tensor = self.layers(rows)
        return outputs


def load_wine_mlp() -> Packaged:
    """Logits [B, 3] of the cultivar from 13 chemical measurements, the ``load_wine`` table of scikit-learn."""
    return load_packaged("wine-mlp", MultilayerPerceptron)


def load_diabetes_mlp() -> Packaged:
    """Disease progression after one year [B, 1], in the table's own unit (25 to 346), from 10 measurements.

    The table is ``load_diabetes(scaled=False)`` of scikit-learn: raw measurements, such as the age in years. What the
    ten abbreviated features are stands in ``metadata["features in words"]``.
    """
    return load_packaged("diabetes-mlp", MultilayerPerceptron)
