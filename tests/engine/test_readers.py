"""Simulated readers: what each takes from a lesson, in closed forms."""

import pytest
import torch

from pellucid.engine.readers import READERS, Lesson, about, linear, majority, nearest_example

SEEN = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 4.0]], dtype=torch.float64)
ASKED = torch.tensor([[0.6, 0.5], [0.2, 3.0]], dtype=torch.float64)


def lesson(**changes):
    fields = {"seen": SEEN, "asked": ASKED, "answers": torch.tensor([0, 1, 1]), "choices": 2, "words": False}
    return Lesson(**(fields | changes))


def explained(seen, asked, weights, bias=0.0, **changes):
    """A lesson about ``w · x + b``, explained by its own terms."""
    weights = torch.as_tensor(weights, dtype=torch.float64)
    values = seen @ weights + bias
    fields = {
        "seen": seen,
        "asked": asked,
        "answers": (values > 0).long(),
        "choices": 2,
        "words": False,
        "scores": seen * weights,
        "values": values,
        "explained": torch.ones(len(seen), dtype=torch.long),
        "against": torch.zeros(len(seen), dtype=torch.long),
        "threshold": 0.0,
    }
    return Lesson(**(fields | changes))


def test_the_majority_is_the_most_frequent_answer_and_ties_go_to_the_first():
    assert majority(lesson()).tolist() == [1, 1]
    assert majority(lesson(answers=torch.tensor([1, 0, 2]), choices=3)).tolist() == [0, 0]


def test_the_nearest_example_is_that_of_the_smallest_distance():
    assert nearest_example(lesson(answers=torch.tensor([0, 1, 2]), choices=3)).tolist() == [1, 2]


def test_explanations_tell_which_elements_count_for_the_distance():
    scores = torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    shown = lesson(answers=torch.tensor([0, 1, 2]), choices=3, scores=scores)
    # Weighted distances of the first question: 0.25, 0.16, 0.36; of the second: 9, 0.64, 0.04.
    assert nearest_example(shown).tolist() == [1, 2]


def test_words_are_compared_by_what_texts_have_in_common():
    seen = torch.tensor([[1, 1, 0, 0], [0, 0, 1, 1]], dtype=torch.float64)
    asked = torch.tensor([[1, 0, 1, 1], [1, 1, 1, 0]], dtype=torch.float64)
    plain = lesson(seen=seen, asked=asked, answers=torch.tensor([0, 1]), words=True)
    assert nearest_example(plain).tolist() == [1, 0]
    strong = torch.tensor([[9.0, 1.0, 0, 0], [0, 0, 1.0, 9.0]], dtype=torch.float64)
    first_only = torch.tensor([[1, 0, 1, 0], [0, 1, 0, 1]], dtype=torch.float64)
    shown = lesson(seen=seen, asked=first_only, answers=torch.tensor([0, 1]), words=True, scores=strong)
    assert nearest_example(shown).tolist() == [0, 1]


@pytest.mark.parametrize("bias", [0.0, 0.7])
def test_sums_of_exact_terms_give_the_model_itself(bias):
    draws = torch.Generator().manual_seed(0)
    seen, asked = (torch.randn(n, 5, generator=draws, dtype=torch.float64) for n in (6, 200))
    weights = torch.tensor([2.0, -1.0, 0.5, 0.0, 3.0], dtype=torch.float64)
    expected = (asked @ weights + bias > 0).long()
    assert linear(explained(seen, asked, weights, bias)).tolist() == expected.tolist()


def test_terms_around_a_baseline_are_read_as_lines():
    draws = torch.Generator().manual_seed(1)
    seen, asked = (torch.randn(n, 3, generator=draws, dtype=torch.float64) for n in (6, 200))
    weights, baseline = torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64), torch.tensor([1.0, -2.0, 0.3])
    shown = explained(seen, asked, weights, scores=(seen - baseline) * weights)
    assert linear(shown).tolist() == (asked @ weights > 0).long().tolist()


def test_an_explanation_against_another_output_decides_between_these_two_only():
    draws = torch.Generator().manual_seed(2)
    seen, asked = (torch.randn(n, 2, generator=draws, dtype=torch.float64) for n in (12, 100))
    answers = torch.where(seen[:, 1] > 0, 2, (seen[:, 0] > 0).long())
    shown = explained(seen, asked, [1.0, 0.0], answers=answers, choices=3)
    third = linear(lesson(seen=seen, asked=asked, answers=answers, choices=3)) == 2
    expected = torch.where(third, 2, (asked[:, 0] > 0).long())
    assert linear(shown).tolist() == expected.tolist()
    assert third.any()


def test_without_a_threshold_the_one_that_parts_the_shown_answers_is_found():
    seen = torch.tensor([[1.0], [2.0], [3.0], [4.0]], dtype=torch.float64)
    asked = torch.tensor([[2.4], [2.6], [9.0], [-9.0]], dtype=torch.float64)
    shown = explained(seen, asked, [1.0], answers=torch.tensor([0, 0, 1, 1]), threshold=None)
    assert linear(shown).tolist() == [0, 1, 1, 0]


def test_explanations_of_several_answers_compete():
    draws = torch.Generator().manual_seed(3)
    seen, asked = (torch.randn(n, 4, generator=draws, dtype=torch.float64) for n in (30, 100))
    weights = torch.randn(4, 3, generator=draws, dtype=torch.float64)
    answers = (seen @ weights).argmax(1)
    own = weights.T[answers]
    shown = Lesson(
        seen, asked, answers, 3, False, seen * own, (seen * own).sum(1), answers, torch.full((30,), -1), None
    )
    assert linear(shown).tolist() == (asked @ weights).argmax(1).tolist()


def test_words_add_their_mean_shown_scores_and_unknown_ones_nothing():
    seen = torch.tensor([[1, 1, 0, 0], [1, 0, 1, 0]], dtype=torch.float64)
    asked = torch.tensor([[0, 1, 0, 1], [0, 0, 1, 0]], dtype=torch.float64)
    scores = torch.tensor([[0.1, 2.0, 0, 0], [-0.1, 0, -2.0, 0]], dtype=torch.float64)
    fields = {"explained": torch.tensor([1, 1]), "against": torch.tensor([0, 0]), "threshold": 0.0}
    shown = lesson(
        seen=seen, asked=asked, answers=torch.tensor([1, 0]), words=True, scores=scores, values=scores.sum(1), **fields
    )
    assert linear(shown).tolist() == [1, 0]


def test_what_is_explained_and_never_answered_leaves_the_reader_as_without():
    shown = explained(SEEN, ASKED, [1.0, 1.0], explained=torch.full((3,), -1))
    assert linear(shown).tolist() == linear(lesson(answers=shown.answers)).tolist()


def test_every_reader_says_what_it_does():
    assert all(about(name).endswith(".") and len(about(name)) > 40 for name in READERS)
