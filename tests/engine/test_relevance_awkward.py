"""Code that hides what it does from a tracer: the map of its plain twin, or a refusal by name, never another map."""

import concurrent.futures
import copy
import ctypes

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from engine.networks import closes, explained, seeded
from pellucid.core.errors import NotAnswerable


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
