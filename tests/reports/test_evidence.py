"""The evidence beside each explanation: what copies the input is caught, what cannot be checked says why."""

import numpy as np
import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.reports import evidence
from pellucid.reports.explaining import explain


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 36, 3)).eval()
    return pl.wrap(layers, pl.tasks.Image(8, (0.5,), (0.25,), labels=("a", "b", "c")), name="network")


@pytest.fixture(scope="module")
def picture():
    return np.random.default_rng(0).integers(0, 255, (8, 8), dtype=np.uint8)


def test_every_explanation_has_three_findings_and_the_page_shows_them(network, picture):
    report = explain(network, picture, ["gradient", "input-x-gradient"], budget=60)
    for name in report.evaluation.names:
        findings = report.evidence(name)
        assert [finding.what for finding in findings] == ["depends on what was learned", "stable", "faithful"]
        assert all(finding.result != "not checked" for finding in findings)
        assert all(finding.means in report.html() for finding in findings)
    assert report.html().count("class='evidence'") == 2
    assert set(report.as_json()["evidence"]) == {"gradient", "input-x-gradient"}


def test_the_findings_say_what_the_checks_measured(network, picture):
    report = explain(network, picture, ["gradient"], budget=60)
    decision = pl.Decision(network.prepare(picture), report.target)
    asked = pl.Judgement([pl.methods.Gradient()(network, decision)])
    alike = float(pl.metrics.ParameterRandomisation(layers=1)(network, asked).value)
    dependence, stability, _ = report.evidence("gradient")
    assert f"{alike:.2f}" in dependence.means
    assert (dependence.result == "passed") is (alike < 0.5)
    moved = float(pl.metrics.MaxSensitivity(copies=1)(network, asked).value)
    assert f"{moved:.0%}" in stability.means


def test_what_would_cost_too_much_to_ask_again_says_so(network, picture, monkeypatch):
    monkeypatch.setattr(evidence, "PASSES", 20)
    report = explain(network, picture, ["gradient", {"method": "lime", "samples": 40}], budget=60)
    assert report.unchecked == ("lime",)
    assert [finding.result for finding in report.evidence("lime")][:2] == ["not checked", "not checked"]
    assert "too many passes" in report.evidence("lime")[0].means
    assert report.evidence("gradient")[0].result != "not checked"


def test_a_black_box_has_no_weights_to_forget(picture):
    closed = pl.wrap(
        lambda batch: torch.stack([batch.mean((1, 2, 3)), batch.amax((1, 2, 3))], 1),
        pl.tasks.Image(8, (0.5,), (0.25,), labels=("a", "b")),
        name="closed",
    )
    report = explain(closed, picture, [{"method": "occlusion", "window": 4}], budget=60)
    dependence, stability, _ = report.evidence("occlusion")
    assert dependence.result == "not checked"
    assert "weights" in dependence.means
    assert "parameter-randomisation" in report.refused
    assert stability.result != "not checked"


def test_evidence_is_kept_with_the_report(network, picture, tmp_path):
    report = explain(network, picture, ["gradient"], budget=60)
    read = pl.Result.load(report.save(tmp_path / "report.pellucid"))
    assert read.evidence("gradient") == report.evidence("gradient")
