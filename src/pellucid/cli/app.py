"""The program ``pellucid``: one verb per file, loaded when it is asked for, and every error in one line.

Neither this file nor a verb imports torch before it has a model to load.
"""

import os
import sys
import traceback
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

from pellucid import __version__
from pellucid.core.errors import MissingExtra, PellucidError, UsageError, nearest

if TYPE_CHECKING:
    from cyclopts import App

INTERRUPTED, DEFECT = 130, 1

VERBS = {
    "explain": "Explain a picture, a folder of them, a text or a row, and write a report.",
    "evaluate": "Judge many explanations by many metrics over a folder, a text file or a table, and rank them.",
    "activations": "Keep what layers answer to a data set on disk, computed once.",
    "unit": "Make the page of one unit: what excites it, in pictures made for it and in your data.",
    "units": "Make an atlas of many units of a network, a page each, with an index to search.",
    "run": "Ask one method, with all its fields.",
    "methods": "List the methods: what each answers, costs, and how it misleads.",
    "show": "Show what is known of a method, a saved result, a subject or a word.",
    "map": "Find the methods that serve a need; draw the map.",
    "quiz": "Predict a model before and after seeing explanations, in the terminal or on a page.",
    "check": "Load a model and report what it is, how fast, and what is wrong with it.",
}

_HELP = (
    "Make deep networks understandable: a model is asked a question by a method and answers with a result.\n\n"
    "Without a verb it draws the map, asks what must be understood and by whom, and answers."
)
_EPILOGUE = (
    "Exit codes: 0 done, 1 defect, 2 usage, 3 not answerable, 4 bad input, 5 missing extra, 6 cannot write, "
    "7 the model failed, 130 interrupted. --debug, or PELLUCID_DEBUG=1, shows where a defect comes from. "
    "NO_COLOR is honoured."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code; ``arguments`` are those after the program's name."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    # Threads that spin for long while they wait make a shared machine many times slower, and threads that never do
    # make a quiet one a third slower; torch reads this when it is imported.
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    debug = bool(os.environ.get("PELLUCID_DEBUG")) or "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        code = _answer(words)
        sys.stdout.flush()
        return code
    except PellucidError as error:
        _complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        _complain("interrupted; nothing of what was unfinished is kept")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has enough of it; what is left in the buffer must not raise again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        _complain(f"{type(error).__name__}: {error}: this is a defect of Pellucid, --debug shows where")
        if debug:
            traceback.print_exc()
        return DEFECT


def _answer(words: list[str]) -> int:
    for package in ("cyclopts", "rich"):
        if find_spec(package) is None:
            raise MissingExtra(f'the command line needs {package}, which is not installed: pip install "pellucid[cli]"')
    from cyclopts import CycloptsError

    from pellucid.cli.inputs import STANDARD_INPUT

    if not words:
        from pellucid.cli.map import walk

        return walk()
    if words[0] not in VERBS and not words[0].startswith("-"):
        raise UsageError(f"there is no verb {words[0]!r}; {nearest(words[0], VERBS)} See: pellucid --help")
    # cyclopts takes a lone hyphen for an option without a name.
    words = [STANDARD_INPUT if word == "-" else word for word in words]
    try:
        found = program()(words)
    except CycloptsError as error:
        raise UsageError(f"{error} See: pellucid{_path(words)} --help") from error
    return found if isinstance(found, int) else 0


def program() -> "App":
    """The verbs, without their code."""
    from cyclopts import App

    from pellucid.cli.output import Console

    app = App(
        name="pellucid",
        help=_HELP,
        help_epilogue=_EPILOGUE,
        help_format="plaintext",
        version=__version__,
        console=Console(),
        exit_on_error=False,
        print_error=False,
        suppress_keyboard_interrupt=False,
        result_action="return_value",
    )
    for verb, text in VERBS.items():
        if verb == "run":
            app.command("pellucid.cli.run:app", name=verb, help=text)
        else:
            app.command(f"pellucid.cli.{verb}:{verb}", name=verb, help=text, help_epilogue="")
    return app


def _path(words: Sequence[str]) -> str:
    """The verb that was meant, and the method after ``run``, for the way to its help."""
    verb = words[0] if words and words[0] in VERBS else None
    if verb == "run" and len(words) > 1 and not words[1].startswith("-"):
        from pellucid.core.catalogue import catalogue

        if words[1] in {record["id"] for record in catalogue()}:
            return f" run {words[1]}"
    return f" {verb}" if verb else ""


def _complain(message: str) -> None:
    print(f"pellucid: {' '.join(message.split())}", file=sys.stderr)  # noqa: T201 (the program's own voice)


if __name__ == "__main__":
    sys.exit(main())
