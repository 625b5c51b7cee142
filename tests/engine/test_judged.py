"""Judged answers: every example has its own maps and controls, whatever stands beside it."""

import numpy as np
import pytest
import torch
from scipy.ndimage import sobel

from metrics.additive_models import judgement, picture_model, pictures
from pellucid.engine.judged import control_maps, judged


@pytest.mark.parametrize("name", ["edge", "constant", "random"])
def test_a_control_looks_at_one_picture_at_a_time(name):
    subject, _ = picture_model(6)
    inputs = subject.prepare(pictures(5, 6))
    together = control_maps(subject, inputs, name)
    for row in range(5):
        part = slice(row, row + 1)
        assert torch.equal(together[part], control_maps(subject, inputs.rows(part), name))


def test_edges_are_the_magnitude_of_the_sobel_gradient():
    subject, _ = picture_model(6)
    inputs = subject.prepare(pictures(2, 6))
    for picture, found in zip(inputs.value[:, 0].numpy(), control_maps(subject, inputs, "edge")[:, 0], strict=True):
        np.testing.assert_allclose(found.numpy(), np.hypot(sobel(picture, 0), sobel(picture, 1)), atol=1e-12)


def test_every_case_has_its_own_maps_among_many():
    subject, _ = picture_model(4)
    points = pictures(40, 4)
    asked = judged(subject, judgement(points, points, -points))
    cases = list(asked.cases(random_maps=2))
    assert [case.row for case in cases] == list(range(40))
    for case in (cases[0], cases[15], cases[16], cases[39]):
        own = points[case.row : case.row + 1]
        assert torch.equal(case.inputs.value, own)
        controls = [control_maps(subject, subject.prepare(own), name, asked.seed) for name in ("edge", "constant")]
        chance = [control_maps(subject, subject.prepare(own), "random", asked.seed, number) for number in range(2)]
        assert torch.equal(case.maps, torch.cat([own, -own, *controls, *chance]))
