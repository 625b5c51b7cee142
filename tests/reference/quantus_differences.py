"""What a table of differences between quantus and the definitions holds."""

from typing import NamedTuple


class Difference(NamedTuple):
    """One metric of quantus that is not what its paper defines: what it does, what the definition says, and both numbers
    of one measured example."""

    name: str
    does: str
    definition: str
    example: str
    quantus: float
    defined: float
