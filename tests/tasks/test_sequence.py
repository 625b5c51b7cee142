"""Sequences: characters one-hot, channels over time, padding that is marked and stays zero."""

import pytest
import torch

from pellucid.core.errors import BadInput, UsageError
from pellucid.tasks.sequence import Sequence


@pytest.fixture
def letters():
    return Sequence("abc", states={"hidden": (2, 4)})


@pytest.fixture
def signals():
    return Sequence(channels=("left", "right"))


def test_text_is_one_hot_and_shorter_texts_are_padded(letters):
    inputs = letters.prepare(["cab", "b"])
    assert inputs.value.argmax(-1)[0].tolist() == [2, 0, 1]
    assert inputs.value[1].tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 0]]
    assert inputs.mask.tolist() == [[True, True, True], [True, False, False]]


def test_states_start_at_zero_and_can_be_given(letters):
    assert letters.prepare("ab").tensors["hidden"].shape == (1, 2, 4)
    assert not letters.prepare("ab").tensors["hidden"].any()
    given = letters.prepare({"sequence": torch.eye(3)[None], "hidden": torch.ones(1, 2, 4)})
    assert given.tensors["hidden"].all()


def test_every_position_is_a_feature_with_its_letter_and_padding_is_none(letters):
    features = letters.features(letters.prepare(["cab", "b"]), "positions")
    assert features.labels == (("c", "a", "b"), ("b",))
    assert features.spans == (((0, 1), (1, 2), (2, 3)), ((0, 1),))
    assert features.segments[:, :, 0].tolist() == [[0, 1, 2], [0, -1, -1]]


def test_channels_are_features_over_all_time(signals):
    inputs = signals.prepare(torch.ones(1, 5, 2))
    features = signals.features(inputs, "channels")
    assert features.labels == (("left", "right"),)
    assert [sums.tolist() for sums in features.sums(inputs.value)] == [[5.0, 5.0]]


def test_the_mean_is_over_real_positions_and_padding_stays_zero(letters):
    inputs = letters.prepare(["abc", "a"])
    mean = letters.baseline(inputs, "mean")
    assert torch.allclose(mean[0], torch.full((3, 3), 1 / 3))
    assert mean[1].tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]
    for name in letters.baselines():
        assert not letters.baseline(inputs, name)[1, 1:].any()


def test_one_hot_letters_lie_between_zero_and_one_and_signals_have_no_bounds(letters, signals):
    low, high = letters.bounds(letters.prepare("a"))
    assert (float(low), float(high)) == (0.0, 1.0)
    assert signals.bounds(signals.prepare(torch.ones(1, 2, 2))) is None


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ("", "empty"),
        ("abd", "the character 'd' is not among the 3"),
        (torch.zeros(1, 4, 2), r"shape \[batch, positions, 3\]"),
        (torch.full((1, 2, 3), torch.nan), "NaN"),
        ([torch.zeros(4, 2)], r"shape \[positions, 3\]"),
        ({"hidden": torch.zeros(1, 2, 4)}, "lack 'sequence'"),
        ([], "no text or sequence|empty|at least one"),
        (None, "."),
    ],
    ids=str,
)
def test_what_is_no_sequence_of_these_characters_is_refused(letters, raw, said):
    with pytest.raises(BadInput, match=said):
        letters.prepare(raw)


def test_text_is_refused_by_a_model_of_signals(signals):
    with pytest.raises(BadInput, match="channels over time, not text"):
        signals.prepare("abc")


def test_a_task_is_about_characters_or_channels_never_both():
    for fields in ({}, {"vocabulary": "ab", "channels": ("x",)}):
        with pytest.raises(UsageError, match="one of the two"):
            Sequence(**fields)
