"""Which explanations to believe: many methods judged by many metrics over many inputs, on shared model calls."""

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pellucid import __version__
from pellucid.core.content import digest
from pellucid.core.errors import BadInput, NotAnswerable, UsageError
from pellucid.core.meter import report as report_progress
from pellucid.core.method import fields_of, query_type, result_type, why_not
from pellucid.core.query import Decision, Judgement, Quantity
from pellucid.core.subject import Inputs, Subject
from pellucid.engine import standing
from pellucid.engine.erasing import shared_calls
from pellucid.engine.judged import controls_of
from pellucid.engine.judging import labels
from pellucid.engine.targets import again, resolve
from pellucid.reports.explaining import built
from pellucid.results.attribution import Attribution
from pellucid.results.evaluation import Evaluation
from pellucid.results.ranking import Ranking
from pellucid.store.answers import Answers
from pellucid.tasks.pictures import open_picture

METHODS = (
    "gradient",
    "input-x-gradient",
    "guided-backprop",
    "deconvnet",
    "smoothgrad",
    "integrated-gradients",
    "lrp",
    "grad-cam",
    "lime",
)
METRICS = ("region-perturbation", "insertion", "deletion", "max-sensitivity", "parameter-randomisation", "entropy")
_MANY = 20
_Measured = dict[str, Tensor]


def evaluate(
    subject: Subject,
    data: Sequence[Any],
    methods: Sequence[Any] | None = None,
    metrics: Sequence[Any] | None = None,
    *,
    target: Any = None,
    of: Quantity = "score",
    masks: Sequence[Any] | None = None,
    names: Sequence[str] | None = None,
    kept: Path | None = None,
    seed: int = 0,
) -> Ranking:
    """Explain every input by every method, judge every explanation by every metric, and compare what can be compared.

    ``data`` are raw inputs, ``methods`` and ``metrics`` ids, built methods or mappings for :func:`pellucid.build`; what does
    not apply to the subject is left out and named. ``target`` is one class for all inputs; by default each input's
    predicted one. ``masks`` hold per input where its reason lies, as a
    :class:`~pellucid.Judgement` takes it or as a picture file, for metrics of localisation. ``names`` are what the inputs are
    called. Of 20 inputs or more, metrics draw one random control map each unless they say otherwise.

    Everything measured is kept in the folder ``kept`` as soon as an input is done, so that a run that was killed goes on
    where it was, and one with further methods or metrics measures only these. Inputs are read one at a time.
    Inputs that cannot be read are named, never fatal; ``BadInput`` where none can.
    """
    if not len(data):
        raise BadInput("there is nothing to evaluate on; name some inputs")
    light = len(data) >= _MANY
    work = _Work(
        subject,
        [built(entry, seed) for entry in (METHODS if methods is None else methods)],
        [_judge(entry, seed, light) for entry in (METRICS if metrics is None else metrics)],
        (target, of, seed),
        None if kept is None else Answers(kept),
    )
    called = [str(number) for number in range(len(data))] if names is None else list(names)
    found: dict[str, _Measured] = {}
    failed: dict[str, str] = {}
    for number, (name, raw) in enumerate(zip(called, data, strict=True)):
        report_progress(number, len(data), name)
        try:
            found[name] = work.measure(raw, None if masks is None else masks[number])
        except BadInput as error:
            failed[name] = str(error)
    report_progress(len(data), len(data), "ranking")
    if not found:
        name, reason = next(iter(failed.items()))
        raise BadInput(f"none of {len(data)} inputs could be evaluated; {name}: {reason}")
    return work.ranking(found, failed)


class _Work:
    """What is asked of every input. What was measured of one is a dictionary of tensors, whose keys are made here."""

    def __init__(
        self,
        subject: Subject,
        methods: Sequence[Any],
        metrics: Sequence[Any],
        asked: tuple[Any, Quantity, int],
        store: Answers | None,
    ) -> None:
        self._subject, self._store = subject, store
        self._target, self._of, self._seed = asked
        self._refused: dict[str, str] = {}
        methods = self._applicable(methods, Decision, Attribution, "an explanation of a decision")
        metrics = self._applicable(metrics, Judgement, Evaluation, "a metric")
        self._methods = dict(zip(labels([(m.spec.id, fields_of(m)) for m in methods]), methods, strict=True))
        self._metrics = dict(zip(labels([(m.spec.id, fields_of(m)) for m in metrics]), metrics, strict=True))
        self._contents = {name: digest(held) for name, held in (*self._methods.items(), *self._metrics.items())}

    def _applicable(self, methods: Iterable[Any], query: type, result: type, what: str) -> list[Any]:
        found = []
        for method in methods:
            if query_type(type(method)) is not query or not issubclass(result_type(type(method)), result):
                raise UsageError(f"{method.spec.id} is not {what}; see: pellucid methods")
            reason = why_not(method, self._subject)
            if reason is None:
                found.append(method)
            else:
                self._refused[method.spec.id] = reason
        if not found:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in self._refused.items())
            raise NotAnswerable(f"{self._subject.name} cannot be asked for {what}: {reasons or 'none is named'}")
        return found

    def measure(self, raw: Any, mask: Any) -> _Measured:
        """What every metric finds of every method and of the controls for one input, and what the methods cost."""
        inputs = self._subject.prepare(raw)
        if len(inputs) != 1:
            raise BadInput(f"it holds {len(inputs)} examples; name them one by one")
        about = (__version__, self._subject.fingerprint, self._target, self._of, self._seed)
        place = digest([*about, dict(inputs.tensors), None if mask is None else digest(mask)])
        wanted = [self._value(metric, row) for metric in self._metrics for row in (*self._methods, None)]
        wanted += [self._cost(method) for method in self._methods]
        found = self._known(place, [*wanted, *(self._protocol(metric) for metric in self._metrics)])
        if any(key not in found for key in wanted):
            with shared_calls():
                made = self._made(inputs, None if mask is None else [_mask(mask)], found)
            if self._store is not None:
                self._store.keep({f"{place} {key}": tensor for key, tensor in made.items()})
            found |= made
        return found

    def _known(self, place: str, keys: Sequence[str]) -> _Measured:
        if self._store is None:
            return {}
        known = self._store.known([f"{place} {key}" for key in keys])
        return {key.partition(" ")[2]: tensor for key, tensor in known.items()}

    def _made(self, inputs: Inputs, mask: list[Any] | None, found: _Measured) -> _Measured:
        """What is not found yet."""
        asked = Decision(inputs, self._target, None, self._of)
        # Resolved once for all, because looking for the predicted class is a pass.
        decision = again(asked, inputs, resolve(self._subject, inputs, asked))
        made, answers = _Measured(), dict[str, Attribution]()
        for name, method in self._methods.items():
            keys = [self._cost(name), *(self._value(metric, name) for metric in self._metrics)]
            if all(key in found for key in keys):
                continue
            try:
                answers[name] = method(self._subject, decision)
                cost = answers[name].evaluations
                made[self._cost(name)] = torch.tensor([cost.get("F", 0), cost.get("B", 0)], dtype=torch.float64)
            except NotAnswerable as error:
                made |= {key: _nothing(str(error)) for key in keys}
        for metric in self._metrics:
            new = {name: answer for name, answer in answers.items() if self._value(metric, name) not in found}
            if new:
                made |= self._judged(metric, new, mask)
        return made

    def _judged(self, metric: str, answers: Mapping[str, Attribution], mask: list[Any] | None) -> _Measured:
        """The metric's values; where it refuses one of the answers the others are judged without it."""
        asked = Judgement(list(answers.values()), mask, self._seed)
        try:
            found: Evaluation = self._metrics[metric](self._subject, asked)
        except NotAnswerable as error:
            if len(answers) > 1:
                alone = (self._judged(metric, {name: answer}, mask) for name, answer in answers.items())
                return {key: entry for one in alone for key, entry in one.items()}
            return {self._value(metric, name): _nothing(str(error)) for name in answers}
        values = {
            self._value(metric, name): value for name, value in zip(answers, found.per_example[:, 0], strict=True)
        }
        assert found.control_per_example is not None
        told = {"higher is better": found.higher_is_better, "protocol": found.protocol}
        controls = {self._value(metric, None): found.control_per_example[:, 0]}
        return {**values, **controls, self._protocol(metric): _text(json.dumps(told))}

    def ranking(self, found: Mapping[str, _Measured], failed: Mapping[str, str]) -> Ranking:
        """The ranking of everything that was measured."""
        controls = [f"control: {name}" for name in controls_of(self._subject)]
        values = torch.stack([self._table(one, len(controls)) for one in found.values()], 2)
        told = [self._told(metric, found.values()) for metric in self._metrics]
        signs = torch.tensor([1.0 if one["higher is better"] else -1.0 for one in told], dtype=torch.float64)
        goods = values * signs[:, None, None]
        costs = torch.stack(
            [torch.stack([_number(one[self._cost(m)], 2) for m in self._methods]) for one in found.values()]
        )
        return Ranking(
            subject=self._subject.name,
            examples=tuple(found),
            metrics=tuple(self._metrics),
            higher_is_better=tuple(one["higher is better"] for one in told),
            rows=(*self._methods, *controls),
            controls=len(controls),
            values=values,
            means=torch.stack([standing.mean_intervals(table, self._seed) for table in values]),
            different=standing.paired_tests(values),
            ranks=standing.mean_ranks(goods, self._seed),
            agreement=standing.agreement(goods),
            cost=costs.nanmean(0),
            protocols=tuple(one["protocol"] for one in told),
            refused=self._refused | self._reasons(found.values()),
            failed=dict(failed),
        )

    def _table(self, one: _Measured, controls: int) -> Tensor:
        """``[metrics, rows]`` of one input."""
        missing = torch.full((controls,), torch.nan, dtype=torch.float64)
        rows = []
        for metric in self._metrics:
            values = torch.cat([_number(one[self._value(metric, name)], 1) for name in self._methods])
            rows.append(torch.cat([values, one.get(self._value(metric, None), missing)]))
        return torch.stack(rows)

    def _told(self, metric: str, found: Iterable[_Measured]) -> dict[str, Any]:
        texts = (one[self._protocol(metric)] for one in found if self._protocol(metric) in one)
        first = next(texts, None)
        return (
            {"higher is better": True, "protocol": "It judged nothing."} if first is None else json.loads(_read(first))
        )

    def _reasons(self, found: Iterable[_Measured]) -> dict[str, str]:
        """Why a value is missing, in the words of the first input where it is."""
        reasons: dict[str, str] = {}
        for one in found:
            for metric in self._metrics:
                for name in self._methods:
                    entry = one[self._value(metric, name)]
                    if not _is_number(entry):
                        reasons.setdefault(f"{name}, {metric}", _read(entry))
        return reasons

    def _value(self, metric: str, row: str | None) -> str:
        return f"{self._contents[metric]} {'controls' if row is None else self._contents[row]}"

    def _cost(self, method: str) -> str:
        return f"cost {self._contents[method]}"

    def _protocol(self, metric: str) -> str:
        return f"protocol {self._contents[metric]}"


def _judge(entry: Any, seed: int, light: bool) -> Any:
    """A metric; over many inputs one that draws a single random map of each, unless it says how many."""
    metric = built(entry, seed)
    says = isinstance(entry, Mapping) and "random_maps" in entry
    draws = any(field.name == "random_maps" for field in dataclasses.fields(metric))
    return (
        dataclasses.replace(metric, random_maps=1)
        if light and draws and isinstance(entry, str | Mapping) and not says
        else metric
    )


def _mask(given: Any) -> Any:
    """A mask as metrics of localisation take it: a picture file marks what is not black."""
    if not isinstance(given, str | Path):
        return given
    return torch.from_numpy(np.asarray(open_picture(given)[0].convert("L")) > 0)


def _text(text: str) -> Tensor:
    return torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)


def _read(text: Tensor) -> str:
    return bytes(text.tolist()).decode()


# What is kept in the place of numbers where there are none: the reason, as text.
_nothing = _text


def _is_number(entry: Tensor) -> bool:
    return entry.is_floating_point()


def _number(entry: Tensor, size: int) -> Tensor:
    return entry.reshape(size) if _is_number(entry) else torch.full((size,), torch.nan, dtype=torch.float64)
