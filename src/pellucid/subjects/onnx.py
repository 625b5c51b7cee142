"""An ONNX file as a subject, run by onnxruntime on the CPU."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pellucid.core.content import digest
from pellucid.core.errors import BadInput, MissingExtra, NotAnswerable, UsageError, nearest
from pellucid.core.subject import Inputs, Task
from pellucid.subjects.blackbox import BlackBox
from pellucid.subjects.labels import labelled
from pellucid.tasks.tensor import TensorTask

_TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(bool)": np.bool_,
}


def load_onnx(
    path: str | Path,
    *,
    task: Task | None = None,
    labels: Sequence[str] | None = None,
    output: str | int | None = None,
    cache: str | Path | None = None,
    name: str | None = None,
) -> "OnnxSubject":
    """The model in an ONNX file. ``output`` names the scores, or counts them, where the model has several outputs.

    With a folder as ``cache`` every answer is kept there and never computed again.

    Raises ``MissingExtra`` without onnxruntime, and ``BadInput`` for a file that is missing, damaged or has no scores.
    """
    path = Path(path)
    session = _session(path)
    task = labelled(_tensor_task(session) if task is None else task, labels)
    subject = OnnxSubject(session, task, digest(path), name=name or path.stem, output=output)
    return subject if cache is None else subject.remember(cache)


class OnnxSubject(BlackBox):
    """One onnxruntime session. A model of a fixed batch size is fed in full batches, the last one filled up.

    The one input gets the point, whatever its name; several inputs get the tensors of their names. Tensors are cast to
    the types that the model reads. ``content`` is the digest of the file; what it refers to outside is known by the
    answers to the probe.
    """

    def __init__(self, session: Any, task: Task, content: str, *, name: str, output: str | int | None = None) -> None:
        super().__init__(task, name, version=content)
        self._session, self._inputs = session, session.get_inputs()
        self._output = _chosen(session.get_outputs(), output, name)
        self._fixed = _fixed_batch(self._inputs, name)

    def batch_size(self, inputs: Inputs) -> int:
        size = super().batch_size(inputs)
        return size if self._fixed is None else max(1, size // self._fixed) * self._fixed

    def answer(self, tensors: Mapping[str, Tensor]) -> Any:
        feed = self._feed(tensors)
        batch, fixed = len(next(iter(feed.values()))), self._fixed
        if fixed is None:
            return self._session.run([self._output], feed)[0]
        parts = []
        for start in range(0, batch, fixed):
            part = {name: _filled(array[start : start + fixed], fixed) for name, array in feed.items()}
            parts.append(self._session.run([self._output], part)[0])
        return np.concatenate(parts)[:batch]

    def _feed(self, tensors: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
        names = [entry.name for entry in self._inputs]
        if len(names) == 1 and len(tensors) == 1:
            tensors = {names[0]: next(iter(tensors.values()))}
        missing = [name for name in names if name not in tensors]
        if missing:
            raise UsageError(f"{self.name} reads {', '.join(names)}; the task gives {', '.join(tensors)} only")
        feed: dict[str, np.ndarray] = {}
        for entry in self._inputs:
            tensor = tensors[entry.name]
            _check_shape(entry, tensor, self.name)
            feed[entry.name] = tensor.numpy().astype(_TYPES[entry.type])
        return feed


def _session(path: Path) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtra('onnxruntime is not installed: pip install "pellucid[onnx]"') from error
    if not path.is_file():
        beside = sorted(entry.name for entry in path.parent.glob("*.onnx")) if path.parent.is_dir() else []
        raise BadInput(f"there is no file {path}" + (f"; {nearest(path.name, beside)}" if beside else ""))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # Onnxruntime has no class of errors of its own.
        reason = (str(error).splitlines() or [""])[0]
        raise BadInput(f"{path} cannot be read as an ONNX model; export it again ({reason})") from error


def _tensor_task(session: Any) -> Task:
    inputs = session.get_inputs()
    shape = tuple(inputs[0].shape[1:])
    known = len(inputs) == 1 and shape and all(isinstance(size, int) for size in shape)
    return TensorTask(shape=shape if known else None, point=inputs[0].name)


def _chosen(outputs: Sequence[Any], wanted: str | int | None, name: str) -> str:
    known = {entry.name: entry.type for entry in outputs}
    if wanted is None and len(known) > 1:
        named = ", ".join(f"{entry} ({kind})" for entry, kind in known.items())
        raise UsageError(f"{name} has several outputs: {named}; say which are the scores: output=")
    if isinstance(wanted, str) and wanted not in known:
        raise UsageError(f"{name} has no output {wanted!r}; {nearest(wanted, known)}")
    try:
        chosen = wanted if isinstance(wanted, str) else outputs[wanted or 0].name
    except IndexError as error:
        raise UsageError(f"{name} has {len(known)} outputs; there is no output {wanted}") from error
    if known[chosen] not in _TYPES:
        way_out = "; export it with zipmap=False" if "map" in known[chosen] else ""
        raise NotAnswerable(f"output {chosen!r} of {name} is no tensor of scores but a {known[chosen]}{way_out}")
    return chosen


def _fixed_batch(inputs: Sequence[Any], name: str) -> int | None:
    for entry in inputs:
        if entry.type not in _TYPES:
            raise NotAnswerable(f"{name} reads {entry.name!r} as {entry.type}, which is no tensor of numbers")
        if not entry.shape:
            raise NotAnswerable(f"input {entry.name!r} of {name} has no batch axis; export it with one")
    sizes = {entry.shape[0] for entry in inputs if isinstance(entry.shape[0], int)}
    if len(sizes) > 1:
        raise NotAnswerable(f"the inputs of {name} have different first axes {sorted(sizes)}; make the batch the first")
    return max(sizes, default=None)


def _check_shape(entry: Any, tensor: Tensor, name: str) -> None:
    expected, found = entry.shape[1:], tensor.shape[1:]
    fits = len(expected) == len(found) and all(
        size == wanted for wanted, size in zip(expected, found, strict=True) if isinstance(wanted, int)
    )
    if not fits:
        form = ", ".join(map(str, ["batch", *expected]))
        raise BadInput(f"{name} reads {entry.name!r} as [{form}]; the task gives {tuple(tensor.shape)}")


def _filled(array: np.ndarray, size: int) -> np.ndarray:
    return np.concatenate([array, np.repeat(array[-1:], size - len(array), axis=0)])
