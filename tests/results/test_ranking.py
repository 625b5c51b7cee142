"""A ranking names a winner only where intervals are apart and a paired test says so, and beats controls likewise."""

import pytest
import torch

import pellucid as pl
from pellucid.engine import standing


def ranking(values, higher=(True,), controls=1):
    """Of values ``[metrics, rows, examples]``; the last rows are controls."""
    metrics, rows, examples = values.shape
    signs = torch.tensor([1.0 if high else -1.0 for high in higher], dtype=torch.float64)[:, None, None]
    names = [*(f"method {row}" for row in range(rows - controls)), *("control: random" for _ in range(controls))]
    return pl.Ranking(
        subject="network",
        examples=tuple(map(str, range(examples))),
        metrics=tuple(f"metric {number}" for number in range(metrics)),
        higher_is_better=tuple(higher),
        rows=tuple(names),
        controls=controls,
        values=values,
        means=torch.stack([standing.mean_intervals(table, 0) for table in values]),
        different=standing.paired_tests(values),
        ranks=standing.mean_ranks(values * signs, 0),
        agreement=standing.agreement(values * signs),
        cost=torch.ones(rows - controls, 2, dtype=torch.float64),
        protocols=("words",) * metrics,
    )


def noise(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_a_clear_winner_is_named_and_beats_the_control():
    values = noise(1, 3, 40)
    values[0, 0] += 5
    found = ranking(values)
    assert found.leaders(0) == ["method 0"]
    assert "method 0 is best" in found.about(0)
    assert found.beats_controls(0, 0)
    assert not found.beats_controls(0, 1)


def test_no_winner_is_named_where_intervals_overlap_though_a_paired_test_tells_rows_apart():
    shared = 10 * noise(40)
    values = torch.stack([shared + 0.5, shared, shared - 30])[None]
    found = ranking(values)
    assert float(found.different[0, 0, 1]) < 0.05
    assert found.leaders(0) == ["method 0", "method 1"]
    assert "no winner" in found.about(0)


@pytest.mark.parametrize("higher", [True, False])
def test_better_means_what_the_metric_says(higher):
    values = noise(1, 3, 40)
    values[0, 1] += 5 if higher else -5
    found = ranking(values, (higher,))
    assert found.order(0)[0] == 1
    assert found.leaders(0) == ["method 1"]


def test_over_all_metrics_a_winner_needs_an_interval_of_its_own():
    values = noise(2, 4, 40)
    assert "No winner over all metrics" in ranking(values, (True, True)).verdict()
    values[:, 2] += 8
    assert ranking(values, (True, True)).verdict().startswith("method 2 ranks best")
    assert "takes two" in ranking(values[:1]).verdict()


def test_few_inputs_are_said_to_be_too_few():
    values = noise(1, 3, 4)
    values[0, 0] += 9
    found = ranking(values)
    assert "no winner" in found.about(0)
    assert "so few inputs" in found.statements()[-1]


def test_a_row_that_was_not_judged_stands_nowhere():
    values = noise(2, 3, 20)
    values[1, 0] = torch.nan
    found = ranking(values, (True, True))
    assert 0 not in found.order(1)
    assert "method 0" not in found.leaders(1)
    assert found.by_rank()[-1] == 0


def test_it_is_saved_and_read_with_its_gaps(tmp_path):
    values = noise(2, 3, 8)
    values[0, 1, 2] = torch.nan
    found = ranking(values, (True, False))
    read = pl.Result.load(found.save(tmp_path / "ranking.pellucid"))
    assert read.summary() == found.summary()
    torch.testing.assert_close(read.values, found.values, equal_nan=True)


def test_contradicting_fields_are_refused():
    with pytest.raises(ValueError, match="shape"):
        ranking(noise(1, 3, 8)).__class__(**{**vars(ranking(noise(1, 3, 8))), "examples": ("only one",)})


def test_the_page_and_the_picture_show_every_row_and_metric_and_load_nothing():
    values = noise(2, 4, 30)
    values[0, 0] += 5
    found = ranking(values, (True, False))
    page = found._repr_html_()
    assert "http" not in page
    assert "<script" not in page
    assert all(page.count(name) >= 2 for name in (*found.rows, *found.metrics))
    assert page.count("<strong>") >= 2
    assert found.plot().size[0] > 400
