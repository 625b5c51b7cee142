"""What every method keeps, for every subject that it fits."""

import contextlib
import dataclasses

import pytest
import torch

import pellucid as pl
from contract.asking import (
    OF_ALL,
    REFUSED,
    contradictions,
    elements,
    fits,
    ids,
    magnitude,
    numbers,
    per_example,
    question,
    quick,
    state,
    tolerance,
)
from contract.cases import CASES, CLOSED, Fuse
from pellucid.core import meter
from pellucid.core.catalogue import build
from pellucid.core.content import digest
from pellucid.core.errors import NotAnswerable, PellucidError, SubjectFailed
from pellucid.core.method import METHODS, fields_of, query_type, why_not
from pellucid.core.spec import Point, View


@pytest.fixture
def quiet_folder(tmp_path, monkeypatch):
    """An empty current folder, to see that nothing is written."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def same_to(tolerance, found, expected, least=1e-12):
    scale = max(float(expected.abs().max()), least) if expected.numel() else 1.0
    return found.shape == expected.shape and bool((found - expected).abs().max() <= tolerance * scale)


@pytest.mark.answered
def test_the_same_call_gives_the_same_bits(method, case, subject_of, answer_of):
    subject = subject_of(case)
    again = quick(method, case)(subject, question(method, subject, CASES[case].inputs))
    first = numbers(answer_of(method, case))
    assert first
    assert all(torch.equal(value, first[name]) for name, value in numbers(again).items())
    assert digest(again) == digest(answer_of(method, case))
    assert again.evaluations == answer_of(method, case).evaluations


@pytest.mark.answered
def test_an_answer_does_not_depend_on_neighbours_or_order(method, case, subject_of, answer_of):
    subject, inputs = subject_of(case), CASES[case].inputs
    together = per_example(answer_of(method, case))
    backwards = per_example(quick(method, case)(subject, question(method, subject, inputs[::-1])))[::-1]
    rough, least = tolerance(method, case), magnitude(answer_of(method, case)) + 1e-12
    assert all(same_to(rough, found, expected, least) for found, expected in zip(backwards, together, strict=True))
    if (
        METHODS[method].spec.view is View.POPULATION or method in OF_ALL
    ):  # Without the others it would be another question.
        return
    alone = per_example(quick(method, case)(subject, question(method, subject, inputs[-1:])))
    assert same_to(rough, alone[0], together[-1], least)


@pytest.mark.answered
def test_an_answer_does_not_depend_on_the_batch_size(method, case, subject_of, answer_of):
    with pl.byte_budget(1):
        small = quick(method, case)(subject_of(case), question(method, subject_of(case), CASES[case].inputs))
    answer = answer_of(method, case)
    least = magnitude(answer) + 1e-12
    pairs = zip(per_example(small), per_example(answer), strict=True)
    assert all(same_to(tolerance(method, case), found, expected, least) for found, expected in pairs)


@pytest.mark.answered
def test_the_subject_is_left_as_it_was(method, case, subject_of):
    subject = subject_of(case)
    inputs = subject.prepare(CASES[case].inputs)
    asked = question(method, subject, inputs)
    with training_in_part(subject):
        before, given = state(subject), digest(inputs)
        quick(method, case)(subject, asked)
        assert state(subject) == before
        assert digest(inputs) == given


@pytest.mark.answered
def test_the_subject_is_left_as_it_was_when_its_user_interrupts(method, case, subject_of):
    def interrupt(done, total, what):
        raise KeyboardInterrupt

    subject = subject_of(case)
    asked = question(method, subject, CASES[case].inputs)
    with training_in_part(subject):
        before = state(subject)
        with contextlib.suppress(KeyboardInterrupt), meter.reporting(interrupt):
            quick(method, case)(subject, asked)
        assert state(subject) == before


@pytest.mark.parametrize("calls", [0, 1, 2])
@pytest.mark.parametrize(
    ("method", "case"),
    [(method, case) for method in ids() for case in ("small-cnn", "double-mlp", "reused-relu") if fits(method, case)],
)
def test_the_subject_is_left_as_it_was_when_it_fails(method, case, calls, subject_of, monkeypatch):
    subject = subject_of(case)
    asked = question(method, subject, CASES[case].inputs)
    with training_in_part(subject):
        before = state(subject)
        monkeypatch.setattr(Fuse, "left", calls)
        with contextlib.suppress(SubjectFailed):
            quick(method, case)(subject, asked)
        assert Fuse.left is not None
        assert state(subject) == before


@contextlib.contextmanager
def training_in_part(subject):
    """Some modules in training mode, as a user's training loop leaves them."""
    chosen = [] if subject.module is None else list(subject.module.modules())[::2]
    for module in chosen:
        module.training = True
    try:
        yield
    finally:
        if subject.module is not None:
            subject.module.eval()


@pytest.mark.answered
def test_the_value_is_the_score_that_was_asked_for(method, case, subject_of, answer_of):
    answer, subject = answer_of(method, case), subject_of(case)
    scores = subject.scores(CASES[case].inputs)
    expected = scores[:, 0] if scores.ndim == 2 else None
    if isinstance(answer, pl.Attribution) and expected is not None:
        assert same_to(1e-4, answer.value.to(expected), expected)
        assert answer.target.tolist() == [0] * len(scores)
    else:
        assert answer.provenance.method == method


@pytest.mark.answered
def test_a_foil_asks_for_the_difference_of_two_scores(method, case, subject_of):
    if query_type(METHODS[method]) in (pl.Unit, pl.Population, pl.Representation, pl.Code, pl.Fit):
        assert "foil" not in {field.name for field in dataclasses.fields(query_type(METHODS[method]))}
        return
    subject = subject_of(case)
    scores = subject.scores(CASES[case].inputs)
    if scores.shape[-1] == 1 or "class-blind" in METHODS[method].spec.properties:
        with pytest.raises(PellucidError, match="foil"):
            quick(method, case)(subject, question(method, subject, CASES[case].inputs, foil=0))
        return
    answer = quick(method, case)(subject, question(method, subject, CASES[case].inputs, foil=1))
    if isinstance(answer, pl.Attribution) and scores.ndim == 2:
        assert same_to(1e-4, answer.value.to(scores), scores[:, 0] - scores[:, 1])
    else:
        assert all(torch.isfinite(value).all() for value in numbers(answer).values() if value.is_floating_point())


@pytest.mark.answered
def test_padding_scores_exactly_zero(method, case, answer_of):
    answer = answer_of(method, case)
    mask = getattr(answer, "mask", None)
    if mask is None:
        assert CASES[case].modality in ("image", "tabular", "tensor") or not isinstance(answer, pl.Attribution)
    else:
        assert not mask.all()
        assert not elements(answer)[~mask].any()


@pytest.mark.answered
def test_provenance_is_complete(method, case, subject_of, answer_of):
    answer, subject = answer_of(method, case), subject_of(case)
    told = answer.provenance
    assert told.method == method
    assert told.fields == fields_of(quick(method, case))
    assert (told.subject, told.subject_fingerprint) == (subject.name, subject.fingerprint)
    assert told.query_fingerprint == digest(answer.query)
    assert {"pellucid", "torch", "python"} <= told.versions.keys()
    assert told.device == "cpu"
    assert told.cost["F"] + told.cost["B"] > 0 or METHODS[method].spec.cost.startswith("none")
    assert told.cost["cpu_seconds"] >= 0


@pytest.mark.answered
def test_an_answer_survives_saving_and_loading(method, case, answer_of, tmp_path):
    answer = answer_of(method, case)
    loaded = pl.Result.load(answer.save(tmp_path / "answer.pellucid"))
    assert type(loaded) is type(answer)
    assert loaded.query is None
    assert digest(loaded) == digest(answer)
    assert loaded.provenance == answer.provenance
    assert loaded.summary() == answer.summary()
    assert loaded.table() == answer.table()


@pytest.mark.answered
def test_a_configuration_survives_as_plain_data(method, case):
    configured = quick(method, case)
    plain = fields_of(configured)
    again = {name: getattr(configured, name) for name, told in plain.items() if str(told).startswith("data with the ")}
    assert build({"method": method, **plain, **again}) == configured
    assert hash(dataclasses.replace(configured)) == hash(configured)


@pytest.mark.answered
def test_hostile_inputs_are_refused_in_one_clear_line(method, case, subject_of, quiet_folder):
    subject = subject_of(case)
    before = state(subject)
    good = question(method, subject, CASES[case].inputs)
    for raw in CASES[case].hostile if not METHODS[method].spec.cost.startswith("none") else ():
        with pytest.raises(PellucidError) as refusal:
            quick(method, case)(subject, question(method, subject, raw))
        assert one_line(refusal.value)
    for asked in contradictions(method):
        with pytest.raises(PellucidError) as refusal:
            quick(method, case)(subject, question(method, subject, CASES[case].inputs, **asked))
        assert one_line(refusal.value)
    assert good is not None
    assert not list(quiet_folder.iterdir())
    assert state(subject) == before


def one_line(error):
    text = str(error)
    return bool(text) and "\n" not in text and len(text) < 600


@pytest.mark.refused
def test_what_cannot_be_answered_is_refused_with_the_way_out(method, case, subject_of, quiet_folder):
    subject, spec = subject_of(case), METHODS[method].spec
    asked = question("occlusion", subject, CASES[case].inputs)
    if query_type(METHODS[method]) in (pl.Unit, pl.Population, pl.Representation, pl.Code, pl.Fit):
        asked = question(method, subject, CASES[case].inputs)
    if query_type(METHODS[method]) is pl.Judgement:
        asked = pl.Judgement([METHODS["occlusion"]()(subject, asked)])
    with pytest.raises(NotAnswerable) as refusal:
        quick(method, case)(subject, asked)
    assert one_line(refusal.value)
    assert method in str(refusal.value)
    assert (REFUSED.get((method, case)) or why_not(METHODS[method], subject)) in str(refusal.value)
    instead = [name for name in spec.alternatives if fits(name, case)]
    assert instead
    assert all(name in str(refusal.value) for name in instead)


@pytest.mark.parametrize("case", CASES)
def test_a_subject_offers_what_its_case_says(case, subject_of):
    subject = subject_of(case)
    assert subject.offers == CASES[case].offers
    assert subject.structure == CASES[case].structure
    assert subject.task.modality == CASES[case].modality
    assert (subject.module is None) == (CASES[case].offers == CLOSED)


@pytest.mark.parametrize(
    ("method", "case"),
    [
        (method, case)
        for method in ids()
        for case, entry in CASES.items()
        if entry.layer and Point.LAYER in METHODS[method].spec.points and fits(method, case)
    ],
)
def test_a_layer_is_answered_in_its_own_shape(method, case, subject_of):
    subject, layer = subject_of(case), CASES[case].layer
    asked = pl.Decision(CASES[case].inputs, target=0, at=layer)
    before = state(subject)
    answer = quick(method, case)(subject, asked)
    captured = subject.run(subject.prepare(CASES[case].inputs), capture=(layer,)).activations[layer]
    assert elements(answer).shape[: captured.ndim] == captured.shape
    assert answer.at == layer
    assert state(subject) == before
