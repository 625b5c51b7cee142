"""What LIME costs beside the forward passes it needs and beside the lime package, and whether the answers agree.

EfficientNet-Lite0, one photograph of 224 × 224 pixels, 300 samples for everybody (both default to 1000, so segmentation
weighs more here). Figures are medians of CPU-seconds.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from benchmarks.harness import Page, alternating, table
from PIL import Image
from scipy.stats import spearmanr
from skimage import data
from torch import Tensor

import pellucid as pl
from pellucid.engine import linear
from pellucid.methods import Lime

BATCHES = (1, 2, 3, 4, 6, 8, 10, 16)


def forwards(subject: pl.Subject, inputs: pl.Inputs, samples: int, size: int) -> None:
    """Nothing but the forward passes, on copies of the picture."""
    batch = inputs.rows(torch.zeros(size, dtype=torch.long))
    for start in range(0, samples, size):
        subject.run(batch.rows(slice(0, min(size, samples - start))))


def best_batch(subject: pl.Subject, inputs: pl.Inputs) -> int:
    """The batch size at which a forward pass costs least per picture."""
    work = {str(size): lambda size=size: forwards(subject, inputs, 48, size) for size in BATCHES}
    found = alternating(work, 5).seconds
    return int(min(found, key=lambda size: found[size]))


def bare_model(subject: pl.Subject) -> Callable[[np.ndarray], np.ndarray]:
    """The network as a user of the lime package calls it: 8-bit pictures in, scores out."""
    network, task = subject.module, subject.task
    mean, deviation = torch.tensor(task.mean).view(1, -1, 1, 1), torch.tensor(task.deviation).view(1, -1, 1, 1)

    def classify(pictures: np.ndarray) -> np.ndarray:
        pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div(255)
        with torch.no_grad():
            return network((pixels - mean) / deviation).numpy()

    return classify


def package(
    picture: np.ndarray, classify: Callable[[np.ndarray], np.ndarray], samples: int, segments: np.ndarray | None
) -> Any:
    """lime's explanation of the first class, with its own defaults but for the segments, where they are given."""
    from lime.lime_image import LimeImageExplainer

    segmentation = None if segments is None else lambda picture: segments
    explainer = LimeImageExplainer(random_state=0)
    return explainer.explain_instance(
        picture, classify, top_labels=1, num_samples=samples, segmentation_fn=segmentation, random_seed=0
    )


def pixel_map(explanation: Any) -> np.ndarray:
    """The coefficient of its segment for every pixel."""
    terms = dict(explanation.local_exp[explanation.top_labels[0]])
    return np.vectorize(terms.get)(explanation.segments)


def rank_correlation(one: Any, other: Any) -> float:
    return float(spearmanr(np.asarray(one).ravel(), np.asarray(other).ravel()).statistic)


def pictures(page: Page) -> None:
    samples = page.arguments.samples
    subject = pl.load("efficientnet-lite0")
    subject.module.eval()
    inputs = subject.prepare(Image.fromarray(data.chelsea()))
    segments = subject.task.features(inputs, subject.task.groupings()[0]).segments[0, 0].numpy()
    picture, query = np.asarray(subject.task.picture(inputs.value[0])), pl.Decision(inputs)
    classify, size = bare_model(subject), best_batch(subject, inputs)
    names = (
        f"forward passes of the prepared model, batches of {size} (its best)",
        "ours, superpixels included",
        "lime, the same superpixels given, batches of 10",
        "lime, its default call: quickshift, top_labels=1",
    )
    contenders = {
        names[0]: lambda: forwards(subject, inputs, samples, size),
        names[1]: lambda: Lime(samples=samples)(subject, query),
        names[2]: lambda: package(picture, classify, samples, segments),
        names[3]: lambda: package(picture, classify, samples, None),
    }
    found = alternating(contenders, page.rounds)
    answers = found.answers
    ours = answers[names[1]].by_feature()[0].numpy()
    again = Lime(samples=samples, seed=1)(subject, query).by_feature()[0].numpy()
    spread_out = ours[segments]
    same = [pixel_map(answers[name]) for name in names[2:]]
    agreement = ["", f"{rank_correlation(ours, again):.2f} with another seed of ours"]
    agreement.append(f"{rank_correlation(ours, [same[0][segments == n][0] for n in range(len(ours))]):.2f}")
    agreement.append(f"{rank_correlation(spread_out, same[1]):.2f} (pixel by pixel, other segments)")
    rows = [
        (
            name,
            f"{found.seconds[name]:.2f}",
            f"{samples * found.units(name, names[0]):.0f}",
            f"{found.units(name, names[0]):.2f} ×",
            f"{found.units(name, names[1]):.2f} ×",
            agrees,
        )
        for name, agrees in zip(names, agreement, strict=True)
    ]
    heads = ("contender", "CPU-s", "F", "beside the forward passes", "beside ours", "rank correlation with ours")
    page.say("## Pictures", f"{samples} samples, {len(ours)} superpixels.", table(heads, rows))


def fit(rows: Tensor, answers: Tensor, weights: Tensor, terms: int) -> np.ndarray:
    moments = linear.Moments(rows.shape[1])
    for part in torch.arange(len(rows)).split(1024):
        moments.add(rows[part], answers[part], weights[part])
    columns = linear.chosen(moments, rows[0], terms)
    return linear.ridge(moments, columns).scattered(rows.shape[1]).numpy()


def fit_of_the_package(rows: Tensor, answers: Tensor, weights: Tensor, terms: int) -> np.ndarray:
    from lime.lime_base import LimeBase

    base = LimeBase(lambda distances: distances)
    _, found, _, _ = base.explain_instance_with_data(
        rows.numpy(), answers[:, None].numpy(), weights.numpy(), 0, terms, feature_selection="auto"
    )
    coefficients = np.zeros(rows.shape[1])
    for feature, weight in found:
        coefficients[feature] = weight
    return coefficients


def fits(page: Page) -> None:
    source = torch.Generator().manual_seed(0)
    lines = []
    for samples, features, terms in ((1000, 50, 6), (1000, 50, 50), (5000, 200, 6), (5000, 200, 10)):
        rows = torch.randint(2, (samples, features), generator=source).double()
        answers = rows @ torch.randn(features, generator=source, dtype=torch.float64) + rows[:, 0] * rows[:, 1]
        weights = torch.rand(samples, generator=source, dtype=torch.float64)
        given = (rows, answers, weights, terms)
        found = alternating(
            {"ours": lambda given=given: fit(*given), "lime": lambda given=given: fit_of_the_package(*given)},
            page.rounds,
        )
        apart = np.abs(found.answers["ours"] - found.answers["lime"]).max()
        mine, theirs = (f"{1000 * found.seconds[name]:.1f}" for name in ("ours", "lime"))
        lines.append((samples, features, terms, mine, theirs, f"{found.units('lime', 'ours'):.0f}", f"{apart:.0e}"))
    differs = "largest difference of coefficients"
    heads = ("samples", "features", "terms kept", "ours, ms", "lime, ms", "lime / ours", differs)
    page.say("## The fit alone", table(heads, lines))


def main() -> None:
    page = Page(
        "lime", __doc__, rounds=5, options=lambda parser: parser.add_argument("--samples", type=int, default=300)
    )
    pictures(page)
    fits(page)
    page.close()


if __name__ == "__main__":
    main()
