"""Sampling from a unit: what a generative network produces while one of its hidden units is held on."""

import math
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from scipy import stats
from torch import Tensor

from pellucid.core.errors import NotAnswerable, UsageError, nearest
from pellucid.core.meter import report
from pellucid.core.method import method
from pellucid.core.query import Unit
from pellucid.core.seeds import generator
from pellucid.core.spec import Access, Asker, Dimension, Modality, Scope, Spec, View
from pellucid.core.subject import Inputs, Subject
from pellucid.engine.batching import evaluate
from pellucid.engine.drawing_units import shape_of
from pellucid.engine.picture_evidence import evidence
from pellucid.engine.units import Units, layer_at
from pellucid.models.dbn import DBN
from pellucid.models.rbm import RBM
from pellucid.results.feature_images import AGREEMENT, FeatureImages

HALF = "half width of the 95 % interval, at most"


@method
class UnitSampling:
    """Samples and the mean of x given h_j = 1, in a restricted Boltzmann machine or a deep belief net (erhan2009visualizing).

    In the machine whose hidden units are asked about, block Gibbs sampling goes on with the unit clamped to 1; from each
    of its states the layers below are drawn downwards. The mean is that of what comes down, after ``burn_in`` sweeps; its
    95 % interval is from how the means of the ``chains`` differ, so that chains that have not mixed show.

    Each unit is drawn first as the mean, then as ``samples`` states of different chains. Without an index every unit of the
    layer is drawn.
    """

    spec: ClassVar = Spec(
        id="unit-sampling",
        title="Sampling from a unit",
        question="What does this generative network produce while this hidden unit is on?",
        scopes={Scope.TRANSPARENCY, Scope.DECOMPOSABILITY},
        dimensions={Dimension.DECOMPOSABILITY, Dimension.VISUAL, Dimension.BY_EXAMPLE},
        view=View.MODEL,
        askers={Asker.DEVELOPER},
        needs={Access.WEIGHTS, Access.ACTIVATIONS},
        modalities={Modality.IMAGE, Modality.TENSOR},
        properties={"stochastic"},
        cost="1 F per picture; sweeps over layers are not passes through the network",
        references=("erhan2009visualizing", "hinton2006fast"),
        serves=("B1",),
        caveat=(
            "Samples are of what the network believes, not of the data. A machine with large weights mixes slowly: where the "
            "interval is wide, chains still remember their start."
        ),
        alternatives=("activation-maximization", "what-if", "response"),
    )

    sweeps: Annotated[int, Ge(1), "sweeps that are averaged, in each chain"] = 400
    chains: Annotated[int, Ge(2), "chains that start at random"] = 50
    burn_in: Annotated[int, Ge(0), "sweeps before the first that is averaged"] = 100
    samples: Annotated[int, Ge(0), "how many states are shown"] = 4
    seed: int = 0

    def __call__(self, subject: Subject, query: Unit) -> FeatureImages:
        net = _generative(subject)
        number, name = _hidden_layer(net, subject, query)
        one = shape_of(subject, query)
        layer = layer_at(subject, one, name)
        index = layer.chosen(query.index)
        drawn = []
        for done, unit in enumerate(index):
            drawn.append(self._drawn(net, number, unit if isinstance(unit, int) else unit[0]))
            report(done + 1, len(index), "unit sampling")
        means, halves, states = (torch.stack(part) for part in zip(*drawn, strict=True))
        interval = torch.cat([halves[:, None], torch.full_like(states, torch.nan)], 1)
        return self._told(subject, query, one, Units(layer, index), torch.cat([means[:, None], states], 1), interval)

    def _told(
        self, subject: Subject, query: Unit, one: Inputs, units: Units, images: Tensor, interval: Tensor
    ) -> FeatureImages:
        """Images ``[units, 1 + samples, visible]`` and half their intervals as a result."""
        number, each = images.shape[:2]
        objective = units.rows(torch.arange(number).repeat_interleave(each))
        shape = (number * each, *one.value.shape[1:])
        shown = one.rows(torch.zeros(len(objective.indices), dtype=torch.long), images.to(one.value).reshape(shape))
        names = tuple(units.layer.named(unit) for unit in objective.indices)
        data = None if query.data is None else subject.prepare(query.data)
        known = dict(evidence(subject, shown, objective, names, data))
        known.pop(AGREEMENT, None)  # Samples are to differ, unlike the optima of several starts.
        known[HALF] = interval.flatten(0, 1).amax(1)
        rows = torch.arange(len(shown))
        return FeatureImages(
            images=shown.value,
            units=names,
            captions=("mean while it is on", *(f"sample {n + 1}" for n in range(each - 1))) * number,
            activations=evaluate(subject, shown, objective, rows, lambda part: shown.value[part]),
            evidence=known,
            interval=interval.to(one.value).reshape(shape),
        )

    @torch.no_grad()
    def _drawn(self, net: DBN, number: int, unit: int) -> tuple[Tensor, Tensor, Tensor]:
        """The mean and half the width of its interval, ``[visible]``, and states of some chains ``[samples, visible]``."""
        machine = net.machine(number)
        draws = generator(self.seed, self.spec.id, torch.tensor([number, unit]))
        even = torch.full((self.chains, machine.linear.out_features), 0.5)
        hidden = even.bernoulli(generator=draws).to(machine.weights)
        total = torch.zeros(self.chains, net.machine(0).linear.in_features, dtype=torch.float64)
        for sweep, state in enumerate(machine.gibbs(hidden, self.burn_in + self.sweeps, draws, clamped=unit)):
            if sweep >= self.burn_in:
                visible = net.descended(state, number + 1, draws)
                total += visible.cpu()
        means = total / self.sweeps
        half = stats.t.ppf(0.975, self.chains - 1) * means.std(0) / math.sqrt(self.chains)
        return means.mean(0), half, visible[: self.samples].cpu()


def _generative(subject: Subject) -> DBN:
    module = subject.module
    if isinstance(module, DBN | RBM):
        return module if isinstance(module, DBN) else DBN([module])
    raise NotAnswerable(
        f"{subject.name} is no generative network: only a restricted Boltzmann machine or a deep belief net "
        "(pellucid.models.RBM, DBN) can be sampled. Ask: activation-maximization, what-if, response"
    )


def _hidden_layer(net: DBN, subject: Subject, query: Unit) -> tuple[int, str]:
    """Which machine has the hidden units of a layer, and the name of their pre-activations."""
    if query.layer is None or query.target is not None:
        raise UsageError("name a layer and a unit, as in Unit('layers.1', 5); without an index all units are drawn")
    assert subject.module is not None
    names = {part: name for name, part in subject.module.named_modules()}
    known = {
        names[part]: (number, names[layer.linear])
        for number, layer in enumerate(map(net.machine, range(len(net.layers))))
        for part in (layer, layer.linear, layer.sigmoid)
        if names[part]
    }
    if query.layer not in known:
        raise UsageError(f"{subject.name} has no hidden units at {query.layer!r}; {nearest(query.layer, list(known))}")
    return known[query.layer]
