"""Insertion: where it begins, and that it mirrors deletion."""

import pytest
import torch

from metrics.additive_models import judgement, picture_model, pictures, row_model
from pellucid.metrics.deletion import Deletion
from pellucid.metrics.insertion import Insertion


def test_pictures_begin_with_a_blur_and_end_as_they_are():
    subject, weights = picture_model(8)
    point = pictures(1, 8)
    found = Insertion()(subject, judgement(point, point * weights))
    inputs = subject.prepare(point)
    start, end = (float((shown * weights).sum()) for shown in (subject.task.baseline(inputs, "blur"), point))
    assert found.curve[0, [0, -1]].tolist() == pytest.approx([start, end])
    assert "'blur'" in found.protocol


def test_inserting_a_map_is_deleting_its_reverse():
    subject = row_model([2.0, -1.0, 1.0, 4.0], link=torch.tanh)
    point, scores = torch.tensor([[0.1, 0.2, -0.3, 0.4]], dtype=torch.float64), torch.tensor([[1.0, 4.0, 2.0, 3.0]])
    inserted = Insertion(cover="zero")(subject, judgement(point, scores))
    deleted = Deletion(cover="zero")(subject, judgement(point, -scores))
    assert torch.allclose(inserted.curve[0], deleted.curve[0].flip(0))
    assert float(inserted.value) == pytest.approx(float(deleted.value))


def test_a_map_that_knows_where_the_score_comes_from_beats_every_control():
    subject, weights = picture_model(8)
    point = pictures(30, 8)
    found = Insertion(cover="zero")(subject, judgement(point, point * weights, -point * weights))
    assert all(found.beats("answer", control) for control in ("random", "edge", "constant"))
    assert not any(found.beats("answer #2", control) for control in ("random", "edge", "constant"))
