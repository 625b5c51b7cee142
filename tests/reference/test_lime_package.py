"""The same rows and answers give the lime package's coefficients; the same questions give its answers within error."""

import numpy as np
import pytest
import sklearn.metrics
import torch
from lime.lime_image import LimeImageExplainer
from lime.lime_tabular import LimeTabularExplainer
from lime.lime_text import LimeTextExplainer
from torch import nn

import pellucid as pl
from pellucid.engine import linear, sampling
from pellucid.methods import Lime

pytestmark = pytest.mark.reference

COLUMNS = ("age", "income", "debt", "years", "cards", "limit", "loans", "cash")
EIGHT = len(COLUMNS)
TOLERANCE = 1e-6


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function
        self.precision = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self, point=None, embeddings=None, attention_mask=None):
        return self.function(embeddings if point is None else point)


class Letters:
    """A tokenizer whose words are single letters between spaces; 0 opens a text, 1 is the mask."""

    mask_token_id = 1

    def __len__(self):
        return 28

    def __call__(self, texts, **options):
        (text,) = texts
        letters = text.split(" ")
        return {
            "input_ids": [[0, *(ord(letter) - ord("a") + 2 for letter in letters)]],
            "offset_mapping": [[(0, 0), *((2 * place, 2 * place + 1) for place in range(len(letters)))]],
            "special_tokens_mask": [[1, *[0] * len(letters)]],
            "attention_mask": [[1] * (len(letters) + 1)],
        }


def recorded(function):
    seen = []

    def watched(point):
        seen.append(point.detach().clone())
        return function(point)

    return watched, seen


def curved(rows):
    """A score of eight numbers per row that no linear model fits."""
    weights = torch.tensor([2.0, -1.0, 0.5, 0.25, 3.0, -2.5, 0.1, 1.2], dtype=torch.float64)
    return rows @ weights + rows[:, 0] * rows[:, 4] + (3 * rows[:, 1] * rows[:, 5]).sin()


def fitted_by_lime(explainer, rows, answers, distances, terms, selection):
    """What lime's own code makes of these rows: coefficients of all features, intercept, local prediction, R²."""
    labels = np.stack([answers, -answers], 1)
    intercept, terms_found, r2, local = explainer.base.explain_instance_with_data(
        rows, labels, distances, 0, terms, feature_selection=selection
    )
    coefficients = np.zeros(rows.shape[1])
    for feature, weight in terms_found:
        coefficients[feature] = weight
    return coefficients, float(intercept), float(local[0]), float(r2)


def explainer_and_rows(modality, seed=0, samples=300, features=12):
    """An explainer of the lime package with its kernel, and rows as it would draw them with their distances."""
    source = np.random.default_rng(seed)
    rows = source.integers(0, 2, (samples, features)).astype(float)
    rows[0] = 1
    if modality == "text":
        return LimeTextExplainer(), rows, 100 * cosine(rows)
    if modality == "image":
        return LimeImageExplainer(), rows, cosine(rows)
    if modality == "normal":
        rows = source.normal(size=(samples, features))
    return LimeTabularExplainer(source.normal(size=(50, features))), rows, euclidean(rows)


def cosine(rows):
    return sklearn.metrics.pairwise_distances(rows, rows[:1], metric="cosine").ravel()


def euclidean(rows):
    return sklearn.metrics.pairwise_distances(rows, rows[:1], metric="euclidean").ravel()


def selected(moments, instance, terms, selection):
    match selection:
        case "none":
            return torch.arange(moments.features)
        case "forward_selection":
            return linear.forward_selection(moments, terms)
        case "highest_weights":
            return linear.highest_weights(moments, instance, terms)
    return linear.chosen(moments, instance, terms)


@pytest.mark.parametrize("selection", ["auto", "none", "forward_selection", "highest_weights"])
@pytest.mark.parametrize("terms", [1, 4, 6, 7, 10, 12, 100_000])
@pytest.mark.parametrize("modality", ["image", "text", "table", "normal"])
def test_the_fit_of_the_same_rows_is_the_packages_fit(modality, terms, selection):
    explainer, rows, distances = explainer_and_rows(modality)
    answers = curved(torch.from_numpy(rows[:, :EIGHT])).numpy() + np.random.default_rng(9).normal(size=len(rows))
    expected = fitted_by_lime(explainer, rows, answers, distances, terms, selection)

    weights = explainer.base.kernel_fn(distances)
    moments = linear.Moments(rows.shape[1])
    for part in np.array_split(np.arange(len(rows)), 7):
        moments.add(*(torch.from_numpy(values[part]) for values in (rows, answers, weights)))
    instance = torch.from_numpy(rows[0])
    model = linear.ridge(moments, selected(moments, instance, terms, selection))
    assert model.scattered(rows.shape[1]).numpy() == pytest.approx(expected[0], abs=TOLERANCE)
    assert float(model.intercept) == pytest.approx(expected[1], abs=TOLERANCE)
    assert float(model.predict(instance[None])) == pytest.approx(expected[2], abs=TOLERANCE)
    assert float(model.r2) == pytest.approx(expected[3], abs=TOLERANCE)


def agrees(result, explainer, rows, points, function, distances, keep):
    """The answer of ``lime`` equals what the package makes of the rows that ``lime`` drew."""
    answers = function(points)[:, 0].numpy()
    expected = fitted_by_lime(explainer, rows, answers, distances, keep or 100_000, "auto" if keep else "none")
    assert result.by_feature()[0].numpy() == pytest.approx(expected[0], abs=TOLERANCE)
    for name, value in zip(("intercept", "local_prediction", "r2"), expected[1:], strict=True):
        assert float(result.quality[name]) == pytest.approx(value, abs=TOLERANCE)


def eighths():
    """A picture of 16 × 16 pixels in eight parts."""
    rows, columns = torch.meshgrid(torch.arange(16), torch.arange(16), indexing="ij")
    pixels = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return pixels, (rows // 4) * 2 + columns // 8


def of_parts(points):
    """A score that reads the first pixel of each of the eight parts."""
    return curved(points[:, 0, ::4, ::8].flatten(1))[:, None]


@pytest.mark.parametrize("keep", [None, 3, 7])
def test_pictures_give_the_packages_coefficients(keep):
    pixels, parts = eighths()
    function, seen = recorded(of_parts)
    result = Lime(samples=200, features=parts, keep=keep, preset="lime")(
        pl.wrap(Function(function), pl.tasks.Image(16, output="value")), pl.Decision(pixels)
    )
    points = torch.cat(seen)[-200:]
    rows = np.stack([[bool((p == pixels)[:, parts == part].all()) for part in range(8)] for p in points]).astype(float)
    assert 300 < rows.sum() - 8 < 1300
    agrees(result, LimeImageExplainer(), rows, points, of_parts, cosine(rows), keep)


def test_pictures_are_hidden_as_the_package_hides_them():
    pixels, parts = eighths()
    asked = []

    def classify(images):
        asked.extend(images)
        return np.ones((len(images), 2)) / 2

    picture = pixels.permute(1, 2, 0).numpy()
    hidden = sampling.feature_means(pixels, parts[None])
    fudged = hidden.permute(1, 2, 0).numpy()
    drawn, _ = LimeImageExplainer(random_state=0).data_labels(picture, fudged, parts.numpy(), classify, 20)
    for part in range(8):
        assert fudged[parts == part] == pytest.approx(np.tile(picture[parts == part].mean(0), (32, 1)), abs=1e-12)
    draws = sampling.Draws(1, torch.ones(8).bool(), sampling.coin_flips(8), torch.Generator())
    around = sampling.shown_and_hidden(pixels, hidden, parts[None], draws, lambda rows: rows.mean(1))
    ours = around.points(torch.from_numpy(drawn).bool()).permute(0, 2, 3, 1).numpy()
    assert np.array_equal(ours, np.stack(asked))


def letters_task():
    table = torch.randn(28, 1, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    return pl.tasks.Text(Letters(), lambda tokens: table[tokens], output="value"), table


def of_letters(points):
    return curved(points[:, 1:9, 0])[:, None]


TEXT = "a b c d e f g h"


@pytest.mark.parametrize("keep", [None, 3, 7])
def test_texts_give_the_packages_coefficients(keep):
    task, table = letters_task()
    function, seen = recorded(of_letters)
    result = Lime(samples=200, keep=keep, preset="lime")(pl.wrap(Function(function), task), pl.Decision(TEXT))
    points = torch.cat(seen)[-200:]
    rows = (points[:, 1:, 0] == table[2:10, 0]).double().numpy()
    assert set(rows[1:].sum(1)) == set(range(8))
    agrees(result, LimeTextExplainer(), rows, points, of_letters, 100 * cosine(rows), keep)


def reference_rows():
    rows = torch.randn(300, EIGHT, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    rows[:, 3] = (rows[:, 3] * 1.5).round().clamp(0, 3)  # whole numbers, half of them 0
    return rows


def of_rows(points):
    return curved(points.tanh())[:, None]


@pytest.mark.parametrize("keep", [None, 3, 7])
def test_tables_give_the_packages_coefficients(keep):
    reference = reference_rows()
    function, seen = recorded(of_rows)
    subject = pl.wrap(Function(function), pl.tasks.Tabular(COLUMNS, reference=reference, output="value"))
    result = Lime(samples=400, keep=keep)(subject, pl.Decision(reference[:1]))
    points = torch.cat(seen)[-400:]
    explainer = LimeTabularExplainer(reference.numpy(), discretize_continuous=True)
    rows = explainer.discretizer.discretize(points.numpy()) == explainer.discretizer.discretize(reference[0].numpy())
    agrees(result, explainer, rows.astype(float), points, of_rows, euclidean(rows.astype(float)), keep)


def test_tables_without_reference_rows_give_the_packages_coefficients():
    function, seen = recorded(of_rows)
    subject = pl.wrap(Function(function), pl.tasks.Tabular(COLUMNS, output="value"))
    row = torch.linspace(-1, 1, EIGHT, dtype=torch.float64)[None]
    result = Lime(samples=400)(subject, pl.Decision(row))
    points = torch.cat(seen)[-400:]
    explainer = LimeTabularExplainer(np.random.default_rng(0).normal(size=(99, EIGHT)), discretize_continuous=False)
    agrees(result, explainer, points.numpy(), points, of_rows, euclidean(points.numpy()), None)


def within_error(result, package):
    """Whether two independent samples agree: their difference is within three standard errors of it."""
    low, high = (side[0].numpy() for side in result.interval)
    error = np.sqrt(2) * (high - low) / (2 * 1.96)
    return (np.abs(result.by_feature()[0].numpy() - package) <= 3 * error + 1e-3).all()


def whole(explanation, features):
    coefficients = np.zeros(features)
    for feature, weight in explanation.local_exp[1]:
        coefficients[feature] = weight
    return coefficients


def test_the_whole_pipeline_agrees_for_pictures():
    pixels, parts = eighths()
    subject = pl.wrap(Function(of_parts), pl.tasks.Image(16, output="value"))
    result = Lime(samples=3000, features=parts, preset="lime")(subject, pl.Decision(pixels))
    package = LimeImageExplainer(random_state=0).explain_instance(
        pixels.permute(1, 2, 0).numpy(),
        lambda images: np.repeat(of_parts(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy(), 2, 1),
        top_labels=None,
        num_samples=3000,
        segmentation_fn=lambda picture: parts.numpy(),
    )
    assert within_error(result, whole(package, 8))
    assert float(result.quality["r2"]) == pytest.approx(float(package.score), abs=0.05)


def test_the_whole_pipeline_agrees_for_texts():
    task, table = letters_task()
    result = Lime(samples=3000, preset="lime")(pl.wrap(Function(of_letters), task), pl.Decision(TEXT))

    def classify(texts):
        numbers = [
            [2 + place if letter in text.split() else 1 for place, letter in enumerate("abcdefgh")] for text in texts
        ]
        points = torch.cat([table[0].expand(len(texts), 1, 1), table[torch.tensor(numbers)]], 1)
        return np.repeat(of_letters(points).numpy(), 2, 1)

    package = LimeTextExplainer(random_state=0).explain_instance(TEXT, classify, num_features=8, num_samples=3000)
    assert within_error(result, whole(package, 8))
    assert float(result.quality["r2"]) == pytest.approx(float(package.score), abs=0.05)


def test_the_whole_pipeline_agrees_for_tables():
    reference = reference_rows()
    subject = pl.wrap(Function(of_rows), pl.tasks.Tabular(COLUMNS, reference=reference, output="value"))
    result = Lime(samples=5000)(subject, pl.Decision(reference[:1]))
    explainer = LimeTabularExplainer(reference.numpy(), mode="regression", random_state=0)
    package = explainer.explain_instance(
        reference[0].numpy(), lambda rows: of_rows(torch.from_numpy(rows))[:, 0].numpy(), num_features=8
    )
    assert within_error(result, whole(package, 8))
    assert float(result.quality["r2"]) == pytest.approx(float(package.score), abs=0.05)
