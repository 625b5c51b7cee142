"""Examples of a data set as they were given, and as pictures, found again by their names."""

import os
import re
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from pellucid.core.query import Query
from pellucid.core.subject import Inputs
from pellucid.render.picture_rows import as_picture
from pellucid.tasks.pictures import open_picture

_FILE = re.compile(r"\.(png|jpe?g|webp|bmp|gif|tiff?)$", re.IGNORECASE)


def raw_of(query: Query | None, name: str) -> Any:
    """An example of the query's data as it was given, by its name: the number of a raw input, and of one that holds several
    examples that of its row, or a file's name; None where the query is not known any more."""
    data = getattr(query, "data", None)
    if isinstance(data, Inputs):
        data = [origin.raw for origin in data.origins] or data.value
    if data is None or isinstance(data, str | dict | os.PathLike):
        return data
    numbers = [int(number) for number in re.findall(r" #(\d+)", name)] if name.startswith("example") else []
    if not numbers and name != "example":
        files = [raw for raw in data if isinstance(raw, os.PathLike) and Path(raw).name == name]
        return files[0] if files else None
    first, *rows = numbers or [0]
    raw = data[first] if first < len(data) else None
    return raw[rows[0]] if rows and isinstance(raw, Tensor) else raw


def picture_of(query: Query | None, name: str) -> Image.Image | None:
    """An example of the query's data as a picture; None where it is none."""
    raw = raw_of(query, name)
    if isinstance(raw, Tensor):
        return as_picture(raw, None, None) if raw.ndim == 3 and len(raw) in (1, 3) else None
    if raw is None or isinstance(raw, dict | list | tuple) or (isinstance(raw, str) and not _FILE.search(raw)):
        return None
    return open_picture(raw)[0]
