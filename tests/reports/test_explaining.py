"""The main job on small networks: what the report says follows from what was computed."""

import re

import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.reports.explaining import default_panel
from pellucid.reports.writing import write

QUICK = [{"method": "gradient"}, {"method": "occlusion", "window": 2, "stride": 2}]

BRIGHT_CORNER = torch.full((1, 8, 8), 0.1)
BRIGHT_CORNER[:, :4, :4] = 0.9


class Corner(nn.Module):
    """Class 1 is the mean of the top left quarter, class 0 is nothing."""

    def forward(self, pixels):
        corner = pixels[:, :, :4, :4].mean((1, 2, 3))
        return torch.stack([torch.zeros_like(corner), 4 * corner + 1], 1)


@pytest.fixture(scope="module")
def subject():
    task = pl.tasks.Image(8, mean=(0.0,), deviation=(1.0,), labels=("nothing", "corner"))
    return pl.wrap(Corner(), task, name="corner-detector")


@pytest.fixture(scope="module")
def report(subject):
    return pl.explain(subject, BRIGHT_CORNER, QUICK, budget=120)


def test_the_title_and_the_numbers_are_the_networks(report):
    assert report.title == "Why corner?"
    assert report.top(1)[0]["label"] == "corner"
    assert report.top(1)[0]["probability"] == pytest.approx(float(torch.sigmoid(torch.tensor(4.6))), abs=1e-5)


def test_the_panel_finds_the_corner_and_says_so_in_words(report):
    assert "top left" in report.summary()
    assert {result.provenance.method for result in report.panel} == {"gradient", "occlusion"}


def test_the_runner_up_is_the_foil(report):
    assert report.foil == 0
    assert report.contrast[0].question() == "corner rather than nothing"


def test_the_budget_bounds_the_passes_of_the_scoring(report):
    assert 0 < report.evaluation.provenance.cost["F"] <= 120
    assert set(report.evaluation.control) == {"random", "edge", "constant"}


def test_the_page_is_self_contained_and_describes_its_pictures(report):
    page = report.html()
    assert "<script" not in page
    assert not re.search(r"(src|href)=['\"]https?:", page)
    pictures = re.findall(r"<img alt='([^']*)'", page)
    assert len(pictures) == 4
    assert all(len(alternative) > 20 for alternative in pictures)
    assert page.count("<svg role='img'") == page.count("aria-label='") - page.count("<span aria-label=")


def test_an_asked_class_that_is_not_the_answer_is_named_as_such(subject):
    asked = pl.explain(subject, BRIGHT_CORNER, QUICK[:1], target="nothing", budget=60)
    assert asked.title == "What speaks for nothing?"
    assert "You asked about nothing" in asked.summary()


def test_methods_that_do_not_apply_are_named_with_their_reason():
    black_box = pl.wrap(lambda batch: batch.sum(1, keepdim=True) * torch.tensor([[0.0, 1.0]]), name="sum")
    report = pl.explain(black_box, torch.ones(1, 3), ["gradient", "occlusion"], budget=50)
    assert "gradients" in report.refused["gradient"]
    assert [result.provenance.method for result in report.panel] == ["occlusion"]
    with pytest.raises(NotAnswerable, match="no method of the panel"):
        pl.explain(black_box, torch.ones(1, 3), ["gradient"])


def test_several_examples_are_refused_in_one_report(subject):
    with pytest.raises(UsageError, match="one example at a time"):
        pl.explain(subject, torch.zeros(2, 1, 8, 8))


def test_what_is_written_holds_the_input_only_where_its_owner_agreed(report, tmp_path):
    write(report, tmp_path / "plain")
    write(report, tmp_path / "kept", keep_inputs=True)
    plain = pl.Result.load(tmp_path / "plain" / "results" / "report.pellucid")
    kept = pl.Result.load(tmp_path / "kept" / "results" / "report.pellucid")
    assert plain.kept is None
    assert kept.kept.startswith(b"\x89PNG")
    assert plain.html() != kept.html()
    assert torch.equal(plain.panel[0].scores, report.panel[0].scores)


def test_writing_again_replaces_the_report_and_leaves_other_files_alone(report, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    first = write(report, tmp_path).read_bytes()
    assert write(report, tmp_path).read_bytes() == first
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["index.json", "mine.txt", "report.html", "results"]


def test_the_same_call_gives_the_same_page(subject, report):
    assert pl.explain(subject, BRIGHT_CORNER, QUICK, budget=120).html() == report.html()


def test_the_default_panel_names_methods_of_the_catalogue(subject):
    known = {record["id"] for record in pl.catalogue()}
    assert {entry["method"] for entry in default_panel(subject)} <= known


def test_relevance_in_the_panel_of_a_table_tells_its_columns_apart():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    subject = pl.wrap(net, pl.tasks.Tabular(["a", "b", "c"]), labels=("no", "yes"))
    (first, *_) = default_panel(subject)
    scores = pl.build(first)(subject, pl.Decision(torch.tensor([[1.0, -2.0, 3.0]]))).scores[0]
    assert first["method"] == "lrp"
    assert len(set(scores.tolist())) == 3
