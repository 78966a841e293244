"""The JSON schema of a configuration file, with what each key means, for editors."""

from __future__ import annotations

import inspect
import re
from typing import Any, Final

from pydantic import BaseModel

from tickrail.config import models
from tickrail.config.models import RuntimeConfig

__all__ = ["file_schema"]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
ATTRIBUTE: Final = re.compile(r"^ {4}(\w+): (.*(?:\n {8}\S.*)*)", re.MULTILINE)


def file_schema() -> dict[str, Any]:
    """The schema of a file of any layer: nothing is required, as another layer may say it."""
    schema = RuntimeConfig.model_json_schema(by_alias=True)
    for name, table in schema["$defs"].items():
        table.pop("required", None)
        _describe(table, getattr(models, name))
    schema["description"] = "A configuration file of tickrail; other layers may add to it."
    schema["title"] = "tickrail configuration"
    return {"$schema": DIALECT, **schema}


def _describe(table: dict[str, Any], model: type[BaseModel]) -> None:
    texts = [inspect.getdoc(base) or "" for base in reversed(model.__mro__) if issubclass(base, BaseModel)]
    meanings = {name: re.sub(r"\s+", " ", said) for text in texts for name, said in ATTRIBUTE.findall(text)}
    for name, field in model.model_fields.items():
        table["properties"][field.alias or name]["description"] = meanings[name]
    table["description"] = (inspect.getdoc(model) or "").partition("\n")[0]
