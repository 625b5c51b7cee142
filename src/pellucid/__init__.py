"""Pellucid: a Subject is asked a Query by a Method and answers with a Result.

Names are imported when they are first used, so that importing the package costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_NAMES = {
    "load": "pellucid.subjects.loading",
    "wrap": "pellucid.subjects.wrapping",
    "explain": "pellucid.reports.explaining",
    "evaluate": "pellucid.reports.evaluating",
    "units": "pellucid.reports.atlas",
    "build": "pellucid.core.catalogue",
    "catalogue": "pellucid.core.catalogue",
    "byte_budget": "pellucid.engine.batching",
    "deterministic": "pellucid.engine.batching",
    "Decision": "pellucid.core.query",
    "Unit": "pellucid.core.query",
    "Code": "pellucid.core.query",
    "Representation": "pellucid.core.query",
    "Pair": "pellucid.core.query",
    "Concepts": "pellucid.core.query",
    "Training": "pellucid.core.query",
    "Population": "pellucid.core.query",
    "Judgement": "pellucid.core.query",
    "Fit": "pellucid.core.query",
    "Context": "pellucid.core.context",
    "Result": "pellucid.core.result",
    "Attribution": "pellucid.results.attribution",
    "Change": "pellucid.results.change",
    "ClassResponse": "pellucid.results.class_response",
    "Comparison": "pellucid.results.comparison",
    "Counterfactuals": "pellucid.results.counterfactual",
    "Decoder": "pellucid.results.decoder",
    "Evaluation": "pellucid.results.evaluation",
    "FeatureImages": "pellucid.results.feature_images",
    "Evolution": "pellucid.results.evolution",
    "HealthReport": "pellucid.results.health_report",
    "Interactions": "pellucid.results.interactions",
    "Interpretation": "pellucid.results.interpretation",
    "Picks": "pellucid.results.picks",
    "PrototypeSet": "pellucid.results.prototypes",
    "Profile": "pellucid.results.profile",
    "Ranking": "pellucid.results.ranking",
    "Reconstructions": "pellucid.results.reconstructions",
    "Report": "pellucid.results.report",
    "Response": "pellucid.results.response",
    "Route": "pellucid.results.route",
    "Simulation": "pellucid.results.simulation",
    "UnitLabels": "pellucid.results.unit_labels",
    "UnitPage": "pellucid.results.unit_page",
    "UnitReport": "pellucid.results.unit_report",
    "WeightMaps": "pellucid.results.weight_maps",
    "WeightScores": "pellucid.results.weight_scores",
    "Subject": "pellucid.core.subject",
    "Inputs": "pellucid.core.subject",
    "PellucidError": "pellucid.core.errors",
    "NotAnswerable": "pellucid.core.errors",
    "NotComparable": "pellucid.core.errors",
    "BadInput": "pellucid.core.errors",
    "UsageError": "pellucid.core.errors",
}
_MODULES = ("tasks", "methods", "metrics", "models")

__all__ = ["__version__", *_NAMES, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"pellucid.{name}")
    raise AttributeError(f"module 'pellucid' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


if TYPE_CHECKING:
    from pellucid import methods, metrics, models, tasks
    from pellucid.core.catalogue import build, catalogue
    from pellucid.core.context import Context
    from pellucid.core.errors import BadInput, NotAnswerable, NotComparable, PellucidError, UsageError
    from pellucid.core.query import (
        Code,
        Concepts,
        Decision,
        Fit,
        Judgement,
        Pair,
        Population,
        Representation,
        Training,
        Unit,
    )
    from pellucid.core.result import Result
    from pellucid.core.subject import Inputs, Subject
    from pellucid.engine.batching import byte_budget, deterministic
    from pellucid.reports.atlas import units
    from pellucid.reports.evaluating import evaluate
    from pellucid.reports.explaining import explain
    from pellucid.results.attribution import Attribution
    from pellucid.results.change import Change
    from pellucid.results.class_response import ClassResponse
    from pellucid.results.comparison import Comparison
    from pellucid.results.counterfactual import Counterfactuals
    from pellucid.results.decoder import Decoder
    from pellucid.results.evaluation import Evaluation
    from pellucid.results.evolution import Evolution
    from pellucid.results.feature_images import FeatureImages
    from pellucid.results.health_report import HealthReport
    from pellucid.results.interactions import Interactions
    from pellucid.results.interpretation import Interpretation
    from pellucid.results.picks import Picks
    from pellucid.results.profile import Profile
    from pellucid.results.prototypes import PrototypeSet
    from pellucid.results.ranking import Ranking
    from pellucid.results.reconstructions import Reconstructions
    from pellucid.results.report import Report
    from pellucid.results.response import Response
    from pellucid.results.route import Route
    from pellucid.results.simulation import Simulation
    from pellucid.results.unit_labels import UnitLabels
    from pellucid.results.unit_page import UnitPage
    from pellucid.results.unit_report import UnitReport
    from pellucid.results.weight_maps import WeightMaps
    from pellucid.results.weight_scores import WeightScores
    from pellucid.subjects.loading import load
    from pellucid.subjects.wrapping import wrap
