"""Linear surrogates: fitted around one example in growing rounds, for several questions on the same passes."""

import dataclasses
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.core.subject import Inputs, Subject
from pellucid.engine import linear, sampling
from pellucid.engine.batching import evaluate
from pellucid.engine.sampling import Neighbourhood
from pellucid.engine.targets import Several

Choice = Callable[[linear.Moments, Tensor], Tensor]

_FIRST_ROUND = 128
_GROWTH = 1.5


@dataclass(frozen=True)
class Surrogate:
    """The linear model of one question: coefficients of all features, their interval, and how well it fits.

    ``value`` is the explained quantity of the example itself. ``rows`` were drawn, which weigh as much as ``effective``
    equal ones, or they are all that there are (``exact``). ``converged`` tells whether the interval is within the
    tolerance, if there was one.
    """

    value: Tensor
    coefficients: Tensor
    low: Tensor
    high: Tensor
    r2: Tensor
    intercept: Tensor
    local_prediction: Tensor
    rows: int
    effective: float
    exact: bool
    constant: bool
    converged: bool | None

    @property
    def spread(self) -> float:
        """The largest half interval in the size of the largest coefficient, which is what a tolerance is about."""
        half, largest = float((self.high - self.low).max()) / 2, float(self.coefficients.abs().max())
        return 0.0 if half == 0 else half / largest if largest > 0 else math.inf


def surrogates(
    subject: Subject,
    one: Inputs,
    questions: Several,
    around: Neighbourhood,
    choose: Choice,
    tolerance: float | None = None,
    lasso: float | None = None,
) -> list[Surrogate]:
    """A linear model of each question about one example, all on the same passes.

    ``choose`` takes the moments of the rows and the example as the model reads it, and names the columns of the model.
    With a ``lasso`` penalty that is the model, and its coefficients have no bounds: its shrinkage stays in the long run.

    With a ``tolerance`` rows are drawn in growing rounds, and a question is answered once its largest half interval is
    at most that share of its largest coefficient: whatever the other questions need.
    """
    answers = _Answers(subject, one, questions, around)
    moments = linear.Moments(len(around.instance), len(questions.targets))
    found: dict[int, Surrogate] = {}
    for stop in _rounds(around, tolerance):
        for rows, told, weights in answers.blocks(moments.rows, stop):
            moments.add(rows, told, weights)
        for number in range(len(questions.targets)):
            if number in found:
                continue
            fit = _fit(answers, moments.of(number), number, choose, tolerance, lasso)
            if fit.converged or tolerance is None or stop == len(around.draws):
                found[number] = fit
        if len(found) == len(questions.targets):
            break
    return [found[number] for number in range(len(questions.targets))]


def _fit(
    answers: "_Answers",
    moments: linear.Moments,
    number: int,
    choose: Choice,
    tolerance: float | None,
    lasso: float | None,
) -> Surrogate:
    around = answers.around
    columns = choose(moments, around.instance)
    if lasso is not None:
        model = linear.lasso(moments, columns, lasso)
    else:
        model = linear.ridge(moments, columns, 1e-12 * float(moments.weight) if around.exact else 1.0)
    low, high = -torch.inf * torch.ones(len(columns)).double(), torch.inf * torch.ones(len(columns)).double()
    if around.exact:
        low = high = model.coefficients
    elif lasso is None:
        blocks = ((rows, told[:, number], weights) for rows, told, weights in answers.blocks(0, moments.rows))
        low, high = linear.interval(blocks, moments, model, around.together)
    nothing = torch.zeros(moments.features, dtype=torch.float64)
    fit = Surrogate(
        value=answers.plain[number],
        coefficients=model.scattered(moments.features),
        low=nothing.index_copy(0, columns, low),
        high=nothing.index_copy(0, columns, high),
        r2=model.r2,
        intercept=model.intercept,
        local_prediction=model.predict(around.instance[None])[0],
        rows=moments.rows,
        effective=moments.effective,
        exact=around.exact,
        constant=moments.constant,
        converged=None,
    )
    if tolerance is None:
        return fit
    return dataclasses.replace(fit, converged=fit.spread <= tolerance)


class _Answers:
    """What the model says of the rows, asked for as far as it is needed, and of the example itself (``plain``)."""

    def __init__(self, subject: Subject, one: Inputs, questions: Several, around: Neighbourhood) -> None:
        self.around, self._subject, self._one, self._questions = around, subject, one, questions
        self._told = torch.zeros(0, len(questions.targets), dtype=torch.float64)
        repeated = sampling.distinct(around.draws)
        if repeated is not None:
            masks, which = repeated
            self._told = self._asked(masks)[which]
        if around.draws.opens:
            self.plain = self._upto(1)[0]
        else:
            self.plain = self._upto(len(around.draws))[-1] if around.exact else self._asked(around.draws.first[None])[0]

    def blocks(self, start: int, stop: int) -> Iterator[linear.Block]:
        """Rows as the linear model reads them, all answers ``[n, questions]`` and weights."""
        told = self._upto(stop)
        for part, rows in self.around.draws.blocks(start, stop):
            readable = self.around.interpretable(rows)
            yield readable, told[part], self.around.weights(readable)

    def _upto(self, stop: int) -> Tensor:
        start = len(self._told)
        if start < stop:
            draws = self.around.draws
            new = self._evaluated(stop - start, lambda part: draws.rows(slice(start + part.start, start + part.stop)))
            self._told = torch.cat([self._told, new])
        return self._told

    def _asked(self, rows: Tensor) -> Tensor:
        return self._evaluated(len(rows), lambda part: rows[part])

    def _evaluated(self, number: int, rows: Callable[[slice], Tensor]) -> Tensor:
        copies = torch.zeros(number, dtype=torch.long)
        return evaluate(
            self._subject, self._one, self._questions, copies, lambda part: self.around.points(rows(part)), "lime"
        )


def _rounds(around: Neighbourhood, tolerance: float | None) -> Iterator[int]:
    """How many rows are looked at each time: all at once without a tolerance, else more and more."""
    most = len(around.draws)
    if tolerance is not None and not around.exact:
        rows = float(max(_FIRST_ROUND, 3 * len(around.instance)))
        while rows < most:
            balanced = -(-int(rows) // around.step) * around.step
            if balanced < most:
                yield balanced
            rows = balanced * _GROWTH
    yield most
