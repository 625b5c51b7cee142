"""Examples of a data set as they were given, and as pictures, found again by their names."""

import re
from typing import Any

from PIL import Image
from torch import Tensor

from pellucid.core.query import Query
from pellucid.core.subject import Inputs
from pellucid.render.picture_rows import as_picture
from pellucid.tasks.pictures import open_picture

_FILE = re.compile(r"\.(png|jpe?g|webp|bmp|gif|tiff?)$", re.IGNORECASE)


def raw_of(query: Query | None, name: str) -> Any:
    """An example of the query's data as it was given: the raw input whose number its name tells, and of a raw input that holds
    several its row; None where the query is not known any more."""
    data = getattr(query, "data", None)
    place, _, row = name.partition(" #")
    if data is None or not place.isdigit():
        return None
    raw = data[int(place)] if isinstance(data, list | tuple) else data
    if isinstance(raw, Inputs):
        raw = raw.origins[int(row or 0)].raw if raw.origins else raw.value
    return raw[int(row or 0)] if isinstance(raw, Tensor) and (row or raw.ndim == 4) else raw


def picture_of(query: Query | None, name: str) -> Image.Image | None:
    """An example of the query's data as a picture; None where it is none."""
    raw = raw_of(query, name)
    if isinstance(raw, Tensor):
        return as_picture(raw, None, None) if raw.ndim == 3 and len(raw) in (1, 3) else None
    if raw is None or isinstance(raw, dict | list | tuple) or (isinstance(raw, str) and not _FILE.search(raw)):
        return None
    return open_picture(raw)[0]
