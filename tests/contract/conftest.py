"""Subjects made once for all contract tests, and the count of what was asked."""

from contextlib import ExitStack

import pytest

from contract.asking import pairs, parameters, question, quick
from contract.cases import CASES, Workshop


@pytest.fixture(scope="session")
def subject_of(tmp_path_factory):
    """A subject by the name of its case, made when it is first asked for."""
    made = {}
    with ExitStack() as stack:
        workshop = Workshop(tmp_path_factory.mktemp("subjects"), stack)

        def get(name):
            if name not in made:
                made[name] = CASES[name].make(workshop)
            return made[name]

        yield get


@pytest.fixture(scope="session")
def answer_of(subject_of):
    """The answer of a method about all inputs of a case, asked once."""
    answers = {}

    def get(method, case):
        if (method, case) not in answers:
            subject = subject_of(case)
            answers[method, case] = quick(method, case)(subject, question(method, subject, CASES[case].inputs))
        return answers[method, case]

    return get


@pytest.fixture(autouse=True)
def combination(request):
    """Note which method was asked of which subject, for the count at the end of the run."""
    parameters = getattr(request.node, "callspec", None)
    if parameters is not None and {"method", "case"} <= parameters.params.keys():
        pair = (parameters.params["method"], parameters.params["case"])
        request.node.user_properties.append(("combination", pair))


def pytest_generate_tests(metafunc):
    """``answered`` and ``refused`` stand for every fitting and every other combination of method and case."""
    for marker, fitting in (("answered", True), ("refused", False)):
        if metafunc.definition.get_closest_marker(marker):
            metafunc.parametrize(("method", "case"), parameters(pairs(fitting=fitting)))


def pytest_configure(config):
    config.addinivalue_line("markers", "answered: runs for every method and every subject that fits it")
    config.addinivalue_line("markers", "refused: runs for every method and every subject that does not fit it")


def pytest_terminal_summary(terminalreporter):
    passed = terminalreporter.stats.get("passed", [])
    reached = [tuple(value) for report in passed for name, value in report.user_properties if name == "combination"]
    found = set(reached)
    fitting = found & set(pairs(fitting=True))
    methods, subjects = len({method for method, _ in found}), len({case for _, case in found})
    if found:
        terminalreporter.write_line(
            f"contract: {methods} methods × {subjects} subjects: {len(fitting)} combinations answered, "
            f"{len(found - fitting)} refused, {len(reached)} checks passed"
        )
