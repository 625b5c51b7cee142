"""Code that hides what it does from a tracer: the map of its plain twin, or a refusal by name, never another map."""

import concurrent.futures
import copy
import ctypes
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from engine.networks import closes, explained, seeded
from pellucid.core.errors import NotAnswerable
from pellucid.engine.rules import COMPOSITES


class Plain(nn.Module):
    """A small convolutional network; subclasses do the step in the middle in another way that comes to the same."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.last = nn.Linear(4, 3)

    def middle(self, found):
        return functional.relu(self.second(found))

    def forward(self, x):
        return self.last(self.middle(functional.relu(self.first(x))).mean((2, 3)))


class ReluByHand(torch.autograd.Function):
    """A custom function with another gradient than its forward pass has."""

    @staticmethod
    def forward(context, x):
        return x.clamp(min=0)

    @staticmethod
    def backward(context, gradient):
        return gradient * 100


class CustomFunction(Plain):
    def middle(self, found):
        return ReluByHand.apply(self.second(found))


class Checkpointed(Plain):
    def middle(self, found):
        return checkpoint(super().middle, found, use_reentrant=False)


class ReentrantCheckpointed(Plain):
    def middle(self, found):
        return checkpoint(super().middle, found, use_reentrant=True)


class IgnoredResult(Plain):
    def middle(self, found):
        found = self.second(found)
        found.relu_()
        return found


class SliceAssigned(Plain):
    def middle(self, found):
        result = torch.empty(found.shape, dtype=found.dtype)
        for channel in range(found.shape[1]):
            result[:, channel] = super().middle(found)[:, channel]
        return result


class ThroughData(Plain):
    def middle(self, found):
        return functional.relu(self.second(found.data).detach())


class InInferenceMode(Plain):
    @torch.inference_mode()
    def middle(self, found):
        return functional.relu(self.second(found))


class Autocast(Plain):
    def middle(self, found):
        with torch.autocast("cpu", enabled=False):
            return super().middle(found)


class Vmapped(Plain):
    def middle(self, found):
        return torch.func.vmap(functional.relu)(self.second(found))


class FunctionalCall(Plain):
    def middle(self, found):
        return functional.relu(torch.func.functional_call(self.second, dict(self.second.named_parameters()), found))


class ControlFlow(Plain):
    def middle(self, found):
        found = self.second(found)
        return functional.relu(found) if bool((found > 0).any()) else found * 0


class WithConstant(Plain):
    """A tensor made in the pass, one in a list attribute, one global and one from numpy: all of them constants."""

    def __init__(self):
        super().__init__()
        self.kept = [torch.ones(1, dtype=torch.float64)]

    def middle(self, found):
        inside = torch.tensor([1.0], dtype=found.dtype) * torch.from_numpy(np.ones(1))
        return super().middle(found) * self.kept[0] * inside * ONE


ONE = torch.ones(1, dtype=torch.float64)


class NumpyDetour(Plain):
    def middle(self, found):
        return torch.from_numpy(np.maximum(self.second(found).numpy(), 0))


class ArrayDetour(Plain):
    def middle(self, found):
        return torch.as_tensor(np.asarray(super().middle(found)))


class DetachedDetour(Plain):
    def middle(self, found):
        return torch.from_numpy(super().middle(found).detach().cpu().numpy().copy())


class ListDetour(Plain):
    def middle(self, found):
        return torch.tensor(super().middle(found).tolist(), dtype=found.dtype)


class DlpackDetour(Plain):
    def middle(self, found):
        return torch.from_dlpack(np.from_dlpack(super().middle(found)))


class DeepCopied(Plain):
    def middle(self, found):
        return copy.deepcopy(super().middle(found))


class ItemScaling(Plain):
    def middle(self, found):
        found = super().middle(found)
        return found * found.max().item()


class FloatScaling(Plain):
    def middle(self, found):
        found = super().middle(found)
        return found * float(found.abs().sum())


class Kept(Plain):
    """A foreign tensor that another thread (or a C++ extension) could have made."""

    def middle(self, found):
        return super().middle(found) + BOX.pop()


BOX = []


class ForeignKernel(Plain):
    """Writes into reserved memory behind the dispatcher's back, as compiled kernels do."""

    def middle(self, found):
        value = super().middle(found)
        result = torch.empty(value.shape, dtype=value.dtype)
        with torch._C.DisableTorchFunction():
            ctypes.memmove(result.data_ptr(), value.data_ptr(), value.numel() * 8)
        return result * 1.0


class OtherThread(Plain):
    """Work in a thread of its own, which torch's dispatcher shows to nobody else."""

    def middle(self, found):
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            return pool.submit(lambda: functional.relu(self.second(found)).detach()).result()


class ComplexDetour(Plain):
    def middle(self, found):
        found = super().middle(found)
        return torch.view_as_real(torch.view_as_complex(found.reshape(-1, 2))).reshape(found.shape)


class FourierDetour(Plain):
    def middle(self, found):
        return torch.fft.ifft2(torch.fft.fft2(super().middle(found))).real


class SoftAttention(Plain):
    def middle(self, found):
        found = super().middle(found)
        return found * found.flatten(2).softmax(2).view_as(found)


class Sparse(Plain):
    def middle(self, found):
        found = super().middle(found)
        return found.to_sparse().to_dense()


def warm(network):
    for _ in range(4):
        network(torch.randn(2, 3, 5, 5, dtype=torch.float64))
    return network


SAME = {
    "custom autograd function": CustomFunction,
    "checkpoint": Checkpointed,
    "reentrant checkpoint": ReentrantCheckpointed,
    "in place, result ignored": IgnoredResult,
    "slice assignment": SliceAssigned,
    ".data and .detach()": ThroughData,
    "inference mode inside": InInferenceMode,
    "autocast": Autocast,
    "vmap": Vmapped,
    "functional_call": FunctionalCall,
    "control flow on a truth value": ControlFlow,
    "constants of every origin": WithConstant,
}

REFUSED = {
    "numpy detour": (NumpyDetour, r"Tensor\.numpy"),
    "asarray detour": (ArrayDetour, r"Tensor\.(__array__|numpy)"),
    "detached numpy detour": (DetachedDetour, r"Tensor\.numpy"),
    "list detour": (ListDetour, r"Tensor\.tolist"),
    "dlpack detour": (DlpackDetour, r"Tensor\.__dlpack__"),
    "deep copy": (DeepCopied, r"Tensor\.__deepcopy__"),
    "item() scaling": (ItemScaling, r"\.item\(\)"),
    "float() scaling": (FloatScaling, r"\.item\(\)"),
    "memory filled by a foreign kernel": (ForeignKernel, r"aten\.mul.*no visible operation wrote"),
    "another thread": (OtherThread, "does not belong to the model"),
    "complex view": (ComplexDetour, r"aten\.view_as_complex"),
    "Fourier transform": (FourierDetour, r"aten\."),
    "attention by hand": (SoftAttention, r"aten\._softmax|aten\.mul.*both depend"),
    "sparse tensor": (Sparse, r"sparse|aten\."),
}

# The four kinds of rule that a map can be wrong in, each on every way to write the same network.
NAMES = ["epsilon", "epsilon-plus-flat", "epsilon-gamma-box"]


def networks(kind):
    plain, other = seeded(Plain), kind().double().eval()
    other.load_state_dict(plain.state_dict())
    return plain, other


def pixels():
    return torch.randn(2, 3, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def assert_map_of_twin(plain, other, name):
    expected, found = (explained(model, pixels(), name, target=[0, 2]) for model in (plain, other))
    torch.testing.assert_close(found.value, expected.value, rtol=1e-9, atol=0)
    scale = float(expected.scores.abs().max())
    torch.testing.assert_close(found.scores, expected.scores, rtol=0, atol=1e-6 * scale)
    assert closes(found, 1e-9)


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", SAME)
def test_hidden_code_gives_the_map_of_its_plain_twin(kind, name):
    assert_map_of_twin(*networks(SAME[kind]), name)


@pytest.mark.parametrize("kind", REFUSED)
def test_code_that_cannot_be_followed_is_refused_by_name(kind):
    make, message = REFUSED[kind]
    _, other = networks(make)
    with pytest.raises(NotAnswerable, match=message):
        explained(other, pixels(), "epsilon")
    assert torch._C._len_torch_dispatch_stack() == 0
    assert torch._C._len_torch_function_stack() == 0


def test_a_tensor_that_comes_from_nowhere_is_refused():
    _, other = networks(Kept)
    BOX.append(torch.ones(1, dtype=torch.float64))
    with pytest.raises(NotAnswerable, match="does not belong to the model"):
        explained(other, pixels(), "epsilon")


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "way", ["scripted", "scripted and warm", "traced", "frozen", "scripted inside", "traced inside"]
)
def test_scripted_and_traced_code_gives_the_map_of_its_source(way, name):
    plain = seeded(Plain)
    example = torch.randn(2, 3, 5, 5, dtype=torch.float64)
    match way:
        case "scripted":
            other = torch.jit.script(plain)
        case "scripted and warm":
            other = warm(torch.jit.script(plain))
        case "traced":
            other = warm(torch.jit.trace(plain, example))
        case "frozen":
            other = warm(torch.jit.freeze(torch.jit.script(plain)))
        case _:
            inner = torch.jit.script(plain) if way == "scripted inside" else torch.jit.trace(plain, example)
            other = nn.Sequential(inner, nn.Identity())
    assert_map_of_twin(plain, other, name)


class Stepping(nn.Module):
    def forward(self, x):
        return (x * torch.linspace(0.5, 1.5, 3, dtype=x.dtype)).sum(1, keepdim=True)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_traced_constant_belongs_to_its_model():
    point = torch.ones(1, 3, dtype=torch.float64)
    traced = torch.jit.freeze(torch.jit.trace(Stepping(), point).eval())
    found = explained(nn.Sequential(nn.Identity(), traced), point)
    torch.testing.assert_close(found.scores, torch.tensor([[0.5, 1.0, 1.5]]).double(), rtol=1e-5, atol=0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("called", [False, True], ids=["not yet called", "called before"])
@pytest.mark.parametrize("backend", ["eager", "aot_eager", "inductor"])
def test_compiled_code_gives_the_map_of_its_source_or_is_refused(backend, called):
    plain = seeded(Plain)
    compiled = torch.compile(plain, backend=backend)
    if called:
        with torch.no_grad():
            try:
                compiled(pixels())
            except RuntimeError as error:
                pytest.skip(f"this machine cannot compile with {backend}: {type(error).__name__}")
    for name in NAMES:
        assert_map_of_twin(plain, compiled, name)
    with torch.no_grad():
        torch.testing.assert_close(compiled(pixels()), plain(pixels()))


class OfTokens(nn.Module):
    """Something for sequences between two linear maps."""

    def __init__(self, inner, first=False):
        super().__init__()
        self.embed, self.inner, self.last, self.first = nn.Linear(6, 8), inner, nn.Linear(8, 2), first

    def forward(self, x):
        found = self.embed(x)
        found = (
            self.inner(found, found, found)[0] if isinstance(self.inner, nn.MultiheadAttention) else self.inner(found)
        )
        found = found[0] if isinstance(found, tuple) else found
        return self.last(found.mean(1))


SEQUENCES = {
    "nn.MultiheadAttention": lambda: nn.MultiheadAttention(8, 2, batch_first=True),
    "nn.TransformerEncoder": lambda: nn.TransformerEncoder(
        nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2, enable_nested_tensor=True
    ),
    "fused LSTM": lambda: nn.LSTM(8, 8, batch_first=True),
    "GRU": lambda: nn.GRU(8, 8, batch_first=True),
    "layer norm": lambda: nn.LayerNorm(8),
    "group norm": lambda: nn.GroupNorm(5, 5),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", SEQUENCES)
def test_attention_recurrence_and_layer_norm_are_refused_by_name_and_place(kind, dtype):
    network = seeded(lambda: OfTokens(SEQUENCES[kind]()), dtype=dtype)
    point = torch.randn(2, 5, 6, dtype=dtype)
    with torch.no_grad():
        network(point)
    with pytest.raises(NotAnswerable, match=r"no rule for aten\.\w+, called in 'inner"):
        explained(network, point, "epsilon")


def test_a_hugging_face_transformer_is_refused_by_name_and_place():
    transformers = pytest.importorskip("transformers")
    settings = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    configuration = transformers.BertConfig(vocab_size=20, attn_implementation="sdpa", **settings)
    torch.manual_seed(0)
    network = transformers.BertForSequenceClassification(configuration).eval()
    embedded = network.bert.embeddings.word_embeddings(torch.tensor([[1, 2, 3, 4]])).detach()

    def scores(point):
        return network(inputs_embeds=point, attention_mask=torch.ones(1, 4)).logits

    with pytest.raises(NotAnswerable, match=r"no rule for aten\.native_layer_norm, called in 'bert\.encoder\.layer\.0"):
        explained(scores, embedded, "epsilon", module=network)


@pytest.mark.parametrize("length", [2, 3])
def test_a_module_that_catches_its_own_errors_keeps_its_places_in_order(length):
    class Catching(nn.Module):
        def __init__(self):
            super().__init__()
            self.good, self.bad = nn.Linear(3, 2), nn.Linear(4, 2)

        def forward(self, x):
            try:
                return self.bad(x)
            except RuntimeError:
                return self.good(x)

    found = explained(seeded(Catching), torch.rand(length, 3, dtype=torch.float64), "epsilon")
    assert [layer.place for layer in found.layers] == ["good"]


def test_following_a_network_does_not_load_the_compiler():
    code = (
        "import sys, torch\n"
        "from pellucid.engine.tape import Tape\n"
        "network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU())\n"
        "with Tape(torch.ones(1, 2), network) as tape:\n"
        "    network(tape.point)\n"
        "assert len(tape.calls) == 2\n"
        "assert 'torch._dynamo' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_composite_is_tried():
    assert set(NAMES) < set(COMPOSITES)
