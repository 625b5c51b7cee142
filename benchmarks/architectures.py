"""Where the score goes in ten architectures and more, under every composite: to the input, or to a source with a name.

Small networks have random weights and float64; those with real weights are in float32 and see a real picture or sentence.
*Unexplained* is what no account holds, relative to the score, in the sum and at the worst single operation: rounding. *To
the input* is the share of the score that arrives there; it can be negative or exceed one, because sources absorb with
either sign. A source below 0.05 % of the score is not listed. Random networks with random batch norms have large biases,
so their shares say nothing about trained ones. What cannot be followed is refused, with the reason.
"""

from benchmarks.harness import Page, table
from tests.engine.architectures import REAL, SMALL, Architecture, seed_of
from tests.engine.idioms import IDIOMS, UNANSWERABLE
from torch import Tensor, nn

from pellucid.core.errors import NotAnswerable
from pellucid.engine.relevance import propagate
from pellucid.engine.relevance_records import Relevance
from pellucid.engine.rules import COMPOSITES
from pellucid.engine.tape import Tape

HEADS = ("architecture", "composite", "unexplained", "at one operation", "to the input", "absorbed by")
LOW, HIGH = -3.0, 3.0


def relevance(network: nn.Module, point: Tensor, target: int, composite: str) -> Relevance:
    with Tape(point, network) as tape:
        scores = network(point)
    return propagate(tape, scores, seed_of(scores, target), COMPOSITES[composite], bounds=(LOW, HIGH))


def row(name: str, network: nn.Module, point: Tensor, target: int, composite: str) -> tuple[str, ...]:
    """The account of the first example under one composite."""
    try:
        found = relevance(network, point, target, composite)
    except NotAnswerable as refusal:
        return name, composite, "refused", "", "", str(refusal)
    scale = found.value.abs()
    whole = float((found.residual.abs() / scale).max())
    worst = max(float((layer.residual.abs() / scale).max()) for layer in found.layers)
    shares = {source: float(amount[0] / found.value[0]) for source, amount in found.absorbed.items()}
    named = [f"{source} {share:.1%}" for source, share in shares.items() if abs(share) >= 5e-4]
    return (
        name,
        composite,
        f"{whole:.0e}",
        f"{worst:.0e}",
        f"{float(found.reaching[0]):.1%}",
        ", ".join(named) or "nothing",
    )


def main() -> None:
    page = Page("architectures", __doc__, rounds=1)
    rows = []
    for name, architecture in SMALL.items():
        network, point = architecture.network().requires_grad_(False), architecture.point()
        rows += [row(name, network, point, 0, composite) for composite in COMPOSITES]
    page.say("## Small networks", table(HEADS, rows))
    steps = [(name, make, shape) for name, (make, shape, *_) in (IDIOMS | UNANSWERABLE).items()]
    rows = []
    for name, make, shape in steps:
        architecture = Architecture(make, shape)
        network, point = architecture.network().requires_grad_(False), architecture.point()
        rows.append(row(name, network, point, 0, "epsilon"))
    page.say("## Single steps, as people write them", table(HEADS, rows))
    rows = []
    for name, real in REAL.items():
        if real.missing:
            rows.append((name, "", "not measured", "", "", f"the package {real.missing} is not installed"))
            continue
        network, point, target = real.load()
        rows += [row(name, network, point, target, composite) for composite in COMPOSITES]
    page.say("## Real weights", table(HEADS, rows))
    page.close()


if __name__ == "__main__":
    main()
