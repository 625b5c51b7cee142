"""Results: data only, one class per kind. Importing this knows every kind, so that files of any kind can be read."""

from pellucid.results.attribution import Attribution
from pellucid.results.change import Change
from pellucid.results.class_response import ClassResponse
from pellucid.results.comparison import Comparison
from pellucid.results.counterfactual import Counterfactuals, RegionSwaps
from pellucid.results.decoder import Decoder
from pellucid.results.evaluation import Evaluation
from pellucid.results.evolution import Evolution
from pellucid.results.feature_images import FeatureImages
from pellucid.results.health_report import HealthReport, LayerHealth
from pellucid.results.interactions import Interactions
from pellucid.results.interpretation import Interpretation
from pellucid.results.picks import Picks
from pellucid.results.profile import Line, Panel, Profile
from pellucid.results.prototypes import PrototypeSet
from pellucid.results.ranking import Ranking
from pellucid.results.reconstructions import Reconstructions
from pellucid.results.report import Report
from pellucid.results.response import Curve, Response, Surface
from pellucid.results.route import Route
from pellucid.results.simulation import Simulation
from pellucid.results.unit_labels import UnitLabels
from pellucid.results.unit_page import Histogram, UnitExample, UnitPage
from pellucid.results.unit_report import UnitReport
from pellucid.results.weight_maps import WeightMaps
from pellucid.results.weight_scores import WeightScores

__all__ = [
    "Attribution",
    "Change",
    "ClassResponse",
    "Comparison",
    "Counterfactuals",
    "Curve",
    "Decoder",
    "Evaluation",
    "Evolution",
    "FeatureImages",
    "HealthReport",
    "Histogram",
    "Interactions",
    "Interpretation",
    "LayerHealth",
    "Line",
    "Panel",
    "Picks",
    "Profile",
    "PrototypeSet",
    "Ranking",
    "Reconstructions",
    "RegionSwaps",
    "Report",
    "Response",
    "Route",
    "Simulation",
    "Surface",
    "UnitExample",
    "UnitLabels",
    "UnitPage",
    "UnitReport",
    "WeightMaps",
    "WeightScores",
]
