"""The front door: the map is drawn, needs are answered, gaps have reasons."""

import io
import json
import sys

import pytest

from pellucid.cli import explain as explain_verb
from pellucid.cli.map import walk
from pellucid.core.catalogue import catalogue
from pellucid.core.spec import Asker, Scope
from pellucid.guide.map import NEEDS


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def answer(monkeypatch, capsys):
    """Walk through the map at a terminal, giving these answers one after the other."""

    def walked(*given):
        monkeypatch.setattr(sys, "stdin", Terminal())
        left = list(given)

        def ask(prompt):
            if not left:
                raise EOFError
            return left.pop(0)

        code = walk(ask)
        return code, capsys.readouterr().out, left

    return walked


def flat(text):
    return " ".join(text.split())


def test_the_map_holds_every_method_every_scope_and_every_need(pellucid, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")  # where it is narrow, long names break at their hyphens
    text = pellucid("map").out
    assert all(f" {scope.value.upper()} " in text for scope in Scope)
    assert all(record["id"] in text for record in catalogue())
    assert all(need.words in text for need in NEEDS)


def test_the_map_is_at_most_80_columns_wide_where_there_is_no_terminal(pellucid, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert max(map(len, pellucid("map").out.splitlines())) == 80


def test_serving_methods_are_marked_and_listed_with_cost_caveat_and_command(pellucid, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    text = pellucid("map", "--need", "one decision", "--asker", "developer").out
    for record in catalogue():
        serves = record["query"] == "Decision" and "developer" in record["askers"]
        assert (f"● {record['id']}" in flat(text)) == serves, record["id"]
        assert (f"pellucid run {record['id']} INPUT" in flat(text)) == serves
        if serves:
            assert flat(record["caveat"]) in flat(text)


def test_every_method_is_in_the_answer_once_serving_or_with_a_reason(pellucid):
    found = json.loads(pellucid("map", "--need", "2", "--asker", "auditor", "--json").out)
    ids = [record["id"] for record in found["serve"] + found["do_not_serve"]]
    assert sorted(ids) == sorted(record["id"] for record in catalogue())
    assert all(record["reason"] for record in found["do_not_serve"])
    assert found["need"]["id"] == "trust"
    assert found["asker"] == "auditor"


def test_a_subject_rules_out_what_it_cannot_answer(pellucid, model):
    found = json.loads(pellucid("map", "--subject", f"{model}:black_box", "--json").out)
    reasons = {record["id"]: record["reason"] for record in found["do_not_serve"]}
    assert reasons["gradient"] == "needs gradients; this subject offers outputs only"
    assert "occlusion" in {record["id"] for record in found["serve"]}


def test_a_need_that_nothing_serves_is_called_a_gap(pellucid):
    unserved = next(need for need in NEEDS if not any(need.served_by(record) for record in catalogue()))
    text = flat(pellucid("map", "--need", unserved.id).out)
    assert "No method serves" in text
    assert "gap" in text


def test_the_gaps_are_counted_and_each_has_a_reason(pellucid):
    cells = json.loads(pellucid("map", "--gaps", "--json").out)
    assert all(bool(cell["methods"]) != bool(cell["reason"]) for cell in cells)
    empty = sum(not cell["methods"] for cell in cells)
    text = flat(pellucid("map", "--gaps").out)
    assert f"{empty} of {len(cells)} cells" in text
    assert all(f"for the {asker}" in text for asker in Asker)
    assert all(cell["reason"] in text for cell in cells if cell["reason"] and cell["dimension"] == "simulatability")


def test_without_a_terminal_the_program_alone_prints_the_map_and_how_to_ask(pellucid, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("1\n1\n"))
    answered = pellucid()
    assert answered.code == 0
    assert " EXPLAINABILITY " in answered.out
    assert "pellucid map --need" in answered.out


def test_at_a_terminal_it_asks_what_and_by_whom_and_answers(answer):
    code, text, left = answer("how far can I trust a heat map", "auditor", "")
    judges = [record["id"] for record in catalogue() if record["query"] == "Judgement"]
    assert code == 0
    assert all(f"pellucid run {id} --result" in flat(text) for id in judges)
    assert left == [""]  # a judgement needs saved results, so no input is asked for


def test_an_answer_that_is_not_understood_is_asked_again(answer):
    code, text, left = answer("zzz", "1", "nobody", "1", "")
    assert code == 0
    assert "does not understand" in text
    assert "no asker 'nobody'" in text
    assert left == []


def test_a_named_input_is_explained_by_the_methods_that_serve(answer, monkeypatch):
    asked = []
    monkeypatch.setattr(explain_verb, "explain", lambda *words, **options: asked.append((words, options)) or 0)
    code, _, left = answer("1", "developer", "cat.png")
    serving = [r["id"] for r in catalogue() if r["query"] == "Decision" and "developer" in r["askers"]]
    assert (code, left) == (0, [])
    assert asked == [(("cat.png",), {"method": serving})]


def test_the_end_of_input_leaves_without_an_error(answer):
    assert answer()[0] == 0
    assert answer("1")[0] == 0
