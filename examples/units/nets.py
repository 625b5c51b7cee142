"""A deep belief net and a stacked denoising autoencoder for each kind of picture, trained with fixed settings."""

from dataclasses import dataclass

from torch import Tensor

import pellucid as pl
from pellucid.models import DBN, ContrastiveDivergence, Denoising, StackedAutoencoder


@dataclass(frozen=True)
class Recipe:
    """Hidden units from below, what is done for each layer of either net, and the kind of the pixels."""

    hidden: tuple[int, ...]
    belief: tuple[ContrastiveDivergence, ...]
    denoising: tuple[Denoising, ...]
    visible: str = "binary"


RECIPES = {
    "digits": Recipe(
        (100, 50, 50),
        tuple(ContrastiveDivergence(seed=layer, rate=0.1, momentum=0.8, epochs=120) for layer in range(3)),
        tuple(Denoising(seed=layer) for layer in range(3)),
    ),
    "mnist": Recipe(
        (200, 200, 100),
        # Chains that are not persistent leave the first machine with a mode of its own, a dot, that all samples fall into.
        (
            ContrastiveDivergence(persistent=True, rate=0.03, epochs=20),
            ContrastiveDivergence(rate=0.1, epochs=20, seed=1),
            ContrastiveDivergence(rate=0.1, epochs=20, seed=2),
        ),
        tuple(Denoising(seed=layer, epochs=20) for layer in range(3)),
    ),
    "patches": Recipe(
        (100, 100, 50),
        (
            ContrastiveDivergence(rate=0.003, momentum=0.8, decay=1e-3, sparsity=0.03, sparsity_cost=3.0, epochs=40),
            ContrastiveDivergence(rate=0.02, sparsity=0.05, seed=1),
            ContrastiveDivergence(rate=0.02, seed=2),
        ),
        (
            Denoising(rate=2e-3, sparsity=0.04, sparsity_cost=10.0, epochs=40),
            Denoising(seed=1, epochs=20),
            Denoising(seed=2, epochs=20),
        ),
        "gaussian",
    ),
}


def trained(name: str, pictures: Tensor) -> dict[str, pl.Subject]:
    """Both nets for these pictures, as subjects."""
    recipe = RECIPES[name]
    nets = {
        "belief net": DBN.fit(pictures, recipe.hidden, recipe.belief, recipe.visible),
        "autoencoder": StackedAutoencoder.fit(pictures, recipe.hidden, recipe.denoising, recipe.visible),
    }
    task = pl.tasks.TensorTask(shape=tuple(pictures.shape[1:]), output="value")
    return {kind: pl.wrap(net, task, name=f"{name}, {kind}") for kind, net in nets.items()}
