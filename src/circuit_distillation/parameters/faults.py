"""The one line about an invalid parameter: its name, its value, what is allowed, and where to change it."""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from circuit_distillation.parameters.run import Parameters

_KINDS = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "string": "a text",
    "array": "a list",
    "object": "a block of keys",
}
_BOUNDS = {
    "exclusiveMinimum": "above {}",
    "minimum": "at least {}",
    "exclusiveMaximum": "below {}",
    "maximum": "at most {}",
    "minItems": "at least {} long",
}


class ParameterError(ValueError):
    """A parameter that is unknown, mistyped or out of range."""


def validate(raw: dict[str, Any]) -> Parameters:
    """Check the merged parameters; raises `ParameterError` with one line about the first fault."""
    try:
        return Parameters.model_validate(raw)
    except ValidationError as error:
        faults = sorted(error.errors(), key=lambda fault: not _is_unknown_key(fault))  # a typo explains most
        raise ParameterError(_explain(faults[0])) from None


def plain(block: Any) -> Any:
    """A block of parameters as plain data, whether or not it, or a part of it, has been made a model."""
    if isinstance(block, dict):
        return {name: plain(value) for name, value in block.items()}
    return block.model_dump() if isinstance(block, BaseModel) else block


def nearest(name: str, known: list[str]) -> str:
    """A hint: the nearest right name, or all of them."""
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean `{near[0]}`?" if near else f"known here: {', '.join(known)}"


def _is_unknown_key(fault: ErrorDetails) -> bool:
    return fault["type"] == "extra_forbidden" or fault["loc"][-1:] == ("[key]",)


def _explain(fault: ErrorDetails) -> str:
    location = [part for part in fault["loc"] if part != "[key]"]
    path = ".".join(map(str, location))
    if _is_unknown_key(fault):
        return f"unknown parameter `{path}`: {nearest(str(location[-1]), _keys(_schema_at(location[:-1])))}"
    if fault["type"] == "missing":
        return f"parameter `{path}` is missing: set it in conf/ or with --params {path}=VALUE"
    if fault["type"] == "value_error":
        return f"parameter {f'`{path}`: ' if path else ''}{fault['ctx']['error']}"
    schema, value = _schema_at(location), fault["input"]
    choices = _choices(schema)
    near = isinstance(value, str) and get_close_matches(value, choices)
    hint = f"; {nearest(value, choices)}" if near else ""
    in_list = any(isinstance(part, int) for part in location)  # --params cannot reach into a list
    where = "conf/" if in_list or "array" == schema.get("type") else f"conf/ or with --params {path}=VALUE"
    return f"parameter `{path}` = {_shown(value)}: must be {_allowed(schema)}{hint}; change it in {where}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


@cache
def _whole_schema() -> dict[str, Any]:
    return Parameters.model_json_schema()


def _schema_at(location: list[str | int]) -> dict[str, Any]:
    """The JSON schema of what stands at a location, null left out."""
    whole = _whole_schema()
    schema = whole
    for part in (None, *location):
        if part is not None:
            named = schema.get("properties", {})
            other = schema.get("items") if isinstance(part, int) else schema.get("additionalProperties")
            schema = named.get(part) or other or {}
        nullable = "anyOf" in schema
        if nullable:
            schema = next(option for option in schema["anyOf"] if option.get("type") != "null")
        if "$ref" in schema:
            schema = whole["$defs"][schema["$ref"].rsplit("/", 1)[-1]]
        schema = {**schema, "nullable": nullable}
    return schema


def _keys(schema: dict[str, Any]) -> list[str]:
    """Names that are allowed in a block."""
    return list(schema.get("properties", {})) or _choices(schema.get("propertyNames", {}))


def _choices(schema: dict[str, Any]) -> list[str]:
    return [schema["const"]] if "const" in schema else list(schema.get("enum", ()))


def _allowed(schema: dict[str, Any]) -> str:
    """The values a schema allows, in words."""
    if choices := _choices(schema):
        text = f"one of {', '.join(choices)}" if len(choices) > 1 else f"{choices[0]!r}"
    elif "pattern" in schema:
        text = schema["description"]
    else:
        bounds = [words.format(schema[key]) for key, words in _BOUNDS.items() if key in schema]
        text = ", ".join([_KINDS.get(schema.get("type", ""), "another value"), *bounds])
    return text + (" or null" if schema.get("nullable") else "")
