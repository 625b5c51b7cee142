"""The quiz as a page: complete in itself, with nothing given away by chance, and counted by the script as by the library."""

import base64
import json
import re
import shutil
import subprocess
from importlib.resources import files

import numpy as np
import pytest
import torch

import pellucid as pl
from pellucid.core.errors import NotAnswerable
from pellucid.engine.proportions import paired_interval, share_interval
from pellucid.methods.attribution.input_x_gradient import InputXGradient
from pellucid.metrics.forward_simulation import CONTROL, ForwardSimulation
from pellucid.reports.exhibits import HIDDEN, asked_exhibit, studied_exhibit
from pellucid.reports.quiz import quiz_page

NODE = shutil.which("node")
TEXTS = ("a good film", "a <b>bad</b> play", "great fun", "dull and long", "what a story", "sad and bad", "it is good")


def material(subject, inputs, **fields):
    answer = InputXGradient()(subject, pl.Decision(inputs))
    return ForwardSimulation(**({"studied": 3, "edited": 1.0} | fields)).material(subject, pl.Judgement([answer]))


@pytest.fixture(scope="module")
def texts():
    subject = pl.load("lstm-sentiment")
    return subject, material(subject, list(TEXTS))


@pytest.fixture(scope="module")
def rows():
    subject = pl.load("wine-mlp")
    return subject, material(subject, [subject.task.row(row) for row in subject.task.reference[::10]])


@pytest.fixture(scope="module")
def pictures():
    subject = pl.load("digits-cnn")
    drawn = torch.rand(12, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return subject, material(subject, drawn)


@pytest.mark.parametrize("kind", ["texts", "rows", "pictures"])
def test_the_page_is_complete_in_itself(kind, request):
    subject, shown = request.getfixturevalue(kind)
    page = quiz_page(subject, shown)
    assert all(source.startswith("data:") for source in re.findall(r"src='([^']*)'", page))
    words = re.sub(r"src='data:[^']*'", "", page)
    assert not re.findall(r"https?:|<(?:link|iframe)|@import|url\(", words)
    assert page.count("<fieldset") == 2 * len(shown.quiz.asked)
    assert page.count("type='radio'") == 2 * len(shown.quiz.asked) * len(shown.quiz.choices)


def test_the_answers_are_in_the_page_but_not_to_be_read(texts):
    subject, shown = texts
    page = quiz_page(subject, shown)
    data = json.loads(re.search(r"id='quiz'>(.*?)</script>", page, re.DOTALL).group(1))
    assert json.loads(base64.b64decode(data["truth"])) == shown.quiz.truth.tolist()
    assert data["quiz"] == shown.quiz.identity
    assert data["arms"] == [CONTROL, "input-x-gradient"]
    assert json.dumps(shown.quiz.truth.tolist()) not in page


def test_what_was_given_is_escaped(texts):
    assert "<b>bad" not in quiz_page(*texts)


def test_labels_cannot_end_the_script():
    subject = pl.load("lstm-sentiment")
    named = pl.wrap(
        subject.module,
        pl.tasks.Text(subject.task.tokenizer, subject.task.embed, ("</script><b>", "positive")),
        name="x",
    )
    page = quiz_page(named, material(named, list(TEXTS)))
    assert page.count("</script>") == 2
    assert "<b>" not in page


def test_what_is_hidden_is_left_out_of_what_is_shown(texts, rows):
    for subject, shown in (texts, rows):
        for number, hidden in enumerate(shown.quiz.hidden):
            exhibit = asked_exhibit(subject, shown, number)
            left = exhibit.count(HIDDEN) if isinstance(exhibit, str) else list(exhibit.values()).count(HIDDEN)
            assert left == len(hidden) > 0
        plain = studied_exhibit(subject, shown, int(shown.quiz.studied[0]))
        assert HIDDEN not in (plain if isinstance(plain, str) else plain.values())


def test_a_picture_is_shown_as_the_network_sees_it(pictures):
    subject, shown = pictures
    exhibit = asked_exhibit(subject, shown, 0)
    assert exhibit.size == (160, 160)
    small = torch.from_numpy(np.array(exhibit.convert("L").resize((8, 8), 0))) / 255
    assert torch.allclose(small, shown.quiz.points.value[0, 0], atol=1 / 255)


def test_people_compare_one_method_with_none(rows):
    subject, shown = rows
    answer = shown.arms["input-x-gradient"]
    both = ForwardSimulation(studied=3).material(subject, pl.Judgement([answer, answer]))
    with pytest.raises(NotAnswerable, match="not of 2; name one result"):
        quiz_page(subject, both)


def test_numbers_without_a_form_are_not_shown_to_people():
    subject = pl.wrap(torch.nn.Linear(60, 2).double(), name="numbers")
    shown = material(subject, torch.randn(9, 60, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    with pytest.raises(NotAnswerable, match="no form that people can read"):
        quiz_page(subject, shown)


@pytest.mark.skipif(NODE is None, reason="node is not installed")
def test_the_script_counts_as_the_library_does(tmp_path):
    script = (files("pellucid.reports") / "quiz.js").read_text(encoding="utf-8")
    functions = re.search(
        r"  function shareInterval.*?\n  }\n\n  function pairedInterval.*?\n  }\n", script, re.DOTALL
    ).group()
    cases = [[7, 12], [0, 5], [20, 20]]
    pairs = [[3, 1, 12], [0, 0, 8], [9, 0, 10]]
    program = (
        f"const Z = 1.959963984540054;\n{functions}\nconsole.log(JSON.stringify([{cases}.map((c) => shareInterval(...c)), "
        f"{pairs}.map((c) => pairedInterval(...c))]));"
    )
    (tmp_path / "program.js").write_text(program, encoding="utf-8")
    said = subprocess.run([NODE, str(tmp_path / "program.js")], capture_output=True, text=True, check=True)
    shares, differences = json.loads(said.stdout)
    assert shares == [pytest.approx(share_interval(*case)) for case in cases]
    assert differences == [pytest.approx(paired_interval(*pair)) for pair in pairs]
