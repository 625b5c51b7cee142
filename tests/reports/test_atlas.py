"""An atlas: what pages say is true of the units, links lead somewhere, and a killed run ends like one that was not."""

import json
import re
from html.parser import HTMLParser
from urllib.parse import unquote

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import pellucid as pl
from pellucid.core.errors import BadInput, NotAnswerable, UsageError
from pellucid.core.meter import metered, reporting
from pellucid.reports.atlas import class_unit

QUICK = {"starts": 2, "steps": 3, "examples": 4}
PLAIN, SILENT, DOUBLE, CONSTANT = range(4)


class Killed(BaseException):
    """Stands for a signal that no handler catches."""


@pytest.fixture
def subject():
    """Channel 1 is silent, channel 2 is twice channel 0, and channel 3 is 2 everywhere."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 2)).eval()
    with torch.no_grad():
        net[0].weight[PLAIN] = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
        net[0].weight[DOUBLE] = 2 * net[0].weight[PLAIN]
        net[0].weight[[SILENT, CONSTANT]] = 0
        net[0].bias.copy_(torch.tensor([0.0, -1.0, 0.0, 2.0]))
    task = pl.tasks.Image(8, mean=(0.0,), deviation=(1.0,), labels=("dark", "bright"))
    return pl.wrap(net, task, name="edges")


@pytest.fixture
def pictures():
    draws = np.random.default_rng(0)
    return [draws.integers(0, 255, (8, 8), dtype=np.uint8) for _ in range(7)]


def page_of(out, name):
    return pl.UnitPage.load(out / f"{name}.pellucid")


def test_a_page_says_what_the_unit_does_over_the_data(subject, pictures, tmp_path):
    pl.units(subject, ["1"], pictures, tmp_path, **QUICK)
    activation = subject.run(subject.prepare(pictures), capture=["1"]).activations["1"][:, PLAIN].double()
    page, strongest = page_of(tmp_path, "1/0"), activation.flatten(1).amax(1)
    order = strongest.argsort(descending=True)[:4]
    assert [one.name for one in page.examples] == [f"example {number}" for number in order]
    assert [one.activation for one in page.examples] == pytest.approx(strongest[order].tolist())
    for one, number in zip(page.examples, order.tolist(), strict=True):
        assert activation[(number, *one.place[1:])] == strongest[number]
        row, column = one.place[1:]
        assert one.region == (row, column, row + 3, column + 3)
    assert page.statistics["mean"] == pytest.approx(float(activation.mean()), rel=1e-6)
    assert page.statistics["standard deviation"] == pytest.approx(float(activation.std(correction=0)), rel=1e-6)
    assert page.statistics["maximum"] == float(strongest.max())
    seen = float(page.values.counts.sum())
    assert seen == pytest.approx(7 * 16)  # sixteen places of each example are drawn
    assert page.statistics["share of zeros"] == pytest.approx(float((activation == 0).double().mean()), abs=0.15)


def test_pictures_are_measured_as_examples_are_and_the_best_comes_first(subject, pictures, tmp_path):
    pl.units(subject, ["1"], pictures, tmp_path, channels=[PLAIN], **QUICK)
    made = page_of(tmp_path, "1/0").pictures
    run = subject.run(subject.prepare(pictures).at(made.images), capture=["1"])
    assert torch.allclose(made.activations, run.activations["1"][:, PLAIN].double().flatten(1).amax(1), atol=1e-5)
    assert made.activations.tolist() == sorted(made.activations.tolist(), reverse=True)
    points = subject.prepare(pictures).value
    apart = (made.images[:, None] - points).square().mean((2, 3, 4)).sqrt()
    assert torch.allclose(made.evidence["distance to the nearest example"], apart.amin(1).double(), atol=1e-5)
    assert page_of(tmp_path, "1/0").nearest == tuple(f"example {number}" for number in apart.argmin(1))


def test_pictures_do_not_depend_on_the_units_that_are_drawn_beside_them(subject, pictures, tmp_path):
    pl.units(subject, ["1"], pictures, tmp_path / "all", **QUICK)
    pl.units(subject, ["1"], pictures, tmp_path / "one", channels=[DOUBLE], **QUICK)
    together, alone = (page_of(tmp_path / run, "1/2").pictures for run in ("all", "one"))
    assert torch.allclose(together.images, alone.images, atol=1e-4)


def test_silent_constant_and_double_units_are_said_to_be_so_and_nothing_is_lost(subject, pictures, tmp_path):
    atlas = pl.units(subject, ["1"], pictures, tmp_path, **QUICK)
    assert [unit["channel"] for unit in atlas["units"]] == [0, 1, 2, 3]
    assert [unit["constant"] for unit in atlas["units"]] == [False, True, False, True]
    silent, double, constant = (page_of(tmp_path, f"1/{channel}") for channel in (SILENT, DOUBLE, CONSTANT))
    assert silent.dead
    assert "silent" in silent.statements()[0]
    assert "constant: 2 at every place" in constant.statements()[0]
    for page in (silent, constant):
        assert page.pictures is None
        assert any("No picture was made" in note for note in page.notes)
        assert any("Nothing is sent back" in note for note in page.notes)
        assert page.examples[0].projected is None
        assert page.similar == ()
    assert "to all of which it responds alike" in (tmp_path / "1" / "3.html").read_text()
    assert double.examples[0].projected is not None
    assert double.similar[0] == (PLAIN, pytest.approx(1))
    assert "nearly the same as channel 0" in " ".join(double.statements())


def test_layers_without_places_and_classes_have_pages_too(subject, pictures, tmp_path):
    assert class_unit(subject, pictures, "bright") == "4/1"
    pl.units(subject, ["3", "4"], pictures, tmp_path, most=2, **QUICK)
    page = page_of(tmp_path, "4/1")
    assert page.extent == ()
    assert page.label == "bright"
    assert page.unit == "4/1 (bright)"
    scores = subject.scores(subject.prepare(pictures))[:, 1]
    assert page.examples[0].activation == pytest.approx(float(scores.max()), abs=1e-5)
    assert page.examples[0].region == (0, 0, 8, 8)
    assert "4/1 (bright)" in (tmp_path / "4" / "1.html").read_text()


def test_rows_of_a_table_are_told_in_words(tmp_path):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2)).eval()
    subject = pl.wrap(net, pl.tasks.Tabular(["age", "dose"], labels=("ill", "well")), name="ward")
    rows = [{"age": 30.0, "dose": 1.0}, {"age": -5.0, "dose": 2.0}]
    pl.units(subject, ["0"], rows, tmp_path, **QUICK)
    page = page_of(tmp_path, "0/0")
    assert {one.words for one in page.examples} == {"age 30, dose 1", "age -5, dose 2"}
    assert "age 30, dose 1" in (tmp_path / "0" / "0.html").read_text()


class _Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found, self.sources, self.scripts = [], [], 0

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.scripts += tag == "script"
        if tag == "a":
            self.found.append(unquote(given["href"]))
        self.sources += [given[name] for name in ("src", "data") if name in given]


def test_pages_need_nothing_beside_them_and_links_lead_to_pages(subject, pictures, tmp_path):
    pl.units(subject, ["0", "1"], pictures, tmp_path, **QUICK)
    pages = sorted(tmp_path.rglob("*.html"))
    assert len(pages) == 9
    for path in pages:
        links = _Links()
        links.feed(path.read_text(encoding="utf-8"))
        assert links.found
        assert all((path.parent / link).resolve() in pages for link in links.found)
        assert all(source.startswith("data:image/") for source in links.sources)
        assert links.scripts == (path.name == "index.html")
    index = (tmp_path / "index.html").read_text()
    assert index.count("<li data-words=") == 8
    assert "example 3" in re.search(r"data-words='([^']*)'", index)[1]


def test_unreadable_data_are_left_out_counted_and_named(subject, pictures, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    for number, pixels in enumerate(pictures):
        Image.fromarray(pixels).save(folder / f"{number}.png")
    (folder / "3.png").write_bytes(b"<html>")
    paths = sorted(folder.iterdir())
    atlas = pl.units(subject, ["1"], paths, tmp_path / "out", most=1, **QUICK)
    assert len(atlas["examples"]) == 6
    assert list(atlas["failed"]) == ["3.png"]
    for page in ("index.html", "1/0.html"):
        assert "3.png" in (tmp_path / "out" / page).read_text()
    with pytest.raises(BadInput, match="none of 1 inputs can be read"):
        pl.units(subject, ["1"], [folder / "3.png"], tmp_path / "none", **QUICK)


@pytest.mark.parametrize(
    ("layers", "chosen", "said"),
    [
        (["1"], {"channels": [4]}, "channels 0 to 3, and no unit 4"),
        (["11"], {}, "did you mean '1'"),
        (["9*"], {}, "no layer of edges matches"),
        (["1"], {"most": 0}, "at least one unit"),
        ([], {}, "name one or more layers"),
        (["1"], {"names": ["one"]}, "1 names for 7 inputs"),
    ],
)
def test_what_there_is_not_is_refused_before_anything_is_computed(subject, pictures, tmp_path, layers, chosen, said):
    with pytest.raises(UsageError, match=said):
        pl.units(subject, layers, pictures, tmp_path, **chosen, **QUICK)
    assert not list(tmp_path.rglob("*.html"))


def test_a_black_box_has_no_units(tmp_path):
    task = pl.tasks.Image(8, mean=(0.0,), deviation=(1.0,), labels=("a", "b"))
    oracle = pl.wrap(lambda batch: torch.stack([batch.sum((1, 2, 3)), -batch.sum((1, 2, 3))], 1), task, name="oracle")
    with pytest.raises(NotAnswerable, match="shows its outputs only"):
        pl.units(oracle, ["0"], None, tmp_path, **QUICK)


def files(folder):
    paths = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    return {str(p): (folder / p).read_bytes() for p in paths if not any(part.startswith(".") for part in p.parts)}


def test_a_run_that_was_stopped_goes_on_and_ends_with_the_same_files(subject, pictures, tmp_path):
    asked = {"layers": ["0", "1", "4"], "data": pictures}
    pl.units(subject, **asked, out=tmp_path / "whole", **QUICK)

    def kill(done, total, what):
        if what == "feature-image":
            kill.left -= 1
        if kill.left == 0:
            raise Killed

    for left in (2, 5, 3):
        kill.left = left
        with pytest.raises(Killed), reporting(kill):
            pl.units(subject, **asked, out=tmp_path / "killed", **QUICK)
        assert not (tmp_path / "killed" / "index.html").exists()
    pl.units(subject, **asked, out=tmp_path / "killed", **QUICK)
    assert files(tmp_path / "killed") == files(tmp_path / "whole")
    (tmp_path / "killed" / "1" / "2.pellucid").write_bytes(b"damaged")
    (tmp_path / "killed" / "1" / "0.html").unlink()
    drawn = set()
    with reporting(lambda done, total, what: drawn.add(total) if what == "feature-image" else None):
        pl.units(subject, **asked, out=tmp_path / "killed", **QUICK)
    assert drawn == {4 * QUICK["starts"] * QUICK["steps"]}  # beside the same units as before, so that bits are the same
    assert files(tmp_path / "killed") == files(tmp_path / "whole")


def test_what_is_there_takes_no_pass_and_further_units_are_added_to_the_index(subject, pictures, tmp_path):
    pl.units(subject, ["1"], pictures, tmp_path, channels=[PLAIN], **QUICK)
    before = (tmp_path / "1" / "0.pellucid").stat().st_mtime_ns
    pl.units(subject, ["1"], pictures, tmp_path, channels=[DOUBLE], **QUICK)
    with metered() as meter:
        atlas = pl.units(subject, ["4", "1"], pictures, tmp_path, channels=[PLAIN], **QUICK)
    assert meter.backward == 2 * QUICK["steps"] + 4  # those of the one new unit: its pictures, its examples
    assert [unit["unit"] for unit in atlas["units"]] == ["1/0", "1/2", "4/0 (dark)"]
    assert (tmp_path / "1" / "0.pellucid").stat().st_mtime_ns == before
    assert json.loads((tmp_path / "atlas.json").read_text()) == atlas


def test_other_weights_data_or_settings_are_other_pages(subject, pictures, tmp_path):
    def key(given, **settings):
        pl.units(subject, ["1"], given, tmp_path, channels=[PLAIN], **{**QUICK, **settings})
        return page_of(tmp_path, "1/0").key

    keys = [key(pictures), key(pictures[1:]), key(pictures, steps=4), key(pictures, seed=1)]
    with torch.no_grad():
        subject.module[0].weight += 0.125
    keys.append(key(pictures))
    assert len(set(keys)) == 5


def test_facets_are_told_where_they_are_asked_for(subject, tmp_path):
    draws = np.random.default_rng(1)
    pictures = [draws.integers(0, 255, (8, 8), dtype=np.uint8) for _ in range(12)]
    atlas = pl.units(subject, ["1"], pictures, tmp_path, channels=[PLAIN, CONSTANT], facets=True, **QUICK)
    page = page_of(tmp_path, "1/0")
    assert atlas["units"][0]["facets"] == len(page.facets) >= 1
    named = {f"example {number}" for number in range(12)}
    assert all(set(members) <= named for members in page.facets.members)
    assert "Facets" in (tmp_path / "1" / "0.html").read_text()
    constant = page_of(tmp_path, "1/3")
    assert constant.facets is None
    assert any("No facets" in note for note in constant.notes)


def test_what_takes_too_much_memory_is_left_out_and_said(subject, pictures, tmp_path):
    with pl.byte_budget(100):
        pl.units(subject, ["1"], pictures, tmp_path, channels=[PLAIN], facets=True, **QUICK)
    page = page_of(tmp_path, "1/0")
    assert page.nearest == ()
    assert "nearest example" not in page.pictures.evidence
    assert page.facets is None
    assert any("7 examples take too much memory" in note for note in page.notes)
