"""Write, or check, the files that are made from the methods themselves.

    python scripts/generate.py            write the catalogue, the map, the gap matrix and a page per method
    python scripts/generate.py --check    name those that are not fresh; exit code 1 if there are any

Pages are made from the records of the catalogue and from ``docs/references.bib``: nothing is said twice by hand.
"""

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pellucid.core.spec import Asker, Dimension, Modality
from pellucid.guide import generating
from pellucid.guide.drawing import drawing
from pellucid.guide.gaps import Network, gaps, matrix
from pellucid.guide.map import NEEDS, placed

Record = Mapping[str, Any]

ROOT = Path(__file__).resolve().parent.parent
CATALOGUE = ROOT / "src" / "pellucid" / "catalogue.json"
DOCS = ROOT / "docs"
REFERENCES = DOCS / "references.bib"

MADE = "<!-- Made by scripts/docs from the methods themselves: change those, not this page. -->\n\n"
# What the law may say of a method's use is not a property of its mathematics, so it stands here and not in its spec.
_PATENTED = "Layer-wise relevance propagation is patented in some countries: see [NOTICE](../../NOTICE)."
_ON_RELEVANCE = ("lrp", "clear", "deep-taylor", "excitation-backprop", "pathway", "relevance-maximization")
NOTICES = dict.fromkeys(_ON_RELEVANCE, _PATENTED)
# How queries other than of one picture are written, those of some methods in their own way.
ASKED = {
    "class-image": 'Unit(target="Egyptian cat")',
    "feature-image": 'Unit("blocks.3", 17)',
    "prototypes": 'Unit(target="Egyptian cat", data=["cat.jpg", …])',
    "weights": 'Unit("blocks.3")',
    "Judgement": "Judgement([…])",
    "Unit": 'Unit("blocks.3", 17, data=["cat.jpg", …])',
    "Code": 'Code("cat.jpg", "blocks.3")',
    "Representation": 'Representation(("blocks.3", "blocks.9"), ["cat.jpg", …])',
    "Population": 'Population(["cat.jpg", …])',
    "Fit": 'Fit(["cat.jpg", …])',
}
# Fields without which a method says nothing, in Python and as options.
EXAMPLES = {
    "correspondence": ('parts={"eye": [(40, 60, 70, 90), …]}', ""),
    "feature-evolution": ('checkpoints="random, epoch-1.safetensors, final"', ""),
    "generator-am": ('generator="decoder.pellucid"', ""),
    "network-dissection": ('concepts={"sky": masks}', ""),
    "train-decoder": ('layer="blocks.3"', ""),
    "what-if": ('edit="box 25%,25%,75%,75% blur"', ' --edit "box 25%,25%,75%,75% blur"'),
    "interpretation-score": ('pl.Context("find what is at fault", "developer", "Which column should not count?")', ""),
}


def generated() -> dict[Path, str]:
    """Every generated file with the content it should have."""
    catalogue = generating.document()
    records = json.loads(catalogue)["methods"]
    papers = references(REFERENCES.read_text(encoding="utf-8"))
    missing = sorted({key for record in records for key in record["references"]} - set(papers))
    if missing:
        raise SystemExit(f"docs/references.bib lacks {', '.join(missing)}")
    pages = {DOCS / "methods" / f"{record['id']}.md": method_page(record, papers) for record in records}
    return {
        CATALOGUE: catalogue,
        **pages,
        DOCS / "methods" / "index.md": comparison_page(records),
        DOCS / "map.md": map_page(records),
        DOCS / "gaps.md": gaps_page(records),
    }


def references(bibliography: str) -> dict[str, dict[str, str]]:
    """The entries of a BibTeX file by key, each with its fields as plain text and its ``kind``."""
    entries = {}
    for kind, key, body in re.findall(r"^@(\w+)\{([^,\s]+),\n(.*?)^\}", bibliography, re.MULTILINE | re.DOTALL):
        fields = re.findall(r"^\s*(\w+)\s*=\s*\{(.*)\},?\s*$", body, re.MULTILINE)
        if key in entries:
            raise ValueError(f"docs/references.bib has {key} twice")
        entries[key] = {"kind": kind, **{name: _plain(text) for name, text in fields}}
    return entries


def _plain(text: str) -> str:
    return re.sub(r"[{}]", "", text).replace("``", "“").replace("''", "”").replace("--", "–")


def cited(paper: Mapping[str, str]) -> str:
    """One entry as a line: authors, year, title, where it appeared."""
    authors = [" ".join(reversed(name.split(", "))) for name in paper["author"].split(" and ")]
    names = ", ".join(authors[:-1]) + " and " + authors[-1] if len(authors) > 1 else authors[0]
    place = paper.get("journal") or paper.get("booktitle") or paper.get("publisher") or paper.get("school") or ""
    details = [f"*{place}*" if place else "", paper.get("volume", ""), paper.get("pages", ""), paper.get("note", "")]
    return f"{names} ({paper['year']}). {paper['title']}. {', '.join(filter(None, details))}."


def method_page(record: Record, papers: Mapping[str, Mapping[str, str]]) -> str:
    """The page of one method."""
    facts = [
        ("answers", f"a `{record['query']}` with an `{record['result']}`"),
        ("scopes", ", ".join(record["scopes"])),
        ("dimensions", ", ".join(record["dimensions"])),
        ("for whom", ", ".join(record["askers"])),
        ("needs", ", ".join(record["needs"])),
        ("points", ", ".join(record["points"])),
        ("inputs", ", ".join(record["modalities"])),
        ("properties", ", ".join(record["properties"])),
        ("cost per example", record["cost"]),
        ("serves", ", ".join(record["serves"]) + " of [the mission](../mission.md)"),
    ]
    how = ASKED.get(record["id"]) or ASKED.get(record["query"]) or f'{record["query"]}("cat.jpg")'
    home = record["module"].split(".")[1]
    fields, flags = EXAMPLES.get(record["id"], ("", ""))
    parts = [
        f"# {record['title']}",
        f"*{record['question']}*",
        record["summary"],
        *([NOTICES[record["id"]]] if record["id"] in NOTICES else []),
        _table(("", ""), facts),
        f"```python\nimport pellucid as pl\n\npl.{home}.{record['class']}({fields})(subject, pl.{how})\n```",
        f"```sh\npellucid run {record['id']} cat.jpg{flags}\n```"
        if record["query"] == "Decision"
        else f"```sh\npellucid run {record['id']} --help\n```",
        "## Fields",
        _fields(record["fields"]),
        "## How it misleads",
        record["caveat"],
    ]
    if record["alternatives"]:
        others = ", ".join(f"`{name}`" for name in record["alternatives"])
        parts += ["## Ask instead", f"Where it does not apply: {others}."]
    parts += ["## References", "\n".join(f"- {cited(papers[key])}" for key in record["references"])]
    return MADE + "\n\n".join(parts) + "\n"


def _fields(fields: Sequence[Record]) -> str:
    if not fields:
        return "None."
    rows = [
        (
            f"`{field['name']}`",
            _taken(field),
            "required" if field["required"] else f"`{_default(field)}`",
            field["help"],
        )
        for field in fields
    ]
    return _table(("field", "takes", "default", "what it does"), rows)


def _default(field: Record) -> Any:
    """The default of a field; a method by its id."""
    default = field["default"]
    return default["method"] if isinstance(default, dict) and "method" in default else default


def _taken(field: Record) -> str:
    choices = [f"`{choice}`" for choice in field.get("choices", ())]
    types = [kind for kind in field["types"] if kind != "choice"]
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    bounds = [f"{signs[name]} {limit}" for name, limit in field.get("bounds", {}).items()]
    return ", ".join([" or ".join([*choices, *types]), *bounds])


def comparison_page(records: Sequence[Record]) -> str:
    """Every method in one table."""
    rows = [
        (
            f"[{record['title']}]({record['id']}.md)",
            f"`{record['id']}`",
            record["query"],
            ", ".join(record["scopes"]),
            ", ".join(record["needs"]),
            ", ".join(record["points"]),
            ", ".join(record["properties"]),
            record["cost"],
        )
        for record in records
    ]
    heads = ("method", "id", "answers a", "scopes", "needs", "points", "properties", "cost per example")
    text = (
        "F is one forward pass of the model, B one forward and one backward pass to the input. What the words mean "
        "here is said by `pellucid show WORD`; where each method lies is drawn on [the map](../map.md)."
    )
    return MADE + "\n\n".join(["# The methods", text, _table(heads, rows)]) + "\n"


def map_page(records: Sequence[Record]) -> str:
    """The map, and the needs it understands."""
    rows = [
        (f"`{need.id}`", need.words, ", ".join(f"`{r['id']}`" for r in records if need.served_by(r)) or "none yet")
        for need in NEEDS
    ]
    parts = [
        "# The map",
        "Every method lies in the region of its scopes. `pellucid map` draws the same and answers for a need, an asker "
        "and a model.",
        f"```text\n{drawing(placed(records), 100).rstrip()}\n```",
        "## Needs",
        _table(("need", "what must be understood", "served by"), rows),
    ]
    return MADE + "\n\n".join(parts) + "\n"


def gaps_page(records: Sequence[Record]) -> str:
    """The gap matrix: what no method serves, and why."""
    cells = matrix(records)
    served = sum(cell.reason is None for cell in cells)
    rows = [
        (gap.dimension, _all_or_some(gap.modalities, Modality), _all_or_some(gap.networks, Network),
         _all_or_some(gap.askers, Asker), gap.reason)
        for gap in gaps(cells)
    ]  # fmt: skip
    parts = [
        "# Gaps",
        f"Of {len(cells)} combinations of dimension, inputs, network and asker, {served} are served by a method. These "
        "are the others, put together where the reason is the same. `pellucid map --gaps` prints the whole matrix.",
        _table(("dimension", "inputs", "network", "asker", "why not"), rows),
    ]
    missing = [
        str(dimension) for dimension in Dimension if not any(c.methods for c in cells if c.dimension is dimension)
    ]
    if missing:
        parts.append(f"Not served at all: {', '.join(missing)}.")
    return MADE + "\n\n".join(parts) + "\n"


def _all_or_some(found: Sequence[Any], every: Any) -> str:
    return "all" if len(found) == len(every) else ", ".join(map(str, found))


def _table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def stale(expected: Mapping[Path, str]) -> list[Path]:
    """The generated files that are missing, have another content, or belong to a method that is gone."""
    wrong = [path for path, text in expected.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    left_over = [path for path in (DOCS / "methods").glob("*.md") if path not in expected]
    return wrong + left_over


def main() -> int:
    parser = argparse.ArgumentParser(description="Write, or check, the files made from the methods.")
    parser.add_argument("--check", action="store_true", help="write nothing, name what is not fresh")
    check = parser.parse_args().check
    expected = generated()
    found = stale(expected)
    for path in found:
        print(f"{'not fresh' if check else 'written' if path in expected else 'removed'}: {path.relative_to(ROOT)}")
        if check:
            continue
        if path not in expected:
            path.unlink()
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(expected[path], encoding="utf-8")
    return 1 if check and found else 0


if __name__ == "__main__":
    sys.exit(main())
