"""The subjects that every method is asked about: small, of every modality, and of every kind that can be wrapped."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_diabetes, load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.preprocessing import StandardScaler
from torch import nn

import pellucid as pl
from pellucid.core.spec import Access, Modality, Structure

OPEN = frozenset({Access.OUTPUTS, Access.GRADIENTS, Access.ACTIVATIONS, Access.WEIGHTS})
CLOSED = frozenset({Access.OUTPUTS})
PLAIN = frozenset({Structure.CLASS_SCORES})
RECTIFIED = PLAIN | {Structure.RELU}
CONVOLUTIONAL = RECTIFIED | {Structure.CONVOLUTION}


@dataclass(frozen=True)
class Workshop:
    """Where subjects are made: a folder for files, and a stack for what must be shut again."""

    folder: Path
    stack: ExitStack


@dataclass(frozen=True)
class Case:
    """One subject, raw inputs that differ in length where the modality allows, and inputs that must be refused."""

    make: Callable[[Workshop], pl.Subject]
    modality: Modality
    inputs: list[Any]
    offers: frozenset[Access] = OPEN
    structure: frozenset[Structure] = PLAIN
    layer: str | None = None
    tolerance: float = 1e-5
    hostile: tuple[Any, ...] = ()


class Fuse(nn.Module):
    """Passes its input on; blows at the given number of further calls, counted over all its copies."""

    left: int | None = None

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        if Fuse.left is not None:
            Fuse.left -= 1
            if Fuse.left < 0:
                raise RuntimeError("the fuse has blown")
        return features


class SmallConvolutionalNetwork(nn.Module):
    """Batch norm, a residual sum and a dropout, so that the prepared copy differs from the module."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.relu = nn.ReLU()
        self.block = nn.Conv2d(6, 6, 3, padding=1)
        self.fuse = Fuse()
        self.pool = nn.MaxPool2d(4)
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(6 * 4 * 4, 4)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        features = self.relu(self.norm(self.stem(pixels)))
        features = features + self.relu(self.fuse(self.block(features)))
        return self.head(self.drop(self.pool(features).flatten(1)))


class ReusedInPlace(nn.Module):
    """One ReLU module called three times, twice of them in place on a tensor that was written before."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(6, 9), nn.Linear(9, 9), nn.Linear(9, 3)
        self.relu = nn.ReLU(inplace=True)
        self.fuse = Fuse()

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        hidden = self.relu(self.first(rows))
        hidden = hidden + self.relu(self.second(hidden))
        hidden += 0.5
        return self.third(self.relu(self.fuse(hidden)))


def seeded(build: Callable[[], nn.Module]) -> nn.Module:
    """A network whose initial values do not depend on what ran before."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build().eval()


def pictures(number: int, side: int) -> list[np.ndarray]:
    """Smooth coloured pictures, all different."""
    rows, columns = np.meshgrid(np.linspace(0, 1, side), np.linspace(0, 1, side), indexing="ij")
    waves = [
        [np.sin((3 + n) * rows + c) * np.cos((5 - n) * columns + 2 * n + c) for c in range(3)] for n in range(number)
    ]
    return [((np.stack(wave, -1) + 1) * 127.5).astype(np.uint8) for wave in waves]


def _image_network(workshop: Workshop) -> pl.Subject:
    return pl.wrap(seeded(SmallConvolutionalNetwork), pl.tasks.Image(16, labels=("a", "b", "c", "d")), name="small-cnn")


def _double_network(workshop: Workshop) -> pl.Subject:
    layers = lambda: nn.Sequential(nn.Linear(6, 12), nn.ReLU(), Fuse(), nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 3))  # noqa: E731
    return pl.wrap(seeded(layers).double(), name="double-mlp")


def _reused_network(workshop: Workshop) -> pl.Subject:
    return pl.wrap(seeded(ReusedInPlace).double(), name="reused-relu")


def _forest(workshop: Workshop) -> pl.Subject:
    table = load_wine()
    forest = RandomForestClassifier(10, max_depth=4, random_state=0).fit(
        StandardScaler().fit_transform(table.data), table.target
    )
    return pl.wrap(forest, _wine_task(output="probabilities"), name="forest")


def _wine_task(output: str = "logits") -> pl.tasks.Tabular:
    table = load_wine()
    means, deviations = table.data.mean(0), table.data.std(0)
    rows = torch.tensor(table.data[::6], dtype=torch.float32)
    return pl.tasks.Tabular(
        list(table.feature_names), list(table.target_names), means, deviations, reference=rows, output=output
    )


def _brightness(batch: torch.Tensor) -> torch.Tensor:
    left, right = batch[..., :4].mean((1, 2, 3)), batch[..., 4:].mean((1, 2, 3))
    return torch.stack([left, right, left * right], 1).softmax(1)


def _function(workshop: Workshop) -> pl.Subject:
    task = pl.tasks.Image(8, labels=("left", "right", "both"), output="probabilities")
    return pl.wrap(_brightness, task, name="brightness")


def _onnx_network(workshop: Workshop) -> pl.Subject:
    draws = np.random.default_rng(0)
    weights = {"w": draws.normal(size=(13, 8)), "v": draws.normal(size=(8, 3))}
    nodes = [
        helper.make_node("MatMul", ["row", "w"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["active"]),
        helper.make_node("MatMul", ["active", "v"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("row", TensorProto.FLOAT, ["batch", 13])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path = workshop.folder / "small.onnx"
    onnx.save(model, path)
    return pl.load(f"onnx:{path}", task=_wine_task())


class _Endpoint(BaseHTTPRequestHandler):
    """A linear model behind HTTP: ``{"inputs": rows}`` is answered with ``{"scores": rows}``."""

    weights = np.random.default_rng(1).normal(size=(13, 3))

    def do_POST(self) -> None:
        rows = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["inputs"]
        rows = next(iter(rows.values())) if isinstance(rows, dict) else rows
        answer = json.dumps({"scores": (np.asarray(rows) @ self.weights).tolist()}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *arguments: Any) -> None:
        """Nothing on standard error for each request."""


@contextmanager
def _serving() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Endpoint)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _endpoint(workshop: Workshop) -> pl.Subject:
    return pl.load(workshop.stack.enter_context(_serving()), task=_wine_task())


def _loaded(name: str) -> Callable[[Workshop], pl.Subject]:
    return lambda workshop: pl.load(name)


def _rows(table: np.ndarray) -> list[list[float]]:
    return [row.tolist() for row in table[[3, 70, 150]]]


def _double_rows(number: int, width: int) -> torch.Tensor:
    return torch.randn(number, width, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


WINES = _rows(load_wine().data)
PATIENTS = _rows(load_diabetes(scaled=False).data)
BAD_PICTURES = ([], "no-such-picture.png", torch.full((1, 3, 16, 16), torch.nan), torch.zeros(1, 5, 16, 16), b"GIF89a")
BAD_ROWS = ([], [1.0, 2.0], [float("nan")] * 13, [float("inf")] * 13, "red, white", torch.zeros(0, 13))
BAD_TENSORS = (torch.full((2, 6), torch.inf).double(), torch.zeros(0, 6).double(), torch.zeros(2, 5).double(), "a word")
BAD_TEXTS = ([], "", "   ", 7, torch.full((1, 4, 384), torch.nan))

CASES = {
    "small-cnn": Case(
        _image_network,
        Modality.IMAGE,
        pictures(3, 16),
        structure=CONVOLUTIONAL,
        layer="block",
        hostile=BAD_PICTURES,
    ),
    "efficientnet-lite0": Case(
        _loaded("efficientnet-lite0"), Modality.IMAGE, pictures(1, 64), structure=CONVOLUTIONAL, layer="blocks.5"
    ),
    "digits-cnn": Case(
        _loaded("digits-cnn"),
        Modality.IMAGE,
        [p[:, :, 0] for p in pictures(3, 8)],
        structure=CONVOLUTIONAL,
        hostile=BAD_PICTURES,
    ),
    "minilm-sentiment": Case(
        _loaded("minilm-sentiment"),
        Modality.TEXT,
        ["A warm film.", "Dull and far too long, sadly!"],
        structure=RECTIFIED | {Structure.ATTENTION},
        hostile=BAD_TEXTS,
    ),
    "char-lstm": Case(
        _loaded("char-lstm"),
        Modality.SEQUENCE,
        ["The king of", "a short", "what"],
        structure=PLAIN | {Structure.RECURRENCE},
        hostile=([], "", "\x00", 7),
    ),
    "wine-mlp": Case(
        _loaded("wine-mlp"), Modality.TABULAR, WINES, structure=RECTIFIED, layer="layers.0", hostile=BAD_ROWS
    ),
    "diabetes-mlp": Case(
        _loaded("diabetes-mlp"),
        Modality.TABULAR,
        PATIENTS,
        structure=frozenset({Structure.RELU}),
        hostile=([], [1.0], [float("nan")] * 10),
    ),
    "double-mlp": Case(
        _double_network,
        Modality.TENSOR,
        list(_double_rows(3, 6)),
        structure=RECTIFIED,
        layer="1",
        tolerance=1e-10,
        hostile=BAD_TENSORS,
    ),
    "reused-relu": Case(
        _reused_network,
        Modality.TENSOR,
        list(_double_rows(3, 6)),
        structure=RECTIFIED,
        layer="second",
        tolerance=1e-10,
        hostile=BAD_TENSORS,
    ),
    "forest": Case(_forest, Modality.TABULAR, WINES, CLOSED, hostile=BAD_ROWS),
    "brightness": Case(_function, Modality.IMAGE, pictures(3, 8), CLOSED, hostile=BAD_PICTURES),
    "onnx": Case(_onnx_network, Modality.TABULAR, WINES, CLOSED, hostile=BAD_ROWS),
    "http": Case(_endpoint, Modality.TABULAR, WINES, CLOSED, hostile=BAD_ROWS),
}
