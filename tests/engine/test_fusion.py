"""A convolution that pads and activates as well: the same numbers, only where nobody else reads what is merged."""

import copy
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from pellucid.core.errors import SubjectFailed
from pellucid.engine.fusion import FusedConvolution
from pellucid.engine.prepare import ordinary, prepared
from pellucid.models.efficientnet_lite import SamePadding
from pellucid.subjects.wrapping import wrap
from pellucid.tasks.tensor import TensorTask

pytestmark = pytest.mark.skipif(
    not (torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_convolution_pointwise")),
    reason="this build of torch has no fused convolution",
)


def call(module, tensors):
    return module(*tensors.values())


def pixels(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def seeded(*layers):
    network = nn.Sequential(*layers).eval()
    source = torch.Generator().manual_seed(0)
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            lowest = 0.5 if name.endswith("running_var") else -0.5
            tensor.copy_(torch.rand(tensor.shape, generator=source) + lowest)
    return network


def fused_copy(network, example):
    """The prepared copy, which must answer as the network in double precision does to 1e-5."""
    replica = prepared(network, {"pixels": example}, call)
    assert replica is not network
    agrees(network, replica, example)
    return replica


def agrees(network, replica, given):
    with torch.no_grad():
        exact, found = copy.deepcopy(network).double()(given.double()), replica(given)
    assert found.shape == exact.shape
    assert (found - exact).abs().max() <= 1e-5 * exact.abs().max()


def kinds(module):
    """The types of the modules that do something; what a fused convolution keeps for other sizes does not count."""
    if isinstance(module, nn.Identity):
        return []
    parts = [] if isinstance(module, FusedConvolution) else list(module.children())
    return [kind for part in parts for kind in kinds(part)] if parts else [type(module)]


ACTIVATIONS = [
    nn.ReLU(),
    nn.ReLU(inplace=True),
    nn.ReLU6(),
    nn.Hardtanh(-0.4, 0.7),
    nn.LeakyReLU(0.3),
    nn.SiLU(),
    nn.GELU(),
    nn.GELU("tanh"),
    nn.Hardswish(),
    nn.Sigmoid(),
    nn.Tanh(),
]


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
@pytest.mark.parametrize("norm", [True, False], ids=["norm", "no norm"])
def test_an_activation_is_computed_with_the_convolution(activation, norm):
    layers = [nn.Conv2d(3, 8, 3, padding=1, bias=not norm), *([nn.BatchNorm2d(8)] if norm else []), activation]
    network = seeded(*layers)
    replica = fused_copy(network, pixels(1, 3, 9, 9))
    assert kinds(replica) == [FusedConvolution]
    for batch in (2, 5):
        agrees(network, replica, pixels(batch, 3, 9, 9, seed=batch))


GEOMETRIES = st.fixed_dictionaries(
    {
        "kernel_size": st.tuples(st.integers(1, 5), st.integers(1, 5)),
        "stride": st.integers(1, 3),
        "dilation": st.integers(1, 2),
        "padding": st.tuples(st.integers(0, 2), st.integers(0, 2)),
        "bias": st.booleans(),
    }
)
ZEROS = st.tuples(*[st.integers(0, 4)] * 4)


@given(geometry=GEOMETRIES, zeros=ZEROS, depthwise=st.booleans(), size=st.tuples(*[st.integers(9, 13)] * 2))
def test_any_zeros_before_a_convolution_are_computed_with_it(geometry, zeros, depthwise, size):
    network = seeded(nn.ZeroPad2d(zeros), nn.Conv2d(4, 8, groups=4 if depthwise else 1, **geometry), nn.ReLU())
    replica = fused_copy(network, pixels(1, 4, *size))
    agrees(network, replica, pixels(3, 4, *size))
    agrees(network, replica, pixels(2, 4, size[0] + 3, size[1] + 2))


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("kernel", [2, 3, (4, 1)])
def test_named_paddings_are_computed_too(padding, kernel):
    network = seeded(nn.Conv2d(3, 4, kernel, padding=padding), nn.ReLU())
    assert kinds(fused_copy(network, pixels(1, 3, 8, 8))) == [FusedConvolution]


def test_padding_that_depends_on_the_size_is_right_at_every_size():
    network = seeded(SamePadding(3, 2), nn.Conv2d(3, 6, 3, 2), nn.ReLU6(), SamePadding(5, 1), nn.Conv2d(6, 4, 5))
    replica = fused_copy(network, pixels(1, 3, 12, 12))
    assert kinds(replica).count(FusedConvolution) == 2
    for rows, columns in ((12, 12), (13, 12), (12, 13), (7, 20)):
        agrees(network, replica, pixels(2, 3, rows, columns))


def test_uneven_padding_stays_where_a_larger_kernel_would_cost_more():
    network = seeded(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(3, 64, 3, 2), nn.ReLU())
    assert kinds(fused_copy(network, pixels(1, 3, 8, 8))) == [nn.ZeroPad2d, FusedConvolution]


@pytest.mark.parametrize(
    "pad", [nn.ReflectionPad2d(1), nn.ConstantPad2d(1, 0.5), nn.ZeroPad2d(-1), nn.ReplicationPad2d(1)], ids=str
)
def test_padding_with_other_things_than_zeros_stays(pad):
    replica = fused_copy(seeded(pad, nn.Conv2d(3, 4, 3)), pixels(1, 3, 8, 8))
    assert kinds(replica) == [type(pad), FusedConvolution]


class Network(nn.Module):
    """A convolution and an activation, for subclasses that read more than that."""

    def __init__(self):
        super().__init__()
        self.pad, self.convolution, self.activation = nn.ZeroPad2d(1), nn.Conv2d(3, 4, 3), nn.ReLU()


class ReadsBefore(Network):
    def forward(self, given):
        features = self.convolution(self.pad(given))
        return self.activation(features) - features


class ReadsPadded(Network):
    def forward(self, given):
        padded = self.pad(given)
        return self.activation(self.convolution(padded)) + padded.mean()


class WritesBetween(Network):
    def forward(self, given):
        features = self.convolution(self.pad(given))
        features *= -1
        return self.activation(features)


class ActivatesTwice(Network):
    def forward(self, given):
        return self.activation(self.activation(self.convolution(self.pad(given))) - 0.1)


class ConvolvesTwice(Network):
    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 3, 3)

    def forward(self, given):
        return self.activation(self.convolution(self.pad(self.convolution(self.pad(given)))))


@pytest.mark.parametrize(
    ("build", "stays"),
    [
        (ReadsBefore, nn.ReLU),
        (ReadsPadded, nn.ZeroPad2d),
        (WritesBetween, nn.ReLU),
        (ActivatesTwice, nn.ReLU),
        (ConvolvesTwice, nn.Conv2d),
    ],
)
def test_what_somebody_else_reads_stays(build, stays):
    torch.manual_seed(0)
    assert stays in kinds(fused_copy(build().eval(), pixels(1, 3, 8, 8)))


def test_a_convolution_with_a_hook_stays_and_keeps_it():
    network = seeded(nn.Conv2d(3, 4, 3), nn.ReLU())
    network[0].register_forward_hook(lambda module, given, result: result + 1)
    assert nn.Conv2d in kinds(fused_copy(network, pixels(1, 3, 8, 8)))


def test_a_network_that_reads_its_convolution_gets_a_copy_without_fusion():
    class Reading(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution, self.norm, self.activation = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()

        def forward(self, given):
            return self.activation(self.norm(self.convolution(given))) / self.convolution.out_channels

    network = Reading().eval()
    assert kinds(fused_copy(network, pixels(1, 3, 8, 8))) == [nn.Conv2d, nn.ReLU]


def test_double_precision_is_not_fused():
    network = seeded(nn.Conv2d(3, 4, 3), nn.ReLU()).double()
    assert kinds(fused_copy(network, pixels(1, 3, 8, 8).double())) == [nn.Conv2d, nn.ReLU]


def test_nothing_is_fused_where_torch_does_not_offer_it(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    network = seeded(nn.Conv2d(3, 4, 3), nn.ReLU())
    assert kinds(fused_copy(network, pixels(1, 3, 8, 8))) == [nn.Conv2d, nn.ReLU]


def test_an_empty_batch_is_answered():
    network = seeded(nn.ZeroPad2d(1), nn.Conv2d(3, 4, 3), nn.ReLU())
    replica = fused_copy(network, pixels(1, 3, 8, 8))
    assert replica(pixels(0, 3, 8, 8)).shape == (0, 4, 8, 8)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_nan_that_a_fused_activation_would_hide_is_seen(value):
    subject = wrap(seeded(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten()), TensorTask())
    inputs = subject.prepare(pixels(1, 3, 4, 4))
    subject.run(inputs)
    spoiled = inputs.value.clone()
    spoiled[0, 0, 0, 0] = value
    with pytest.raises(SubjectFailed, match="NaN or infinite"):
        subject.run(inputs.at(spoiled))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1e30])
def test_numbers_that_could_overflow_are_not_ordinary(value):
    assert ordinary({"pixels": pixels(1, 3), "positions": torch.tensor([2**62]), "nothing": torch.zeros(0)})
    assert not ordinary({"pixels": torch.tensor([0.0, value])})


def test_batches_agree_and_equal_batches_are_equal():
    network = seeded(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), SamePadding(3, 2), nn.Conv2d(16, 16, 3, 2, groups=16))
    replica, given = fused_copy(network, pixels(1, 3, 17, 17)), pixels(12, 3, 17, 17)
    whole = replica(given)
    assert torch.equal(whole, replica(given))
    for size in (1, 5, 7):
        parts = torch.cat([replica(part) for part in given.split(size)])
        assert (parts - whole).abs().max() <= 1e-5 * whole.abs().max()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda subject: pickle.loads(pickle.dumps(subject))])
def test_a_subject_that_was_asked_can_be_copied(copied):
    subject, given = wrap(seeded(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten()), TensorTask()), pixels(2, 3, 4, 4)
    expected = subject.scores(given)
    assert torch.equal(copied(subject).scores(given), expected)


def test_an_identity_that_nothing_reads_but_an_operation_ends_the_search():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution, self.same = nn.Conv2d(1, 2, 3), nn.Identity()

        def forward(self, x):
            return self.same(self.convolution(x)).mean((2, 3))

    network, given = Net().eval(), {"x": pixels(2, 1, 5, 5)}
    replica = prepared(network, given, call)
    assert isinstance(replica.convolution, FusedConvolution)
    torch.testing.assert_close(replica(*given.values()), network(*given.values()))
