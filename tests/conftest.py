"""What holds for every test: no network, and nothing left out without being counted."""

import ast
import importlib.util
import ipaddress
import os
import socket
from pathlib import Path

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is imported; inherited by child processes
os.environ.setdefault("GOMP_SPINCOUNT", "20000")  # read when torch is imported; long spins starve a shared machine

REFERENCE = Path(__file__).parent / "reference"
PEERS = ("captum", "lime", "quantus", "shap", "zennit", "efficientnet_lite_pytorch", "pytorch_grad_cam")

left_out: list[Path] = []


class NetworkUsed(RuntimeError):
    """A test reached for an address outside this machine."""


def _guard(original, place):
    def guarded(self, *arguments):
        address = arguments[place]
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _loopback(address[0]):
            raise NetworkUsed(f"a test reached for {address[0]!r}; tests use loopback addresses only")
        return original(self, *arguments)

    return guarded


def _loopback(host):
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _guarded_lookup(original):
    def lookup(host, *arguments, **keywords):
        name = host.decode() if isinstance(host, bytes) else host
        if name is not None and not _loopback(name):
            raise NetworkUsed(f"a test looked up {name!r}; tests use loopback addresses only")
        return original(host, *arguments, **keywords)

    return lookup


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Make every connection to another machine an error, whatever library tries it."""
    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, _guard(getattr(socket.socket, name), 0))
    monkeypatch.setattr(socket.socket, "sendto", _guard(socket.socket.sendto, -1))
    monkeypatch.setattr(socket, "getaddrinfo", _guarded_lookup(socket.getaddrinfo))


def pytest_ignore_collect(collection_path, config):
    """Comparisons import their peers: where one is missing they are not collected, but counted below."""
    if not collection_path.is_relative_to(REFERENCE) or collection_path.suffix != ".py":
        return None
    if all(importlib.util.find_spec(peer) for peer in PEERS):
        return None
    left_out.append(collection_path)
    return True


def pytest_collection_modifyitems(config, items):
    """Where several processes share the tests, one takes those of a method together, whose answers are made once, or of a
    file."""
    if not config.pluginmanager.hasplugin("xdist"):
        return
    for item in items:
        parameters = getattr(item, "callspec", None)
        method = None if parameters is None else parameters.params.get("method")
        together = method if isinstance(method, str) and "contract" in item.path.parts else item.path.name
        item.add_marker(pytest.mark.xdist_group(str(together)))


def pytest_terminal_summary(terminalreporter):
    if left_out:
        number = sum(map(_tests_in, left_out))
        terminalreporter.write_line(
            f"not collected: {number} comparisons with peer libraries that are not installed; scripts/test --all runs them"
        )


def _tests_in(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return sum(isinstance(node, ast.FunctionDef) and node.name.startswith("test_") for node in ast.walk(tree))
