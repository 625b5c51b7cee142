"""A method from plain data: text is read as its field's own type, and what is wrong is named."""

import pytest

import pellucid as pl
from pellucid.core.catalogue import build, catalogue, entry, names_of
from pellucid.core.errors import UsageError


def test_text_is_read_as_the_type_of_its_field():
    built = build({"method": "lime", "samples": "300", "kernel_width": "0.5", "keep": "none", "baseline": "zero"})
    assert built == pl.methods.Lime(samples=300, kernel_width=0.5, keep=None, baseline="zero")


def test_numbers_and_lists_are_taken_as_they_are():
    assert build({"method": "occlusion", "window": [4, 6], "stride": 2}) == pl.methods.Occlusion(
        window=(4, 6), stride=2
    )
    assert build({"method": "occlusion", "window": "4,6"}) == pl.methods.Occlusion(window=(4, 6))
    made = build({"method": "extremal-perturbation", "areas": "0.1,0.25"})
    assert made == pl.methods.ExtremalPerturbation(areas=(0.1, 0.25))


def test_a_choice_stays_text():
    assert build({"method": "gradient", "values": "absolute"}).values == "absolute"


@pytest.mark.parametrize(
    ("description", "said"),
    [
        ({}, "the id is missing"),
        ({"method": 3}, "the id is missing"),
        ({"method": "lim"}, "no method 'lim'; did you mean 'lime'"),
        ({"method": "lime", "sample": 3}, "lime has no field 'sample'; did you mean 'samples'"),
        ({"method": "lime", "samples": "many"}, r"lime\(samples=…\) got 'many'; it takes integer"),
        ({"method": "lime", "samples": "1"}, "must be ≥ 2"),
        ({"method": "gradient", "values": "signd"}, "did you mean 'signed'"),
        ({"method": "occlusion", "window": "4,x"}, "window=…. got '4,x'"),
    ],
    ids=str,
)
def test_what_is_wrong_is_named_with_the_way_out(description, said):
    with pytest.raises(UsageError, match=said):
        build(description)


def test_a_method_in_a_field_is_named_by_its_id_or_described():
    inner = pl.methods.InputXGradient()
    assert build({"method": "smoothgrad", "inner": "input-x-gradient"}) == pl.methods.SmoothGrad(inner=inner)
    described = {"method": "smoothgrad", "inner": {"method": "lime", "samples": "50"}, "samples": 4}
    assert build(described) == pl.methods.SmoothGrad(inner=pl.methods.Lime(samples=50), samples=4)
    for wrong, said in (("lim", "did you mean 'lime'"), ("region-perturbation", "answers a Decision")):
        with pytest.raises(UsageError, match=said):
            build({"method": "smoothgrad", "inner": wrong})


def test_every_method_can_be_built_from_its_defaults():
    for record in catalogue():
        if any(field["required"] for field in record["fields"]):
            continue  # which are asked for, below
        built = build({"method": record["id"]})
        assert built.spec.id == record["id"]
        assert build({"method": record["id"], **{f["name"]: f["default"] for f in record["fields"]}}) == built


def test_classes_are_found_by_the_package_that_holds_them():
    assert names_of("pellucid.methods")["Lime"] == "pellucid.methods.surrogates.lime"
    assert names_of("pellucid.metrics").keys().isdisjoint(names_of("pellucid.methods"))
    assert entry("lime")["class"] == "Lime"


def test_a_field_that_must_be_given_is_asked_for_by_name():
    with pytest.raises(UsageError, match="interpretation-score needs context"):
        build({"method": "interpretation-score"})
