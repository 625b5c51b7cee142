"""Every kind of result, imported so that files of any kind can be read."""

from pellucid.results.attribution import Attribution
from pellucid.results.evaluation import Evaluation

__all__ = ["Attribution", "Evaluation"]
