"""Captum's NoiseTunnel and GradientShap: averages over random draws."""

from collections.abc import Callable, Iterator
from inspect import signature
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from pellucid.compat.captum.asking import Asked, Attribution, positive
from pellucid.compat.captum.packing import as_tuple
from pellucid.core.errors import NotAnswerable, UsageError, nearest
from pellucid.core.seeds import generator
from pellucid.engine.averaging import Running
from pellucid.engine.gradients import gradients, point_value

Kind = Literal["smoothgrad", "smoothgrad_sq", "vargrad"]


class NoiseTunnel:
    """An attribution of noisy copies of the inputs: its mean, the mean of its squares, or its variance.

    Noise is drawn for each example from its content and ``torch.initial_seed()``: the same call gives the same scores, in
    any batch.
    """

    def __init__(self, attribution_method: Any) -> None:
        if not callable(getattr(attribution_method, "attribute", None)):
            raise UsageError(f"NoiseTunnel takes an attribution, not a {type(attribution_method).__name__}")
        self.attribution_method = attribution_method

    def get_name(self) -> str:
        """The name of the class in words."""
        return "Noise Tunnel"

    def has_convergence_delta(self) -> bool:
        """Whether the attribution inside can return it."""
        return self.attribution_method.has_convergence_delta()

    @property
    def multiplies_by_inputs(self) -> bool:
        """As the attribution inside."""
        return self.attribution_method.multiplies_by_inputs

    def attribute(
        self,
        inputs: Any,
        nt_type: str = "smoothgrad",
        nt_samples: int = 5,
        nt_samples_batch_size: int | None = None,
        stdevs: Any = 1.0,
        draw_baseline_from_distrib: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Scores as those of the attribution inside; where asked for its deltas, ``[batch · nt_samples]``."""
        if nt_type not in get_args(Kind):
            raise UsageError(f"NoiseTunnel: there is no nt_type {nt_type!r}; {nearest(str(nt_type), get_args(Kind))}")
        positive("NoiseTunnel", nt_samples=nt_samples, nt_samples_batch_size=nt_samples_batch_size)
        tensors = as_tuple(inputs, "inputs")
        usual = kwargs.get("baselines") if draw_baseline_from_distrib else None
        turns = _turns(tensors, usual, nt_samples)
        averages: list[_Average] = []
        deltas, single = [], True
        for noisy, numbers in zip(_noisy(tensors, _deviations(stdevs, tensors), nt_samples), turns, strict=True):
            given = dict(kwargs) if usual is None else {**kwargs, "baselines": _chosen(usual, numbers)}
            found = self.attribution_method.attribute(noisy[0] if isinstance(inputs, Tensor) else noisy, **given)
            if kwargs.get("return_convergence_delta"):
                found, delta = found
                deltas.append(delta)
            single = isinstance(found, Tensor)
            parts = (found,) if single else found
            averages = averages or [_Average(part) for part in parts]
            for average, part in zip(averages, parts, strict=True):
                average.add(part)
        scores = tuple(average.take(nt_type) for average in averages)
        answer = scores[0] if single else scores
        return (answer, torch.stack(deltas, 1).flatten()) if deltas else answer


class GradientShap(Attribution):
    """Gradients at random places between baselines of a distribution and noisy inputs, times the way between them.

    Baselines come in turns and places one from each of equally long parts of the way, so that few draws cover both evenly.
    Draws depend on the example's content and ``torch.initial_seed()``.
    """

    def __init__(self, forward_func: Callable[..., Any], multiply_by_inputs: bool = True) -> None:
        super().__init__(forward_func)
        self._multiplies = multiply_by_inputs

    @property
    def multiplies_by_inputs(self) -> bool:
        return self._multiplies

    def has_convergence_delta(self) -> bool:
        return True

    def attribute(
        self,
        inputs: Any,
        baselines: Any,
        n_samples: int = 5,
        stdevs: Any = 0.0,
        target: Any = None,
        additional_forward_args: Any = None,
        return_convergence_delta: bool = False,
    ) -> Any:
        """Scores in the shapes of the inputs; where asked for what each draw misses of its rise, ``[batch · n_samples]``.

        ``baselines`` are tensors whose first axis is the distribution, numbers, or a function that returns these.
        """
        positive("GradientShap", n_samples=n_samples)
        asked = self.asked(inputs, target, additional_forward_args)
        tensors = as_tuple(inputs, "inputs")
        usual = baselines(*((inputs,) if signature(baselines).parameters else ())) if callable(baselines) else baselines
        draws = zip(
            _noisy(tensors, _deviations(stdevs, tensors), n_samples),
            _turns(tensors, usual, n_samples),
            _places(tensors, n_samples),
            strict=True,
        )
        point = point_value(asked.subject, asked.inputs)
        total, missed = torch.zeros_like(point, dtype=torch.float64), []
        for copies, numbers, places in draws:
            share = places.view(-1, *[1] * (point.ndim - 1))
            end, start = asked.layout.packed(copies, point.dtype), asked.baseline(_chosen(usual, numbers))
            contribution = self._contribution(asked, start, end, share)
            total += contribution
            rise = asked.answers(end) - asked.answers(start) if return_convergence_delta else 0.0
            missed.append(contribution.flatten(1).sum(1) - rise)
        attributions = asked.out((total / n_samples).to(point))
        if not return_convergence_delta:
            return attributions
        return attributions, torch.stack(missed, 1).flatten().to(point)

    def _contribution(self, asked: Asked, start: Tensor, end: Tensor, share: Tensor) -> Tensor:
        found = gradients(asked.subject, asked.at(torch.lerp(start, end, share.to(end))), asked.target)
        slope = found.gradient.double()
        return slope * (end - start).double() if self._multiplies else slope


class _Average:
    """Mean, mean of squares and variance of the scores of noisy copies."""

    def __init__(self, like: Tensor) -> None:
        self._like = like
        self._scores, self._squares = Running(like), Running(like)

    def add(self, scores: Tensor) -> None:
        self._scores.add(scores.detach().cpu())
        self._squares.add(scores.detach().cpu().double().square())

    def take(self, kind: str) -> Tensor:
        """What is taken over the copies; the variance is that of the draws themselves, over their number."""
        count = self._scores.count
        if kind == "vargrad":
            taken = self._scores.variance * ((count - 1) / count) if count > 1 else torch.zeros_like(self._scores.mean)
        else:
            taken = self._scores.mean if kind == "smoothgrad" else self._squares.mean
        return taken.to(self._like)


def _noisy(tensors: tuple[Tensor, ...], deviations: tuple[float, ...], samples: int) -> Iterator[tuple[Tensor, ...]]:
    """Copies of the inputs with normal noise of these deviations."""
    sources = [_source(tensors, row, "noise") for row in range(len(tensors[0]))]
    for _ in range(samples):
        copies = []
        for tensor, deviation in zip(tensors, deviations, strict=True):
            if not deviation:
                copies.append(tensor.detach())
                continue
            drawn = [torch.randn(tensor.shape[1:], generator=source, dtype=torch.float64) for source in sources]
            copies.append(tensor.detach() + deviation * torch.stack(drawn).to(tensor))
        yield tuple(copies)


def _turns(tensors: tuple[Tensor, ...], baselines: Any, samples: int) -> Tensor:
    """The row of the baselines that each example starts from in each draw, ``[samples, batch]``: each in turn."""
    parts = baselines if isinstance(baselines, tuple) else (baselines,)
    for part in parts:
        if not isinstance(part, Tensor | int | float | None):
            raise UsageError(
                f"baselines are tensors of as many rows as there are to draw from, or numbers; not {type(part)}"
            )
    counts = {len(part) for part in parts if isinstance(part, Tensor)}
    if len(counts) > 1:
        raise UsageError(f"baselines of several inputs belong together row by row; they have {sorted(counts)} rows")
    number = max(counts, default=1)
    rounds = -(-samples // number)
    found = []
    for row in range(len(tensors[0])):
        source = _source(tensors, row, "baselines")
        found.append(torch.cat([torch.randperm(number, generator=source) for _ in range(rounds)])[:samples])
    return torch.stack(found, 1)


def _places(tensors: tuple[Tensor, ...], samples: int) -> Tensor:
    """Places on the way, ``[samples, batch]``: one from each of equally long parts, in random order."""
    found = []
    for row in range(len(tensors[0])):
        source = _source(tensors, row, "places")
        within = torch.rand(samples, generator=source, dtype=torch.float64)
        found.append((torch.randperm(samples, generator=source) + within) / samples)
    return torch.stack(found, 1)


def _chosen(baselines: Any, numbers: Tensor) -> Any:
    """The rows of baselines that were drawn; numbers stay what they are."""
    if isinstance(baselines, tuple):
        return tuple(_chosen(part, numbers) for part in baselines)
    return baselines[numbers.to(baselines.device)] if isinstance(baselines, Tensor) else baselines


def _source(tensors: tuple[Tensor, ...], row: int, what: str) -> torch.Generator:
    content = torch.cat([tensor[row].detach().cpu().double().reshape(-1) for tensor in tensors])
    return generator(torch.initial_seed(), f"captum {what}", content)


def _deviations(stdevs: Any, tensors: tuple[Tensor, ...]) -> tuple[float, ...]:
    values = stdevs if isinstance(stdevs, tuple) else (stdevs,) * len(tensors)
    if len(values) != len(tensors) or not all(isinstance(v, int | float) and v >= 0 for v in values):
        raise UsageError(f"stdevs {stdevs!r} must be a number of at least 0, or one for each of {len(tensors)} inputs")
    if any(v and not t.is_floating_point() for v, t in zip(values, tensors, strict=True)):
        raise NotAnswerable("no noise can be added to whole numbers; give that input the deviation 0: stdevs=(0.0, …)")
    return tuple(float(v) for v in values)
