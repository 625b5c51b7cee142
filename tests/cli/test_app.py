"""The program as a whole: exit codes, errors in one line, quick and quiet starts."""

import importlib.util
import json
import os
import subprocess
import sys

import pytest

from pellucid import __version__
from pellucid.cli import app
from pellucid.cli.app import VERBS, main
from pellucid.core import errors

HEAVY = ("torch", "numpy", "skimage", "sklearn", "scipy", "PIL", "transformers")
CATALOGUE_VERBS = [
    [],
    ["--help"],
    ["--version"],
    ["methods"],
    ["methods", "--json"],
    ["map"],
    ["map", "--need", "one decision", "--asker", "developer"],
    ["map", "--gaps"],
    ["show", "occlusion"],
    ["show", "efficientnet-lite0"],
    ["show", "transparency"],
    ["run", "--help"],
    ["run", "lime", "--help"],
    ["explain", "--help"],
    ["check", "--help"],
]


def one_line(text):
    return text.startswith("pellucid: ") and text.count("\n") == 1 and text.endswith("\n")


def python(code, *words, **environment):
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
        check=False,
    )


def test_verbs_of_the_catalogue_never_import_a_numerical_library():
    code = (
        "import sys, contextlib, io, json\n"
        "from pellucid.cli.app import main\n"
        "for words in json.loads(sys.argv[1]):\n"
        "    with contextlib.redirect_stdout(io.StringIO()):\n"
        "        assert main(words) == 0, words\n"
        "    loaded = [name for name in json.loads(sys.argv[2]) if name in sys.modules]\n"
        "    assert not loaded, (words, loaded)\n"
    )
    done = python(code, json.dumps(CATALOGUE_VERBS), json.dumps(HEAVY))
    assert (done.returncode, done.stderr) == (0, "")


def test_the_program_is_installed_and_says_its_version():
    done = subprocess.run(
        [sys.executable, "-m", "pellucid.cli.app", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{__version__}\n"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_and_a_file_of_its_own(pellucid, verb):
    answered = pellucid(verb, "--help")
    assert answered.code == 0
    assert answered.out.startswith(f"Usage: pellucid {verb}")
    assert importlib.util.find_spec(f"pellucid.cli.{verb}") is not None


def test_help_names_every_verb_and_the_exit_codes(pellucid):
    text = pellucid("--help").out
    assert all(verb in text for verb in VERBS)
    assert "130 interrupted" in text


@pytest.mark.parametrize(
    "kind",
    [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, errors.PellucidError)],
)
def test_each_error_is_one_line_and_its_own_exit_code(monkeypatch, capsys, kind):
    def fail(words):
        raise kind("something is wrong;\n  do this instead")

    monkeypatch.setattr(app, "_answer", fail)
    assert main(["map"]) == kind.exit_code
    assert capsys.readouterr().err == "pellucid: something is wrong; do this instead\n"


def test_a_defect_is_one_line_and_its_traceback_only_on_request(monkeypatch, capsys):
    def fail(words):
        raise ZeroDivisionError("division by zero")

    monkeypatch.delenv("PELLUCID_DEBUG", raising=False)
    monkeypatch.setattr(app, "_answer", fail)
    assert main(["map"]) == 1
    said = capsys.readouterr().err
    assert one_line(said)
    assert "ZeroDivisionError: division by zero" in said
    assert "defect" in said
    assert main(["map", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err
    monkeypatch.setenv("PELLUCID_DEBUG", "1")
    assert main(["map"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_an_interrupt_is_one_line_and_130(monkeypatch, capsys):
    def interrupt(words):
        raise KeyboardInterrupt

    monkeypatch.setattr(app, "_answer", interrupt)
    assert main(["map"]) == 130
    assert one_line(capsys.readouterr().err)


def test_an_interrupt_inside_a_verb_is_130_too(pellucid, model):
    answered = pellucid("check", f"{model}:stopped")
    assert answered.code == 130
    assert one_line(answered.err)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["metods"], "methods"),
        (["map", "--ned", "x"], "--need"),
        (["run", "oclusion"], "occlusion"),
        (["run", "lime", "--smples", "5"], "--samples"),
        (["run", "occlusion", "--row", "x"], "--row"),
        (["show"], "NAME"),
        (["show", "transparancy"], "transparency"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_wrong_usage_is_one_line_with_the_way_out_and_2(pellucid, words, hint):
    answered = pellucid(*words)
    assert (answered.code, answered.out) == (2, "")
    assert one_line(answered.err)
    assert hint in answered.err


@pytest.mark.parametrize("missing", ["cyclopts", "rich"])
def test_without_its_extra_the_program_says_what_to_install(monkeypatch, capsys, missing):
    found = importlib.util.find_spec
    monkeypatch.setattr(app, "find_spec", lambda name: None if name == missing else found(name))
    assert main(["--help"]) == 5
    said = capsys.readouterr().err
    assert one_line(said)
    assert 'pip install "pellucid[cli]"' in said


def test_the_entry_point_itself_needs_nothing_of_the_extra():
    code = "import sys; sys.modules['cyclopts'] = sys.modules['rich'] = None; import pellucid.cli.app"
    assert python(code).returncode == 0


def test_a_reader_who_has_enough_is_no_error():
    done = subprocess.run(
        f"{sys.executable} -m pellucid.cli.app map --gaps | head -n 1; echo ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "0"
    assert done.stderr == ""


def test_no_colour_where_none_is_wanted():
    done = python("from pellucid.cli.app import main; main(['--help'])", NO_COLOR="1", FORCE_COLOR="1")
    assert "\x1b[3" not in done.stdout
    assert done.stdout
