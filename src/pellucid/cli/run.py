"""``pellucid run METHOD``: any method of the catalogue, its fields as options.

The commands are made from the catalogue's records: there is no code per method.
"""

import inspect
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Group, Parameter

from pellucid.cli.inputs import DEFAULT_SUBJECT, given, method_described, subject_named, target_named
from pellucid.core.catalogue import build, catalogue
from pellucid.core.errors import BadInput, UsageError

if TYPE_CHECKING:
    from pellucid.core.query import Judgement, Query
    from pellucid.core.result import Result
    from pellucid.core.subject import Subject

_FIELDS = Group("Fields of the method", sort_key=0)
_COMMON = Group("Subject and answer", sort_key=1)

Quantity = Literal["score", "logit", "probability", "log-probability", "loss"]


def _common(text: str, **options: Any) -> Parameter:
    return Parameter(help=text, group=_COMMON, **options)


def _subject_and_answer(
    *,
    subject: Annotated[str, _common("a model by name, or hf:…, onnx:…, http://…, module:factory")] = DEFAULT_SUBJECT,
    option: Annotated[list[str] | None, _common("name=value for loading the model", negative=())] = None,
    row: Annotated[int | None, _common("of a table, this row only, counted from 0", show_default=False)] = None,
    out: Annotated[Path | None, _common("save the result to this .pellucid file", show_default=False)] = None,
    plot: Annotated[Path | None, _common("save the picture of it to this .png file", show_default=False)] = None,
    json: Annotated[bool, _common("one JSON document on standard output", negative=())] = False,
) -> None:
    """Options of every method; read from this signature."""


def _decision(
    *inputs: Annotated[
        str, Parameter(help="a picture, a text, a row or .csv file, an .npy array; - is standard input")
    ],
    target: Annotated[str | None, _common("the class to explain; without it the predicted one")] = None,
    foil: Annotated[str | None, _common("explain the target rather than this class")] = None,
    of: Annotated[Quantity, _common("what of the target to explain")] = "score",
    at: Annotated[str, _common("the input, or a layer such as blocks.3")] = "input",
) -> None:
    """Arguments of methods that explain a decision; read from this signature."""


def _judgement(
    *inputs: Annotated[str, Parameter(help="the input that the results are about; it is asked again")],
    result: Annotated[list[Path] | None, _common("a saved explanation; repeat it for several", negative=())] = None,
    reference: Annotated[
        Path | None, _common("what is known to be true, where a method needs it: a .json file, or a mask as .npy")
    ] = None,
) -> None:
    """Arguments of methods that judge explanations; read from this signature."""


def _unit(
    *inputs: Annotated[
        str,
        Parameter(
            help="the data to look in, where there is any: pictures, folders of them, texts, rows, .csv files, .npy arrays"
        ),
    ],
    layer: Annotated[str | None, _common("the layer that the unit is in, such as blocks.3", show_default=False)] = None,
    index: Annotated[
        str | None, _common("a channel, or channel,row,column; without it the method chooses", show_default=False)
    ] = None,
    target: Annotated[str | None, _common("a class: by itself, or that is looked at in the data")] = None,
    limit: Annotated[int | None, _common("of a folder, this many pictures, evenly spaced", show_default=False)] = None,
) -> None:
    """Arguments of methods that explain a unit inside the network; read from this signature."""


def _code(
    *inputs: Annotated[str, Parameter(help="what the representation is of: pictures, texts, rows, .npy arrays")],
    layer: Annotated[str, _common("the layer whose output it is, such as blocks.3")],
    limit: Annotated[int | None, _common("of a folder, this many pictures, evenly spaced", show_default=False)] = None,
) -> None:
    """Arguments of methods that explain what a layer keeps of an input; read from this signature."""


def _representation(
    *inputs: Annotated[
        str, Parameter(help="the data: pictures or folders of them, texts, rows or .csv files, .npy arrays")
    ],
    layer: Annotated[
        list[str] | None, _common("a layer such as blocks.3; repeat it for several", negative=(), show_default=False)
    ] = None,
    limit: Annotated[int | None, _common("of a folder, this many pictures, evenly spaced", show_default=False)] = None,
) -> None:
    """Arguments of methods that look at data inside the network; read from this signature."""


def _fit(
    *inputs: Annotated[
        str, Parameter(help="what to train on: pictures or folders of them, texts, .csv files, .npy arrays")
    ],
    limit: Annotated[int | None, _common("of a folder, this many pictures, evenly spaced", show_default=False)] = None,
) -> None:
    """Arguments of methods that train something; read from this signature."""


def _population(
    *inputs: Annotated[
        str,
        Parameter(help="the cases: a .csv file, a text file with a text per line, pictures or folders, .npy arrays"),
    ],
    target: Annotated[str | None, _common("the class looked at; without it each case's predicted one")] = None,
    of: Annotated[Quantity, _common("what of the target to look at")] = "score",
    limit: Annotated[int | None, _common("of a folder, this many pictures, evenly spaced", show_default=False)] = None,
) -> None:
    """Arguments of methods that look at many cases; read from this signature."""


ARGUMENTS: Mapping[str, Callable[..., None]] = {
    "Code": _code,
    "Decision": _decision,
    "Fit": _fit,
    "Judgement": _judgement,
    "Population": _population,
    "Representation": _representation,
    "Unit": _unit,
}


def _application() -> App:
    made = App(name="run", help="Ask one method, with all its fields.", help_format="plaintext", help_epilogue="")
    for record in catalogue():
        if record["query"] in ARGUMENTS:
            text = f"{record['question']}\n\nHow it misleads: {record['caveat']}"
            made.command(_command(record), name=record["id"], help=text)
    return made


def _command(record: Mapping[str, Any]) -> Callable[..., None]:
    """A function whose signature is the method's: the query's arguments, the method's fields, the common options."""
    fields = {field["name"]: field for field in record["fields"]}

    def command(*inputs: str, **options: Any) -> None:
        chosen = {name: options.pop(name) for name in fields if options.get(name) is not None}
        _ask(record, inputs, {name: _value(value, fields[name]) for name, value in chosen.items()}, options)

    arguments = list(inspect.signature(ARGUMENTS[record["query"]]).parameters.values())
    common = list(inspect.signature(_subject_and_answer).parameters.values())
    parameters = [*arguments, *(_field_parameter(field) for field in fields.values()), *common]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def _field_parameter(field: Mapping[str, Any]) -> inspect.Parameter:
    """An optional flag: what is not given stays the method's own default."""
    types = set(field["types"])
    kind: Any = str
    if types == {"boolean"}:
        kind = bool
    elif types <= {"choice", "null"} and field["choices"]:
        kind = Literal[tuple(field["choices"])]
    help = Parameter(help=described(field), group=_FIELDS, show_default=False, required=field["required"])
    default = inspect.Parameter.empty if field["required"] else None
    annotation = kind if field["required"] else kind | None
    return inspect.Parameter(
        field["name"], inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[annotation, help]
    )


def described(field: Mapping[str, Any]) -> str:
    """A field in words: what it is, its kinds of value, bounds and default."""
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    bounds = ", ".join(f"{signs[name]} {limit:g}" for name, limit in field.get("bounds", {}).items())
    default = "" if field["required"] or field["default"] is None else f"default {_written(field['default'])}"
    kinds = "" if field.get("choices") else " or ".join(kind for kind in field["types"] if kind != "null")
    details = ", ".join(part for part in (kinds, bounds, default) if part)
    return f"{field['help']} ({details})" if details else field["help"]


def _written(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return value.get("method", str(value)) if isinstance(value, dict) else str(value)


def _value(value: Any, field: Mapping[str, Any]) -> Any:
    if "subject" in field["types"] and isinstance(value, str):
        return subject_named(value)
    if "subjects" in field["types"] and isinstance(value, str):
        return tuple(subject_named(name.strip()) for name in value.split(","))
    return method_described(value) if isinstance(value, str) else value


def _ask(record: Mapping[str, Any], words: tuple[str, ...], fields: dict[str, Any], options: dict[str, Any]) -> None:
    from pellucid.cli import progress
    from pellucid.cli.output import check_file_writable, document, result_document, say, show_result

    out, plot = options.get("out"), options.get("plot")
    for path, suffix in ((out, ".pellucid"), (plot, ".png")):
        if path is not None and path.suffix != suffix:
            raise UsageError(f"{path} should end in {suffix}")
        if path is not None:
            check_file_writable(path)
    method = build({"method": record["id"], **fields})
    subject = subject_named(options.get("subject", DEFAULT_SUBJECT), options.get("option") or ())
    lines, optional = record["query"] == "Population", record["query"] in ("Unit", "Representation")
    found = given(subject, words, options.get("row"), options.get("limit"), lines) if words or not optional else []
    raws = [entry.raw for entry in found]
    query = _QUERIES[record["query"]](subject, raws[0] if len(raws) == 1 else raws or None, options)
    with progress.shown():
        result = method(subject, query)
    if out is not None:
        result.save(out)
    if plot is not None:
        _save_picture(result, plot)
    if options.get("json"):
        document(result_document(result))
        return
    show_result(result)
    for path in (out, plot):
        if path is not None:
            say(f"saved {path}")


def _explained_decision(subject: "Subject", inputs: Any, options: Mapping[str, Any]) -> "Query":
    from pellucid.core.query import Decision

    target, foil = (target_named(options.get(name)) for name in ("target", "foil"))
    return Decision(inputs, target, foil, options.get("of", "score"), options.get("at", "input"))


def _responding_unit(subject: "Subject", inputs: Any, options: Mapping[str, Any]) -> "Query":
    from pellucid.core.query import Unit

    index = target_named(options.get("index"))
    try:
        number = int(index) if isinstance(index, str) else index
    except ValueError as error:
        raise UsageError(f"--index takes a channel such as 5, or channel,row,column, not {index!r}") from error
    return Unit(options.get("layer"), number, target_named(options.get("target")), inputs)


def _code_of(subject: "Subject", inputs: Any, options: Mapping[str, Any]) -> "Query":
    from pellucid.core.query import Code

    return Code(inputs, options["layer"])


def _represented(subject: "Subject", inputs: Any, options: Mapping[str, Any]) -> "Query":
    from pellucid.core.query import Representation

    return Representation(tuple(options.get("layer") or ()), inputs)


def _trained_on(subject: "Subject", inputs: Any, options: Mapping[str, Any]) -> "Query":
    from pellucid.core.query import Fit

    return Fit(inputs)


def judged_results(subject: "Subject", inputs: Any, options: Mapping[str, Any]) -> "Judgement":
    """The judgement of saved results about these inputs."""
    from pellucid.core.query import Judgement
    from pellucid.core.result import Result

    paths = options.get("result") or []
    if not paths:
        raise UsageError(
            "there is nothing to judge; name saved explanations: --result lrp.pellucid --result lime.pellucid"
        )
    prepared = subject.prepare(inputs)
    results = [_asked_again(subject, prepared, path, Result.load(path)) for path in paths]
    return Judgement(results, _reference(options.get("reference")))


def _reference(path: Path | None) -> Any:
    """What a file holds that is known to be true: plain data, or a mask."""
    if path is None:
        return None
    try:
        if path.suffix == ".npy":
            import numpy as np
            import torch

            return torch.from_numpy(np.load(path, allow_pickle=False))
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"cannot read what is true from {path} ({error}); it takes a .json or .npy file") from error


def _asked_again(subject: "Subject", inputs: Any, path: Path, result: Any) -> "Result":
    """A loaded explanation with its decision; refused where subject and input do not give the value it explains."""
    import torch

    from pellucid.core.query import Decision
    from pellucid.engine.targets import resolve
    from pellucid.results.attribution import Attribution
    from pellucid.results.counterfactual import Counterfactuals
    from pellucid.results.interpretation import Interpretation

    if isinstance(result, Interpretation):  # of a reader, who is not asked again
        return result
    if not isinstance(result, Attribution | Counterfactuals):
        raise BadInput(f"{path} holds a {type(result).__name__}, not an explanation of a decision")
    if result.provenance is not None and result.provenance.subject_fingerprint != subject.fingerprint:
        raise BadInput(
            f"{path} explains {result.provenance.subject}, not {subject.name} as it is loaded here; name its subject"
        )
    if result.target is None:
        raise BadInput(f"{path} explains a unit inside the network, not a decision; it cannot be judged by the output")
    if len(result) != len(inputs):
        raise BadInput(f"{path} explains {len(result)} examples and {len(inputs)} are named; name the same inputs")
    target, foil = _listed(result.target), _listed(result.foil)
    if isinstance(result, Counterfactuals):
        if result.swaps is None and not torch.equal(result.inputs, inputs.value):
            raise BadInput(f"{path} does not start from this input; name the input it was made from")
        return result.asked(Decision(inputs, target, foil))
    for of in ("score", "probability", "log-probability", "loss"):
        decision = Decision(inputs, target, foil, of, result.at)
        if subject.task.output == "value" and of != "score":
            break
        value = resolve(subject, inputs, decision)(subject.run(inputs)).double().cpu()
        # The prepared copy of a model and the taped one agree to rounding, another input does not.
        if torch.allclose(value, result.value.double(), rtol=1e-3, atol=1e-4):
            return result.asked(decision)
    raise BadInput(
        f"{path} does not explain this input: the model gives another value for it; name the input it was made from"
    )


def _listed(index: Any) -> Any:
    if index is None:
        return None
    return [tuple(entry) if isinstance(entry, list) else entry for entry in index.tolist()]


def _cases(subject: "Subject", inputs: Any, options: Mapping[str, Any]) -> "Query":
    from pellucid.core.query import Population

    data = inputs if isinstance(inputs, list) else [inputs]
    return Population(data, target=target_named(options.get("target")), of=options.get("of", "score"))


_QUERIES: Mapping[str, Callable[["Subject", Any, Mapping[str, Any]], "Query"]] = {
    "Code": _code_of,
    "Decision": _explained_decision,
    "Fit": _trained_on,
    "Judgement": judged_results,
    "Population": _cases,
    "Representation": _represented,
    "Unit": _responding_unit,
}


def _save_picture(result: "Result", path: Path) -> None:
    import io

    from pellucid.core.files import write_bytes

    buffer = io.BytesIO()
    result.plot().save(buffer, "PNG")
    write_bytes(path, buffer.getvalue())


app = _application()
