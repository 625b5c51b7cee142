"""Estimators answer as scikit-learn does, and bring their columns and classes."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.datasets import load_diabetes, load_wine
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import LinearSVC
from torch import nn

import pellucid as pl
from pellucid.core.errors import BadInput, NotAnswerable, SubjectFailed, UsageError
from pellucid.core.spec import Access
from pellucid.methods.attribution.occlusion import Occlusion
from pellucid.tasks import Tabular

WINE = load_wine()
ROWS = (WINE.data - WINE.data.mean(0)) / WINE.data.std(0)


def logistic() -> LogisticRegression:
    return LogisticRegression().fit(ROWS, WINE.target_names[WINE.target])


def test_a_classifier_answers_with_its_probabilities():
    estimator = logistic()
    subject = pl.wrap(estimator)
    found = subject.scores(torch.tensor(ROWS, dtype=torch.float32))
    assert subject.task.output == "probabilities"
    assert np.abs(found.numpy() - estimator.predict_proba(ROWS)).max() < 1e-6


def test_classes_and_columns_come_from_the_estimator():
    subject = pl.wrap(logistic())
    assert subject.task.labels == tuple(WINE.target_names)
    assert subject.task.columns[:2] == ("column 0", "column 1")
    assert len(subject.task.columns) == 13
    assert subject.name == "LogisticRegression"
    assert subject.offers == {Access.OUTPUTS}


def test_occlusion_agrees_with_the_torch_twin():
    estimator = logistic()
    twin = nn.Sequential(nn.Linear(13, 3), nn.Softmax(1)).double()
    twin[0].weight.data = torch.tensor(estimator.coef_)
    twin[0].bias.data = torch.tensor(estimator.intercept_)
    query = pl.Decision(torch.tensor(ROWS[:3]), target=1)
    expected = Occlusion()(pl.wrap(twin, Tabular(WINE.feature_names, output="probabilities")), query)
    torch.testing.assert_close(Occlusion()(pl.wrap(estimator), query).scores, expected.scores, rtol=0, atol=1e-9)


def test_log_probability_of_a_classifier_is_the_logarithm_of_its_probability():
    subject = pl.wrap(logistic())
    row = torch.tensor(ROWS[:1])
    answer = Occlusion()(subject, pl.Decision(row, target=2, of="log-probability"))
    assert answer.value.item() == pytest.approx(float(subject.scores(row)[0, 2].log()), abs=1e-12)


def test_a_regressor_answers_with_a_value():
    table = load_diabetes()
    estimator = LinearRegression().fit(table.data, table.target)
    subject = pl.wrap(estimator, labels=["progression"])
    found = subject.scores(torch.tensor(table.data))
    assert subject.task.output == "value"
    assert subject.task.labels == ("progression",)
    assert np.abs(found[:, 0].numpy() - estimator.predict(table.data)).max() < 1e-9


def test_pipelines_and_searches_are_estimators():
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(WINE.data, WINE.target)
    search = GridSearchCV(LogisticRegression(), {"C": [1.0]}).fit(ROWS, WINE.target)
    for estimator, rows in ((pipeline, WINE.data), (search, ROWS)):
        found = pl.wrap(estimator).scores(torch.tensor(rows)).numpy()
        assert np.abs(found - estimator.predict_proba(rows)).max() < 1e-12


def test_names_of_columns_are_kept_and_arrays_bring_no_warning():
    estimator = logistic()
    estimator.feature_names_in_ = np.array(WINE.feature_names, dtype=object)
    with pytest.warns(UserWarning, match="feature names"):
        estimator.predict_proba(ROWS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        subject = pl.wrap(estimator)
        subject.scores(torch.tensor(ROWS))
    assert subject.task.columns == tuple(WINE.feature_names)


def test_columns_in_another_order_are_refused():
    estimator = logistic()
    estimator.feature_names_in_ = np.array(WINE.feature_names, dtype=object)
    with pytest.raises(UsageError, match="another order"):
        pl.wrap(estimator, Tabular(list(reversed(WINE.feature_names))))


def test_the_given_task_is_copied():
    task = Tabular(WINE.feature_names, output="logits")
    subject = pl.wrap(logistic(), task)
    assert (task.output, task.labels) == ("logits", None)
    assert (subject.task.output, subject.task.labels) == ("probabilities", tuple(WINE.target_names))


def test_pictures_are_flattened_for_an_estimator():
    draws = np.random.default_rng(0)
    pixels = draws.uniform(-1, 1, (20, 3 * 4 * 4))
    forest = RandomForestRegressor(3, random_state=0).fit(pixels, pixels[:, 0])
    subject = pl.wrap(forest, pl.tasks.Image(4))
    found = subject.scores(torch.tensor(pixels).view(20, 3, 4, 4))
    assert np.array_equal(found[:, 0].numpy(), forest.predict(pixels))


def test_an_unfitted_estimator_is_refused():
    for estimator in (LogisticRegression(), make_pipeline(StandardScaler(), LogisticRegression())):
        with pytest.raises(BadInput, match="is not fitted"):
            pl.wrap(estimator)


def test_without_probabilities_the_way_out_is_named_and_works():
    margins = LinearSVC().fit(ROWS, WINE.target)
    with pytest.raises(NotAnswerable, match=r"LinearSVC gives no probabilities.*CalibratedClassifierCV.*decision_func"):
        pl.wrap(margins)
    assert pl.wrap(CalibratedClassifierCV(margins, cv=2).fit(ROWS, WINE.target)).task.output == "probabilities"
    found = pl.wrap(margins.decision_function, numpy=True).scores(torch.tensor(ROWS))
    assert np.array_equal(found.numpy(), margins.decision_function(ROWS))


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (KMeans(2, n_init=1).fit(ROWS), "neither a classifier nor a regressor"),
        (
            MultiOutputClassifier(LogisticRegression()).fit(ROWS, np.stack([WINE.target, WINE.target > 0], 1)),
            "2 questions at once",
        ),
    ],
)
def test_what_gives_no_scores_of_one_question_is_refused(estimator, message):
    with pytest.raises(NotAnswerable, match=message):
        pl.wrap(estimator)


def test_an_estimator_that_reads_texts_asks_for_a_task():
    texts = ["good film", "bad film", "good", "bad"]
    with pytest.raises(UsageError, match="how many columns"):
        pl.wrap(make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, [1, 0, 1, 0]))


def test_labels_must_be_as_many_as_classes():
    with pytest.raises(UsageError, match="3 classes, but 2 labels"):
        pl.wrap(logistic(), labels=["a", "b"])


def test_rows_of_another_width_fail_in_one_line():
    subject = pl.wrap(logistic(), Tabular(["a", "b"]))
    with pytest.raises(SubjectFailed, match=r"LogisticRegression failed on row \(1, 2\).*features"):
        subject.scores([1.0, 2.0])


@pytest.mark.parametrize(
    "fit",
    [
        lambda weight: LogisticRegression(C=weight).fit(ROWS, WINE.target),
        lambda weight: RandomForestClassifier(5, random_state=int(weight)).fit(ROWS, WINE.target),
    ],
)
def test_the_fingerprint_is_that_of_what_was_fitted(fit):
    first, same, other = (pl.wrap(fit(weight)) for weight in (1.0, 1.0, 2.0))
    assert first.stable
    assert first.fingerprint == same.fingerprint
    assert first.fingerprint != other.fingerprint


def test_fitting_again_changes_the_fingerprint():
    estimator = logistic()
    subject = pl.wrap(estimator)
    before = subject.fingerprint
    subject.scores(torch.tensor(ROWS))
    assert subject.fingerprint == before
    estimator.fit(ROWS[:, ::-1], WINE.target)
    assert subject.fingerprint != before


def test_an_estimator_that_holds_a_function_is_known_by_its_answers():
    def fitted(scale):
        scaling = FunctionTransformer(lambda rows: rows * scale)
        return pl.wrap(make_pipeline(scaling, LogisticRegression()).fit(ROWS, WINE.target), Tabular(WINE.feature_names))

    first, same, other = fitted(1.0), fitted(1.0), fitted(0.1)
    assert first.stable
    assert first.fingerprint == same.fingerprint
    assert first.fingerprint != other.fingerprint
