"""The wheel holds what it should, and explains a picture where nothing of the checkout can be imported."""

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
from PIL import Image
from skimage import data

ROOT = Path(__file__).resolve().parents[2]


def run(*command, cwd):
    answer = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, f"{command}\n{answer.stdout}\n{answer.stderr}"
    return answer.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    build = ("wheel", "--quiet", "--no-build-isolation", "--no-deps", "--no-index", "--wheel-dir", str(folder))
    run(sys.executable, "-m", "pip", *build, str(ROOT), cwd=folder)
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_holds_the_package_its_data_and_its_licence(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    source = {
        str(path.relative_to(ROOT / "src"))
        for path in (ROOT / "src").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert source <= names
    assert {"pellucid/catalogue.json", "pellucid/py.typed", "pellucid/models/weights/wine-mlp.safetensors"} <= names
    information = {name for name in names if ".dist-info/" in name}
    assert {Path(name).name for name in information} >= {"LICENSE", "NOTICE", "METADATA", "entry_points.txt"}
    assert names - information == source


@pytest.mark.slow
def test_the_installed_wheel_explains_a_picture(wheel, tmp_path):
    # An empty environment that borrows the dependencies of this one by a path; that path does not lead to the checkout.
    venv.create(tmp_path / "environment", with_pip=False)
    python = tmp_path / "environment" / "bin" / "python"
    run(
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--no-deps",
        "--no-index",
        str(wheel),
        cwd=tmp_path,
    )
    packages = Path(
        run(str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip()
    )
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    place = run(str(python), "-c", "import pellucid; print(pellucid.__file__)", cwd=tmp_path).strip()
    assert Path(place).is_relative_to(packages)

    Image.fromarray(data.cat()).save(tmp_path / "cat.png")
    program = python.with_name("pellucid")
    asked = ("explain", "cat.png", "--subject", "efficientnet-lite0", "--method", "gradient", "--budget", "60")
    said = run(str(program), *asked, "--out", "report", cwd=tmp_path)
    assert "Egyptian cat" in said
    assert "Egyptian cat" in (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
