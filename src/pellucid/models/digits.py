"""A small convolutional network that reads handwritten digits of 8×8 pixels."""

from torch import Tensor, nn

from pellucid.models.packaged import Packaged, load_packaged


class DigitsNetwork(nn.Module):
    """Logits [B, 10] for pictures [B, 1, 8, 8] from 0 (paper) to 1 (ink).

    Two convolutions that keep the size, maximum over 2×2 pixels, one linear layer; no batch norm.
    """

    def __init__(self, channels: tuple[int, int] = (16, 32)) -> None:
        super().__init__()
        first, second = channels
        self.convolution1 = nn.Conv2d(1, first, 3, padding=1)
        self.activation1 = nn.ReLU()
        self.convolution2 = nn.Conv2d(first, second, 3, padding=1)
        self.activation2 = nn.ReLU()
        self.pool = nn.MaxPool2d(2)
        self.flatten = nn.Flatten()
        self.classifier = nn.Linear(second * 4 * 4, 10)

    def forward(self, pixels: Tensor) -> Tensor:
        features = self.activation1(self.convolution1(pixels))
        features = self.pool(self.activation2(self.convolution2(features)))
        logits: Tensor = self.classifier(self.flatten(features))
        return logits


def load_digits_cnn() -> Packaged:
    """The network for the ``load_digits`` pictures of scikit-learn, whose values 0 to 16 are divided by 16."""
    return load_packaged("digits-cnn", DigitsNetwork)
