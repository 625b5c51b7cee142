"""A fitted scikit-learn estimator, or anything with its methods, as a subject."""

import pickle
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import joblib
from sklearn.base import BaseEstimator, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from pellucid.core.content import digest
from pellucid.core.errors import BadInput, NotAnswerable, UsageError
from pellucid.core.subject import OutputKind, Task
from pellucid.subjects.blackbox import BlackBox
from pellucid.subjects.labels import labelled
from pellucid.tasks.tabular import Tabular


class EstimatorSubject(BlackBox):
    """A classifier by its ``predict_proba`` (probabilities), a regressor by its ``predict`` (a value), in float64.

    The point is what the estimator was fitted on: rows in the columns' own units, of which ``Tabular(columns,
    reference=rows)`` may hold a sample; inputs with more axes are flattened. Columns come from ``feature_names_in_``,
    labels from ``classes_``. The fingerprint is that of everything that was fitted, or of the answers to the probe
    where the estimator holds functions, which cannot be compared by content.
    """

    def __init__(
        self,
        estimator: Any,
        task: Task | None = None,
        *,
        labels: Sequence[str] | None = None,
        name: str | None = None,
    ) -> None:
        name = name or type(estimator).__name__
        output = _output_kind(estimator, name)
        super().__init__(_task(estimator, task, labels, output, name), name)
        self._estimator = estimator

    @property
    def fingerprint(self) -> str:
        content = self._content()
        if content is None:
            return super().fingerprint
        return digest([type(self).__name__, self.name, content, self.task.describe()])

    @property
    def stable(self) -> bool:
        """Whether the estimator is known by content, or answered the probe twice the same."""
        return self._content() is not None or super().stable

    def answer(self, tensors: Mapping[str, Tensor]) -> Any:
        if len(tensors) > 1:
            raise UsageError(f"{self.name} reads one table, not {len(tensors)} named inputs ({', '.join(tensors)})")
        rows = next(iter(tensors.values())).flatten(1).double().numpy()
        ask = self._estimator.predict if self.task.output == "value" else self._estimator.predict_proba
        with warnings.catch_warnings():
            # Columns are matched by position here; an estimator fitted on a data frame would say so at every call.
            warnings.filterwarnings("ignore", "X does not have valid feature names", UserWarning)
            return ask(rows)

    def _content(self) -> str | None:
        try:
            return joblib.hash(self._estimator)
        except (pickle.PicklingError, TypeError, AttributeError):
            return None


def is_estimator(model: Any) -> bool:
    """Whether a model has the methods of an estimator."""
    return not isinstance(model, type) and hasattr(model, "fit") and hasattr(model, "predict")


def _output_kind(estimator: Any, name: str) -> OutputKind:
    if isinstance(estimator, BaseEstimator):
        try:
            check_is_fitted(estimator)
        except NotFittedError as error:
            raise BadInput(f"{name} is not fitted; call its fit(rows, answers) first") from error
    if hasattr(estimator, "predict_proba"):
        return "probabilities"
    if hasattr(estimator, "classes_"):
        instead = "fit it within sklearn.calibration.CalibratedClassifierCV"
        if hasattr(estimator, "decision_function"):
            instead += ", or wrap its margins: wrap(model.decision_function, numpy=True)"
        raise NotAnswerable(f"{name} gives no probabilities; {instead}")
    if not _is_regressor(estimator):
        raise NotAnswerable(
            f"{name} is neither a classifier nor a regressor; wrap a function that returns the scores you mean"
        )
    return "value"


def _is_regressor(estimator: Any) -> bool:
    try:
        return is_regressor(estimator)
    except (AttributeError, TypeError):  # Not of scikit-learn, and it does not say what it is.
        return False


def _task(estimator: Any, task: Task | None, labels: Sequence[str] | None, output: OutputKind, name: str) -> Task:
    task = labelled(Tabular(_columns(estimator, name)) if task is None else task, labels)
    task.output = output
    _check_order(estimator, task, name)
    if output == "value":
        return task
    classes = estimator.classes_
    if isinstance(classes, list):
        raise NotAnswerable(f"{name} answers {len(classes)} questions at once; wrap the estimator of one of them")
    task.labels = tuple(map(str, classes)) if task.labels is None else task.labels
    if len(task.labels) != len(classes):
        raise UsageError(f"{name} knows {len(classes)} classes, but {len(task.labels)} labels are given")
    return task


def _columns(estimator: Any, name: str) -> tuple[str, ...]:
    names = getattr(estimator, "feature_names_in_", None)
    if names is not None:
        return tuple(map(str, names))
    number = getattr(estimator, "n_features_in_", None)
    if number is None:
        raise UsageError(f"{name} does not say how many columns it reads; give task=pellucid.tasks.Tabular(columns)")
    return tuple(f"column {column}" for column in range(number))


def _check_order(estimator: Any, task: Task, name: str) -> None:
    fitted = getattr(estimator, "feature_names_in_", None)
    given = getattr(task, "columns", None)
    if fitted is None or given is None or tuple(fitted) == tuple(given):
        return
    if sorted(fitted) == sorted(given):
        raise UsageError(f"{name} was fitted on these columns in another order; name them as {', '.join(fitted)}")
