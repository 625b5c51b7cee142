"""Where concepts are in pictures: masks as tensors or picture files, on one grid."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from pellucid.core.errors import BadInput, UsageError


def concept_masks(concepts: Mapping[str, Any], examples: int, side: int) -> Tensor:
    """Masks ``[concepts, examples, height, width]``, bool, on a grid of at most ``side`` places per side.

    A concept's masks are a tensor or array ``[examples, height, width]``, or ``[height, width]`` for all examples alike;
    a list of picture files, one per example; or a folder of them, in the order of their names. What is larger than 0
    counts; a place of the grid holds a concept where half of it does. Masks cover what the network sees of a picture.
    """
    if not concepts:
        raise UsageError("name at least one concept with its masks: concepts={'wheel': masks}")
    found = {name: _grid(name, masks, examples, side) for name, masks in concepts.items()}
    shapes = {tuple(masks.shape[1:]) for masks in found.values()}
    if len(shapes) > 1:
        raise BadInput(f"masks of different concepts have different shapes {sorted(shapes)}; give all the same")
    return torch.stack(list(found.values()))


def _grid(name: str, given: Any, examples: int, side: int) -> Tensor:
    masks = _files(name, given) if isinstance(given, str | Path | list | tuple) else torch.as_tensor(np.asarray(given))
    if masks.ndim == 2:
        masks = masks.expand(examples, *masks.shape)
    if masks.ndim != 3 or len(masks) != examples:
        raise BadInput(f"the masks of {name!r} have shape {tuple(masks.shape)}; give [{examples}, height, width]")
    shape = min(masks.shape[1], side), min(masks.shape[2], side)
    return functional.adaptive_avg_pool2d((masks > 0).float()[:, None], shape)[:, 0] >= 0.5


def _files(name: str, given: Any) -> Tensor:
    if isinstance(given, str | Path):
        folder = Path(given)
        if not folder.is_dir():
            raise BadInput(f"the masks of {name!r} should lie in a folder, and {folder} is none")
        paths: Sequence[Any] = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    else:
        paths = given
    if not paths or not all(isinstance(path, str | Path) for path in paths):
        return torch.as_tensor(np.asarray([np.asarray(mask) for mask in paths]))
    found = [_mask(name, Path(path)) for path in paths]
    if len({mask.shape for mask in found}) > 1:
        raise BadInput(f"the masks of {name!r} have different sizes; give all the size of what the network sees")
    return torch.stack(found)


def _mask(name: str, path: Path) -> Tensor:
    try:
        with Image.open(path) as picture:
            return torch.from_numpy(np.asarray(picture.convert("L")).copy())
    except (OSError, ValueError) as error:
        raise BadInput(f"the mask {path} of {name!r} cannot be read ({error}); save it as a picture") from error
