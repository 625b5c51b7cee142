"""Imports point down, public names exist, and what must be quick does not import torch."""

import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest
from importlinter import api

import pellucid

ROOT = Path(__file__).resolve().parents[2]

QUICK = (["--help"], ["--version"], ["methods"], ["map"], ["map", "--gaps"], ["run", "--help"], ["show", "lime"])


def test_imports_point_down_and_methods_reach_subjects_through_the_protocol_only(monkeypatch):
    monkeypatch.chdir(ROOT)
    config = api.read_configuration(str(ROOT / "pyproject.toml"))
    assert len(config["contracts_options"]) >= 2
    report = subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command; lint_imports_command()",
            "--no-cache",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert report.returncode == 0, report.stdout[-4000:]
    assert "0 broken" in report.stdout


@pytest.mark.parametrize("name", pellucid.__all__)
def test_a_public_name_can_be_used(name):
    assert getattr(pellucid, name) is not None


def test_every_public_name_is_listed_once_and_found_by_dir():
    assert len(set(pellucid.__all__)) == len(pellucid.__all__)
    assert dir(pellucid) == sorted(pellucid.__all__)


def test_a_name_that_is_not_public_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        pellucid.nothing  # noqa: B018


def test_every_module_says_what_it_is():
    modules = [module.name for module in pkgutil.walk_packages(pellucid.__path__, "pellucid.")]
    assert "pellucid.core.method" in modules
    silent = [name for name in modules if not importlib.import_module(name).__doc__]
    assert silent == []


@pytest.mark.parametrize("arguments", QUICK, ids=" ".join)
def test_a_quick_command_does_not_import_torch(arguments):
    program = (
        "import sys\n"
        "from pellucid.cli.app import main\n"
        f"code = main({arguments!r})\n"
        "assert 'torch' not in sys.modules, 'torch was imported'\n"
        "sys.exit(code)\n"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout
