"""Where a unit is before it saturates: the layer whose output a sigmoid or a hyperbolic tangent squeezes into another's."""

import torch

from pellucid.core.subject import Inputs, Subject

_SQUEEZING = (torch.sigmoid, torch.tanh)


def pre_activation(subject: Subject, inputs: Inputs, layer: str) -> str:
    """The layer that ``layer`` returns the sigmoid or the hyperbolic tangent of on these inputs; ``layer`` if there is none.

    Found by what the layers return, so that it does not matter how the network is written. ``inputs`` should differ.
    """
    layers = {entry.name: entry for entry in subject.layers(inputs)}
    plain = layer.partition("#")[0]
    if plain not in layers or layers[plain].shape is None:
        return layer
    earlier = list(layers)[: list(layers).index(plain)]
    alike = [name for name in earlier if layers[name].shape == layers[plain].shape and layers[name].calls == 1]
    found = subject.run(inputs, capture=(*alike, layer)).activations
    for name in reversed(alike):
        if any(torch.equal(squeeze(found[name]), found[layer]) for squeeze in _SQUEEZING):
            return name
    return layer
