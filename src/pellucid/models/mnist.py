"""A small convolutional network that reads handwritten digits of 28×28 pixels."""

from torch import Tensor, nn

from pellucid.models.packaged import Packaged, load_packaged


class MnistNetwork(nn.Module):
    """Logits [B, 10] for pictures [B, 1, 28, 28] from 0 (paper) to 1 (ink).

    Three 3×3 convolutions that keep the size, the maximum over 2×2 pixels after the second and the third, and one
    linear layer: small enough to run in the script of a page. No batch norm.
    """

    def __init__(self, channels: tuple[int, int, int] = (8, 16, 32)) -> None:
        super().__init__()
        first, second, third = channels
        self.convolution1 = nn.Conv2d(1, first, 3, padding=1)
        self.activation1 = nn.ReLU()
        self.convolution2 = nn.Conv2d(first, second, 3, padding=1)
        self.activation2 = nn.ReLU()
        self.pool2 = nn.MaxPool2d(2)
        self.convolution3 = nn.Conv2d(second, third, 3, padding=1)
        self.activation3 = nn.ReLU()
        self.pool3 = nn.MaxPool2d(2)
        self.flatten = nn.Flatten()
        self.classifier = nn.Linear(third * 7 * 7, 10)

    def forward(self, pixels: Tensor) -> Tensor:
        features = self.activation1(self.convolution1(pixels))
        features = self.pool2(self.activation2(self.convolution2(features)))
        features = self.pool3(self.activation3(self.convolution3(features)))
        logits: Tensor = self.classifier(self.flatten(features))
        return logits


def load_mnist_cnn() -> Packaged:
    """The network for MNIST, whose values 0 to 255 are divided by 255."""
    return load_packaged("mnist-cnn", MnistNetwork)
