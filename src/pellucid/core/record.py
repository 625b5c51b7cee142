"""The closed list of record types that a result file may contain."""

from typing import TypeVar

T = TypeVar("T")

RECORDS: dict[str, type] = {}


def record(cls: type[T]) -> type[T]:
    """Allow a frozen dataclass to be stored inside result files, under its class name."""
    RECORDS[cls.__name__] = cls
    return cls
