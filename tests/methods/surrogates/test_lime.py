"""LIME: coefficients that a full enumeration confirms, for every kind of input, with honest intervals and notes."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.core.errors import NotAnswerable, UsageError
from pellucid.methods import Lime


class Function(nn.Module):
    """A module that computes what it is given, in the precision of its one parameter."""

    def __init__(self, function, dtype=torch.float64):
        super().__init__()
        self.function = function
        self.precision = nn.Parameter(torch.zeros((), dtype=dtype))

    def forward(self, point=None, embeddings=None, attention_mask=None):
        return self.function(embeddings if point is None else point)


def recorded(function):
    """The same function, and the list of all points it will be asked about."""
    seen = []

    def watched(point):
        seen.append(point.detach().clone())
        return function(point)

    return watched, seen


class Words:
    """A tokenizer of words between spaces; token 0 opens a text, 1 is padding, 2 the mask."""

    mask_token_id = 2

    def __init__(self, *words):
        self.numbers = {word: number for number, word in enumerate(words, start=3)}

    def __len__(self):
        return len(self.numbers) + 3

    def __call__(self, texts, **options):
        split = [[*self._tokens(text)] for text in texts]
        longest = max(map(len, split)) + 1
        ids, offsets, special, mask = [], [], [], []
        for words in split:
            empty = longest - 1 - len(words)
            ids.append([0, *(self.numbers[word] for word, _ in words), *[1] * empty])
            offsets.append([(0, 0), *(span for _, span in words), *[(0, 0)] * empty])
            special.append([1, *[0] * len(words), *[1] * empty])
            mask.append([1, *[1] * len(words), *[0] * empty])
        return {"input_ids": ids, "offset_mapping": offsets, "special_tokens_mask": special, "attention_mask": mask}

    @staticmethod
    def _tokens(text):
        start = 0
        for word in text.split(" "):
            yield word, (start, start + len(word))
            start += len(word) + 1


def tensor_subject(function):
    return pl.wrap(Function(function), pl.tasks.TensorTask(output="value"))


def enumerated(function, features, kernel=lambda share: math.sqrt(math.exp(-(((1 - math.sqrt(share)) / 0.25) ** 2)))):
    """Weighted least squares on all 2^features masks: what coin flips come to in the long run."""
    masks = np.array(list(itertools.product([0.0, 1.0], repeat=features)))
    root = np.sqrt([kernel(mask.mean()) for mask in masks])[:, None]
    answers = np.array([function(mask) for mask in masks])[:, None]
    design = np.hstack([np.ones((len(masks), 1)), masks])
    return np.linalg.lstsq(design * root, answers * root, rcond=None)[0][1:, 0]


def inside(result, truth, example=0):
    low, high = (side[example].numpy() for side in result.interval)
    return (low - 1e-9 <= truth) & (truth <= high + 1e-9)


WEIGHTS = torch.tensor([2.0, -1.0, 0.5, 0.0, 3.0, -2.5], dtype=torch.float64)
POINT = torch.tensor([[1.0, 2.0, -1.0, 4.0, 0.5, 1.5]], dtype=torch.float64)


def curved(point):
    return (point @ WEIGHTS.to(point) + point[:, 0] * point[:, 1] - (point[:, 4] * point[:, 5]).sin())[:, None]


def test_a_linear_score_gives_its_own_terms():
    subject = tensor_subject(lambda point: (point @ WEIGHTS)[:, None])
    result = Lime(samples=5000)(subject, pl.Decision(POINT))
    terms = (WEIGHTS * POINT[0]).numpy()
    assert result.by_feature()[0].numpy() == pytest.approx(terms, abs=1e-2)
    assert inside(result, terms).all()
    assert float(result.quality["r2"]) == pytest.approx(1, abs=1e-4)
    assert float(result.value) == pytest.approx(terms.sum(), abs=1e-12)
    assert float(result.quality["intercept"]) == pytest.approx(0, abs=1e-2)
    assert float(result.quality["local_prediction"]) == pytest.approx(terms.sum(), abs=1e-2)


def test_a_curved_score_gives_the_least_squares_of_all_masks_within_three_errors():
    subject = tensor_subject(curved)
    truth = enumerated(lambda mask: curved(POINT * torch.from_numpy(mask)).item(), 6)
    result = Lime(samples=4000)(subject, pl.Decision(POINT))
    error = (result.interval[1][0] - result.interval[0][0]).numpy() / (2 * 1.96)
    assert (np.abs(result.by_feature()[0].numpy() - truth) <= 3 * error + 1e-2).all()
    assert error.max() < 0.05


def test_intervals_hold_the_least_squares_of_all_masks_in_95_of_100_cases():
    subject = tensor_subject(curved)
    truth = enumerated(lambda mask: curved(POINT * torch.from_numpy(mask)).item(), 6)
    methods = [Lime(samples=200, preset="lime", seed=seed) for seed in range(150)]
    hits = [inside(method(subject, pl.Decision(POINT)), truth) for method in methods]
    assert 0.93 <= np.mean(hits) <= 0.985


def test_more_samples_narrow_the_intervals_by_the_root_of_their_number():
    subject = tensor_subject(curved)
    methods = [Lime(samples=number, preset="lime") for number in (500, 8000)]
    wide, narrow = (method(subject, pl.Decision(POINT)).interval for method in methods)
    ratio = ((wide[1][0] - wide[0][0]) / (narrow[1][0] - narrow[0][0])).mean()
    assert 3 < float(ratio) < 5


@pytest.mark.parametrize("size", [1, 7, 64])
def test_draws_are_bit_equal_and_scores_equal_for_any_batch_size(size, monkeypatch):
    def asked(batch):
        function, seen = recorded(lambda point: point.square().sum(1, keepdim=True).sqrt())
        subject = tensor_subject(function)
        monkeypatch.setattr(subject, "batch_size", lambda inputs: batch)
        result = Lime(samples=300)(subject, pl.Decision(torch.linspace(1, 2, 12, dtype=torch.float64)[None]))
        return result, torch.cat(seen)[-300:], max(map(len, seen))

    result, points, largest = asked(size)
    plain, plain_points, _ = asked(300)
    assert largest == size
    assert torch.equal(points, plain_points)
    assert torch.allclose(result.scores, plain.scores, rtol=0, atol=1e-10)


def test_a_batch_never_exceeds_the_byte_budget():
    function, seen = recorded(lambda point: point.tanh())
    subject = pl.wrap(nn.Sequential(nn.Linear(12, 256), Function(function, torch.float32), nn.Linear(256, 2)))
    with pl.byte_budget(5 * 4 * (12 + 256 + 256 + 2)):
        Lime(samples=100)(subject, pl.Decision(torch.ones(1, 12)))
    assert sum(map(len, seen)) >= 100
    assert 2 <= max(map(len, seen)) <= 5


def test_an_answer_does_not_depend_on_neighbours_or_order():
    subject = tensor_subject(curved)
    first, second = POINT, POINT.flip(1)
    together = Lime(samples=300)(subject, pl.Decision(torch.cat([second, first])))
    alone = Lime(samples=300)(subject, pl.Decision(first))
    assert torch.equal(together.scores[1], alone.scores[0])
    assert torch.equal(together.interval[0][1], alone.interval[0][0])


def test_the_seed_decides_the_draws():
    subject, query = tensor_subject(curved), pl.Decision(POINT)
    same, again, other = (Lime(samples=60, seed=seed)(subject, query).scores for seed in (1, 1, 2))
    assert torch.equal(same, again)
    assert not torch.equal(same, other)


def test_no_mask_is_asked_about_twice_where_features_are_few():
    result = Lime(samples=1000)(tensor_subject(curved), pl.Decision(POINT))
    assert result.evaluations["F"] <= 2**6 + 1


@pytest.mark.parametrize("keep", [1, 3, 6, 8])
@pytest.mark.parametrize("preset", ["balanced", "lime"])
def test_keep_picks_the_true_features_of_a_sparse_score(keep, preset):
    weights = torch.zeros(20, dtype=torch.float64)
    true = [1, 4, 7, 8, 11, 13, 17, 19][:keep]
    weights[true] = torch.tensor([3.0, -2.0, 2.5, 1.0, -4.0, 1.5, 2.0, -1.0], dtype=torch.float64)[:keep]
    subject = tensor_subject(lambda point: (point @ weights)[:, None] + 0.05 * (9 * point).sin().sum(1, keepdim=True))
    result = Lime(samples=500, keep=keep, preset=preset)(subject, pl.Decision(torch.ones(1, 20, dtype=torch.float64)))
    assert result.by_feature()[0].nonzero()[:, 0].tolist() == true
    assert any("choice" in note for note in result.notes)


def test_a_foil_gives_the_difference_of_the_two_coefficients():
    subject = pl.wrap(nn.Linear(7, 3).double(), pl.tasks.TensorTask())
    point = torch.linspace(-1, 1, 7, dtype=torch.float64)[None]
    both = Lime(samples=200)(subject, pl.Decision(point, target=0, foil=2)).scores
    target, foil = (Lime(samples=200)(subject, pl.Decision(point, target=index)).scores for index in (0, 2))
    assert torch.allclose(both, target - foil, atol=1e-10)


def test_probabilities_and_units_are_explained_as_asked():
    network = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    network.requires_grad_(False)
    subject, point = pl.wrap(network, pl.tasks.TensorTask()), torch.ones(1, 5, dtype=torch.float64)
    probability = Lime(samples=64)(subject, pl.Decision(point, target=1, of="probability"))
    assert float(probability.value) == pytest.approx(float(network(point).softmax(1)[0, 1]), abs=1e-12)
    unit = Lime(samples=64)(subject, pl.Decision(point, of=pl.Unit(layer="1", index=2)))
    assert float(unit.value) == pytest.approx(float(network[:2](point)[0, 2]), abs=1e-12)


def picture():
    rows, columns = torch.meshgrid(torch.arange(8), torch.arange(8), indexing="ij")
    quarters = (rows // 4) * 2 + columns // 4
    return torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(4)), quarters


def test_hidden_superpixels_of_a_picture_take_their_own_mean_colour():
    pixels, quarters = picture()
    function, seen = recorded(lambda point: point.flatten(1).sum(1, keepdim=True))
    subject = pl.wrap(Function(function), pl.tasks.Image(8))
    Lime(samples=600, features=quarters)(subject, pl.Decision(pixels))
    points = torch.cat(seen)[-16:]
    for quarter in range(4):
        inside = quarters == quarter
        parts, shown = points[:, :, inside], pixels[0, :, inside].double()
        hidden = shown.mean(1, keepdim=True).expand_as(shown)
        as_shown = torch.isclose(parts, shown, atol=1e-6).all(2).all(1)
        as_hidden = torch.isclose(parts, hidden, atol=1e-6).all(2).all(1)
        assert bool((as_shown ^ as_hidden).all())
        assert int(as_hidden.sum()) == 8  # all 16 masks are asked once


def test_a_score_that_reads_one_part_of_a_picture_gives_that_part_its_fall():
    pixels, quarters = picture()
    subject = pl.wrap(Function(lambda point: point[:, 0, :4, 4:].amax((1, 2))[:, None]), pl.tasks.Image(8))
    result = Lime(samples=2000, features=quarters)(subject, pl.Decision(pixels))
    fall = float(pixels[0, 0, :4, 4:].amax() - pixels[0, 0, :4, 4:].mean())
    assert result.by_feature()[0].tolist() == pytest.approx([0, fall, 0, 0], abs=1e-2)
    assert result.scores.shape == pixels.shape


def test_the_number_of_superpixels_can_be_asked_for():
    pixels = torch.linspace(-1, 1, 32)[None, None, :, None] * torch.linspace(-1, 1, 32).expand(1, 3, 32, 32)
    subject = pl.wrap(Function(lambda point: point.mean((1, 2, 3))[:, None]), pl.tasks.Image(32))
    few, many = (Lime(samples=80, segments=number)(subject, pl.Decision(pixels)) for number in (4, 40))
    assert few.features.kind == "superpixel"
    assert few.features.counts()[0] < many.features.counts()[0]


def test_a_named_baseline_hides_superpixels():
    pixels, quarters = picture()
    function, seen = recorded(lambda point: point.flatten(1).sum(1, keepdim=True))
    subject = pl.wrap(Function(function), pl.tasks.Image(8))
    Lime(samples=60, features=quarters, baseline="black")(subject, pl.Decision(pixels))
    points = torch.cat(seen)
    hidden = ~torch.isclose(points, pixels.double(), atol=1e-6)
    assert points[hidden].unique().tolist() == [-1.0]


VOCABULARY = ("a", "dull", "and", "truly", "wonderful", "film", "indeed")


def text_subject(function=lambda point: point[:, :, :1].sum(1)):
    table = torch.zeros(len(VOCABULARY) + 3, 2, dtype=torch.float64)
    table[3:, 0] = torch.tensor([0.1, -2.0, 0.0, 0.5, 3.0, 0.2, 0.1])
    table[:, 1] = 1.0
    task = pl.tasks.Text(Words(*VOCABULARY), lambda tokens: table[tokens], output="value")
    return pl.wrap(Function(function), task)


def test_words_score_what_they_bring():
    result = Lime(samples=4000)(text_subject(), pl.Decision("a dull and truly wonderful film"))
    assert result.features.labels[0] == ("a", "dull", "and", "truly", "wonderful", "film")
    assert result.by_feature()[0].tolist() == pytest.approx([0.1, -2.0, 0.0, 0.5, 3.0, 0.2], abs=2e-2)
    assert bool((result.scores[0, 0] == 0).all())


def test_every_text_but_the_first_lacks_a_word_and_the_opening_token_stays():
    function, seen = recorded(lambda point: point[:, :, :1].sum(1))
    Lime(samples=3)(text_subject(function), pl.Decision("a dull and truly wonderful film"))
    points = torch.cat(seen)[-3:]
    assert [bool((point == points[0]).all()) for point in points] == [True, False, False]
    assert torch.equal(points[:, 0], points[:1, 0].expand(3, -1))


def test_a_shorter_text_scores_the_same_beside_a_longer_one():
    subject = text_subject()
    texts = ["a wonderful film", "a dull and truly wonderful film indeed"]
    together = Lime(samples=100)(subject, pl.Decision(texts))
    alone = Lime(samples=100)(subject, pl.Decision(texts[0]))
    assert torch.equal(together.by_feature()[0], alone.by_feature()[0])
    assert bool((together.scores[0, 4:] == 0).all())


def test_padding_belongs_to_no_feature_of_a_sequence():
    task = pl.tasks.Sequence(channels=("left", "right"), output="value")
    subject = pl.wrap(Function(lambda point: point.sum((1, 2))[:, None]), task)
    long, short = torch.ones(5, 2), 2 * torch.ones(3, 2)
    method = Lime(samples=64, features="channels")
    together = method(subject, pl.Decision([long, short]))
    alone = method(subject, pl.Decision(short[None]))
    assert torch.allclose(together.by_feature()[1], alone.by_feature()[0], atol=1e-5)
    assert bool((together.scores[1, 3:] == 0).all())


def table_subject(function, reference=None, columns=("age", "income", "debt"), **task):
    return pl.wrap(Function(function), pl.tasks.Tabular(columns, reference=reference, output="value", **task))


def reference_rows(columns=3, rows=400):
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(1)) * 3 + 10


def test_a_column_scores_what_its_quartile_brings():
    reference = reference_rows()
    row = {"age": float(reference[:, 0].max()) - 0.5, "income": 10.0, "debt": 9.0}
    cut = float(torch.quantile(reference[:, 0].double(), 0.75))
    subject = table_subject(lambda point: 4.0 * (point[:, :1] > cut), reference)
    result = Lime(samples=3000)(subject, pl.Decision(row))
    assert result.by_feature()[0].tolist() == pytest.approx([4, 0, 0], abs=2e-2)
    assert result.features.labels[0] == ("age", "income", "debt")
    assert any("quartile" in note for note in result.notes)


def test_rows_are_drawn_like_the_reference_and_row_0_is_the_row_itself():
    reference = reference_rows()
    function, seen = recorded(lambda point: point.sum(1, keepdim=True))
    result = Lime(samples=2000)(table_subject(function, reference), pl.Decision(reference[3:4]))
    points = torch.cat(seen)[-2000:]
    assert torch.allclose(points[0], reference[3].double())
    assert float(result.value) == pytest.approx(float(reference[3].sum()), rel=1e-6)
    assert points.mean(0).tolist() == pytest.approx(reference.mean(0).tolist(), abs=0.25)
    assert points.std(0).tolist() == pytest.approx(reference.std(0).tolist(), rel=0.1)
    assert bool((points.amin(0) >= reference.amin(0)).all())


def test_without_reference_rows_coefficients_are_slopes_in_standardised_units():
    slopes = torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64)
    means, deviations = [40.0, 10.0, 3.0], [12.0, 4.0, 1.0]
    subject = table_subject(lambda point: (point @ slopes)[:, None], means=means, deviations=deviations)
    result = Lime(samples=3000)(subject, pl.Decision({"age": 52.0, "income": 14.0, "debt": 2.0}))
    assert result.by_feature()[0].tolist() == pytest.approx(slopes.tolist(), abs=1e-2)
    assert any("standard normal" in note for note in result.notes)


def test_a_named_baseline_hides_the_columns_of_a_table():
    subject = table_subject(lambda point: point.sum(1, keepdim=True), reference_rows())
    result = Lime(samples=3000, baseline=0.0)(subject, pl.Decision([1.0, 2.0, 3.0]))
    assert result.by_feature()[0].tolist() == pytest.approx([1, 2, 3], abs=2e-2)


def test_a_column_that_never_changes_has_no_bounds():
    reference = reference_rows()
    reference[:, 1] = 5.0
    subject = table_subject(lambda point: point.sum(1, keepdim=True), reference)
    result = Lime(samples=500)(subject, pl.Decision([10.0, 5.0, 9.0]))
    assert result.interval[0][0].isinf().tolist() == [False, True, False]
    assert any("without bounds" in note for note in result.notes)


def test_columns_grouped_without_reference_rows_are_refused():
    with pytest.raises(NotAnswerable, match="reference rows"):
        Lime(samples=50, features=torch.tensor([0, 0, 1]))(
            table_subject(lambda point: point.sum(1, keepdim=True)), pl.Decision([1.0, 2.0, 3.0])
        )


def test_a_score_that_no_line_fits_is_said_to_be_poorly_explained():
    subject = tensor_subject(lambda point: point.prod(1, keepdim=True))
    signs = pl.Decision(-torch.ones(1, 6, dtype=torch.float64))
    result = Lime(samples=500, baseline=1.0)(subject, signs)
    assert float(result.quality["r2"]) < 0.3
    assert any("explains only" in note for note in result.notes)


def test_a_score_that_never_changes_is_said_to_be_constant():
    subject = tensor_subject(lambda point: point.new_full((len(point), 1), 1 / 3))
    result = Lime(samples=100)(subject, pl.Decision(POINT))
    assert float(result.scores.abs().max()) < 1e-12
    assert any("same whatever is changed" in note for note in result.notes)


def test_too_few_samples_leave_scores_without_bounds_and_say_so():
    result = Lime(samples=5)(tensor_subject(curved), pl.Decision(POINT))
    assert bool(result.interval[1][0].isinf().all())
    assert any("too few for 6 features" in note for note in result.notes)


def test_features_that_cannot_be_told_from_the_baseline_are_counted():
    point = torch.tensor([[1.0, 0.0, 2.0]], dtype=torch.float64)
    result = Lime(samples=50)(tensor_subject(lambda point: point.sum(1, keepdim=True)), pl.Decision(point))
    assert any(note.startswith("1 of 3 features look the same") for note in result.notes)


def test_hiding_that_changes_nothing_is_refused():
    pixels, _ = picture()
    subject = pl.wrap(Function(lambda point: point.mean((1, 2, 3))[:, None]), pl.tasks.Image(8))
    with pytest.raises(NotAnswerable, match="baseline"):
        Lime(samples=100, features="pixels")(subject, pl.Decision(pixels))


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"samples": 1}, "≥ 2"),
        ({"keep": 0}, "≥ 1"),
        ({"kernel_width": 0.0}, "> 0"),
        ({"segments": 0}, "≥ 1"),
    ],
)
def test_fields_out_of_bounds_are_refused(fields, match):
    with pytest.raises(UsageError, match=match):
        Lime(**fields)


def test_superpixels_of_something_other_than_a_picture_are_refused():
    with pytest.raises(UsageError, match="picture"):
        Lime(segments=5)(text_subject(), pl.Decision("a film"))


def test_more_features_than_a_linear_model_can_hold_are_refused():
    subject = tensor_subject(lambda point: point.sum(1, keepdim=True))
    with pytest.raises(UsageError, match="group them"):
        Lime()(subject, pl.Decision(torch.ones(1, 5000, dtype=torch.float64)))


def test_a_wider_kernel_counts_distant_rows_more():
    point = POINT
    narrow, wide = (
        Lime(samples=4000, kernel_width=width)(tensor_subject(curved), pl.Decision(point)).by_feature()[0].numpy()
        for width in (0.1, 100.0)
    )
    truths = [
        enumerated(lambda mask: curved(point * torch.from_numpy(mask)).item(), 6, kernel)
        for kernel in (
            lambda share: math.sqrt(math.exp(-(((1 - math.sqrt(share)) / 0.1) ** 2))),
            lambda share: 1.0,
        )
    ]
    assert narrow == pytest.approx(truths[0], abs=0.15)
    assert wide == pytest.approx(truths[1], abs=0.1)
    assert narrow != pytest.approx(truths[1], abs=0.15)


def test_an_answer_with_open_intervals_survives_saving(tmp_path):
    result = Lime(samples=5)(tensor_subject(curved), pl.Decision(POINT))
    loaded = pl.Result.load(result.save(tmp_path / "answer.pellucid"))
    assert torch.equal(loaded.interval[0][0], result.interval[0][0])
    assert torch.equal(loaded.quality["r2"], result.quality["r2"])
    assert loaded.converged is None


def wide_subject():
    weights = torch.randn(14, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    return pl.wrap(lambda point: (point @ weights + (point @ weights).sin()).tanh(), pl.tasks.TensorTask(), name="wide")


WIDE = torch.linspace(0.5, 2, 14, dtype=torch.float64)[None]


def test_equal_examples_share_their_passes_whatever_is_asked_of_them():
    subject, method = wide_subject(), Lime(samples=200)
    together = method(subject, pl.Decision(torch.cat([WIDE, WIDE, WIDE]), target=[0, 2, 0], foil=[1, 1, 2]))
    alone = [method(subject, pl.Decision(WIDE, target=target, foil=foil)) for target, foil in ((0, 1), (2, 1), (0, 2))]
    assert together.evaluations["F"] == alone[0].evaluations["F"] + 2  # which of three examples to explain
    for row, answer in enumerate(alone):
        assert torch.allclose(together.scores[row], answer.scores[0], rtol=0, atol=1e-12)
        assert torch.allclose(together.interval[0][row], answer.interval[0][0], rtol=0, atol=1e-12)


def test_a_tolerance_ends_the_draws_or_the_answer_says_that_it_is_not_met():
    subject, query = wide_subject(), pl.Decision(WIDE, target=0)
    met, missed = (Lime(samples=samples, tolerance=0.1)(subject, query) for samples in (8000, 140))
    assert met.converged.tolist() == [True]
    half = (met.interval[1][0] - met.interval[0][0]) / 2
    assert float(half.max()) <= 0.1 * float(met.by_feature()[0].abs().max()) + 1e-6
    assert met.evaluations["F"] < 8000
    assert missed.converged.tolist() == [False]
    assert any("140 samples were drawn and the tolerance of 10%" in note for note in missed.notes)
    assert not any("samples were drawn" in note for note in met.notes)


def test_captums_settings_have_no_interval_and_so_no_tolerance():
    result = Lime(samples=50, preset="captum")(wide_subject(), pl.Decision(WIDE, target=0))
    assert result.interval is None
    with pytest.raises(UsageError, match="tolerance"):
        Lime(preset="captum", tolerance=0.1)(wide_subject(), pl.Decision(WIDE, target=0))
