"""Equal values have equal digests, whatever object holds them; different ones have not."""

import dataclasses
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pellucid.core.content import by_content, digest
from pellucid.core.provenance import Provenance
from pellucid.core.query import Decision, Unit


class Colour(StrEnum):
    RED = "red"


@by_content
@dataclasses.dataclass(frozen=True, eq=False)
class Held:
    value: Any
    beside: Any = dataclasses.field(default=None, compare=False)
    told: Any = dataclasses.field(default=None, metadata={"identity": False})


DIFFERENT = [
    None,
    True,
    1,
    1.0,
    "1",
    b"1",
    "",
    (),
    [1],
    (1, 2),
    ((1,), 2),
    (1, (2,)),
    {"a": 1},
    {"a": 1, "b": 2},
    {1, 2},
    Colour.RED,
    "red",
    torch.tensor([1.0]),
    torch.tensor([[1.0]]),
    torch.tensor([1.0], dtype=torch.float64),
    torch.tensor([1]),
    np.array([1.0]),
    np.array([1], dtype=np.int32),
    Image.new("L", (2, 3)),
    Image.new("L", (3, 2)),
    Image.new("RGB", (2, 3)),
    Held(1),
    Held(2),
    print,
]


def test_different_values_have_different_digests():
    assert len({digest(value) for value in DIFFERENT}) == len(DIFFERENT)


@pytest.mark.parametrize("value", DIFFERENT, ids=lambda value: type(value).__name__)
def test_a_digest_is_the_same_each_time(value):
    assert digest(value) == digest(value)
    assert len(digest(value)) == 32


def test_a_view_has_the_digest_of_what_it_shows():
    base = torch.arange(12.0).view(3, 4)
    for view in (base.T, base[:, 1], base[:, 1:2], base[1:2, ::3], base[:1, :1], base[::2]):
        assert digest(view) == digest(view.clone(memory_format=torch.contiguous_format))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.bool, torch.complex64])
def test_every_kind_of_number_has_a_digest_by_its_bits(dtype):
    one, other = torch.ones(3).to(dtype), torch.tensor([1, 1, 0]).to(dtype)
    assert digest(one) == digest(torch.ones(3).to(dtype))
    assert digest(one) != digest(other)


def test_the_order_of_a_mapping_or_set_does_not_count():
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest({"x", "y", "z"}) == digest({"z", "y", "x"})


def test_text_of_numpy_is_text():
    assert digest(np.array(["a"])[0]) == digest("a")


def test_minus_zero_and_nan_are_told_apart_by_their_bits():
    assert digest(0.0) != digest(-0.0)
    assert digest(float("nan")) == digest(float("nan"))


def test_a_path_stands_for_the_content_of_its_file(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"same")
    other.write_bytes(b"same")
    assert digest(one) == digest(other)
    other.write_bytes(b"changed")
    assert digest(one) != digest(other)
    assert digest(Path("missing")) != digest(Path("absent"))


def test_records_with_tensors_compare_and_hash_by_content():
    one, same, other = Held(torch.ones(2)), Held(torch.ones(2)), Held(torch.zeros(2))
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    assert one != torch.ones(2)
    assert len({one, same, other}) == 2


def test_fields_that_are_no_part_of_the_identity_do_not_count():
    assert Held(1, beside="a", told="b") == Held(1, beside="c", told="d")


def test_what_an_answer_cost_is_no_part_of_what_it_is():
    told = {"method": "m", "fields": {}, "subject": "s", "subject_fingerprint": "f", "query_fingerprint": "q"}
    assert digest(Provenance(**told, cost={"F": 1.0})) == digest(Provenance(**told, cost={"F": 2.0}))
    assert digest(Provenance(**told)) != digest(Provenance(**{**told, "subject": "t"}))


def test_queries_compare_by_content():
    assert Decision(torch.ones(2), 1) == Decision(torch.ones(2), 1)
    assert Decision(torch.ones(2), 1) != Decision(torch.ones(2), "1")
    assert Decision(None, of=Unit("a", 1)) != Decision(None, of=Unit("a", 2))
