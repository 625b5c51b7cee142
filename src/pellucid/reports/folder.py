"""Many inputs in one run: a report each, one index page, and nothing done twice after a kill."""

import csv
import json
import math
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pellucid.core.content import digest
from pellucid.core.errors import BadInput, PellucidError
from pellucid.core.files import write_bytes
from pellucid.core.meter import report as report_progress
from pellucid.core.subject import Subject
from pellucid.render.fragments import STYLE
from pellucid.reports.explaining import explain
from pellucid.reports.writing import INDEX, PAGE, check_writable, write

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
_KEY = "asked.json"


def pictures_in(folder: Path, limit: int | None = None) -> list[Path]:
    """The pictures of a folder and of the folders in it, by name; ``limit`` takes that many, evenly spaced."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURES and path.is_file())
    if not found:
        raise BadInput(f"there is no picture in {folder} ({', '.join(sorted(PICTURES))})")
    if limit is None or limit >= len(found):
        return found
    return [found[number * len(found) // limit] for number in range(limit)]


def truths_of(folder: Path) -> dict[str, int]:
    """File name → class index, from an ``index.csv`` with the columns ``file`` and ``class_index`` where there is
    one."""
    table = folder / "index.csv"
    if not table.is_file():
        return {}
    with table.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        if not {"file", "class_index"} <= set(rows.fieldnames or ()):
            return {}
        return {row["file"]: int(row["class_index"]) for row in rows}


def explain_folder(
    subject: Subject,
    paths: Sequence[Path],
    out: Path,
    *,
    methods: Sequence[Any] | None = None,
    target: Any = None,
    foil: Any = None,
    budget: int | None = None,
    seed: int = 0,
    keep_inputs: bool = False,
    truths: dict[str, int] | None = None,
) -> dict[str, Any]:
    """Explain every picture into its own folder under ``out`` and write ``index.html``.

    What is already there for the same picture, subject and settings is kept, so a killed run goes on where it was.
    Files that cannot be read are counted and named, never fatal. Returns the summary that the index shows; ``truths``
    maps file names to known classes, then the summary holds how often the prediction agrees.
    """
    check_writable(out)
    settings = digest([subject.fingerprint, list(methods or ()), target, foil, budget, seed, keep_inputs])
    rows, failed, reused = [], {}, 0
    for number, (path, name) in enumerate(zip(paths, _names(paths), strict=True)):
        report_progress(number, len(paths), path.name)
        try:
            key = {"settings": settings, "input": digest(path)}
            done = _finished(out / name, key)
            reused += done is not None
            if done is None:
                made = explain(subject, path, methods, target, foil, budget=budget, seed=seed)
                write(made, out / name, keep_inputs)
                write_bytes(out / name / _KEY, json.dumps(key).encode())
                done = made.as_json()
            rows.append({"file": path.name, "folder": name, "truth": (truths or {}).get(path.name), **_row(done)})
        except PellucidError as error:
            failed[path.name] = str(error)
    report_progress(len(paths), len(paths), "index")
    summary = {"subject": subject.name, "explained": rows, "failed": failed, "reused": reused, **_agreement(rows)}
    write_bytes(out / INDEX, (json.dumps(summary, indent=1, ensure_ascii=False) + "\n").encode())
    write_bytes(out / "index.html", _page(summary).encode())
    return summary


def _names(paths: Sequence[Path]) -> list[str]:
    names: list[str] = []
    for path in paths:
        name = path.stem
        while name in names:
            name += "-again"
        names.append(name)
    return names


def _finished(folder: Path, key: dict[str, str]) -> dict[str, Any] | None:
    try:
        if json.loads((folder / _KEY).read_text(encoding="utf-8")) != key or not (folder / PAGE).is_file():
            return None
        return json.loads((folder / INDEX).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _row(report: dict[str, Any]) -> dict[str, Any]:
    best = report["top"][0]
    return {
        "prediction": best["label"],
        "index": best["index"],
        "probability": best["probability"],
        "target": report["target"]["label"],
        "statements": report["statements"],
    }


def _agreement(rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    known = [row for row in rows if row["truth"] is not None]
    if not known:
        return {}
    right, total = sum(row["index"] == row["truth"] for row in known), len(known)
    low, high = _wilson(right, total)
    return {"agreement": {"right": right, "of": total, "share": right / total, "low": low, "high": high}}


def _wilson(right: int, total: int) -> tuple[float, float]:
    z, share = 1.959964, right / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return middle - half, middle + half


def _page(summary: dict[str, Any]) -> str:
    rows = "".join(_line(row) for row in summary["explained"])
    counted = f"{len(summary['explained'])} explained, {len(summary['failed'])} could not be read."
    agreement = summary.get("agreement")
    if agreement:
        counted += (
            f" The prediction is the known class for {agreement['right']} of {agreement['of']} "
            f"({agreement['share']:.1%}, 95 % interval {agreement['low']:.1%} … {agreement['high']:.1%})."
        )
    failed = "".join(
        f"<li><strong>{escape(name)}</strong>: {escape(reason)}</li>" for name, reason in summary["failed"].items()
    )
    problems = f"<h2>Not explained</h2><ul>{failed}</ul>" if failed else ""
    known = any(row["truth"] is not None for row in summary["explained"])
    head = "<th>known class</th>" if known else ""
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'><meta name='viewport' "
        f"content='width=device-width,initial-scale=1'><title>Explanations by {escape(summary['subject'])}</title>"
        f"<style>body{{margin:0}}{STYLE}</style></head><body><main class='pellucid'>"
        f"<p class='small'>Pellucid · {escape(summary['subject'])}</p><h1>What the network saw in {len(summary['explained'])} "
        f"inputs</h1><p class='brief'>{escape(counted)}</p><table><thead><tr><th>input</th><th>prediction</th>"
        f"<th class='n'>probability</th>{head}<th>what the panel says</th></tr></thead><tbody>{rows}</tbody></table>{problems}"
        "</main></body></html>\n"
    )


def _line(row: dict[str, Any]) -> str:
    probability = "" if row["probability"] is None else f"{row['probability']:.1%}"
    known = ""
    if row["truth"] is not None:
        known = f"<td>{'yes' if row['truth'] == row['index'] else 'no: ' + str(row['truth'])}</td>"
    said = row["statements"][1] if len(row["statements"]) > 1 else ""
    return (
        f"<tr><th scope='row'><a href='{quote(row['folder'])}/{PAGE}'>{escape(row['file'])}</a></th>"
        f"<td>{escape(row['prediction'])}</td><td class='n'>{probability}</td>{known}<td>{escape(said)}</td></tr>"
    )
