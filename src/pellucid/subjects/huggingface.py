"""A Hugging Face sequence classifier as a subject: the model itself, read through its embeddings."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pellucid.core.errors import BadInput, MissingExtra, NotAnswerable
from pellucid.core.subject import Inputs, OutputKind
from pellucid.subjects.devices import moved
from pellucid.subjects.torch import TorchSubject
from pellucid.tasks.tensor import TensorTask
from pellucid.tasks.text import Text

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# The shorter one is padded beside the longer one.
_PROBE = ("an example", "an example of a longer text")
_TOLERANCE = 1e-3


def load_huggingface(
    source: str | Path, *, download: bool = False, device: Any = None, name: str | None = None
) -> TorchSubject:
    """The classifier in a folder, or of a name that was downloaded before; ``download`` allows to fetch it.

    It is read in single precision, with attention whose weights can be seen; no code that comes with a model is run.
    Raises ``MissingExtra`` without transformers, ``BadInput`` where there is no such model or its head is untrained.
    """
    try:
        import transformers
    except ImportError as error:
        raise MissingExtra('the package transformers is not installed: pip install "pellucid[text]"') from error
    where = {"local_files_only": not download, "trust_remote_code": False}
    try:
        with _quiet(transformers, when=not download), torch.random.fork_rng(devices=[]):
            tokenizer = transformers.AutoTokenizer.from_pretrained(source, **where)
            model, report = transformers.AutoModelForSequenceClassification.from_pretrained(
                source, attn_implementation="eager", output_loading_info=True, **where
            )
    except Exception as error:  # Anything can be wrong in a folder, and the readers of its files raise what they like.
        raise BadInput(_unreadable(source, error)) from error
    lacking = [*report["missing_keys"], *report["mismatched_keys"]]
    if lacking:
        raise BadInput(f"{source} has no trained weights for {lacking[0]}; name a model that was tuned to classify")
    model = model.float().eval().requires_grad_(False)
    return text_classifier(model, tokenizer, name=name or Path(source).name, device=device)


def text_classifier(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", *, name: str, device: Any = None
) -> TorchSubject:
    """The subject of a classifier and its tokenizer; its module is the model itself, so layers keep their names.

    Scores of several labels that do not exclude each other are values, one asked at a time. Raises ``NotAnswerable``
    where the tokenizer gives no character offsets, or the model answers otherwise through embeddings than it does.
    """
    if not tokenizer.is_fast:
        raise NotAnswerable(f"the tokenizer of {name} gives no character offsets; use a fast tokenizer")
    config: Any = model.config
    labels = tuple(config.id2label[number] for number in range(config.num_labels))
    longest = min(tokenizer.model_max_length, getattr(config, "max_position_embeddings", tokenizer.model_max_length))
    task = _EmbeddedText(tokenizer, embedding(model), labels, _output_kind(config), longest)
    subject = TorchSubject(moved(model, device), task, name=name, device=device)
    _check(subject, tokenizer)
    return subject


def embedding(model: "PreTrainedModel") -> Callable[[Tensor], Tensor]:
    """Token numbers ``[batch, tokens]`` on any device to the model's own embeddings, where the model is."""

    def embed(ids: Tensor) -> Tensor:
        table = model.get_input_embeddings()
        return table(ids.to(next(table.parameters()).device))

    return embed


class _EmbeddedText(Text):
    """Text at the point that Hugging Face models call ``inputs_embeds``."""

    def prepare(self, raw: Any) -> Inputs:
        inputs = super().prepare(raw)
        tensors = {"inputs_embeds": inputs.value, "attention_mask": inputs.tensors["attention_mask"]}
        return Inputs(tensors, "inputs_embeds", inputs.mask, inputs.origins)


def _output_kind(config: Any) -> OutputKind:
    independent = config.problem_type in ("regression", "multi_label_classification")
    return "value" if independent or config.num_labels == 1 else "logits"


def _check(subject: TorchSubject, tokenizer: Any) -> None:
    """The answers through embeddings, with padding, are those that the model gives to each text's tokens alone."""
    tokens = TorchSubject(subject.module, TensorTask(), name=subject.name, device=subject.device)
    alone = [tokenizer(text) for text in _PROBE]
    try:
        padded = subject.run(subject.prepare(list(_PROBE)), original=True).scores
    except Exception as error:
        raise NotAnswerable(f"{subject.name} cannot be asked through embeddings ({error}); wrap a function") from error
    expected = [
        tokens.run(
            Inputs({key: torch.tensor([text[key]]) for key in ("input_ids", "attention_mask")}, "input_ids"),
            original=True,
        ).scores
        for text in alone
    ]
    difference = float((padded - torch.cat(expected)).abs().max())
    if difference > _TOLERANCE * max(1.0, float(padded.abs().max())):
        raise NotAnswerable(
            f"{subject.name} answers otherwise through padded embeddings than through tokens (by {difference:.3g}), "
            "so an explanation would be of another model; wrap a function"
        )


@contextlib.contextmanager
def _quiet(transformers: Any, when: bool) -> Iterator[None]:
    logging = transformers.utils.logging
    shown = logging.is_progress_bar_enabled()
    if when and shown:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        if when and shown:
            logging.enable_progress_bar()


def _unreadable(source: str | Path, error: Exception) -> str:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    if Path(source).is_dir():
        return f"{source} is no folder of a sequence classifier ({reason}); save model and tokenizer into it"
    return f"there is no folder {source} and no downloaded model of this name; to fetch it: load(…, download=True)"
