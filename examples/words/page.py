"""The story as one page without scripts, as tables in Markdown, and its picture."""

import io
from collections.abc import Sequence
from html import escape

import numpy as np
from examples.words.evidence import ORDERS, Findings, Negation, Table
from PIL import Image

from pellucid.render.charts import legend
from pellucid.render.fragments import STYLE
from pellucid.render.heatmap import data_uri, png
from pellucid.render.tokens import coloured_text

LEGEND = ("relevance (LRP)", "input × gradient", "gradient norm", "random")
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#777777")
_SHOWN = 6


def markdown(table: Table) -> str:
    """A table under its title."""
    lines = [table.heads, ["---"] * len(table.heads), *table.rows]
    return "\n".join([f"**{table.title}**", "", *("| " + " | ".join(line) + " |" for line in lines), ""])


def page(found: Sequence[Findings]) -> str:
    """The whole story as HTML."""
    parts = [
        "<h1>Words that decide</h1><p>Each network was asked why it prefers the true label to the other one. Below: what "
        "happens when the words that a method names are deleted, whether people agree with it word by word, and what "
        "becomes of words that a negator turns round.</p>",
        f"<figure><img alt='Curves of right answers over deleted words' src='{data_uri(png(picture(found), 1400))}'></figure>",
    ]
    for one in found:
        parts.append(f"<h2>{escape(one.name)}</h2>{''.join(_html(table) for table in one.tables())}")
        parts.append(
            f"<h3>Negated words</h3>{legend()}{''.join(_negation(case) for case in one.negations['lrp'][:_SHOWN])}"
        )
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'><meta name='viewport' "
        f"content='width=device-width,initial-scale=1'><title>Words that decide</title><style>body{{margin:0}}{STYLE}</style>"
        f"</head><body><main class='pellucid'>{''.join(parts)}</main></body></html>\n"
    )


def picture(found: Sequence[Findings]) -> Image.Image:
    """Right answers over removed words: a row for each network, right sentences to the left, wrong ones to the right."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(len(found), 2, figsize=(8.5, 3 * len(found)), sharex=True, squeeze=False)
    for one, pair in zip(found, axes, strict=True):
        drawn = one.curves["removed"]
        for right, axis in zip((True, False), pair, strict=True):
            for order, name, colour, marker in zip(ORDERS, LEGEND, COLOURS, "osD^", strict=True):
                if right not in drawn.right:
                    continue
                axis.plot(100 * drawn.accuracy(order, right), color=colour, marker=marker, markersize=4, label=name)
            number, state = (drawn.right == right).sum(), "right" if right else "wrong"
            axis.set_title(f"{one.name}: {number} sentences {state} at first", fontsize=10)
            axis.spines[["top", "right"]].set_visible(False)
            axis.set_xticks(np.arange(drawn.margins["lrp"].shape[1]))
        pair[0].set_ylabel("right answers, %")
    for axis in axes[-1]:
        axis.set_xlabel("words removed")
    axes[0, 0].legend(frameon=False, fontsize=9, loc="lower left")
    figure.tight_layout()
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=120)
    pyplot.close(figure)
    return Image.open(buffer).convert("RGB")


def _html(table: Table) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in table.heads)
    rows = "".join(
        f"<tr><th scope='row'>{escape(row[0])}</th>{''.join(f'<td>{escape(cell)}</td>' for cell in row[1:])}</tr>"
        for row in table.rows
    )
    return f"<table><caption>{escape(table.title)}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _negation(case: Negation) -> str:
    starts = np.cumsum([0, *(len(word) + 1 for word in case.sentence.words)])[:-1].tolist()
    spans = [(start, start + len(word)) for start, word in zip(starts, case.sentence.words, strict=True)]
    negator, word = case.sentence.words[case.negator], case.sentence.words[case.word]
    judged = "positive" if case.sentence.label else "negative"
    return (
        f"<p class='running'>{coloured_text(case.sentence.text, spans, case.scores.tolist())}</p>"
        f"<p class='small'>people: {judged}; {escape(negator)} turns {escape(word)} round, whose relevance for positive is "
        f"{float(case.scores[case.word]):+.2f}</p>"
    )
