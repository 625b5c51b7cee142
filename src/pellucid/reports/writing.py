"""A report on disk: the page, the results and their index, complete or not there at all."""

import dataclasses
import io
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from pellucid.core.errors import CannotWrite
from pellucid.core.files import SUFFIX, write_bytes
from pellucid.results.ranking import Ranking
from pellucid.results.report import Report

PAGE, INDEX, RESULTS = "report.html", "index.json", "results"


def check_writable(out: Path) -> None:
    """Raise ``CannotWrite`` before any work is done where the folder cannot be made or written to."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise CannotWrite(
            f"cannot write into {out}: {error.strerror or error}; choose another folder with --out"
        ) from error


def write(report: Report, out: Path, keep_inputs: bool = False) -> Path:
    """Write ``report.html``, ``results/*.pellucid`` and ``index.json`` into ``out``; returns the page's path.

    Everything is written beside the folder first and moved in at the end, the page last. Result files hold the input
    itself only with ``keep_inputs``.
    """
    out = Path(out)
    check_writable(out)
    stored = dataclasses.replace(report, kept=_kept(report)) if keep_inputs else report
    workspace = Path(tempfile.mkdtemp(prefix=".writing-", dir=out))
    try:
        index = _write_results(stored, workspace / RESULTS)
        stored.save(workspace / PAGE)
        (workspace / INDEX).write_text(json.dumps(index, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        if (out / RESULTS).is_dir():
            shutil.rmtree(out / RESULTS)
        for name in (RESULTS, INDEX, PAGE):
            (workspace / name).replace(out / name)
    except OSError as error:
        raise CannotWrite(
            f"cannot write into {out}: {error.strerror or error}; choose another folder with --out"
        ) from error
    finally:
        shutil.rmtree(workspace, ignore_errors=True)
    return out / PAGE


def write_ranking(ranking: Ranking, out: Path) -> Path:
    """Write ``report.html``, ``ranking.pellucid``, ``ranking.png`` and ``index.json`` into ``out``; returns the page's path."""
    ranking.save(out / f"ranking{SUFFIX}")
    picture = io.BytesIO()
    ranking.plot().save(picture, "PNG")
    write_bytes(out / "ranking.png", picture.getvalue())
    index = {
        "subject": ranking.subject,
        "inputs": len(ranking.examples),
        "statements": ranking.statements(),
        "table": ranking.table(),
        "refused": dict(ranking.refused),
        "failed": dict(ranking.failed),
    }
    write_bytes(out / INDEX, (json.dumps(index, indent=1, ensure_ascii=False) + "\n").encode())
    write_bytes(out / PAGE, ranking._repr_html_().encode())
    return out / PAGE


def _write_results(report: Report, folder: Path) -> dict[str, Any]:
    files = {"report": f"{RESULTS}/report{SUFFIX}"}
    report.save(folder / f"report{SUFFIX}")
    named = [("", result) for result in report.panel] + [("contrast-", result) for result in report.contrast]
    for prefix, result in named:
        method = result.provenance.method if result.provenance else "explanation"
        name = f"{prefix}{method}"
        while name in files:
            name += "-again"
        files[name] = f"{RESULTS}/{name}{SUFFIX}"
        result.save(folder / f"{name}{SUFFIX}")
    if report.evaluation is not None:
        files[report.evaluation.metric] = f"{RESULTS}/{report.evaluation.metric}{SUFFIX}"
        report.evaluation.save(folder / f"{report.evaluation.metric}{SUFFIX}")
    return {**report.as_json(), "files": files}


def _kept(report: Report) -> Any:
    raw: Any = None if report.shown is None else report.shown.raw
    if not hasattr(raw, "convert"):
        return raw
    buffer = io.BytesIO()
    raw.save(buffer, "PNG")
    return buffer.getvalue()
