"""Words and characters with their scores, in the running text they come from."""

from collections.abc import Sequence
from html import escape

from pellucid.render.colours import signed_hex, text_on


def coloured_text(text: str, spans: Sequence[tuple[int, int]], scores: Sequence[float]) -> str:
    """The text as HTML, each span on the colour of its score (scaled so that the strongest is ±1).

    The sign can be read without colour: a line above marks what speaks for, a dotted line below what speaks against.
    """
    largest = max((abs(score) for score in scores), default=0.0) or 1.0
    parts, done = [], 0
    for (start, end), score in sorted(zip(spans, scores, strict=True)):
        value = score / largest
        side = "top:2px solid" if value >= 0 else "bottom:2px dotted"
        style = f"background:{signed_hex(value)};color:{text_on(value)};border-{side}"
        parts.append(escape(text[done:start]))
        parts.append(f"<span class='token' style='{style}' title='{score:+.3g}'>{escape(text[start:end])}</span>")
        done = end
    return "".join([*parts, escape(text[done:])])
