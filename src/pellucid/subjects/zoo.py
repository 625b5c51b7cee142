"""The subjects that can be loaded by name, each with the task its network was trained for.

Torch and the networks are imported when a subject is built, so that the names are known at no cost.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pellucid.core.subject import OutputKind, Task
    from pellucid.models.packaged import Packaged
    from pellucid.subjects.torch import TorchSubject


def efficientnet_lite0(*, crop: bool = False, device: Any = None) -> "TorchSubject":
    """1,000 ImageNet classes from pictures of 224 × 224 (extra ``imagenet``; tan2019efficientnet).

    The whole picture is squeezed to the square; ``crop`` instead shows its centre without a margin, as in training.
    """
    return _efficientnet_lite("lite0", crop, device)


def efficientnet_lite1(*, crop: bool = False, device: Any = None) -> "TorchSubject":
    """As ``efficientnet_lite0``, for pictures of 240 × 240, from a package of its own."""
    return _efficientnet_lite("lite1", crop, device)


def efficientnet_lite2(*, crop: bool = False, device: Any = None) -> "TorchSubject":
    """As ``efficientnet_lite0``, wider and for pictures of 260 × 260, from a package of its own."""
    return _efficientnet_lite("lite2", crop, device)


def digits_cnn(*, device: Any = None) -> "TorchSubject":
    """Handwritten digits of 8 × 8 grey pixels: light ink on dark paper, as in scikit-learn's ``load_digits`` ÷ 16."""
    from pellucid.models.digits import load_digits_cnn
    from pellucid.tasks.image import Image

    packaged = load_digits_cnn()
    task = Image(size=8, mean=(0.0,), deviation=(1.0,), labels=packaged.labels)
    return _subject("digits-cnn", packaged.module, task, device)


def mnist_cnn(*, device: Any = None) -> "TorchSubject":
    """Handwritten digits of 28 × 28 grey pixels: light ink on dark paper, as in MNIST ÷ 255."""
    from pellucid.models.mnist import load_mnist_cnn
    from pellucid.tasks.image import Image

    packaged = load_mnist_cnn()
    task = Image(size=28, mean=(0.0,), deviation=(1.0,), labels=packaged.labels)
    return _subject("mnist-cnn", packaged.module, task, device)


def wine_mlp(*, device: Any = None) -> "TorchSubject":
    """The cultivar of a wine from 13 measurements; rows are in the units of scikit-learn's ``load_wine``."""
    from sklearn.datasets import load_wine

    from pellucid.models.perceptron import load_wine_mlp

    return _table("wine-mlp", load_wine_mlp(), load_wine().data, "logits", device)


def diabetes_mlp(*, device: Any = None) -> "TorchSubject":
    """The progression of diabetes after a year (a value, 25 to 346) from 10 measurements in their own units."""
    from sklearn.datasets import load_diabetes

    from pellucid.models.perceptron import load_diabetes_mlp

    return _table("diabetes-mlp", load_diabetes_mlp(), load_diabetes(scaled=False).data, "value", device)


def minilm_sentiment(*, device: Any = None) -> "TorchSubject":
    """Whether a sentence is negative or positive, from its word embeddings (extra ``text``, a package of weights)."""
    from pellucid.models.sentiment import load_minilm_sentiment
    from pellucid.subjects.huggingface import embedding
    from pellucid.tasks.text import Text

    packaged = load_minilm_sentiment()
    network: Any = packaged.module
    longest = network.encoder.config.max_position_embeddings
    task = Text(network.tokenizer, embedding(network.encoder), packaged.labels, longest=longest)
    return _subject("minilm-sentiment", network, task, device)


def lstm_sentiment(*, device: Any = None) -> "TorchSubject":
    """Whether a sentence is negative or positive, from its word embeddings, by an LSTM that reads in both directions."""
    from pellucid.models.sentence_lstm import WordTokenizer, load_lstm_sentiment
    from pellucid.tasks.text import Text

    packaged = load_lstm_sentiment()
    network: Any = packaged.module
    task = Text(WordTokenizer(packaged.features), network.embedding, packaged.labels)
    return _subject("lstm-sentiment", network, task, device)


def char_lstm(*, device: Any = None) -> "TorchSubject":
    """The next character of a play at every position; its initial state ``hidden`` and ``cell`` is an input too."""
    from pellucid.models.character_lstm import load_char_lstm
    from pellucid.tasks.sequence import Sequence

    packaged = load_char_lstm()
    network: Any = packaged.module
    state = (network.lstm.num_layers, network.lstm.hidden_size)
    task = Sequence(
        vocabulary=packaged.features, labels=packaged.labels, states={"hidden": state, "cell": state}, point="one_hot"
    )
    return _subject("char-lstm", network, task, device)


ZOO: Mapping[str, Callable[..., "TorchSubject"]] = {
    "efficientnet-lite0": efficientnet_lite0,
    "efficientnet-lite1": efficientnet_lite1,
    "efficientnet-lite2": efficientnet_lite2,
    "digits-cnn": digits_cnn,
    "mnist-cnn": mnist_cnn,
    "minilm-sentiment": minilm_sentiment,
    "lstm-sentiment": lstm_sentiment,
    "char-lstm": char_lstm,
    "wine-mlp": wine_mlp,
    "diabetes-mlp": diabetes_mlp,
}


def _efficientnet_lite(variant: Literal["lite0", "lite1", "lite2"], crop: bool, device: Any) -> "TorchSubject":
    from pellucid.models.efficientnet_lite import imagenet_labels, load_efficientnet_lite
    from pellucid.tasks.image import Image

    network = load_efficientnet_lite(variant)
    task = Image(size=network.side, labels=imagenet_labels(), crop=crop)
    return _subject(f"efficientnet-{variant}", network, task, device)


def _table(name: str, packaged: "Packaged", rows: Any, output: "OutputKind", device: Any) -> "TorchSubject":
    from pellucid.tasks.tabular import Tabular

    task = Tabular(
        packaged.features,
        labels=packaged.labels,
        means=packaged.means,
        deviations=packaged.deviations,
        reference=_training_rows(rows),
        output=output,
    )
    return _subject(name, packaged.module, task, device)


def _subject(name: str, network: "nn.Module", task: "Task", device: Any) -> "TorchSubject":
    from pellucid.subjects.devices import moved
    from pellucid.subjects.torch import TorchSubject

    return TorchSubject(moved(network, device), task, name=name, device=device)


def _training_rows(rows: Any) -> "Tensor":
    import torch

    # Every fourth row was held out: the reference is what the network saw, so that held-out rows can still test it.
    table = torch.as_tensor(rows, dtype=torch.float32)
    return table[torch.arange(len(table)) % 4 != 3]
