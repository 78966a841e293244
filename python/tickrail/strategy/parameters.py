"""The parameters of a strategy's class: validated once, when a strategy is made."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec
from pydantic import (
    ConfigDict,
    PydanticSchemaGenerationError,
    PydanticUserError,
    SecretStr,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import to_jsonable_python

from tickrail.domain.near import near_miss
from tickrail.errors import ParameterError, Problem
from tickrail.strategy.fields import MISSING, Field, resolve
from tickrail.strategy.inject import InjectMarker

__all__ = ["Parameter", "Schema", "schema_of"]

# Strict: "15" is no int and True is no number, while a whole number is a good float.
STRICT = ConfigDict(strict=True, arbitrary_types_allowed=True, hide_input_in_errors=True)
TYPE_NAMES = {
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a strategy's class.

    Attributes:
        name: The field.
        annotation: Its type.
        default: Its default, meaningless where ``required``.
        required: Whether it has no default.
    """

    name: str
    annotation: Any
    default: Any
    required: bool
    adapter: TypeAdapter[Any] = field(repr=False, compare=False)

    @property
    def type_name(self) -> str:
        """The type as one would write it."""
        return (
            self.annotation.__name__
            if isinstance(self.annotation, type)
            else str(self.annotation).replace("typing.", "")
        )

    def validate(self, value: object) -> Any:
        """The value as the strategy will see it.

        Raises:
            ValidationError: It is none of this type.
        """
        plain = _plain(value)
        try:
            return self.adapter.validate_python(plain)
        except ValidationError:
            text = _as_json(plain)
            if text is None:
                raise
            return self._from_json(text, plain)

    def plain(self, value: object) -> Any:
        """The value as JSON has it, a secret masked; what JSON cannot say is told by the name of its class."""
        with suppress(Exception):
            return self.adapter.dump_python(value, mode="json", warnings=False)
        with suppress(Exception):
            return to_jsonable_python(value, fallback=lambda one: type(one).__name__)
        return type(value).__name__  # a circle, or a serialiser of the user's own that fails

    def _from_json(self, text: str, value: object) -> Any:
        # Files and flags know neither paths nor tuples nor enums; strict JSON mode takes them from text and lists.
        try:
            return self.adapter.validate_json(text)
        except ValidationError:
            return self.adapter.validate_python(value)  # the error in the words of the value itself


def _plain(value: object) -> object:
    """A step of a sweep over a range of numpy's as the number that it is; there is none before that is loaded."""
    if "numpy" not in sys.modules:
        return value
    import numpy as np

    return value.item() if isinstance(value, np.generic) else value


def _as_json(value: object) -> str | None:
    if not isinstance(value, str | list | tuple | dict):
        return None
    try:
        return json.dumps(value)
    except (TypeError, ValueError):
        return None


class Schema(msgspec.Struct, frozen=True):
    """What a strategy's class can be given.

    Attributes:
        owner: Name of the class.
        parameters: In the order of the fields, those of base classes first.
        services: Types of the fields that the container fills.
    """

    owner: str
    parameters: Mapping[str, Parameter]
    services: Mapping[str, Any]

    def validate(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The values of all parameters and of the services among ``given``.

        Raises:
            ParameterError: Names all that is wrong.
        """
        problems = [self._unknown(name) for name in given if name not in self.parameters and name not in self.services]
        values: dict[str, Any] = {}
        for name, parameter in self.parameters.items():
            found = self._value(parameter, given.get(name, parameter.default), values)
            problems += [found] if found else []
        if problems:
            raise self._error(problems)
        values.update({name: given[name] for name in self.services if name in given})
        return values

    def _value(self, parameter: Parameter, value: object, into: dict[str, Any]) -> Problem | None:
        if value is MISSING:
            return Problem(
                parameter.name, self.owner, f"parameter '{parameter.name}' ({parameter.type_name}) is missing"
            )
        try:
            into[parameter.name] = parameter.validate(value)
        except ValidationError as error:
            return self._wrong(parameter, value, error)
        return None

    def _wrong(self, parameter: Parameter, value: object, error: ValidationError) -> Problem:
        first = error.errors(include_url=False, include_input=False)[0]
        inside = "".join(f"[{part!r}]" for part in first["loc"]) if error.error_count() == 1 else ""
        expected = TYPE_NAMES.get(first["type"]) or first["msg"].removeprefix("Input should be ").removeprefix(
            "Value error, "
        )
        message = f"parameter '{parameter.name}'{inside} ({parameter.type_name}) is {_shown(value)}"
        if isinstance(value, SecretStr):
            expected = "the annotation SecretStr (of pydantic): the value is a secret"
        return Problem(parameter.name, self.owner, message, expected)

    def _unknown(self, name: str) -> Problem:
        known = [*self.parameters, *self.services]
        listed = ", ".join(known) or "none"
        return Problem(name, self.owner, f"unknown parameter '{name}'", f"one of: {listed}", near_miss(name, known))

    def _error(self, problems: Sequence[Problem]) -> ParameterError:
        message = "\n".join(map(str, (Problem("", p.origin, p.message, p.expected, p.near_miss) for p in problems)))
        return ParameterError(message, strategy=self.owner, problems=problems)


def _shown(value: object) -> str:
    # Text and what contains it may be a secret of the configuration; a number is none.
    return repr(value) if value is None or isinstance(value, int | float) else f"of type {type(value).__name__}"


def schema_of(owner: str, fields: Mapping[str, Field]) -> Schema:
    """Resolve the annotations of ``fields``; defaults that are wrong are errors here, before any strategy is made.

    Raises:
        ParameterError: An annotation cannot be resolved or is no type.
    """
    parameters: dict[str, Parameter] = {}
    services: dict[str, Any] = {}
    for name, item in fields.items():
        kind, is_service = resolve(item)
        if is_service:
            services[name] = kind
        else:
            default = MISSING if isinstance(item.default, InjectMarker) else item.default
            parameters[name] = Parameter(name, kind, default, default is MISSING, _adapter(owner, name, kind))
    schema = Schema(owner, parameters, services)
    wrong = [schema._value(p, p.default, {}) for p in parameters.values() if not p.required]
    if found := [problem for problem in wrong if problem]:
        raise schema._error(found)
    return schema


def _adapter(owner: str, name: str, kind: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(kind, config=STRICT)
    except PydanticSchemaGenerationError as error:
        raise ParameterError(f"{owner}.{name}: {kind!r} is no type for a parameter: {error}", strategy=owner) from None
    except PydanticUserError:  # models and dataclasses bring their own settings
        return TypeAdapter(kind)
