"""A model behind an HTTP endpoint as a subject."""

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from torch import Tensor

from pellucid.core.errors import SubjectFailed, UsageError
from pellucid.core.subject import Inputs, Task
from pellucid.subjects.blackbox import BlackBox
from pellucid.subjects.labels import labelled
from pellucid.subjects.pace import Pace, seconds_of
from pellucid.tasks.tensor import TensorTask

_LARGEST_ANSWER = 64 * 1024 * 1024
_CHUNK = 64 * 1024
_BUSY = (429, 503)


def load_http(
    url: str,
    *,
    task: Task | None = None,
    labels: Sequence[str] | None = None,
    timeout: float = 30.0,
    batch: int = 64,
    rate: float | None = None,
    retries: int = 4,
    cache: str | Path | None = None,
    headers: Mapping[str, str] | None = None,
    version: str | None = None,
    name: str | None = None,
) -> "HttpSubject":
    """The model that answers at ``url``; nothing is sent before it is asked.

    With a folder as ``cache`` every answer is kept there, and what was answered is not asked again, also not by a run
    that goes on where another was killed.
    """
    subject = HttpSubject(
        url,
        labelled(TensorTask() if task is None else task, labels),
        timeout=timeout,
        batch=batch,
        rate=rate,
        retries=retries,
        headers=headers,
        version=version,
        name=name,
    )
    return subject if cache is None else subject.remember(cache)


class HttpSubject(BlackBox):
    """``POST {"inputs": rows}`` is answered with ``{"scores": rows}``, one row of scores for each example.

    Several inputs are sent as ``{"inputs": {name: rows}}``. At most ``batch`` examples go into one request and at most
    ``rate`` requests are sent a second. One that is not answered within ``timeout`` seconds fails; where the endpoint
    is busy (429, 503) or cuts the connection it is sent up to ``retries`` times more, after the time that the endpoint
    asks for or ½, 1, 2, 4 … seconds. ``requests`` and ``examples`` count what was sent. ``headers`` (such as an
    authorization) are sent with each request and appear nowhere else. Redirects are refused: inputs go to the named
    address or nowhere.
    """

    def __init__(
        self,
        url: str,
        task: Task,
        *,
        timeout: float = 30.0,
        batch: int = 64,
        rate: float | None = None,
        retries: int = 4,
        headers: Mapping[str, str] | None = None,
        version: str | None = None,
        name: str | None = None,
    ) -> None:
        _check_address(url)
        if timeout <= 0 or batch < 1:
            raise UsageError(f"{url}: timeout={timeout} and batch={batch} must be above 0")
        if retries < 0:
            raise UsageError(f"{url}: retries={retries} must be 0 or more")
        super().__init__(task, name or url.partition("?")[0], version)
        self._url, self._timeout, self._batch, self._retries = url, timeout, batch, retries
        self.pace = Pace(rate)
        self._headers = {**(headers or {}), "Content-Type": "application/json", "Accept": "application/json"}
        self.requests = self.examples = 0

    @property
    def place(self) -> str:
        return self._url

    def batch_size(self, inputs: Inputs) -> int:
        return min(self._batch, super().batch_size(inputs))

    def answer(self, tensors: Mapping[str, Tensor]) -> Any:
        rows = {name: tensor.tolist() for name, tensor in tensors.items()}
        body = json.dumps({"inputs": next(iter(rows.values())) if len(rows) == 1 else rows}, allow_nan=False)
        answer = self._parsed(self._answered(body.encode(), len(next(iter(rows.values())))))
        if not isinstance(answer, dict) or "scores" not in answer:
            kind = (
                f"an object with {', '.join(map(repr, list(answer)[:5]))}" if isinstance(answer, dict) else "other JSON"
            )
            raise SubjectFailed(f'{self.name} answered {kind}; it must answer {{"scores": rows of numbers}}')
        return answer["scores"]

    def _answered(self, body: bytes, examples: int) -> bytes:
        """The answer to a request, which is sent again where the endpoint was busy."""
        for attempt in range(self._retries):
            try:
                return self._posted(body, examples)
            except _Busy as busy:
                self.pace.wait(attempt, busy.retry_after)
        return self._posted(body, examples)

    def _posted(self, body: bytes, examples: int) -> bytes:
        self.pace.turn()
        self.requests, self.examples = self.requests + 1, self.examples + examples
        request = urllib.request.Request(self._url, body, self._headers, method="POST")
        deadline = time.monotonic() + self._timeout
        try:
            with _opener(self.name).open(request, timeout=self._timeout) as response:
                if response.status != 200:
                    raise SubjectFailed(f"{self.name} answered with status {response.status}, not 200")
                return self._received(response, deadline)
        except urllib.error.HTTPError as error:
            with error:
                message = f"{self.name} answered with status {error.code}{_reason(error)}"
                if error.code in _BUSY:
                    raise _Busy(message, seconds_of(error.headers.get("Retry-After"))) from error
                raise SubjectFailed(message) from error
        except (ConnectionResetError, http.client.IncompleteRead) as error:
            raise _Busy(f"{self.name} cut the connection: {error}") from error
        except TimeoutError as error:
            raise SubjectFailed(self._too_late()) from error
        except urllib.error.URLError as error:
            if isinstance(error.reason, TimeoutError):
                raise SubjectFailed(self._too_late()) from error
            if isinstance(error.reason, ConnectionResetError):
                raise _Busy(f"{self.name} cut the connection: {error.reason}") from error
            raise SubjectFailed(f"{self.name} cannot be reached: {error.reason}; is it running?") from error

    def _received(self, response: Any, deadline: float) -> bytes:
        parts, size = [], 0
        expected = response.length
        while part := response.read1(_CHUNK):
            parts.append(part)
            size += len(part)
            if size > _LARGEST_ANSWER:
                raise SubjectFailed(
                    f"{self.name} answered with more than {_LARGEST_ANSWER} bytes; ask for a smaller batch="
                )
            if time.monotonic() > deadline:
                raise SubjectFailed(self._too_late())
        if expected is not None and size < expected:
            raise _Busy(f"{self.name} cut the connection after {size} of {expected} bytes")
        return b"".join(parts)

    def _too_late(self) -> str:
        return (
            f"{self.name} did not answer within {self._timeout:g} seconds; give it more: timeout=, or a smaller batch="
        )

    def _parsed(self, content: bytes) -> Any:
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as error:
            start = content[:60].decode("utf-8", "replace")
            raise SubjectFailed(f"{self.name} answered something that is not JSON: {start!r}") from error


class _Busy(SubjectFailed):
    """A failure that may be over in a moment; ``retry_after`` is how many seconds the endpoint asked to wait."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def __init__(self, name: str) -> None:
        self.name = name

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> None:
        fp.close()
        raise SubjectFailed(f"{self.name} redirects to {newurl!r}, which is not followed; name the final address")


def _opener(name: str) -> urllib.request.OpenerDirector:
    """An opener that knows HTTP and HTTPS only: no files, no redirects."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
        _NoRedirects(name),
    ):
        opener.add_handler(handler)
    return opener


def _check_address(url: str) -> None:
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise UsageError(f"{url!r} is no address of an endpoint; write http://host/path or https://host:port/path")
    if parts.username is not None or parts.password is not None:
        raise UsageError("an address must hold no password, which reports would show; send it as headers=")


def _reason(error: urllib.error.HTTPError) -> str:
    content = error.read(_CHUNK).decode("utf-8", "replace").strip()
    first = (content.splitlines() or [""])[0][:200]
    return f": {first!r}" if first else ""
