"""A character model: an LSTM that predicts the next character at every position of a text."""

from torch import Tensor, nn

from pellucid.models.packaged import Packaged, load_packaged


class CharacterLSTM(nn.Module):
    """Logits [B, T, V] of the character after each position; hochreiter1997long.

    Everything has the batch first: the characters ``one_hot`` [B, T, V] and the initial state ``hidden`` and ``cell``
    [B, layers, units], which is an input like any other, so that an explanation can say how much it mattered. Zeros
    are the state in which the training's texts began.
    """

    def __init__(self, characters: int, units: int, layers: int = 1) -> None:
        super().__init__()
        self.lstm = nn.LSTM(characters, units, layers, batch_first=True)
        self.classifier = nn.Linear(units, characters)

    def forward(self, one_hot: Tensor, hidden: Tensor, cell: Tensor) -> Tensor:
        states, _, _ = self.unroll(one_hot, hidden, cell)
        logits: Tensor = self.classifier(states)
        return logits

    def unroll(self, one_hot: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The top layer's state at every position [B, T, units], and the hidden and cell state after the last one."""
        state = (hidden.transpose(0, 1).contiguous(), cell.transpose(0, 1).contiguous())
        states, (hidden, cell) = self.lstm(one_hot, state)
        return states, hidden.transpose(0, 1), cell.transpose(0, 1)

    def initial_state(self, batch: int) -> tuple[Tensor, Tensor]:
        """Zeros for ``hidden`` and ``cell``."""
        zeros = self.classifier.weight.new_zeros(batch, self.lstm.num_layers, self.lstm.hidden_size)
        return zeros, zeros.clone()


def load_char_lstm() -> Packaged:
    """The character model of plays; ``labels`` and ``features`` are both its vocabulary, one character each.

    Trained on the 'tiny Shakespeare' selection (public domain): it knows the spelling, names and layout of plays, and
    no other kind of text. ``metadata["held_out"]`` has its bits per character on the selection's last tenth.
    """
    return load_packaged("char-lstm", CharacterLSTM)
