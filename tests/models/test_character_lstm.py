"""The character model follows the LSTM's equations, with its state as an input, and keeps its recorded score."""

import math

import pytest
import torch
from torch.nn import functional

from pellucid.models.character_lstm import CharacterLSTM, load_char_lstm


def small() -> CharacterLSTM:
    torch.manual_seed(0)
    return CharacterLSTM(characters=5, units=4, layers=1).double()


def by_hand(module: CharacterLSTM, one_hot, hidden, cell):
    """The published equations for one example, step by step."""
    lstm, logits = module.lstm, []
    for character in one_hot:
        gates = lstm.weight_ih_l0 @ character + lstm.bias_ih_l0 + lstm.weight_hh_l0 @ hidden + lstm.bias_hh_l0
        entry, forget, candidate, output = gates.chunk(4)
        cell = forget.sigmoid() * cell + entry.sigmoid() * candidate.tanh()
        hidden = output.sigmoid() * cell.tanh()
        logits.append(module.classifier(hidden))
    return torch.stack(logits)


def test_the_logits_follow_the_equations_from_any_initial_state():
    module = small()
    one_hot = functional.one_hot(torch.randint(5, (2, 6)), 5).double()
    hidden, cell = torch.randn(2, 1, 4, dtype=torch.float64), torch.randn(2, 1, 4, dtype=torch.float64)
    logits = module(one_hot, hidden, cell)
    assert logits.shape == (2, 6, 5)
    for row in range(2):
        expected = by_hand(module, one_hot[row], hidden[row, 0], cell[row, 0])
        torch.testing.assert_close(logits[row], expected, atol=1e-12, rtol=0)


def test_reading_in_two_parts_is_reading_at_once():
    torch.manual_seed(0)
    module = CharacterLSTM(characters=5, units=4, layers=2).double()
    one_hot = functional.one_hot(torch.randint(5, (3, 8)), 5).double()
    whole, hidden, cell = module.unroll(one_hot, *module.initial_state(3))
    first, *state = module.unroll(one_hot[:, :5], *module.initial_state(3))
    second, *state = module.unroll(one_hot[:, 5:], *state)
    torch.testing.assert_close(torch.cat((first, second), dim=1), whole, atol=1e-12, rtol=0)
    torch.testing.assert_close(state, [hidden, cell], atol=1e-12, rtol=0)


def test_later_characters_do_not_change_earlier_logits():
    module = small()
    one_hot = functional.one_hot(torch.tensor([[0, 1, 2, 3], [0, 1, 4, 0]]), 5).double()
    logits = module(one_hot, *module.initial_state(2))
    assert torch.equal(logits[0, :2], logits[1, :2])
    assert not torch.equal(logits[0, 2], logits[1, 2])


def test_the_held_out_excerpt_keeps_its_bits_per_character():
    packaged = load_char_lstm()
    held_out = packaged.metadata["held_out"]
    numbers = torch.tensor([packaged.labels.index(character) for character in held_out["excerpt"]])
    one_hot = functional.one_hot(numbers[:-1], len(packaged.labels)).float()[None]
    logits = packaged.module(one_hot, *packaged.module.initial_state(1))[0]
    bits = functional.cross_entropy(logits.double(), numbers[1:]).item() / math.log(2)
    assert bits == pytest.approx(held_out["bits per character of the excerpt"], abs=1e-3)
    assert 2.0 < held_out["bits per character"] < 2.4


def test_the_vocabulary_names_inputs_and_outputs_and_the_state_begins_at_zero():
    packaged = load_char_lstm()
    assert packaged.labels == packaged.features == tuple(sorted(packaged.labels))
    assert len(packaged.labels) == 65
    hidden, cell = packaged.module.initial_state(2)
    assert hidden.shape == cell.shape == (2, 1, 128)
    assert not hidden.any()
    assert not cell.any()


def test_loading_gives_a_frozen_network_and_draws_no_random_numbers():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    module = load_char_lstm().module
    assert torch.equal(torch.get_rng_state(), before)
    assert not module.training
    assert not any(parameter.requires_grad or parameter.is_meta for parameter in module.parameters())
