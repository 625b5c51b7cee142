"""The page for people who come from quantus names every class, tells every difference that is measured, and is right."""

import importlib
import math

import numpy as np
import pytest

from guide.test_coming_from import blocks, page
from reference.quantus_package import quantus

pytestmark = pytest.mark.reference

FAMILIES = (
    "faithfulness_order",
    "faithfulness_subsets",
    "robustness",
    "localisation",
    "complexity",
    "randomisation",
    "axiomatic",
)


def measured():
    """A line of the page's table for each difference, family by family."""
    for family in FAMILIES:
        for entry in importlib.import_module(f"reference.test_quantus_{family}").DIFFERENCES:
            numbers = ("none" if math.isnan(number) else f"{number:.4g}" for number in (entry.quantus, entry.defined))
            yield f"| {' | '.join((entry.name, entry.does, entry.definition, entry.example, *numbers))} |"


def told(heading):
    """The lines of the table under a heading, without its head."""
    under = page("quantus").split(f"## {heading}")[1].split("\n## ")[0]
    return [line for line in under.splitlines() if line.startswith("| ")][1:]


def test_every_difference_that_is_measured_is_told_and_no_other():
    assert told("Where quantus 0.6.0 differs from the papers") == list(measured())


def test_every_class_of_quantus_is_named():
    families = ("faithfulness", "robustness", "localisation", "complexity", "randomisation", "axiomatic")
    classes = {
        name
        for family in families
        for name in dir(importlib.import_module(f"quantus.metrics.{family}"))
        if isinstance(getattr(quantus, name, None), type) and name[0].isupper()
    }
    named = [line.split(" | ")[0].strip("| `") for line in told("Names")]
    assert {name for name in named if name[0].isupper()} == classes
    assert len(named) == len(set(named))


def test_both_sides_of_the_page_give_the_same():
    names = {}
    for piece in (*blocks("quantus", "both"), *blocks("quantus", "quantus"), *blocks("quantus", "Pellucid")):
        exec(compile(piece, "quantus.md", "exec"), names)
    np.testing.assert_allclose(names["judged"].curve[0, 1:].numpy(), np.mean(names["curves"], 0), rtol=1e-6)
    areas = np.trapezoid(np.asarray(names["curves"]), axis=1)
    np.testing.assert_allclose(names["judged"].per_example[0].numpy(), areas, rtol=1e-6)
