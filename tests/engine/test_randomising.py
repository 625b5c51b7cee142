"""Randomised copies: from the scores down, in stages, with the network itself untouched."""

import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.core.content import digest
from pellucid.core.errors import NotAnswerable
from pellucid.engine.randomising import randomised


class Tied(nn.Module):
    """Two layers that share their weight, a batch norm, a parameter of its own and a layer that is never called."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(5, 5), nn.Linear(5, 5), nn.Linear(5, 2)
        self.second.weight = self.first.weight
        self.norm = nn.BatchNorm1d(5)
        self.scale = nn.Parameter(torch.linspace(0.5, 1.5, 2))
        self.unused = nn.Linear(3, 3)

    def forward(self, rows):
        return self.scale * self.head(self.norm(self.second(self.first(rows).relu())).relu())


def subject_of(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = Tied().double().eval()
    return pl.wrap(module, name="tied")


def inputs_of(subject):
    return subject.prepare(torch.ones(1, 5, dtype=torch.float64))


def stages(subject, layers=8, order="cascading", redrawn="normal", seed=0):
    """The values of all parameters after each stage."""
    found = randomised(subject, inputs_of(subject), layers, order, redrawn, seed)
    return [{name: value.detach().clone() for name, value in other.module.named_parameters()} for other in found]


def changed(before, after):
    return {name for name in before if not torch.equal(before[name], after[name])}


def own(subject):
    return {name: value.detach().clone() for name, value in subject.module.named_parameters()}


def test_layers_forget_from_the_scores_down_and_never_learn_again():
    subject = subject_of()
    trained, found = own(subject), stages(subject)
    gone = [changed(trained, stage) for stage in found]
    assert all(earlier <= later for earlier, later in zip(gone, gone[1:], strict=False))
    assert next(n for n, names in enumerate(gone) if "head.weight" in names) < next(
        n for n, names in enumerate(gone) if "first.bias" in names
    )
    assert gone[0] == {"scale"}
    # The norm's weights are all one and its biases all zero, so their own mean and deviation give these again.
    assert set(trained) - gone[-1] == {"norm.weight", "norm.bias"}


def test_independent_stages_change_disjoint_parts_but_for_what_layers_share():
    subject = subject_of()
    trained, found = own(subject), stages(subject, order="independent")
    gone = [changed(trained, stage) for stage in found]
    names = [name for names in gone for name in names]
    assert sorted(names) == sorted([*set(names), "first.weight"])
    assert set(names) == changed(trained, stages(subject)[-1])


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_the_last_stage_is_the_same_for_any_number_of_stages(layers):
    subject = subject_of()
    few, many = stages(subject, layers), stages(subject)
    assert len(few) == layers
    assert not changed(few[-1], many[-1])


def test_the_network_and_its_statistics_are_untouched_and_copied_once():
    subject = subject_of()
    before = digest(dict(subject.module.state_dict()))
    others = [other.module for other in randomised(subject, inputs_of(subject), 3, "cascading", "normal", 0)]
    assert digest(dict(subject.module.state_dict())) == before
    assert len({id(module) for module in others}) == 1
    assert torch.equal(others[0].norm.running_var, subject.module.norm.running_var)
    assert others[0].first.weight is others[0].second.weight
    assert others[0].first.weight.data_ptr() != subject.module.first.weight.data_ptr()


def test_permuted_parameters_keep_their_values_and_lose_their_order():
    subject = subject_of()
    last = stages(subject, redrawn="permuted")[-1]
    for name, value in own(subject).items():
        assert torch.equal(value.flatten().sort().values, last[name].flatten().sort().values)
    assert "first.weight" in changed(own(subject), last)


def test_normal_parameters_have_the_mean_and_the_deviation_of_the_trained_ones():
    subject = pl.wrap(nn.Linear(400, 50).double(), pl.tasks.TensorTask(), name="wide")
    with torch.no_grad():
        subject.module.weight.mul_(7).add_(3)
    inputs = subject.prepare(torch.ones(1, 400, dtype=torch.float64))
    (other,) = randomised(subject, inputs, 4, "cascading", "normal", 0)
    old, new = subject.module.weight.detach(), other.module.weight.detach()
    assert float(new.mean()) == pytest.approx(float(old.mean()), abs=4 * float(old.std()) / 20000**0.5)
    assert float(new.std()) == pytest.approx(float(old.std()), rel=0.03)
    assert abs(float(torch.corrcoef(torch.stack([old.flatten(), new.flatten()]))[0, 1])) < 0.03


def test_draws_depend_on_the_parameters_and_the_seed_only():
    last = stages(subject_of())[-1]
    torch.manual_seed(5)
    assert not changed(last, stages(subject_of())[-1])
    assert "head.weight" in changed(last, stages(subject_of(), seed=1)[-1])


def test_a_network_without_parameters_is_refused():
    subject = pl.wrap(nn.Sequential(nn.Flatten(1), nn.ReLU()), pl.tasks.TensorTask(), name="bare")
    with pytest.raises(NotAnswerable, match="no parameters"):
        next(randomised(subject, subject.prepare(torch.ones(1, 5)), 1, "cascading", "normal", 0))


def test_a_network_that_cannot_be_copied_is_refused():
    class Uncopied(nn.Linear):
        def __deepcopy__(self, memo):
            raise RuntimeError("handle of a device")

    subject = pl.wrap(Uncopied(5, 2), pl.tasks.TensorTask(), name="uncopied")
    with pytest.raises(NotAnswerable, match="handle of a device"):
        next(randomised(subject, subject.prepare(torch.ones(1, 5)), 1, "cascading", "normal", 0))
