"""Errors cross processes with their facts: each class of the tree can be pickled and copied."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from tickrail import errors
from tickrail.errors import Problem, TickrailError

GIVEN: dict[str, Any] = {
    "message": "no",
    "problems": [Problem("a.b", "x.toml:1", "is wrong")],
    "environment": "tset",
    "state": "STOPPED",
    "operation": "pause",
    "name": "x",
}


def _classes() -> list[type[TickrailError]]:
    return [one for one in vars(errors).values() if inspect.isclass(one) and issubclass(one, TickrailError)]


def _made(cls: type[TickrailError]) -> TickrailError:
    needed = [
        one
        for name, one in inspect.signature(cls).parameters.items()
        if one.default is one.empty and one.kind is not one.VAR_KEYWORD and name != "self"
    ]
    placed = [GIVEN.get(one.name, "given") for one in needed if one.kind is not one.KEYWORD_ONLY]
    return cls(*placed, hint="do so", **{o.name: GIVEN.get(o.name, ()) for o in needed if o.kind is o.KEYWORD_ONLY})


@pytest.mark.parametrize("cls", _classes(), ids=lambda cls: cls.__name__)
@pytest.mark.parametrize(
    "through", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy], ids=["pickle", "copy"]
)
def test_an_error_comes_back_as_it_was(cls: type[TickrailError], through: Callable[[Any], Any]) -> None:
    error = _made(cls)
    error.add_note("and so on")
    back = through(error)
    assert type(back) is cls
    assert (str(back), back.args, back.hint, vars(back)) == (str(error), error.args, "do so", vars(error))
