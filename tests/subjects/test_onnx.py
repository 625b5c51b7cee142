"""ONNX files answer as the arithmetic in them, whatever batch size, type and names they were exported with."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.core import meter
from pellucid.core.errors import BadInput, MissingExtra, NotAnswerable, UsageError
from pellucid.core.spec import Access
from pellucid.methods.attribution.occlusion import Occlusion
from pellucid.tasks import Image, Tabular

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

WEIGHTS = np.array([[1.0, -2.0], [0.5, 4.0], [3.0, 0.0]])
ROWS = np.array([[1.0, 2.0, -1.0], [0.25, -3.0, 2.0], [0.0, 1.0, 1.0], [2.0, 2.0, 2.0], [-1.0, 0.5, 0.0]])
FLOAT, DOUBLE, HALF = onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16
NUMPY = {FLOAT: np.float32, DOUBLE: np.float64, HALF: np.float16}


def value(name, kind, shape):
    return onnx.helper.make_tensor_value_info(name, kind, shape)


def saved(path: Path, nodes, inputs, outputs, weights=None, **options) -> Path:
    initial = [onnx.numpy_helper.from_array(array, name) for name, array in (weights or {}).items()]
    graph = onnx.helper.make_graph(nodes, "graph", inputs, outputs, initial)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path, **options)
    return path


def linear(path: Path, batch: int | str = "batch", kind: int = FLOAT, scale: float = 1.0, **options) -> Path:
    nodes = [onnx.helper.make_node("MatMul", ["rows", "weights"], ["scores"])]
    weights = {"weights": (scale * WEIGHTS).astype(NUMPY[kind])}
    return saved(
        path, nodes, [value("rows", kind, [batch, 3])], [value("scores", kind, [batch, 2])], weights, **options
    )


@pytest.mark.parametrize("batch", ["batch", 1, 2, 4, 8])
def test_scores_are_rows_times_weights_for_any_exported_batch_size(tmp_path, batch):
    subject = pl.load(f"onnx:{linear(tmp_path / 'linear.onnx', batch)}")
    with meter.metered() as passes:
        found = subject.scores(ROWS)
    assert np.allclose(found.numpy(), ROWS @ WEIGHTS, rtol=0, atol=1e-5)
    assert passes.evaluations() == {"F": 5, "B": 0}


@pytest.mark.parametrize("fixed", [1, 3, 8])
def test_batches_of_a_fixed_size_are_full(tmp_path, fixed):
    subject = pl.load(f"onnx:{linear(tmp_path / 'linear.onnx', fixed)}")
    inputs = subject.prepare(ROWS)
    assert subject.batch_size(inputs) % fixed == 0
    with pl.byte_budget(1):
        assert subject.batch_size(inputs) == fixed


@pytest.mark.parametrize(("kind", "tolerance"), [(FLOAT, 1e-5), (DOUBLE, 1e-12), (HALF, 1e-2)])
def test_the_model_gets_the_type_that_it_reads(tmp_path, kind, tolerance):
    subject = pl.load(f"onnx:{linear(tmp_path / 'linear.onnx', kind=kind)}")
    found = subject.scores(torch.tensor(ROWS))
    assert np.abs(found.numpy() - ROWS @ WEIGHTS).max() < tolerance
    assert found.dtype == (torch.float64 if kind == DOUBLE else torch.float32)


def test_shape_and_name_come_from_the_file(tmp_path):
    subject = pl.load(f"onnx:{linear(tmp_path / 'linear.onnx')}")
    assert subject.name == "linear"
    assert (subject.task.point, subject.task.shape) == ("rows", (3,))
    assert subject.offers == {Access.OUTPUTS}
    assert len(subject.prepare(ROWS[0])) == 1


def test_occlusion_agrees_with_the_torch_twin(tmp_path):
    twin = nn.Linear(3, 2, bias=False).double()
    twin.weight.data = torch.tensor(WEIGHTS.T)
    subject = pl.load(f"onnx:{linear(tmp_path / 'linear.onnx', 2, DOUBLE)}")
    query = pl.Decision(torch.tensor(ROWS), target=1)
    expected = Occlusion()(pl.wrap(twin), query)
    torch.testing.assert_close(Occlusion()(subject, query).scores, expected.scores, rtol=0, atol=1e-12)


def test_a_task_gives_columns_and_labels(tmp_path):
    task = Tabular(["a", "b", "c"])
    subject = pl.load(f"onnx:{linear(tmp_path / 'linear.onnx')}", task=task, labels=["no", "yes"])
    answer = Occlusion(baseline=0.0)(subject, pl.Decision([1.0, 2.0, -1.0], target="yes"))
    assert answer.label(0, 1) == "b"
    assert answer.scores[0].tolist() == pytest.approx((ROWS[0] * WEIGHTS[:, 1]).tolist(), abs=1e-5)
    assert task.labels is None


def difference(path: Path) -> Path:
    """Two inputs and two outputs: sum and difference."""
    nodes = [
        onnx.helper.make_node("Add", ["left", "right"], ["sum"]),
        onnx.helper.make_node("Sub", ["left", "right"], ["difference"]),
    ]
    inputs, outputs = (
        [value(name, FLOAT, ["n", 3]) for name in names] for names in (("left", "right"), ("sum", "difference"))
    )
    return saved(path, nodes, inputs, outputs)


@pytest.mark.parametrize(("output", "sign"), [("sum", 1), ("difference", -1), (0, 1), (1, -1)])
def test_one_of_several_outputs_is_chosen_by_name_or_number(tmp_path, output, sign):
    subject = pl.load(f"onnx:{difference(tmp_path / 'two.onnx')}", output=output)
    found = subject.scores({"left": ROWS, "right": 2 * ROWS})
    assert np.allclose(found.numpy(), ROWS + sign * 2 * ROWS, atol=1e-6)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (None, r"several outputs: sum \(tensor\(float\)\), difference .*output="),
        ("differences", "did you mean 'difference'"),
        (2, "2 outputs; there is no output 2"),
    ],
)
def test_an_unclear_output_is_refused(tmp_path, output, message):
    with pytest.raises(UsageError, match=message):
        pl.load(f"onnx:{difference(tmp_path / 'two.onnx')}", output=output)


def test_a_missing_input_is_named(tmp_path):
    subject = pl.load(f"onnx:{difference(tmp_path / 'two.onnx')}", output="sum")
    with pytest.raises(UsageError, match="reads left, right; the task gives left only"):
        subject.scores({"left": ROWS})


def test_pictures_of_another_layout_are_refused_with_both_shapes(tmp_path):
    nodes = [onnx.helper.make_node("Flatten", ["pixels"], ["scores"])]
    path = saved(
        tmp_path / "last.onnx", nodes, [value("pixels", FLOAT, ["n", 4, 4, 3])], [value("scores", FLOAT, ["n", 48])]
    )
    subject = pl.load(f"onnx:{path}", task=Image(4))
    with pytest.raises(BadInput, match=r"\[batch, 4, 4, 3\]; the task gives \(1, 3, 4, 4\)"):
        subject.scores(torch.zeros(1, 3, 4, 4))


def test_an_output_of_maps_is_refused(tmp_path):
    mapping = onnx.helper.make_map_type_proto(onnx.TensorProto.INT64, onnx.helper.make_tensor_type_proto(FLOAT, []))
    output = onnx.helper.make_value_info("maps", onnx.helper.make_sequence_type_proto(mapping))
    node = onnx.helper.make_node("ZipMap", ["rows"], ["maps"], domain="ai.onnx.ml", classlabels_int64s=[0, 1, 2])
    graph = onnx.helper.make_graph([node], "graph", [value("rows", FLOAT, ["n", 3])], [output])
    opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("ai.onnx.ml", 1)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9), tmp_path / "maps.onnx")
    with pytest.raises(NotAnswerable, match="zipmap=False"):
        pl.load(f"onnx:{tmp_path / 'maps.onnx'}")


def test_a_missing_file_is_refused_with_the_nearest(tmp_path):
    linear(tmp_path / "linear.onnx")
    with pytest.raises(BadInput, match=r"did you mean 'linear\.onnx'"):
        pl.load(f"onnx:{tmp_path / 'liner.onnx'}")
    with pytest.raises(BadInput, match="there is no file"):
        pl.load(f"onnx:{tmp_path / 'nowhere' / 'linear.onnx'}")


@pytest.mark.parametrize("damage", [lambda content: b"", lambda content: content[:40], lambda content: b"text" * 20])
def test_a_damaged_file_is_refused_in_one_line(tmp_path, damage):
    path = linear(tmp_path / "linear.onnx")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(BadInput, match="cannot be read as an ONNX model") as caught:
        pl.load(f"onnx:{path}")
    assert "\n" not in str(caught.value)


def test_without_onnxruntime_the_command_that_installs_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtra, match=r'pip install "pellucid\[onnx\]"'):
        pl.load(f"onnx:{linear(tmp_path / 'linear.onnx')}")


def test_the_fingerprint_is_that_of_the_content(tmp_path):
    first = pl.load(f"onnx:{linear(tmp_path / 'a.onnx')}", name="model")
    same = pl.load(f"onnx:{linear(tmp_path / 'b.onnx')}", name="model")
    other = pl.load(f"onnx:{linear(tmp_path / 'c.onnx', scale=1.001)}", name="model")
    assert first.stable
    assert first.fingerprint == same.fingerprint
    assert first.fingerprint != other.fingerprint


def test_weights_in_another_file_are_part_of_the_fingerprint(tmp_path):
    fingerprints = set()
    for scale in (1.0, 2.0):
        path = tmp_path / str(scale) / "model.onnx"
        path.parent.mkdir()
        linear(path, scale=scale, save_as_external_data=True, location="weights", size_threshold=0)
        subject = pl.load(f"onnx:{path}")
        assert np.allclose(subject.scores(ROWS).numpy(), scale * ROWS @ WEIGHTS, atol=1e-5)
        fingerprints.add(subject.fingerprint)
    assert (tmp_path / "1.0" / "model.onnx").read_bytes() == (tmp_path / "2.0" / "model.onnx").read_bytes()
    assert len(fingerprints) == 2


def test_a_file_that_draws_at_random_is_unstable(tmp_path):
    nodes = [
        onnx.helper.make_node("RandomUniformLike", ["rows"], ["noise"]),
        onnx.helper.make_node("Add", ["rows", "noise"], ["scores"]),
    ]
    path = saved(tmp_path / "random.onnx", nodes, [value("rows", FLOAT, ["n", 3])], [value("scores", FLOAT, ["n", 3])])
    assert pl.load(f"onnx:{path}").fingerprint.startswith("unstable")
