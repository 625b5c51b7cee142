"""The story as one page without scripts, and its picture."""

import math
from html import escape

import numpy as np
import torch
from examples.eyes.evidence import Evidence, Looked
from examples.eyes.network import HERTZ, LENGTH, RATE
from examples.eyes.relevance import ALPHA, BACK, CLOSED, LRP, OPEN, STRENGTH, in_band
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from pellucid.render.charts import legend
from pellucid.render.colours import signed, signed_hex
from pellucid.render.fragments import STYLE, items
from pellucid.render.heatmap import data_uri, limit, png
from pellucid.render.scalp import positions, scalp

WORDS = {CLOSED: "closed rather than open", OPEN: "open rather than closed"}
_HIGHEST = 30.0


def picture(found: Evidence) -> Image.Image:
    """Mean relevance on the scalp for both answers, and by frequency for closed eyes."""
    heads = {label: _by_electrode(found, label) for label in (CLOSED, OPEN)}
    canvas = Image.new("RGB", (1380, 500), "white")
    for place, (label, values) in enumerate(heads.items()):
        canvas.paste(scalp(dict(zip(found.names, values, strict=True)), marked=BACK, side=450), (460 * place, 46))
        _title(canvas, 460 * place + 225, f"Why {WORDS[label]}?")
    canvas.paste(_spectrum(found.frequencies[LRP][found.truth == CLOSED].sum(2).mean(0).numpy()), (940, 46))
    _title(canvas, 1155, "Why closed? By frequency")
    return canvas


def page(found: Evidence) -> str:
    """The whole story as HTML."""
    parts = [
        "<p class='small'>Pellucid · a story with real data</p><h1>Eyes open or closed?</h1>",
        f"<div class='brief'>{items(statements(found))}</div>",
        _where(found),
        _trials(found),
        _removals(found),
        _comparison(found),
        _cautions(),
    ]
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'><meta name='viewport' "
        "content='width=device-width,initial-scale=1'><title>Eyes open or closed?</title>"
        f"<style>body{{margin:0}}{STYLE}.pellucid .wide{{overflow-x:auto}}</style></head><body><main class='pellucid'>{''.join(parts)}</main></body></html>\n"
    )


def statements(found: Evidence) -> list[str]:
    """What was found, in plain sentences."""
    share, low, high = found.accuracy()
    lrp, signal, closed = found.looked[LRP], found.looked[STRENGTH], found.truth == CLOSED
    back = found.interval(lambda rows: _share(rows.sum(1), _back(found)), found.times[LRP])
    alpha = found.interval(lambda rows: _share(rows.sum(2), torch.from_numpy(in_band(ALPHA))), found.frequencies[LRP])
    called = {what: int((margins > 0).sum()) for what, margins in found.removed.items()}
    others = [count for what, count in called.items() if what.endswith("everywhere") and not what.startswith("8 to 12")]
    elsewhere = list(found.called_open.values())
    return [
        f"From two seconds of raw EEG the network tells open from closed eyes: {share:.1%} of {len(closed)} segments that it "
        f"had not seen are right (95 % interval {low:.0%} to {high:.0%}).",
        f"In {len(elsewhere)} other recordings, all with open eyes, it calls {min(elsewhere):.0%} to {max(elsewhere):.0%} of the "
        "segments open: it has not just learned to tell two recordings apart.",
        f"Nobody told it where to look. {lrp.back:.0%} ({back[0]:.0%} to {back[1]:.0%}) of all that speaks for closed eyes lies "
        f"at three of {len(found.names)} electrodes, O1, Oz and O2 at the back of the head; of the signal itself "
        f"{signal.back:.0%} does. Three others have as much with p = {chance(lrp.anywhere)}, three neighbours "
        f"with p = {chance(lrp.neighbours)}.",
        f"{lrp.alpha:.0%} ({alpha[0]:.0%} to {alpha[1]:.0%}) lies between 8 and 12 Hz, of the signal itself {signal.alpha:.0%}; "
        f"another band as wide has as much with p = {chance(lrp.band)}.",
        f"It is true of the network, not only of the map: of the {int(closed.sum())} segments with closed eyes it calls {called['nothing']} "
        f"closed as they are, {called['8 to 12 Hz everywhere']} without 8 to 12 Hz, and {min(others)} or more without any other band.",
    ]


def chance(probability: float) -> str:
    """A p-value without an exponent, with one or two digits that count."""
    return f"{probability:.{max(2, 1 - math.floor(math.log10(probability)))}f}"


def _where(found: Evidence) -> str:
    rows = []
    for label in (CLOSED, OPEN):
        values = _by_electrode(found, label)
        strongest = ", ".join(found.names[number] for number in np.argsort(-values, kind="stable")[:6])
        rows.append(f"<tr><th scope='row'>{WORDS[label]}</th><td>{strongest}</td></tr>")
    alternative = (
        "Two heads from above and a bar chart. For closed eyes relevance is strongest at the back of the head, and between 8 "
        "and 12 Hz; for open eyes it is spread over the front."
    )
    return (
        "<h2>Where the network looks</h2><p>Layer-wise relevance propagation hands the difference of the two scores back to "
        "every sample of every electrode. The heads show its mean over the held-out segments, seen from above, nose up; an "
        "inverse Fourier transform in front of the network carries it on to frequencies.</p>"
        f"{legend()}<figure><img alt='{alternative}' src='{data_uri(png(picture(found), 1380))}'><figcaption>full colour: "
        f"the strongest electrode of each head; the grey band is 8 to 12 Hz</figcaption></figure>"
        "<div class='wide'><table><thead><tr><th>why</th><th>strongest electrodes</th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _trials(found: Evidence) -> str:
    parts = []
    for label in (CLOSED, OPEN):
        number = int(((found.truth == label) & found.right).nonzero()[0])
        alternative = f"Heat map of 64 electrodes by 2 seconds: relevance for {WORDS[label]}"
        parts.append(
            f"<figure class='card'><img alt='{alternative}' src='{data_uri(png(trial(found, number), 900))}'>"
            f"<figcaption>why {WORDS[label]}? The first held-out segment that was answered right; margin "
            f"{abs(float(found.margins[number])):.1f}</figcaption></figure>"
        )
    return (
        "<h2>Single segments</h2><p>Electrodes from the forehead (top) to the back of the head (bottom), two seconds from left "
        f"to right. With closed eyes a rhythm of fine stripes stands at the back.</p><div class='cards'>{''.join(parts)}</div>"
    )


def trial(found: Evidence, number: int) -> Image.Image:
    """The relevance of one segment, electrodes from front to back by time."""
    places = {name.lower(): place for name, place in positions().items()}
    order = sorted(range(len(found.names)), key=lambda n: (-round(places[found.names[n].lower()][1], 2), n))
    values = found.times[LRP][number].double().numpy().T[order]
    colours = Image.fromarray(signed(values / limit(values)))
    wide = colours.resize((LENGTH * 2, len(order) * 9), Image.Resampling.NEAREST)
    canvas = Image.new("RGB", (wide.width + 60, wide.height + 34), "white")
    canvas.paste(wide, (52, 4))
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(12)
    for row in range(0, len(order), 3):
        draw.text((46, 8 + 9 * row), found.names[order[row]], fill="black", anchor="rm", font=font)
    for second in (0, 1, 2):
        draw.text((52 + 2 * RATE * second, wide.height + 18), f"{second} s", fill="black", anchor="mm", font=font)
    return canvas


def _removals(found: Evidence) -> str:
    rows = "".join(
        f"<tr><th scope='row'>{escape(what)}</th><td class='n'>{float(values.mean()):+.1f}</td>"
        f"<td class='n'>{float((values > 0).double().mean()):.0%}</td></tr>"
        for what, values in found.removed.items()
    )
    return (
        "<h2>Take it away, and the answer changes</h2><p>A map can be wrong about its network. So each part was taken out of the "
        "held-out segments with closed eyes, and the network asked again. Of all neighbouring triples of electrodes only "
        f"{found.removal:.1%} cost as much as O1, Oz and O2 when they lose 8 to 12 Hz.</p>"
        "<div class='wide'><table><thead><tr><th>taken out</th><th class='n'>margin for closed</th><th class='n'>still called closed</th></tr>"
        f"</thead><tbody>{rows}</tbody></table></div>"
    )


def _comparison(found: Evidence) -> str:
    rows = "".join(_row(name, looked) for name, looked in found.looked.items())
    back, alpha = ([getattr(looked, what) for looked in found.untrained] for what in ("back", "alpha"))
    count = len(found.untrained)
    lrp = found.looked[LRP]
    beaten = [sum(other >= mine for other in others) for others, mine in ((back, lrp.back), (alpha, lrp.alpha))]
    return (
        "<h2>Compared with other maps, and with knowing nothing</h2><div class='wide'><table><thead><tr><th>map of closed eyes</th>"
        "<th class='n'>at O1, Oz, O2</th><th class='n'>in 8 to 12 Hz</th><th class='n'>p: any three</th>"
        "<th class='n'>p: neighbours</th><th class='n'>p: other bands</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
        f"<p>Of {count} networks that learned nothing, {beaten[0]} have as much at these electrodes (p = "
        f"{chance((beaten[0] + 1) / (count + 1))}) and {beaten[1]} as much in this band (p = {chance((beaten[1] + 1) / (count + 1))}; they have {np.mean(back):.0%} and {np.mean(alpha):.0%} in the mean). On a network of linear maps and ReLU "
        "the ε-rule with a small ε is gradient × input, so the first and third row must agree: they check the code, not each "
        "other. With the z⁺-rule, which keeps only what raises a value, the map of this network is hardly more than the strength "
        "of the signal: signals have two signs, and that rule is for values that have one.</p>"
    )


def _row(name: str, looked: Looked) -> str:
    return (
        f"<tr><th scope='row'>{escape(name)}</th><td class='n'>{looked.back:.0%}</td><td class='n'>{looked.alpha:.0%}</td>"
        f"<td class='n'>{chance(looked.anywhere)}</td><td class='n'>{chance(looked.neighbours)}</td>"
        f"<td class='n'>{chance(looked.band)}</td></tr>"
    )


def _cautions() -> str:
    return (
        "<p class='caveat'><strong>How this can mislead.</strong> It is one person and two minutes. The signal with closed eyes "
        "is itself strong at the back of the head and near 10 Hz, so a small p-value against other electrodes or bands is not "
        "yet evidence about the network: the shares beside the signal's own, the networks that learned nothing and the removals "
        "are. Segments of one minute resemble each other, so the interval of the accuracy is too narrow by an unknown amount.</p>"
        "<p class='small'>Data: EEG Motor Movement/Imagery database, subject 1 (Schalk and others 2004; PhysioNet, Goldberger and "
        "others 2000). Method: Sturm and others 2016.</p>"
    )


def _by_electrode(found: Evidence, label: int) -> np.ndarray:
    return found.times[LRP][found.truth == label].double().sum(1).mean(0).numpy()


def _back(found: Evidence) -> Tensor:
    return torch.tensor([name.lower() in {back.lower() for back in BACK} for name in found.names])


def _share(rows: Tensor, inside: Tensor) -> float:
    amounts = rows.double().clamp(min=0).mean(0)
    return float(amounts[inside].sum() / amounts.sum())


def _title(canvas: Image.Image, centre: int, text: str) -> None:
    ImageDraw.Draw(canvas).text((centre, 24), text, fill="black", anchor="mm", font=ImageFont.load_default(20))


def _spectrum(values: np.ndarray, width: int = 430, height: int = 440) -> Image.Image:
    """Signed bars by frequency, the band from 8 to 12 Hz on grey."""
    shown = (HERTZ <= _HIGHEST).nonzero()[0]
    top, bottom = float(values[shown].max()), min(0.0, float(values[shown].min()))
    canvas = Image.new("RGB", (width, height), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(14)

    def across(hertz: float) -> float:
        return 10 + hertz / _HIGHEST * (width - 30)

    def down(value: float) -> float:
        return 14 + (top - value) / (top - bottom) * (height - 60)

    draw.rectangle((across(ALPHA[0] - 0.25), 4, across(ALPHA[1] + 0.25), height - 40), fill="#e8e8e8")
    for number in shown:
        ends = sorted((down(float(values[number])), down(0)))
        colour = signed_hex(float(np.sign(values[number])))
        draw.rectangle((across(HERTZ[number] - 0.2), ends[0], across(HERTZ[number] + 0.2), ends[1]), fill=colour)
    draw.line((across(0), down(0), across(_HIGHEST), down(0)), fill="black")
    for hertz in (0, 4, 8, 12, 20, 30):
        draw.text((across(hertz), height - 26), f"{hertz}", fill="black", anchor="mm", font=font)
    draw.text((across(_HIGHEST), height - 9), "Hz", fill="black", anchor="rm", font=font)
    return canvas
