"""Saved explanations are compared, and scored in a context, from the command line."""

import json

import pytest

CONTEXT = {"task": "name the column that should not count", "asker": "developer", "query": "Which column?"}


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("age,dose\n1,2\n-3,1\n2,-2\n0.5,3\n", encoding="utf-8")
    return path


@pytest.fixture
def saved(pellucid, model, rows, tmp_path):
    """Saved answers of some methods, as options of the next command."""

    def save(*methods):
        words = []
        for method in methods:
            path = tmp_path / f"{method}.pellucid"
            assert pellucid("run", method, rows, "--subject", f"{model}:rows", "--out", path).code == 0
            words += ["--result", path]
        return words

    return save


def test_saved_explanations_of_one_kind_are_compared(pellucid, model, rows, saved):
    words = saved("gradient", "input-x-gradient")
    answered = pellucid("run", "compare-explanations", rows, "--subject", f"{model}:rows", *words, "--json")
    assert answered.code == 0, answered.err
    document = json.loads(answered.out)
    assert document["kind"] == "Comparison"
    assert {row["one"] for row in document["table"]} == {"gradient"}


def test_those_of_two_kinds_need_a_context_and_what_is_true(pellucid, model, rows, saved, tmp_path):
    words = ["run", "compare-explanations", rows, "--subject", f"{model}:rows", *saved("gradient", "counterfactual")]
    refused = pellucid(*words)
    assert refused.code == 3
    assert refused.one_line
    assert "different kinds (Attribution, Counterfactuals (wachter))" in refused.err
    truth = tmp_path / "truth.json"
    truth.write_text(json.dumps({"faulty": ["dose"]}), encoding="utf-8")
    told = [*words, "--context", json.dumps(CONTEXT), "--reference", truth]
    answered = pellucid(*told)
    assert answered.code == 0, answered.err
    assert "In the context: name the column that should not count" in answered.out
    assert "gradient rather than counterfactual" in " ".join(answered.out.split())


def test_scores_of_one_context_are_saved_and_compared_and_of_two_are_refused(pellucid, model, rows, saved, tmp_path):
    words = saved("gradient")
    truth = tmp_path / "truth.json"
    truth.write_text(json.dumps({"faulty": ["dose"]}), encoding="utf-8")
    scores = []
    for name, asker in (("one", "developer"), ("two", "developer"), ("three", "auditor")):
        out, context = tmp_path / f"{name}.pellucid", json.dumps(CONTEXT | {"asker": asker})
        told = ["--context", context, "--outcome", "fault-finding", "--reference", truth, "--out", out]
        scored = pellucid("run", "interpretation-score", rows, "--subject", f"{model}:rows", *words, *told)
        assert scored.code == 0, scored.err
        scores.append(["--result", out])
    compare = ["run", "compare-explanations", rows, "--subject", f"{model}:rows"]
    assert pellucid(*compare, *scores[0], *scores[1]).code == 0
    refused = pellucid(*compare, *scores[0], *scores[2])
    assert refused.code == 3
    assert "different contexts" in refused.err


@pytest.mark.parametrize(
    ("context", "said"),
    [("{", "not JSON"), ('{"task": "decide"}', "needs asker and query"), ("decide", "it takes")],
)
def test_a_context_that_cannot_be_read_is_a_usage_error(pellucid, model, rows, saved, context, said):
    words = [
        "run",
        "interpretation-score",
        rows,
        "--subject",
        f"{model}:rows",
        *saved("gradient"),
        "--context",
        context,
    ]
    answered = pellucid(*words)
    assert answered.code == 2
    assert said in answered.err


@pytest.mark.parametrize("content", [None, "{", "\x93NUMPY"])
def test_what_is_true_must_be_readable(pellucid, model, rows, saved, tmp_path, content):
    path = tmp_path / ("truth.npy" if content == "\x93NUMPY" else "truth.json")
    if content is not None:
        path.write_text(content, encoding="latin-1")
    words = ["run", "interpretation-score", rows, "--subject", f"{model}:rows", *saved("gradient")]
    answered = pellucid(*words, "--context", json.dumps(CONTEXT), "--reference", path)
    assert answered.code == 4
    assert "cannot read what is true" in answered.err


def test_a_counterfactual_of_other_rows_is_not_judged_on_these(pellucid, model, saved, tmp_path):
    words = saved("counterfactual")
    other = tmp_path / "other.csv"
    other.write_text("age,dose\n9,2\n-3,1\n2,-2\n0.5,3\n", encoding="utf-8")
    told = ["--context", json.dumps(CONTEXT), "--outcome", "fault-finding"]
    answered = pellucid("run", "interpretation-score", other, "--subject", f"{model}:rows", *words, *told)
    assert answered.code == 4
    assert "does not start from this input" in answered.err
