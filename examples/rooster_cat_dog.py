"""Rooster, cat, dog: where in a photograph does a network see each of the three?

    python -m examples.rooster_cat_dog --data FOLDER --page FILE

FOLDER holds photographs of ImageNet: ``imagenet-tutorial-classes`` and ``imagenet-500-samples``, or any pictures. Of every
photograph, and of two that are put together from them, the same three classes are asked. The signed maps (relevance, after
bach2015pixel) say what speaks for and against each; the class map (CLEAR, after kumar2017explaining) says which of the
three each place speaks for most. Prints the numbers, and writes a page.
"""

import argparse
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont

import pellucid as pl
from pellucid.methods import LRP, Clear
from pellucid.render.charts import legend
from pellucid.render.class_response import class_map, planes, swatch
from pellucid.render.colours import distinct
from pellucid.render.fragments import STYLE
from pellucid.render.heatmap import data_uri, jpeg, limit, overlay
from pellucid.reports.folder import pictures_in

# Relevance by the γ-rule keeps animals sharp and, of photographs put together, tells the parts apart best.
COMPOSITE = "epsilon-gamma-box"
CLASSES = {"rooster": 7, "cat": 285, "dog": 162}
# As they are filed, and what is on them; there is no class for pheasants.
PHOTOGRAPHS = {
    "imagenet-tutorial-classes/7_cock.jpg": "a pheasant, filed as cock",
    "imagenet-500-samples/images/n01514859_hen.jpg": "a hen",
    "imagenet-tutorial-classes/285_Egyptian_cat.jpg": "a cat",
    "imagenet-tutorial-classes/281_tabby.jpg": "half a cat",
    "imagenet-500-samples/images/n02088364_beagle.jpg": "a dog",
    "imagenet-500-samples/images/n03791053_motor_scooter.jpg": "a motor scooter",
}
_SIDE, _TILE = 336, 140
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Photograph:
    """A picture, and where in it (left, top, right, bottom, as shares of its sides) which of the three is known to be."""

    name: str
    picture: Image.Image
    parts: Mapping[str, Box] = field(default_factory=dict)


@dataclass(frozen=True)
class Seen:
    """What the network answers about a photograph, and what the three classes get from its places."""

    photograph: Photograph
    predicted: str
    probability: float
    response: pl.ClassResponse

    def shares(self) -> dict[str, float]:
        """Of all that speaks for any of the three, what speaks most for each."""
        return dict(zip(CLASSES, self.response.shares()[0].tolist(), strict=True))

    def right(self) -> dict[str, float]:
        """Of what speaks for any of the three in each known part, what speaks most for the one that is there."""
        response = self.response.dominant_response[0, 0].clamp(min=0)
        dominant = self.response.dominant_class[0, 0]
        found = {}
        for name, box in self.photograph.parts.items():
            rows, columns = response.shape
            left, top, right, bottom = box
            place = (slice(int(top * rows), int(bottom * rows)), slice(int(left * columns), int(right * columns)))
            won = response[place] * (dominant[place] == CLASSES[name])
            found[name] = float(won.sum() / response[place].sum())
        return found

    def statement(self) -> str:
        """The numbers in a sentence."""
        told = ", ".join(f"{share:.0%} for {name}" for name, share in self.shares().items())
        known = ", ".join(f"{share:.0%} where the {name} is" for name, share in self.right().items())
        scores = ", ".join(
            f"{name} {float(value):.1f}" for name, value in zip(CLASSES, self.response.value[0], strict=True)
        )
        return (
            f"{self.photograph.name}: {self.predicted} ({self.probability:.0%}); scores {scores}; of what speaks for any of "
            f"the three {told}" + (f"; right in {known}" if known else "")
        )


def photographs(folder: Path) -> list[Photograph]:
    """Those of ImageNet that the folder holds, with two compositions of them, or else every picture in it."""
    known = [folder / name for name in PHOTOGRAPHS]
    if not all(path.is_file() for path in known):
        return [Photograph(path.stem, _opened(path)) for path in pictures_in(folder)]
    found = [Photograph(name, _opened(path)) for path, name in zip(known, PHOTOGRAPHS.values(), strict=True)]
    _, rooster, cat, _, dog, scooter = (photograph.picture for photograph in found)
    return [*found, beside(cat, dog), quartered(rooster, cat, dog, scooter)]


def beside(cat: Image.Image, dog: Image.Image) -> Photograph:
    """A cat to the left of a dog."""
    parts: dict[str, Box] = {"cat": (0, 0, 0.5, 1), "dog": (0.5, 0, 1, 1)}
    return Photograph("a cat beside a dog", _composed([cat, dog], [(0, 0), (1, 0)]), parts)


def quartered(rooster: Image.Image, cat: Image.Image, dog: Image.Image, other: Image.Image) -> Photograph:
    """All three, and something that is none of them, to the lower right."""
    parts: dict[str, Box] = {"rooster": (0, 0, 0.5, 0.5), "cat": (0.5, 0, 1, 0.5), "dog": (0, 0.5, 0.5, 1)}
    return Photograph("all four", _composed([rooster, cat, dog, other], [(0, 0), (1, 0), (0, 1), (1, 1)]), parts)


def tell(subject: pl.Subject, asked: Sequence[Photograph]) -> list[Seen]:
    """Ask about each photograph."""
    clear = Clear(inner=LRP(composite=COMPOSITE), classes=tuple(CLASSES.values()))
    found = []
    for photograph in asked:
        inputs = subject.prepare(photograph.picture)
        chances = subject.scores(inputs)[0].softmax(0)
        best = int(chances.argmax())
        name = str(subject.task.labels[best]) if subject.task.labels else f"output {best}"
        response = clear(subject, pl.Decision(inputs))
        found.append(Seen(photograph, name.split(",")[0], float(chances[best]), response))
    return found


def scale(found: Sequence[Seen]) -> float:
    """What has full colour on every map: half of the photographs have places that deserve it."""
    return statistics.median(limit(planes(seen.response, 0)) for seen in found)


def maps(seen: Seen, largest: float, over: bool = True) -> list[Image.Image]:
    """The class map, then the signed map of each class; over the photograph or without it."""
    picture = seen.photograph.picture if over else None
    signed = [overlay(values, picture, None, largest) for values in planes(seen.response, 0)]
    return [class_map(seen.response, 0, picture, None, largest), *signed]


def page(found: Sequence[Seen]) -> str:
    """The story as one page without scripts."""
    named = "".join(f"<li>{swatch(_hex(n))} {name}</li>" for n, name in enumerate(CLASSES))
    largest = scale(found)
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'><meta name='viewport' "
        "content='width=device-width,initial-scale=1'><title>Rooster, cat, dog</title><style>body{margin:0}"
        f"{STYLE}.pellucid .five{{display:grid;grid-template-columns:repeat(5,1fr);gap:.7rem;align-items:end}}</style></head>"
        "<body><main class='pellucid'><h1>Rooster, cat, dog</h1><p>A network that knows a thousand kinds of things was asked "
        "three questions about every photograph: what in it speaks for a rooster, what for a cat, what for a dog? The "
        "<b>class map</b> gives each place the colour of the class that it speaks for most:</p>"
        f"<ul>{named}</ul><p>The three maps beside it show one class each: red speaks for it, blue against it. All maps "
        "share one scale, so a pale map means that hardly anything speaks for or against its class.</p>"
        f"{legend()}{''.join(_row(seen, largest) for seen in found)}"
        f"<p class='caveat'>{escape(Clear.spec.caveat)} {_caveat(found)}</p></main></body></html>\n"
    )


def picture(found: Sequence[Seen]) -> Image.Image:
    """All maps without the photographs, which are not ours to show."""
    font, strong = ImageFont.load_default(13), ImageFont.load_default(15)
    heads, left = ["class map", *CLASSES], 170
    whole = Image.new("RGB", (left + (_TILE + 8) * len(heads), 30 + (_TILE + 8) * len(found)), "white")
    draw = ImageDraw.Draw(whole)
    for column, head in enumerate(heads):
        draw.text((left + (_TILE + 8) * column, 6), head, fill="black", font=strong)
        if column:
            draw.rectangle(
                (left + 60 + (_TILE + 8) * column, 8, left + 74 + (_TILE + 8) * column, 20), fill=_hex(column - 1)
            )
    for row, seen in enumerate(found):
        y = 30 + (_TILE + 8) * row
        draw.text((6, y + 60), seen.photograph.name, fill="black", font=font)
        draw.text((6, y + 78), f"{seen.predicted} {seen.probability:.0%}", fill="#555555", font=font)
        for column, tile in enumerate(maps(seen, scale(found), over=False)):
            small = tile.resize((_TILE, _TILE), Image.Resampling.LANCZOS)
            whole.paste(small, (left + (_TILE + 8) * column, y))
    return whole


def _row(seen: Seen, largest: float) -> str:
    tiles = [seen.photograph.picture, *maps(seen, largest)]
    heads = ["the photograph", "class map", *CLASSES]
    figures = "".join(
        f"<figure><img alt='{escape(f'{seen.photograph.name}: {head}', quote=True)}' src='{data_uri(jpeg(tile, 300))}'>"
        f"<figcaption>{head}</figcaption></figure>"
        for head, tile in zip(heads, tiles, strict=True)
    )
    return (
        f"<h2>{escape(seen.photograph.name)}</h2><div class='five'>{figures}</div><p class='small'>"
        f"{escape(seen.statement())}.</p>"
    )


def _caveat(found: Sequence[Seen]) -> str:
    reaching = torch.cat([seen.response.reaching.flatten() for seen in found if seen.response.reaching is not None])
    return (
        f"Of the scores only {float(reaching.min()):.1%} to {float(reaching.max()):.1%} arrive at the pixels, most stays in "
        "the network's biases: the colours rank places, and do not add up to the score."
    )


def _opened(path: Path) -> Image.Image:
    with Image.open(path) as opened:
        return opened.convert("RGB")


def _composed(pictures: Sequence[Image.Image], places: Sequence[tuple[int, int]]) -> Image.Image:
    columns, rows = (1 + max(place[axis] for place in places) for axis in (0, 1))
    whole = Image.new("RGB", (columns * _SIDE, rows * _SIDE))
    for given, (column, row) in zip(pictures, places, strict=True):
        side = min(given.size)
        left, top = (given.width - side) // 2, (given.height - side) // 2
        square = given.crop((left, top, left + side, top + side)).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
        whole.paste(square, (column * _SIDE, row * _SIDE))
    return whole


def _hex(number: int) -> str:
    return "#" + "".join(f"{channel:02x}" for channel in distinct(len(CLASSES))[number])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder with the photographs")
    parser.add_argument("--page", type=Path, default=Path("rooster-cat-dog.html"), help="where the page goes")
    parser.add_argument("--picture", type=Path, help="where the maps without photographs go too, as PNG")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found = tell(pl.load("efficientnet-lite0"), photographs(arguments.data))
    print("\n".join(seen.statement() for seen in found))
    arguments.page.write_text(page(found), encoding="utf-8")
    if arguments.picture:
        drawn = picture(found).quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=2)
        drawn.save(arguments.picture, optimize=True)


if __name__ == "__main__":
    main()
