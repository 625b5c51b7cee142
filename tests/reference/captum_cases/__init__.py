"""Captum's own public tests, told again as data: the same question for both libraries, and what each must answer."""

from pellucid.compat import captum as compat
from reference.captum_cases import (
    ablation,
    backward,
    coalitions,
    everywhere,
    gradients,
    layers,
    metrics,
    noise,
    occlusion,
    paths,
)

ALL = tuple(
    case
    for module in (gradients, everywhere, paths, backward, layers, ablation, occlusion, coalitions, noise, metrics)
    for case in module.CASES
)


def counts():
    """How many cases of each of captum's names agree, and how many differ on purpose."""
    by_name = {name: [case.differs for case in ALL if case.name == name] for name in compat.__all__}
    return {name: (found.count(""), len(found) - found.count("")) for name, found in by_name.items()}
