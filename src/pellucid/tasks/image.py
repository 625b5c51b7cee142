"""The task of models that look at pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as PILImage
from PIL import ImageFilter
from skimage.segmentation import slic
from torch import Tensor

from pellucid.core.errors import BadInput, UsageError
from pellucid.core.spec import Modality
from pellucid.core.subject import Domain, Edit, Features, Inputs, Origin, OutputKind
from pellucid.tasks.picture_edits import picture_changes, picture_edits
from pellucid.tasks.pictures import open_picture
from pellucid.tasks.tensor import as_tensor, batched, elements, elementwise_baseline


class Image:
    """Pictures of ``size = (height, width)``, normalised by ``mean`` and ``deviation`` on a 0…1 scale.

    The whole picture is shown to the network (upright, RGB, bicubic, its sides squeezed to the size), so nothing it
    saw is unexplained. ``crop=True`` instead scales the shortest side to ``size + margin`` and cuts out the centre,
    as in training. Points are ``[batch, channels, height, width]``.
    """

    modality = Modality.IMAGE

    def __init__(
        self,
        size: int | tuple[int, int] = 224,
        mean: Sequence[float] = (0.5, 0.5, 0.5),
        deviation: Sequence[float] = (0.5, 0.5, 0.5),
        labels: tuple[str, ...] | None = None,
        output: OutputKind = "logits",
        crop: bool = False,
        margin: int = 32,
    ) -> None:
        self.size = (size, size) if isinstance(size, int) else size
        if len(mean) != len(deviation) or len(mean) not in (1, 3):
            raise UsageError("tasks.Image: mean and deviation have one number per channel, 1 or 3 of them")
        self.mean, self.deviation = tuple(mean), tuple(deviation)
        self.labels = None if labels is None else tuple(labels)
        self.output, self.crop, self.margin = output, crop, margin

    @property
    def channels(self) -> int:
        """1 for grey pictures, 3 for colour."""
        return len(self.mean)

    def prepare(self, raw: Any) -> Inputs:
        if isinstance(raw, Tensor):
            tensor = as_tensor(raw, "picture tensor")
            tensor = tensor[None] if tensor.ndim == 3 else tensor
            if tensor.ndim != 4 or tensor.shape[1] != self.channels:
                raise BadInput(
                    f"a picture tensor in the model's own space has shape [batch, {self.channels}, height, width], "
                    f"not {tuple(tensor.shape)}"
                )
            return Inputs({"pixels": tensor}, "pixels", None, tuple(self._origin(example) for example in tensor))
        prepared = [self._one(entry) for entry in batched(raw)]
        if not prepared:
            raise BadInput("there is no picture to prepare; name at least one")
        return Inputs({"pixels": torch.stack([p for p, _ in prepared])}, "pixels", None, tuple(o for _, o in prepared))

    def example(self) -> Inputs:
        return self.prepare(torch.zeros(1, self.channels, *self.size))

    def picture(self, point: Tensor) -> PILImage.Image:
        """The inverse of the preparation: one example's point ``[channels, height, width]`` as a picture."""
        mean, deviation = self._statistics(point)
        pixels = (point * deviation[0] + mean[0]).clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).numpy()
        return PILImage.fromarray(pixels[:, :, 0] if self.channels == 1 else pixels)

    def bounds(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        mean, deviation = self._statistics(inputs.value)
        return (0 - mean) / deviation, (1 - mean) / deviation

    def domain(self) -> Domain:
        """Shares of full light."""
        factor, offset = (torch.tensor(values).view(-1, 1, 1) for values in (self.deviation, self.mean))
        return Domain(factor, offset)

    def baselines(self) -> tuple[str, ...]:
        return ("mean", "zero", "blur", "uniform", "black", "white")

    def baseline(self, inputs: Inputs, name: str, seed: int = 0) -> Tensor:
        """``mean`` is each picture's own mean colour, ``blur`` a Gaussian of a tenth of its width; ``zero`` is zero in
        the model's own space."""
        point = inputs.value
        match name:
            case "mean":
                return point.mean((2, 3), keepdim=True).expand_as(point).clone()
            case "blur":
                return torch.stack([self._blurred(example) for example in point])
            case "black" | "white":
                low, high = self.bounds(inputs)
                return (low if name == "black" else high).to(point).expand_as(point).clone()
        return elementwise_baseline(self, inputs, name, seed)

    def groupings(self) -> tuple[str, ...]:
        return ("superpixels", "grid", "pixels", "elements")

    def features(self, inputs: Inputs, grouping: str, number: int | None = None) -> Features:
        """``superpixels`` (SLIC), a ``grid`` of squares, single ``pixels`` or ``elements``; the first two take a number
        of features: 50 by default, or one superpixel per 4 pixels of a small picture."""
        shape = inputs.value.shape
        match grouping:
            case "superpixels":
                wanted = number or max(1, min(50, shape[2:].numel() // 4))
                segments = torch.stack([self._superpixels(example, wanted) for example in inputs.value])
                kind = "superpixel"
            case "grid":
                cells = max(1, round((number or 49) ** 0.5))
                rows = torch.arange(shape[2]) * cells // shape[2]
                columns = torch.arange(shape[3]) * cells // shape[3]
                segments = (rows[:, None] * cells + columns)[None, None].expand(len(inputs), 1, -1, -1)
                kind = "cell"
            case "pixels":
                segments = torch.arange(shape[2:].numel()).view(1, 1, *shape[2:]).expand(len(inputs), 1, -1, -1)
                kind = "pixel"
            case _:
                return elements(inputs)
        return Features(kind, segments)

    def edits(self, raw: Any, script: str) -> tuple[Edit, ...]:
        return picture_edits(raw, script)

    def changes(self, raw: Any, other: Any) -> tuple[Edit, ...]:
        return picture_changes(raw, self.prepare(other).origins[0].raw)

    def describe(self) -> dict[str, Any]:
        return {
            "modality": self.modality.value,
            "size": self.size,
            "mean": self.mean,
            "deviation": self.deviation,
            "crop": self.crop,
            "margin": self.margin,
            "output": self.output,
            "labels": self.labels,
        }

    def _one(self, raw: Any) -> tuple[Tensor, Origin]:
        picture, notes = open_picture(raw)
        picture = picture.convert("L" if self.channels == 1 else "RGB")
        shown, box = self._cropped(picture) if self.crop else (picture, (0, 0, *picture.size))
        height, width = self.size
        resized = shown.resize((width, height), PILImage.Resampling.BICUBIC)
        pixels = torch.from_numpy(np.asarray(resized).copy()).float().div(255)
        pixels = pixels[None] if self.channels == 1 else pixels.permute(2, 0, 1)
        mean, deviation = self._statistics(pixels)
        name = Path(raw).stem if isinstance(raw, str | Path) else "picture"
        return ((pixels - mean[0]) / deviation[0]).contiguous(), Origin(picture, name, None, box, notes)

    def _cropped(self, picture: PILImage.Image) -> tuple[PILImage.Image, tuple[int, int, int, int]]:
        height, width = self.size
        scale = max((height + self.margin) / picture.height, (width + self.margin) / picture.width)
        seen = (min(picture.width, round(width / scale)), min(picture.height, round(height / scale)))
        left, top = (picture.width - seen[0]) // 2, (picture.height - seen[1]) // 2
        box = (left, top, left + seen[0], top + seen[1])
        return picture.crop(box), box

    def _origin(self, example: Tensor) -> Origin:
        height, width = example.shape[1:]
        return Origin(self.picture(example), "picture", None, (0, 0, width, height))

    def _statistics(self, like: Tensor) -> tuple[Tensor, Tensor]:
        mean, deviation = (torch.tensor(v, dtype=like.dtype).view(1, -1, 1, 1) for v in (self.mean, self.deviation))
        return mean, deviation

    def _blurred(self, example: Tensor) -> Tensor:
        blurred = self.picture(example).filter(ImageFilter.GaussianBlur(example.shape[2] / 10))
        pixels = torch.from_numpy(np.asarray(blurred).copy()).to(example).div(255)
        mean, deviation = self._statistics(example)
        pixels = pixels[None] if self.channels == 1 else pixels.permute(2, 0, 1)
        return (pixels - mean[0]) / deviation[0]

    def _superpixels(self, example: Tensor, number: int) -> Tensor:
        pixels = np.asarray(self.picture(example))
        axis = None if self.channels == 1 else -1
        compactness = 0.1 if self.channels == 1 else 10
        found = slic(pixels, n_segments=number, compactness=compactness, start_label=0, channel_axis=axis)
        return torch.from_numpy(np.unique(found, return_inverse=True)[1].reshape(1, *found.shape)).long()
