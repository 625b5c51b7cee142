"""Where an answer comes from: enough to ask again and get the same."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from pellucid import __version__
from pellucid.core.content import by_content
from pellucid.core.record import record


def versions() -> dict[str, str]:
    """The versions an answer depends on."""
    return {"pellucid": __version__, "torch": str(torch.__version__), "python": platform.python_version()}


@record
@by_content
@dataclass(frozen=True, eq=False)
class Provenance:
    """Method and fields, subject and query fingerprints, versions, device, dtype and cost of an answer.

    ``cost`` holds passes per call in F and B and the CPU-seconds used; it is no part of what the answer is.
    """

    method: str
    fields: Mapping[str, Any]
    subject: str
    subject_fingerprint: str
    query_fingerprint: str
    versions: Mapping[str, str] = field(default_factory=versions)
    device: str = "cpu"
    dtype: str = "float32"
    cost: Mapping[str, float] = field(default_factory=dict, metadata={"identity": False})

    @property
    def seed(self) -> int | None:
        """The method's seed, if it draws at random."""
        return self.fields.get("seed")
