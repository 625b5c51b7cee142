"""Overlaps of units with masks, and their thresholds, against brute force."""

import numpy as np
import pytest
import torch
from PIL import Image

from pellucid.core.errors import BadInput, UsageError
from pellucid.engine.concept_masks import concept_masks
from pellucid.engine.overlaps import LargestShare, Overlaps


def drawn(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("share", [0.005, 0.1, 0.5])
def test_no_more_than_the_share_is_above_the_threshold_whatever_the_batches(share):
    values = drawn(3, 1000)
    values[1] = (values[1] * 400).floor()
    found = LargestShare(3, share, 1000)
    for start in range(0, 1000, 130):
        found.add(values[:, start : start + 130])
    expected = values.sort(1, descending=True).values[:, int(share * 1000)]
    assert torch.equal(found.threshold(), expected)
    assert bool(((values > found.threshold()[:, None]).float().mean(1) <= share).all())


def test_a_unit_that_saturates_is_above_its_threshold_where_it_has_its_largest_value():
    values = (drawn(1, 1000) * 2).clamp(max=1)
    found = LargestShare(1, 0.005, 1000)
    found.add(values)
    assert torch.equal(values > found.threshold(), values == 1)
    silent = LargestShare(1, 0.005, 10)
    silent.add(torch.zeros(1, 10))
    assert float(silent.threshold()) == 0


def made(examples=7, units=4, places=12, concepts=3):
    above, masks = drawn(units, examples, places) > 0.7, drawn(concepts, examples, places, seed=1) > 0.5
    above[2] = False
    return above, masks, Overlaps(above.flatten().nonzero().flatten(), units, masks)


def by_hand(above, masks):
    shared, union = (above & masks).sum(), (above | masks).sum()
    return float(shared) / max(float(union), 1)


def test_ratios_are_intersections_over_unions():
    above, masks, overlaps = made()
    expected = [[by_hand(unit, concept) for concept in masks] for unit in above]
    torch.testing.assert_close(overlaps.ratios(), torch.tensor(expected, dtype=torch.float64))
    assert overlaps.areas().tolist() == above.flatten(1).sum(1).tolist()


def test_chance_deals_the_masks_to_other_examples():
    above, masks, overlaps = made()
    found = overlaps.by_chance(1, 20, torch.Generator().manual_seed(3))
    source = torch.Generator().manual_seed(3)
    orders = [torch.randperm(7, generator=source) for _ in range(20)]
    expected = [max(by_hand(above[1], concept[order]) for concept in masks) for order in orders]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))
    assert not overlaps.by_chance(2, 5, source).any()


def test_masks_come_as_tensors_lists_of_files_or_folders(tmp_path):
    masks = (drawn(3, 8, 8) > 0.5).numpy()
    for number, mask in enumerate(masks):
        Image.fromarray(mask.astype(np.uint8) * 200).save(tmp_path / f"{number}.png")
    files = [str(tmp_path / f"{number}.png") for number in range(3)]
    found = concept_masks({"tensor": masks, "folder": str(tmp_path), "files": files, "each": list(masks)}, 3, 8)
    assert all(torch.equal(concept, torch.from_numpy(masks)) for concept in found)
    alike = concept_masks({"left": torch.eye(8)}, 5, 8)
    assert alike.shape == (1, 5, 8, 8)
    blocks = torch.zeros(1, 4, 4)
    blocks[0, :2, :2], blocks[0, 3, 3] = 1, 1
    assert concept_masks({"block": blocks}, 1, 2)[0, 0].tolist() == [[True, False], [False, False]]


def test_masks_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(UsageError, match="at least one concept"):
        concept_masks({}, 3, 8)
    with pytest.raises(BadInput, match=r"the masks of 'sky' have shape \(2, 4, 4\); give \[3, height, width\]"):
        concept_masks({"sky": torch.ones(2, 4, 4)}, 3, 8)
    with pytest.raises(BadInput, match="different shapes"):
        concept_masks({"sky": torch.ones(3, 4, 4), "sea": torch.ones(3, 5, 4)}, 3, 8)
    with pytest.raises(BadInput, match="should lie in a folder"):
        concept_masks({"sky": "nowhere"}, 3, 8)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(BadInput, match="broken.png of 'sky' cannot be read"):
        concept_masks({"sky": tmp_path}, 1, 8)
