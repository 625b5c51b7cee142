"""A subject from a function of the user's own, ``module:factory``, with weights that are read without running code."""

import contextlib
import hashlib
import importlib
import importlib.util
import inspect
import pickle
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from pellucid.core.errors import BadInput, PellucidError, SubjectFailed, UsageError, nearest
from pellucid.core.subject import Subject
from pellucid.subjects.wrapping import is_subject, wrap

_FORMATS = "a state dict (name → tensor) as .safetensors, or as .pt or .pth written by torch.save(model.state_dict())"
_WRAPPING = tuple(name for name in inspect.signature(wrap).parameters if name != "model")


def load_factory(place: str, /, *, weights: str | Path | None = None, **options: Any) -> Subject:
    """What ``factory(**options)`` of ``module:factory`` or ``file.py:factory`` returns, as a subject.

    Modules are looked for in the current directory first. A name that holds a ready model or subject is used as it is.
    Options that the factory's signature names are its own, those of ``wrap`` say what its answer means; a factory with
    ``**options`` gets what is left. ``weights`` are read before any code of the module runs.
    """
    where, _, name = place.rpartition(":")
    state = None if weights is None else read_weights(Path(weights))
    with _importing(where):
        found = _attribute(_module(where), where, name)
        model, meaning = _made(place, found, options)
    if state is not None:
        _give(model, state, place, Path(weights or ""))
    if is_subject(model) and meaning:
        raise UsageError(f"{place} returns a subject, which knows its own {', '.join(meaning)}; leave that out")
    return model if is_subject(model) else wrap(model, **meaning)


def read_weights(path: Path) -> dict[str, Tensor]:
    """A state dict from a file of which nothing is ever executed; raises ``BadInput`` for anything else."""
    if not path.is_file():
        beside = sorted(entry.name for entry in path.parent.iterdir()) if path.parent.is_dir() else []
        raise BadInput(f"there is no file {path}; {nearest(path.name, beside)}")
    if path.suffix not in (".safetensors", ".pt", ".pth"):
        raise BadInput(f"{path} is not a weight file by its name; give {_FORMATS}")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            # Of a pickle that torch did not write: it is read or refused, and needs no second word.
            warnings.filterwarnings("ignore", "Detected pickle protocol", UserWarning)
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise BadInput(
            f"{path} holds more than tensors, which could run code when it is read; give {_FORMATS}"
        ) from error
    except (SafetensorError, RuntimeError, OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise BadInput(f"{path} is damaged ({_first_line(error)}); give {_FORMATS}") from error
    if not isinstance(state, Mapping) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise BadInput(f"{path} holds a {type(state).__name__} of other things than tensors; give {_FORMATS}")
    return dict(state)


@contextlib.contextmanager
def _importing(where: str) -> Iterator[None]:
    """The module's own directory comes first while it is imported and called, and the path is left as it was."""
    before = list(sys.path)
    sys.path.insert(0, str(Path(where).resolve().parent if where.endswith(".py") else Path.cwd()))
    try:
        yield
    finally:
        sys.path[:] = before


def _module(where: str) -> ModuleType:
    try:
        if where.endswith(".py"):
            return _from_file(Path(where))
        return importlib.import_module(where)
    except PellucidError:
        raise
    except ModuleNotFoundError as error:
        if error.name is None or not (where == error.name or where.startswith(f"{error.name}.")):
            raise SubjectFailed(f"importing {where} failed: {_first_line(error)}; install what it needs") from error
        known = sorted(path.stem for path in Path.cwd().glob("*.py"))
        raise UsageError(f"there is no module {where!r} here or installed; {nearest(where, known)}") from error
    except Exception as error:
        raise SubjectFailed(f"importing {where} failed: {type(error).__name__}: {_first_line(error)}") from error


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UsageError(f"there is no file {path}; name a Python file that is there")
    # Two files of the same name in different folders are two modules, so the name comes from the whole path.
    name = f"{path.stem}_{hashlib.blake2b(str(path.resolve()).encode(), digest_size=6).hexdigest()}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _attribute(module: ModuleType, where: str, name: str) -> Any:
    try:
        return getattr(module, name)
    except AttributeError as error:
        known = [entry for entry in vars(module) if not entry.startswith("_")]
        raise UsageError(f"{where} has no {name!r}; {nearest(name, known)}") from error


def _made(place: str, found: Any, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The model, and those of the options that say what it means."""
    if isinstance(found, nn.Module) or is_subject(found) or not callable(found):
        _refuse_unknown(place, options, _WRAPPING)
        return found, options
    own, meaning = _divided(place, found, options)
    try:
        inspect.signature(found).bind(**own)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{place} cannot be called: {error}; a factory returns a model") from error
    try:
        return found(**own), meaning
    except PellucidError:
        raise
    except Exception as error:
        raise SubjectFailed(f"{place} failed: {type(error).__name__}: {_first_line(error)}") from error


def _divided(place: str, factory: Callable[..., Any], options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    parameters = inspect.signature(factory).parameters.values()
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters)
    meaning = {option: value for option, value in options.items() if option in _WRAPPING and option not in named}
    own = {option: value for option, value in options.items() if option not in meaning}
    if not takes_all:
        _refuse_unknown(place, own, (*named, *_WRAPPING, "weights"))
    return own, meaning


def _refuse_unknown(place: str, options: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for option in options:
        if option not in known:
            raise UsageError(f"load({place!r}) takes no option {option!r}; it takes {', '.join(known)}")


def _give(model: Any, state: dict[str, Tensor], place: str, path: Path) -> None:
    module = model.module if is_subject(model) else model
    if not isinstance(module, nn.Module):
        raise UsageError(f"{place} returns a {type(model).__name__}, which takes no weights; leave weights= out")
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise BadInput(f"{path} does not fit what {place} returns: {reason[:300]}") from error


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
