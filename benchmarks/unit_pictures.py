"""What it costs to draw pictures of units: each row is one way to do less work for the same picture.

Seconds are CPU-seconds of one thread; a forward and a backward pass each. torch-lucent is asked for the same objective with
as many steps and pictures of the same size from its own parametrisation and transformations; *agreement* gives the
activation that both pictures reach when the network itself is asked about them.
"""

import copy
import sys
import types
from collections.abc import Callable, Sequence
from typing import Any

import torch
from benchmarks.harness import Page, alternating, table
from benchmarks.units import HEADS, Row
from torch import Tensor

import pellucid as pl
from pellucid.core.subject import Inputs
from pellucid.engine.canvases import Spectrum
from pellucid.engine.drawing_units import bounds_of
from pellucid.engine.optimize import adam, ascend
from pellucid.engine.shaping import jittered
from pellucid.engine.units import Units, layer_at

SIDE, STEPS = 128, 60


def subject_and_inputs(rows: int, side: int = SIDE) -> tuple[pl.Subject, Inputs]:
    """EfficientNet-Lite0, and noise for it."""
    subject = pl.load("efficientnet-lite0")
    noise = torch.rand(rows, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return subject, subject.prepare(noise)


def gradient(subject: pl.Subject, inputs: Inputs, units: Units, partial: bool) -> Tensor:
    """The gradient of units at the pixels, by a pass that ends at their layer or not."""
    point = inputs.value.clone().requires_grad_()
    run = subject.run(inputs.at(point), capture=units.capture, differentiable=True, partial=partial)
    (found,) = torch.autograd.grad(units(run).sum(), point)
    return found


def stopped_early(rounds: int, layer: str = "blocks.2", rows: int = 8) -> Row:
    """A pass that ends at the layer beside one through the whole network."""
    subject, inputs = subject_and_inputs(rows)
    units = Units(layer_at(subject, inputs, layer), tuple(range(rows)))
    taken = alternating(
        {
            "other": lambda: gradient(subject, inputs, units, partial=False),
            "ours": lambda: gradient(subject, inputs, units, partial=True),
        },
        rounds,
    )
    return Row(
        f"a gradient of a unit of {layer}, {rows} pictures of {SIDE} × {SIDE}, beside passes through the whole network",
        taken.seconds["other"] / rows,
        taken.seconds["ours"] / rows,
        "picture",
        _apart(taken.answers),
    )


def several_at_once(rounds: int, layer: str = "blocks.10", rows: int = 8, steps: int = 20) -> Row:
    """Pictures of eight units drawn in one ascent beside one at a time."""
    subject, inputs = subject_and_inputs(rows)
    units = Units(layer_at(subject, inputs, layer), tuple(range(rows)))

    def drawn(part: slice) -> Tensor:
        given, asked = inputs.rows(part), units.rows(part)
        seeds = list(range(rows))[part]
        start = Spectrum.noise(seeds, (3, SIDE, SIDE), bounds_of(subject, given))
        return ascend(subject, given, asked, start, steps=steps, rule=adam(0.05), transform=jittered()).images

    taken = alternating(
        {
            "other": lambda: torch.cat([drawn(slice(row, row + 1)) for row in range(rows)]),
            "ours": lambda: drawn(slice(0, rows)),
        },
        rounds,
    )
    apart = float((taken.answers["ours"] - taken.answers["other"]).abs().max())
    return Row(
        f"pictures of {rows} units of {layer} at {SIDE} × {SIDE}, {steps} steps, in one ascent beside one by one",
        taken.seconds["other"] / rows,
        taken.seconds["ours"] / rows,
        "picture",
        f"pictures {apart:.0e} apart, of a range of 2",
    )


def beside_lucent(rounds: int, layer: str, channel: int = 3, frozen: bool = False) -> Row:
    """A whole picture of one channel, beside torch-lucent's, of a network whose parameters want gradients, as torch builds
    it, or are frozen."""
    subject, inputs = subject_and_inputs(1)
    method = pl.methods.FeatureImage(size=SIDE, steps=STEPS, starts=1)
    unit = pl.Unit(layer, channel)
    render, param = _lucent()
    network: Any = subject.module
    unit_layer = layer_at(subject, inputs, layer)

    def theirs() -> Tensor:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            (image,) = render.render_vis(
                _InRange(copy.deepcopy(network).requires_grad_(not frozen)),  # a copy, as its hooks stay
                f"network_{layer.replace('.', '_')}:{channel}",
                lambda: param.image(SIDE),
                thresholds=(STEPS,),
                preprocess=False,
                progress=False,
                show_image=False,
                fixed_image_size=SIDE,
            )
        return torch.from_numpy(image).permute(0, 3, 1, 2) * 2 - 1

    def reached(image: Tensor) -> float:
        run = subject.run(subject.prepare(image), capture=(layer,))
        return float(unit_layer.values(run.activations[layer], channel))

    taken = alternating({"other": theirs, "ours": lambda: method(subject, unit).images}, rounds)
    told = f"activation {reached(taken.answers['ours']):.3g} (torch-lucent {reached(taken.answers['other']):.3g})"
    return Row(
        f"a picture of {layer}/{channel}, {SIDE} × {SIDE}, {STEPS} steps, beside torch-lucent 0.1.8"
        + (", which is given frozen parameters" if frozen else ""),
        taken.seconds["other"],
        taken.seconds["ours"],
        "picture",
        told,
    )


class _InRange(torch.nn.Module):
    """torch-lucent's pictures, from 0 to 1, for a network that reads −1 to 1."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pictures: Tensor) -> Tensor:
        answer: Tensor = self.network(2 * pictures - 1)
        return answer


def _lucent() -> tuple[Any, Any]:
    """torch-lucent without torchvision and IPython, of which it imports names that are not used here."""
    absent = {
        name: types.ModuleType(name) for name in ("torchvision", "torchvision.transforms", "IPython", "IPython.display")
    }
    absent["torchvision.transforms"].Normalize = None  # type: ignore[attr-defined]
    absent["IPython"].display = absent["IPython.display"]  # type: ignore[attr-defined]
    for name, module in absent.items():
        sys.modules.setdefault(name, module)
    from lucent.optvis import param, render

    return render, param


def _apart(answers: dict[str, Tensor]) -> str:
    apart = (answers["ours"] - answers["other"]).abs().max() / answers["other"].abs().max()
    return f"gradients {float(apart):.0e} apart, relative to the largest"


ROWS: Sequence[Callable[[int], Row]] = (
    stopped_early,
    several_at_once,
    lambda rounds: beside_lucent(rounds, "blocks.3"),
    lambda rounds: beside_lucent(rounds, "blocks.10"),
    lambda rounds: beside_lucent(rounds, "blocks.15"),
    lambda rounds: beside_lucent(rounds, "blocks.15", frozen=True),
)


def main() -> None:
    page = Page("unit_pictures", __doc__, rounds=3)
    page.say(table(HEADS, [row(page.rounds).cells() for row in ROWS]))
    page.close()


if __name__ == "__main__":
    main()
