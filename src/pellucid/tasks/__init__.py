"""What a model is for: preparation and its inverse, bounds, labels, features."""

from pellucid.tasks.image import Image
from pellucid.tasks.sequence import Sequence
from pellucid.tasks.tabular import Tabular
from pellucid.tasks.tensor import TensorTask
from pellucid.tasks.text import Text

__all__ = ["Image", "Sequence", "Tabular", "TensorTask", "Text"]
