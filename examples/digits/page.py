"""The story as one page that holds the network, so that a visitor can change a digit and watch the answer; and its picture."""

import base64
import json
from html import escape
from pathlib import Path

import numpy as np
from examples.digits.story import Shown, Story
from examples.digits.strokes import CHOSEN, DRAWS, Outcome
from PIL import Image, ImageDraw, ImageFont

from pellucid.render.charts import legend
from pellucid.render.colours import signed
from pellucid.render.fragments import STYLE, items
from pellucid.render.heatmap import data_uri, limit, png

HERE = Path(__file__).parent
ERASE, DRAW = "#ffb000", "#56b4e9"
COLOURS = {"erase": ERASE, "draw": DRAW}
_SCALE = 9

_MORE_STYLE = """
.live .plain,.pellucid .play{display:none}.live .play{display:grid;grid-template-columns:minmax(16rem,26rem) minmax(20rem,1fr);gap:1.6rem;
align-items:start}@media(max-width:46rem){.live .play{grid-template-columns:minmax(0,1fr)}}
.pellucid canvas{width:100%;border:1px solid #888;border-radius:4px;image-rendering:pixelated;touch-action:none;cursor:crosshair}
.pellucid canvas:focus-visible,.pellucid button:focus-visible{outline:3px solid #0072b2;outline-offset:2px}
.pellucid button{font:inherit;padding:.35rem .7rem;border:1px solid #666;border-radius:5px;background:#f4f6f8;cursor:pointer}
.pellucid button[aria-pressed=true]{background:#0072b2;color:#fff}.pellucid .tools{display:flex;flex-wrap:wrap;gap:.5rem .8rem;margin:.6rem 0;
align-items:center}.pellucid .tools img{width:44px;display:block;image-rendering:pixelated}.pellucid .tools .pick{padding:2px}
.pellucid .swatch{display:inline-block;width:.8rem;height:.8rem;border:3px solid;vertical-align:-.1rem;margin-right:.3rem}
.pellucid .wide{overflow-x:auto}.pellucid .wide th.n{white-space:normal}.pellucid .bars{width:100%}.pellucid .bars th,.pellucid .bars td{padding:.18rem .3rem}.pellucid .track{width:45%}.pellucid .track span{display:block;height:.9rem;width:0;
background:#0072b2;transition:width .15s}.pellucid .answer{background:#fff3d6;font-weight:bold}.pellucid .maps{display:flex;gap:1rem;flex-wrap:wrap}
.pellucid .maps img{width:180px}@media(prefers-reduced-motion:reduce){.pellucid .track span{transition:none}}
"""


def statements(story: Story) -> list[str]:
    """What was found, in plain sentences."""
    erase, draw = (story.outcomes[how][CHOSEN[how][0]] for how in ("erase", "draw"))
    gradient, chance = (story.outcomes["erase"][name] for name in ("gradient", "random"))
    side = CHOSEN["erase"][1]
    return [
        f"The network reads {story.accuracy:.1%} of the {story.digits:,} digits of the MNIST test set right. The first {story.count} threes "
        "that it reads as threes were asked: why not a nine?",
        f"For {_share(erase.better(erase.anywhere))} of them, erasing the {side} × {side} pixels that relevance calls the worst for "
        f"nine raises the score of nine more than erasing random places does in the mean; of places that hold at least as much "
        f"ink, {_share(erase.better(erase.matched))}. The score rises by {float(erase.nine.mean()):.1f} in the mean, by "
        f"{float(chance.nine.mean()):.1f} at random places with ink.",
        f"Nine is not the only digit that gains: with less ink, {_most(erase)} do too. Nine gains more than the "
        f"eight other digits in the mean for {_share(erase.beyond())} at the suggested place, for {_share(chance.beyond())} at a random one.",
        f"The most negative gradient beats places with as much ink for {_share(gradient.better(gradient.matched))}, a random place with ink for "
        f"{_share(chance.better(chance.matched))}.",
        f"Relevance also says what is missing: ink drawn on the paper that it blames the most beats random places for "
        f"{_share(draw.better(draw.anywhere))}, and places within the digit for {_share(draw.better(draw.matched))}. In "
        f"{story.gap:.0%} of the threes that paper lies in the upper left, in the gap that a nine has closed.",
    ]


def picture(shown: Shown) -> Image.Image:
    """What speaks for 3 and for 9 in one three, what is suggested, and the digit after each change."""
    scores = {how: f"{float(logits[9]):.1f}" for how, logits in shown.logits.items()}
    panels = [
        (_digit(shown), f"a three, score of nine: {scores[None]}"),
        (_map(shown, "erase", 3), "what speaks for 3"),
        (_map(shown, "erase", 9), "what speaks for 9"),
        (_digit(shown, "erase"), f"stroke erased: {scores['erase']}"),
        (_map(shown, "draw", 9), "with the paper, for 9"),
        (_digit(shown, "draw"), f"paper inked: {scores['draw']}"),
    ]
    width = 28 * _SCALE
    canvas = Image.new("RGB", ((width + 16) * 3 - 16, (width + 44) * 2), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(17)
    for number, (panel, caption) in enumerate(panels):
        left, top = (width + 16) * (number % 3), (width + 44) * (number // 3)
        canvas.paste(panel, (left, top))
        draw.text((left + width / 2, top + width + 18), caption, fill="black", anchor="mm", font=font)
    return canvas


def page(story: Story) -> str:
    """The whole story as HTML with its scripts inside; without scripts its pictures and tables remain."""
    data = json.dumps({"parameters": parameters(story), "threes": _threes(story), "sides": _sides()})
    scripts = "".join(
        f"<script>{(HERE / name).read_text(encoding='utf-8')}</script>" for name in ("network.js", "page.js")
    )
    parts = [
        "<p class='small'>Pellucid · a story with real data</p><h1>Why is this three not a nine?</h1>",
        f"<div class='brief'>{items(statements(story))}</div>",
        _in_one_picture(story),
        _play(story),
        _judged(story),
        _cautions(story),
    ]
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'><meta name='viewport' "
        "content='width=device-width,initial-scale=1'><title>Why is this three not a nine?</title>"
        f"<style>body{{margin:0}}{STYLE}{_MORE_STYLE}</style></head><body><main class='pellucid'>{''.join(parts)}</main>"
        f"<script type='application/json' id='story'>{data}</script>{scripts}</body></html>\n"
    )


def parameters(story: Story) -> dict[str, dict[str, object]]:
    """The network's parameters as the script reads them: shapes, and little-endian float32 in base64."""
    assert story.subject.module is not None
    return {
        name: {"shape": list(tensor.shape), "base64": _base64(tensor.numpy().astype("<f4"))}
        for name, tensor in story.subject.module.state_dict().items()
    }


def _threes(story: Story) -> list[dict[str, object]]:
    return [
        {
            "pixels": _base64((shown.three.numpy() * 255).round().astype(np.uint8)),
            **shown.corners,
            "maps": {f"{how}{digit}": _inline(_map(shown, how, digit)) for how in CHOSEN for digit in (3, 9)},
        }
        for shown in story.shown
    ]


def _in_one_picture(story: Story) -> str:
    alternative = (
        "Six panels: a three with two outlined places; its relevance for 3; its relevance for 9, negative at the outlined stroke; the "
        "three without that stroke; the relevance of its paper for 9, negative in its gap; the three with ink there."
    )
    return (
        "<h2>In one picture</h2><p>Layer-wise relevance propagation hands the score of a class back to the pixels. Asked for nine, it "
        "turns blue where the three speaks against a nine. Orange outlines the stroke that speaks against it the most, light blue "
        f"the paper that ought to be ink.</p>{legend()}<figure><img alt='{alternative}' src='{_inline(picture(story.shown[0]))}'>"
        f"<figcaption>{story.shown[0].name}; full colour: the strongest half percent of each map</figcaption></figure>"
    )


def _play(story: Story) -> str:
    picks = "".join(
        f"<button type='button' class='pick' data-three='{number}' aria-pressed='false' title='{shown.name}' aria-label='{shown.name}'>"
        f"<img alt='' src='{_inline(_plain(shown))}'></button>"
        for number, shown in enumerate(story.shown)
    )
    rows = "".join(
        f"<tr id='row{digit}'><th scope='row'>{digit}</th><td class='n' id='share{digit}'></td><td class='track'><span id='bar{digit}'></span></td>"
        f"<td class='n' id='logit{digit}'></td><td class='n' id='change{digit}'></td></tr>"
        for digit in range(10)
    )
    maps = "".join(
        f"<figure><img alt='Relevance for {digit}' data-map='{how}{digit}' src='{_inline(_map(story.shown[0], how, digit))}'>"
        f"<figcaption>{what} {digit}</figcaption></figure>"
        for how, digit, what in (
            ("erase", 3, "ink for and against"),
            ("erase", 9, "ink for and against"),
            ("draw", 9, "with the paper: for and against"),
        )
    )
    return (
        "<h2>Try it</h2><p class='plain'>With scripts allowed, this page runs the network itself: here one can erase and draw.</p>"
        "<div class='play'><div><canvas id='sheet' width='392' height='392' tabindex='0' role='img' aria-describedby='keys' "
        "aria-label='The digit. Erase or draw on it with the pointer, or with arrow keys and the space bar'></canvas>"
        "<div class='tools' role='group' aria-label='tool'><label><input type='radio' name='tool' value='erase' checked> erase</label>"
        "<label><input type='radio' name='tool' value='draw'> draw</label><button type='button' data-action='reset'>Reset</button></div>"
        f"<div class='tools'><button type='button' data-action='erase'><span class='swatch' style='border-color:{COLOURS['erase']}'></span>Erase the "
        f"suggested stroke</button><button type='button' data-action='draw'><span class='swatch' style='border-color:{COLOURS['draw']}'></span>Ink the "
        f"suggested place</button></div><div class='tools' role='group' aria-label='other threes'>{picks}</div>"
        "<p class='small'>The first was drawn for this page; then come threes of the test set that erasing helped more than 50, 5, 25, "
        "75 and 95 % of all.</p><p class='small' id='keys'>With a keyboard: arrow keys move, the space bar applies the tool.</p></div>"
        "<div><p id='said' aria-live='polite'></p><table class='bars'><thead><tr><th>digit</th><th class='n'>probability</th><th></th>"
        f"<th class='n'>score</th><th class='n'>change</th></tr></thead><tbody>{rows}</tbody></table><div class='maps'>{maps}</div></div></div>"
    )


def _judged(story: Story) -> str:
    tables = []
    for how, caption in (("erase", "Erasing"), ("draw", "Drawing")):
        rows = "".join(_row(name, found, name == CHOSEN[how][0]) for name, found in story.outcomes[how].items())
        side = CHOSEN[how][1]
        tables.append(
            f"<div class='wide'><table><caption class='small'>{caption} {side} × {side} pixels of {story.count} threes; in bold the rules chosen on "
            "threes of the training set</caption><thead><tr><th>window by</th><th class='n'>score of nine rises by</th><th class='n'>more than "
            "anywhere</th><th class='n'>more than like places</th><th class='n'>pairs: anywhere</th><th class='n'>pairs: like places</th>"
            "<th class='n'>more than other digits</th></tr>"
            f"</thead><tbody>{rows}</tbody></table></div>"
        )
    return (
        f"<h2>Was it right?</h2><p>For every three {DRAWS} random windows were changed in the same way. <em>More than</em> is the share "
        "of threes for which the suggested window raised the score of nine more than these in the mean; <em>pairs</em> is the share of all "
        "pairs of a suggested and a random window, which is harder. <em>Like places</em> are windows that change at least as much: as "
        "much ink is erased, or as much paper drawn on within the box around the digit. <em>More than other digits</em> is the share of threes "
        "for which nine gained more than the eight digits other than three did in the mean. Small figures are 95 % intervals.</p>"
        f"{''.join(tables)}"
    )


def _row(name: str, found: Outcome, chosen: bool) -> str:
    measured = [measure(drawn) for measure in (found.better, found.pairs) for drawn in (found.anywhere, found.matched)]
    cells = [
        f"{share:.1%}<br><span class='small'>{low:.1%} to {high:.1%}</span>"
        for share, low, high in (*measured, found.beyond())
    ]
    shown = f"<strong>{escape(name)}</strong>" if chosen else escape(name)
    return (
        f"<tr><th scope='row' style='font-weight:normal;white-space:nowrap'>{shown}</th><td class='n'>{float(found.nine.mean()):+.2f}</td>"
        + "".join(f"<td class='n'>{cell}</td>" for cell in cells)
        + "</tr>"
    )


def _cautions(story: Story) -> str:
    return (
        "<p class='caveat'><strong>How this can mislead.</strong> The erased window is large, a tenth of the picture; with smaller ones "
        "the share is lower. Erasing makes strokes end where no pen ended them. On this network, of convolutions, ReLU and maxima, the "
        "ε-rule with a small ε is gradient × input: the rules differ from each other more than the method from its simplest case. One "
        "change seldom makes a nine; the score of nine rises, and three may still win.</p>"
        f"<p class='small'>The maps for 3 and for 9 are different answers: their cosine is {story.agreement['erase']:.2f} in the mean with "
        f"the rules for erasing and {story.agreement['draw']:.2f} with those for drawing. Data: MNIST (LeCun, Cortes, Burges). Method: "
        "Bach and others 2015.</p>"
    )


def _most(found: Outcome) -> str:
    """The two digits other than nine that gain the most."""
    gains = found.rises.mean(0)
    first, second = [digit for digit in gains.argsort(descending=True).tolist() if digit != 9][:2]
    return f"{first} (by {float(gains[first]):.1f} in the mean) and {second} (by {float(gains[second]):.1f})"


def _share(found: tuple[float, float, float]) -> str:
    return f"{found[0]:.1%} (95 % interval {found[1]:.1%} to {found[2]:.1%})"


def _sides() -> dict[str, int]:
    return {how: side for how, (_, side) in CHOSEN.items()}


def _plain(shown: Shown) -> Image.Image:
    return Image.fromarray((shown.three.numpy() * 255).round().astype(np.uint8)).convert("RGB")


def _digit(shown: Shown, how: str | None = None) -> Image.Image:
    """The digit as it is, with both suggestions outlined, or after one of them."""
    sheet = _plain(shown).resize((28 * _SCALE,) * 2, Image.Resampling.NEAREST)
    pen = ImageDraw.Draw(sheet)
    if how is not None:
        pen.rectangle(_box(shown, how), fill="black" if how == "erase" else "white")
    for other in CHOSEN if how is None else (how,):
        pen.rectangle(_box(shown, other), outline=COLOURS[other], width=3)
    return sheet


def _map(shown: Shown, how: str, digit: int) -> Image.Image:
    """The map of one digit, and for nine the outline of what it suggests."""
    values = shown.maps[how][digit]
    sheet = Image.fromarray(signed(values / limit(values))).resize((28 * _SCALE,) * 2, Image.Resampling.NEAREST)
    if digit == 9:
        ImageDraw.Draw(sheet).rectangle(_box(shown, how), outline=COLOURS[how], width=3)
    return sheet


def _box(shown: Shown, how: str) -> tuple[int, int, int, int]:
    (row, column), side = shown.corners[how], CHOSEN[how][1]
    return (column * _SCALE, row * _SCALE, (column + side) * _SCALE - 1, (row + side) * _SCALE - 1)


def _inline(sheet: Image.Image) -> str:
    return data_uri(png(sheet, max(sheet.size)))


def _base64(values: np.ndarray) -> str:
    return base64.b64encode(values.tobytes()).decode()
