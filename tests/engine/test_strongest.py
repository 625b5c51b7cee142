"""The strongest activations: a table that is that of a brute-force sort for any batches, order, ties and split."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.engine.strongest import Strongest, code, examples_of, peaks, places_of


def sorted_at_once(values, codes, k):
    """Every candidate of every channel, by value and then by code, with Python's own sort."""
    tables = []
    for column, numbers in zip(values.T.tolist(), codes.T.tolist(), strict=True):
        ordered = sorted(zip(column, numbers, strict=True), key=lambda entry: (-entry[0], entry[1]))[:k]
        tables.append(ordered)
    return tables


def table_of(strongest):
    return [
        list(zip(values, codes, strict=True))
        for values, codes in zip(strongest.values.tolist(), strongest.codes.tolist(), strict=True)
    ]


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 40),
    st.integers(1, 4),
    st.integers(1, 12),
    st.lists(st.integers(1, 9), min_size=1, max_size=6),
    st.integers(0, 2**16),
)
def test_any_batches_any_order_and_any_split_give_the_table_of_sorting_everything(examples, channels, k, sizes, seed):
    source = torch.Generator().manual_seed(seed)
    values = torch.randint(-2, 3, (examples, channels), generator=source).float()  # few values, hence many ties
    places = torch.randint(0, 49, (examples, channels), generator=source)
    codes = code(torch.arange(examples)[:, None].expand(-1, channels), places)
    order = torch.randperm(examples, generator=source)
    tables = [Strongest(channels, k), Strongest(channels, k)]
    start = turn = 0
    while start < examples:
        rows = order[start : start + sizes[turn % len(sizes)]]
        tables[turn % 2].add(values[rows], codes[rows])
        start, turn = start + len(rows), turn + 1
    tables[0].merge(tables[1])
    assert table_of(tables[0]) == sorted_at_once(values, codes, k)


def test_ties_go_to_the_lowest_example_and_then_the_lowest_place():
    places = torch.zeros(3, 1, 4)
    places[1, 0, 2:] = 5
    places[2, 0, 1] = 5
    found = Strongest(1, 3)
    for number in (2, 0, 1):
        found.add(*peaks(places[number : number + 1], number))
    assert found.values.tolist() == [[5, 5, 0]]
    assert found.examples.tolist() == [[1, 2, 0]]
    assert found.places.tolist() == [[2, 1, 0]]


def test_codes_keep_large_numbers_and_are_ordered_by_example_first():
    examples, places = torch.tensor([0, 1, 2**31 - 1]), torch.tensor([2**31, 0, 2**32 - 1])
    codes = code(examples, places)
    assert examples_of(codes).tolist() == examples.tolist()
    assert places_of(codes).tolist() == places.tolist()
    assert codes.tolist() == sorted(codes.tolist())


def test_a_state_goes_on_as_if_nothing_had_happened():
    values, codes = torch.randn(20, 3), code(torch.arange(20)[:, None].expand(-1, 3), torch.zeros(20, 3))
    whole, first, second = Strongest(3, 4), Strongest(3, 4), Strongest(3, 4)
    whole.add(values, codes)
    first.add(values[:7], codes[:7])
    second.restore(first.state())
    second.add(values[7:], codes[7:])
    assert table_of(second) == table_of(whole)
