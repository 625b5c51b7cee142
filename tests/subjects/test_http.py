"""An endpoint is asked with plain JSON and trusted with nothing."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import pellucid as pl
from pellucid.cli.inputs import subject_named
from pellucid.core import meter
from pellucid.core.errors import NotAnswerable, SubjectFailed, UsageError
from pellucid.core.spec import Access
from pellucid.methods.attribution.occlusion import Occlusion
from pellucid.subjects import http
from pellucid.subjects.pace import Pace
from pellucid.tasks import Tabular, TensorTask

WEIGHTS = np.array([[1.0, -2.0], [0.5, 4.0], [3.0, 0.0]])
ROWS = np.array([[1.0, 2.0, -1.0], [0.25, -3.0, 2.0], [0.0, 1.0, 1.0], [2.0, 2.0, 2.0], [-1.0, 0.5, 0.0]])


@dataclass
class Answer:
    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Endpoint:
    """What the server answers to a parsed body, and what it was asked."""

    url: str
    answer: Callable[[Any], Any] = lambda inputs: {"scores": (np.asarray(inputs) @ WEIGHTS).tolist()}
    bodies: list[Any] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)


@pytest.fixture
def endpoint(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            found.bodies.append(body)
            found.headers.append(dict(self.headers))
            answer = found.answer(body["inputs"])
            answer = answer if isinstance(answer, Answer) else Answer(answer)
            content = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
            self.send_response(answer.status)
            for header, value in ({"Content-Length": str(len(content))} | answer.headers).items():
                self.send_header(header, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found = Endpoint(f"http://127.0.0.1:{server.server_port}/predict")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield found
        server.shutdown()
        thread.join()


def test_scores_are_those_of_the_endpoint(endpoint):
    subject = pl.load(endpoint.url)
    assert np.array_equal(subject.scores(ROWS.tolist()).numpy(), ROWS @ WEIGHTS)
    assert endpoint.bodies == [{"inputs": ROWS.tolist()}]
    assert subject.offers == {Access.OUTPUTS}


def test_nothing_is_sent_before_the_model_is_asked(endpoint):
    subject = pl.load(endpoint.url, task=Tabular(["a", "b", "c"]))
    subject.prepare(ROWS[0].tolist())
    assert subject.requests == 0
    assert endpoint.bodies == []


def test_no_request_holds_more_than_the_batch_and_all_are_counted(endpoint):
    subject = pl.load(endpoint.url, batch=2)
    with meter.metered() as passes:
        found = subject.scores(ROWS)
    assert np.array_equal(found.numpy(), ROWS @ WEIGHTS)
    assert [len(body["inputs"]) for body in endpoint.bodies] == [2, 2, 1]
    assert subject.requests == 3
    assert passes.evaluations() == {"F": 5, "B": 0}


def test_several_inputs_are_sent_by_name(endpoint):
    endpoint.answer = lambda inputs: {"scores": [[sum(row)] for row in inputs["right"]]}
    subject = pl.load(endpoint.url, task=TensorTask(point="left"))
    found = subject.scores({"left": ROWS, "right": 2 * ROWS})
    assert found[:, 0].tolist() == (2 * ROWS).sum(1).tolist()


def test_occlusion_agrees_with_the_torch_twin(endpoint):
    twin = nn.Linear(3, 2, bias=False).double()
    twin.weight.data = torch.tensor(WEIGHTS.T)
    query = pl.Decision(torch.tensor(ROWS), target=1)
    answer = Occlusion()(pl.load(endpoint.url), query)
    torch.testing.assert_close(answer.scores, Occlusion()(pl.wrap(twin), query).scores, rtol=0, atol=1e-12)


def test_labels_and_task_say_what_scores_mean(endpoint):
    subject = pl.load(endpoint.url, task=Tabular(["a", "b", "c"]), labels=["no", "yes"])
    answer = Occlusion(baseline=0.0)(subject, pl.Decision([1.0, 2.0, -1.0], target="yes"))
    assert answer.question() == "yes"
    assert answer.scores[0].tolist() == pytest.approx((ROWS[0] * WEIGHTS[:, 1]).tolist(), abs=1e-6)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer({"detail": "no model"}, 500), r"status 500: '\{\"detail\": \"no model\"\}'$"),
        (Answer(b"", 404), "status 404$"),
        (Answer({"scores": [[1.0, 2.0]] * 5}, 201), "status 201, not 200"),
        (Answer(b"<html>busy</html>\n"), "not JSON: '<html>busy"),
        (Answer(b""), "not JSON: ''"),
        (Answer(b"[" * 100_000), "not JSON"),
        (Answer(b'{"scores": [[NaN, 1.0]]}'), "1 rows for 5"),
        (Answer(b'{"scores": [[NaN], [1], [1], [1], [1]]}'), "NaN or infinite"),
        ([[1.0, 2.0]], "answered other JSON"),
        ({"predictions": [], "model": 1}, "an object with 'predictions', 'model'; it must answer"),
        ({"scores": [[1.0, 2.0]] * 4}, "4 rows for 5 examples"),
        ({"scores": None}, "must be numbers"),
        ({"scores": 0.5}, "not a single number"),
        ({"scores": [["yes"]] * 5}, "must be numbers"),
        ({"scores": [[1.0]] * 4 + [[1.0, 2.0]]}, "must be numbers"),
        ({"scores": [[]] * 5}, "no scores at all"),
    ],
)
def test_a_wrong_answer_is_said_in_one_line(endpoint, answer, message):
    endpoint.answer = lambda inputs: answer
    with pytest.raises(SubjectFailed, match=message) as caught:
        pl.load(endpoint.url).scores(ROWS)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(endpoint, status):
    endpoint.answer = lambda inputs: Answer(b"", status, {"Location": "http://elsewhere.invalid/predict"})
    with pytest.raises(SubjectFailed, match=r"redirects to 'http://elsewhere\.invalid/predict', which is not followed"):
        pl.load(endpoint.url).scores(ROWS)
    assert len(endpoint.bodies) == 1


def test_a_redirect_to_a_file_is_not_followed(endpoint):
    endpoint.answer = lambda inputs: Answer(b"", 302, {"Location": "file:///etc/hostname"})
    with pytest.raises(SubjectFailed, match="302"):
        pl.load(endpoint.url).scores(ROWS)


def test_an_answer_that_is_too_large_is_not_read_to_its_end(endpoint, monkeypatch):
    monkeypatch.setattr(http, "_LARGEST_ANSWER", 1000)
    endpoint.answer = lambda inputs: {"scores": [[1.0] * 1000] * 5}
    with pytest.raises(SubjectFailed, match="more than 1000 bytes"):
        pl.load(endpoint.url).scores(ROWS)


def test_a_late_answer_fails_and_says_how_to_wait_longer(endpoint):
    may_answer = threading.Event()
    endpoint.answer = lambda inputs: {"scores": [[1.0]] * 5, "waited": may_answer.wait(10)}
    with pytest.raises(SubjectFailed, match=r"within 0\.2 seconds.*timeout="):
        pl.load(endpoint.url, timeout=0.2).scores(ROWS)
    may_answer.set()


def test_an_answer_that_drips_fails_when_its_time_is_up(endpoint, monkeypatch):
    moments = iter([0.0, 31.0])
    monkeypatch.setattr(http, "time", SimpleNamespace(monotonic=lambda: next(moments)))
    with pytest.raises(SubjectFailed, match="within 30 seconds"):
        pl.load(endpoint.url).scores(ROWS)


def test_nobody_there_is_said_in_one_line(endpoint):
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as closed:
        url = f"http://127.0.0.1:{closed.server_port}/"
    with pytest.raises(SubjectFailed, match=r"cannot be reached: .*refused.*is it running"):
        pl.load(url).scores(ROWS)


def test_headers_are_sent_and_shown_nowhere(endpoint):
    subject = pl.load(f"{endpoint.url}?key=hidden", headers={"Authorization": "Bearer secret"})
    answer = Occlusion()(subject, pl.Decision(ROWS))
    assert {headers["Authorization"] for headers in endpoint.headers} == {"Bearer secret"}
    assert answer.provenance.subject == endpoint.url
    endpoint.answer = lambda inputs: Answer(b"", 302, {"Location": "/other"})
    with pytest.raises(SubjectFailed, match="redirects") as caught:
        subject.scores(ROWS)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://", "is no address"),
        ("https:///path", "is no address"),
        ("http:path", "is no address"),
        ("http://[::1/", "is no address"),
        ("http://host:port/", "is no address"),
        ("http://user:password@127.0.0.1/", "headers="),
    ],
)
def test_an_impossible_address_is_refused(url, message):
    with pytest.raises(UsageError, match=message):
        pl.load(url)


@pytest.mark.parametrize("options", [{"timeout": 0}, {"batch": 0}])
def test_impossible_limits_are_refused(options):
    with pytest.raises(UsageError, match="above 0"):
        pl.load("http://127.0.0.1/", **options)


def test_the_fingerprint_is_of_name_version_and_answers(endpoint):
    task = Tabular(["a", "b", "c"])
    first, same, later = (pl.load(endpoint.url, task=task, version=version) for version in (None, None, "2"))
    assert first.stable
    assert first.fingerprint == same.fingerprint
    assert first.fingerprint != later.fingerprint
    before = first.fingerprint
    endpoint.answer = lambda inputs: {"scores": (2 * np.asarray(inputs) @ WEIGHTS).tolist()}
    assert first.fingerprint != before


def test_an_endpoint_that_fails_is_unstable(endpoint):
    endpoint.answer = lambda inputs: Answer(b"", 503)
    assert pl.load(endpoint.url, retries=0, task=Tabular(["a", "b", "c"])).fingerprint.startswith("unstable")


class Watch:
    """A clock that only sleeping moves."""

    def __init__(self):
        self.now, self.slept = 0.0, []

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


def paced(subject, rate=None):
    """The subject with a clock of the test's own, and that clock."""
    watch = Watch()
    subject.pace = Pace(rate, lambda: watch.now, watch.sleep)
    return subject, watch


def answers_after(*failures):
    """Fail in these ways first, then answer."""
    left = list(failures)

    def answer(inputs):
        return left.pop(0) if left else {"scores": (np.asarray(inputs) @ WEIGHTS).tolist()}

    return answer


def test_no_more_requests_are_sent_than_the_rate_allows(endpoint):
    subject, watch = paced(pl.load(endpoint.url, batch=1, rate=4), rate=4)
    subject.scores(ROWS)
    assert watch.slept == [0.25] * 4
    assert (subject.requests, subject.examples) == (5, 5)


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_endpoint_is_asked_again_later_and_later(endpoint, status):
    endpoint.answer = answers_after(*[Answer(b"busy", status)] * 3)
    subject, watch = paced(pl.load(endpoint.url))
    assert np.array_equal(subject.scores(ROWS).numpy(), ROWS @ WEIGHTS)
    assert watch.slept == [0.5, 1.0, 2.0]
    assert (subject.requests, subject.examples) == (4, 20)


def test_the_time_that_an_endpoint_asks_for_is_waited_but_not_for_ever(endpoint):
    endpoint.answer = answers_after(*[Answer(b"", 429, {"Retry-After": wait}) for wait in ("7", "86400", "soon")])
    subject, watch = paced(pl.load(endpoint.url))
    subject.scores(ROWS)
    assert watch.slept == [7.0, 300.0, 2.0]


def test_an_endpoint_that_stays_busy_fails_after_the_retries(endpoint):
    endpoint.answer = lambda inputs: Answer(b"later", 503)
    subject, watch = paced(pl.load(endpoint.url, retries=2))
    with pytest.raises(SubjectFailed, match="status 503: 'later'$"):
        subject.scores(ROWS)
    assert (len(watch.slept), subject.requests) == (2, 3)


def test_other_failures_are_not_asked_again(endpoint):
    endpoint.answer = lambda inputs: Answer(b"", 500)
    subject, watch = paced(pl.load(endpoint.url))
    with pytest.raises(SubjectFailed, match="500"):
        subject.scores(ROWS)
    assert (watch.slept, subject.requests) == ([], 1)


def test_a_connection_that_is_cut_is_made_again(endpoint):
    short = Answer(b'{"sco', headers={"Content-Length": "1000", "Connection": "close"})
    endpoint.answer = answers_after(short)
    subject, watch = paced(pl.load(endpoint.url))
    assert np.array_equal(subject.scores(ROWS).numpy(), ROWS @ WEIGHTS)
    assert watch.slept == [0.5]


@pytest.mark.parametrize("options", [{"rate": 0}, {"rate": -1.0}, {"retries": -1}])
def test_impossible_paces_are_refused(options):
    with pytest.raises(UsageError, match="must be"):
        pl.load("http://127.0.0.1/", **options)


def test_a_run_that_goes_on_asks_only_what_was_not_answered(endpoint, tmp_path):
    query = pl.Decision(torch.tensor(ROWS), target=1)
    whole = Occlusion()(pl.load(endpoint.url), query)
    killed = pl.load(endpoint.url, batch=2, cache=tmp_path)
    killed.scores(ROWS[:3])
    asked = killed.examples - 2  # two examples say that it answers twice the same
    assert asked == 3
    resumed = pl.load(endpoint.url, batch=2, cache=tmp_path)
    found = Occlusion()(resumed, query)
    assert torch.equal(found.scores, whole.scores)
    assert found.evaluations == whole.evaluations
    sent = resumed.examples
    again = pl.load(endpoint.url, batch=4, cache=str(tmp_path))
    assert torch.equal(Occlusion()(again, query).scores, whole.scores)
    assert again.examples == 2 < sent


def test_another_address_or_version_is_another_model(endpoint, tmp_path):
    for url, version in ((endpoint.url, None), (f"{endpoint.url}?model=2", None), (endpoint.url, "2")):
        subject = pl.load(url, version=version, cache=tmp_path)
        subject.scores(ROWS)
        assert subject.examples == len(ROWS) + 2


def test_a_model_that_answers_otherwise_than_kept_is_refused(endpoint, tmp_path):
    pl.load(endpoint.url, cache=tmp_path).scores(ROWS)
    endpoint.answer = lambda inputs: {"scores": (3 * np.asarray(inputs) @ WEIGHTS).tolist()}
    with pytest.raises(NotAnswerable, match="version="):
        pl.load(endpoint.url, cache=tmp_path).scores(ROWS)


def test_the_command_line_reaches_rate_retries_and_cache(endpoint, tmp_path):
    options = ["rate=1000", "retries=1", f"cache={tmp_path / 'answers'}"]
    subject = subject_named(endpoint.url, options)
    subject.scores(ROWS)
    assert (tmp_path / "answers" / "answers.sqlite").is_file()
    again = subject_named(endpoint.url, options)
    again.scores(ROWS)
    assert (subject.examples, again.examples) == (len(ROWS) + 2, 2)
