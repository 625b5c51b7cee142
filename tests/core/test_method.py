"""The method contract: fields are checked, calls are refused or restated, answers know where they come from."""

import dataclasses
from typing import Annotated, ClassVar, Literal

import pytest
import torch
from annotated_types import Ge, Gt, Le, Lt
from torch import Tensor, nn

import pellucid as pl
from pellucid.core import meter
from pellucid.core.annotations import Data
from pellucid.core.content import digest
from pellucid.core.errors import BadInput, NotAnswerable, SubjectFailed, UsageError
from pellucid.core.method import METHODS, Answers, Method, discover, fields_of, method, query_type, result_type, why_not
from pellucid.core.query import Decision, Judgement
from pellucid.core.spec import Access, Asker, Dimension, Modality, Point, Scope, Spec, Structure, View
from pellucid.core.subject import Features, Subject
from pellucid.methods import LRP, Lime
from pellucid.metrics import RegionPerturbation
from pellucid.results.attribution import Attribution


def spec_of(**changes):
    told = {
        "id": "constant",
        "title": "Constant",
        "question": "What if every element counted the same?",
        "scopes": {Scope.EXPLAINABILITY},
        "dimensions": {Dimension.LOCAL},
        "view": View.DECISION,
        "askers": {Asker.DEVELOPER},
        "needs": {Access.OUTPUTS},
        "cost": "1 F",
        "references": (),
        "serves": (),
        "caveat": "It always does.",
        "alternatives": ("occlusion", "lime"),
    }
    return Spec(**{**told, **changes})


@pytest.fixture
def registered():
    """A method of the test's own, forgotten afterwards."""
    before = dict(METHODS)

    def register(**changes):
        @method
        class Constant:
            """Every element has the same score."""

            spec: ClassVar = spec_of(**changes)
            height: Annotated[float, Gt(0), Le(10), "the score"] = 1.0
            count: Annotated[int, Ge(1), Lt(5)] = 1
            kind: Literal["flat", "round"] = "flat"
            window: int | tuple[int, ...] | None = None
            inner: Method | None = None
            weights: Tensor | None = None

            def __call__(self, subject: Subject, query: Decision) -> Attribution:
                if isinstance(query.inputs, Exception):
                    raise query.inputs
                inputs = subject.prepare(query.inputs)
                scores = torch.full_like(inputs.value, self.height)
                values = subject.scores(inputs)[:, 0]
                segments = torch.zeros_like(scores, dtype=torch.long)
                return Attribution(scores=scores, value=values, features=Features("all", segments), at=query.at)

        return Constant

    yield register
    METHODS.clear()
    METHODS.update(before)


@pytest.fixture
def subject():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return pl.wrap(nn.Linear(3, 2), name="line")


ROWS = torch.tensor([[1.0, 2.0, 3.0]])


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"height": 0.0}, r"constant\(height=…\) got 0.0; it must be > 0"),
        ({"height": float("nan")}, "must be > 0"),
        ({"height": 11}, "must be ≤ 10"),
        ({"height": "high"}, "got 'high' .str.; it takes float"),
        ({"height": True}, "it takes float"),
        ({"count": 0}, "must be ≥ 1"),
        ({"count": 5}, "must be < 5"),
        ({"count": 1.5}, "it takes int"),
        ({"count": True}, "it takes int"),
        ({"kind": "flatt"}, "did you mean 'flat'"),
        ({"kind": 3}, "'flat' or 'round'"),
        ({"window": (1, "two")}, "it takes int or tuple"),
        ({"window": 2.0}, "it takes int or tuple"),
        ({"inner": "lime"}, "it takes Method"),
        ({"weights": [1.0]}, "it takes Tensor"),
    ],
    ids=str,
)
def test_a_field_that_does_not_fit_is_refused_by_name(registered, fields, said):
    with pytest.raises(UsageError, match=said):
        registered()(**fields)


def test_fields_that_fit_are_kept_as_they_are(registered):
    cls = registered()
    made = cls(height=2, count=4, kind="round", window=(1, 2), inner=cls(), weights=torch.ones(2))
    assert (made.height, made.count, made.kind, made.window) == (2, 4, "round", (1, 2))


def test_a_method_is_frozen_and_compared_by_content(registered):
    cls = registered()
    with pytest.raises(dataclasses.FrozenInstanceError):
        cls().height = 2.0
    assert cls(weights=torch.ones(2)) == cls(weights=torch.ones(2))
    assert cls(weights=torch.ones(2)) != cls(weights=torch.zeros(2))
    assert len({cls(), cls(), cls(count=2)}) == 2


def test_fields_as_plain_data_name_nested_methods(registered):
    cls = registered()
    told = fields_of(cls(inner=cls(height=3.0)))
    assert told["inner"]["method"] == "constant"
    assert told["inner"]["height"] == 3.0
    assert told["window"] is None


@pytest.fixture
def nesting(registered):
    """A method that holds another one, and data."""

    @method
    class Nesting:
        """Asks another method."""

        spec: ClassVar = spec_of(id="nesting", modalities={Modality.IMAGE, Modality.TENSOR})
        inner: Annotated[Method, Answers(Decision, Attribution), "what is asked"] = registered(
            needs={Access.GRADIENTS}, modalities={Modality.TENSOR, Modality.TEXT}
        )()
        other: Annotated[Method, Answers(Decision, Attribution)] | None = None
        rows: Annotated[Tensor | tuple | str | None, Data(), "examples"] = None

        def __call__(self, subject: Subject, query: Decision) -> Attribution:
            return self.inner(subject, query)

    return Nesting


def test_a_method_needs_what_the_methods_in_its_fields_need(nesting, subject):
    assert nesting.spec.needs == {Access.OUTPUTS, Access.GRADIENTS}
    assert nesting.spec.modalities == {Modality.TENSOR}
    assert nesting(inner=Lime()).spec.needs == {Access.OUTPUTS}
    assert nesting(inner=Lime()).spec.modalities == {Modality.IMAGE, Modality.TENSOR}
    assert nesting(inner=Lime(), other=LRP()).spec.needs == {Access.OUTPUTS} | LRP.spec.needs
    closed = pl.wrap(lambda batch: batch, name="closed")
    assert why_not(nesting(inner=Lime()), closed) is None
    with pytest.raises(NotAnswerable, match="nesting on closed: nesting needs gradients; .* Ask: occlusion, lime"):
        nesting()(closed, Decision(ROWS))
    assert nesting()(subject, Decision(ROWS)).provenance.fields["inner"]["method"] == "constant"


@pytest.mark.parametrize("field", ["inner", "other"])
@pytest.mark.parametrize("held", [Lime, RegionPerturbation(), RegionPerturbation], ids=["class", "metric", "both"])
def test_a_held_method_must_answer_what_it_will_be_asked(nesting, field, held):
    with pytest.raises(UsageError, match=rf"nesting\({field}=…\) got .*a method that answers a Decision with an Attr"):
        nesting(**{field: held})


def test_of_data_an_answer_keeps_the_digest_only(nesting, subject, tmp_path):
    rows = torch.tensor([[4.0, 5.0, 6.0]])
    told = [
        nesting(rows=data)(subject, Decision(ROWS)).provenance.fields["rows"] for data in (rows, (1, b"x"), "a", None)
    ]
    assert told[0] == f"data with the digest {digest(rows)}"
    assert told[1].startswith("data with the digest ")
    assert told[2:] == ["a", None]
    assert nesting(rows=rows) != nesting(rows=rows + 1)


def test_query_and_result_are_read_from_the_call(registered):
    assert query_type(registered()) is Decision
    assert result_type(registered()) is Attribution


def test_two_methods_cannot_share_an_id(registered):
    registered()
    with pytest.raises(UsageError, match="two methods are called 'constant'"):

        @method
        class Other:
            spec: ClassVar = spec_of()

            def __call__(self, subject: Subject, query: Decision) -> Attribution: ...


def test_an_answer_knows_its_method_subject_query_and_cost(registered, subject):
    answer = registered()(height=2.0)(subject, Decision(ROWS))
    told = answer.provenance
    assert (told.method, told.subject) == ("constant", "line")
    assert told.fields["height"] == 2.0
    assert told.subject_fingerprint == subject.fingerprint
    assert told.query_fingerprint == digest(Decision(ROWS))
    assert told.dtype == "float32"
    assert told.cost["F"] == 1
    assert answer.evaluations == {"F": 1, "B": 0}
    assert answer.query == Decision(ROWS)


def test_passes_are_counted_in_every_enclosing_meter(registered, subject):
    asked = registered()()
    with meter.metered() as outer:
        asked(subject, Decision(ROWS))
        asked(subject, Decision(ROWS))
    assert (outer.forward, outer.backward) == (2, 0)


def test_what_is_no_subject_is_refused_with_the_way_out(registered):
    with pytest.raises(UsageError, match=r"not a Linear; wrap it: pellucid.wrap"):
        registered()()(nn.Linear(3, 2), Decision(ROWS))


def test_another_query_is_refused_by_name(registered, subject):
    with pytest.raises(UsageError, match="constant answers a Decision, not a Judgement"):
        registered()()(subject, Judgement([]))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"needs": {Access.TRAINING_DATA}}, "needs training data; this subject offers activations, gradients"),
        ({"needs": {Structure.CONVOLUTION}}, "needs convolution, which this subject does not have"),
        ({"modalities": {Modality.IMAGE, Modality.TEXT}}, "does not apply to inputs of kind tensor"),
    ],
    ids=["access", "structure", "modality"],
)
def test_what_a_subject_lacks_is_said_with_what_to_ask_instead(registered, subject, changes, reason):
    cls = registered(**changes)
    assert reason in why_not(cls, subject)
    with pytest.raises(NotAnswerable, match=rf"constant on line: constant {reason}.* Ask: occlusion, lime"):
        cls()(subject, Decision(ROWS))


def test_a_layer_is_refused_where_a_method_answers_at_the_input_only(registered, subject):
    with pytest.raises(NotAnswerable, match="at the input only, not at 'weight'"):
        registered()()(subject, Decision(ROWS, at="weight"))


def test_a_layer_is_refused_where_the_subject_shows_none(registered):
    closed = pl.wrap(lambda batch: batch, name="closed")
    with pytest.raises(NotAnswerable, match="no layers to read"):
        registered(points={Point.INPUT, Point.LAYER})()(closed, Decision(ROWS, at="layer"))


@pytest.mark.parametrize("error", [BadInput, NotAnswerable, SubjectFailed, UsageError])
def test_an_error_keeps_its_class_and_says_who_was_asked_of_whom(registered, subject, error):
    with pytest.raises(error, match=r"^constant on line: something is wrong$") as raised:
        registered()()(subject, Decision(error("something is wrong")))
    assert isinstance(raised.value.__cause__, error)


def test_an_error_that_says_it_already_is_not_restated(registered, subject):
    with pytest.raises(BadInput, match=r"^constant: the row is empty$"):
        registered()()(subject, Decision(BadInput("constant: the row is empty")))


def test_a_defect_is_not_disguised(registered, subject):
    with pytest.raises(ZeroDivisionError):
        registered()()(subject, Decision(ZeroDivisionError()))


def test_every_method_of_the_product_is_discovered_and_frozen():
    found = discover()
    assert {"gradient", "occlusion", "lime"} <= found.keys()
    assert all(cls.spec.id == name for name, cls in found.items())
    assert all(isinstance(cls.spec.scopes, frozenset) for cls in found.values())


def test_every_method_says_enough_of_itself():
    for cls in discover().values():
        spec = cls.spec
        assert spec.question.endswith("?")
        assert spec.caveat.endswith((".", "…"))
        assert spec.scopes
        assert spec.dimensions
        assert spec.askers
        assert spec.needs
        assert spec.references
        assert spec.serves
        assert set(spec.alternatives) <= discover().keys() - {spec.id}
