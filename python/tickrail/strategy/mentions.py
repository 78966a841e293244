"""Which attributes the methods of a class name, found in their code without running it."""

from __future__ import annotations

import inspect
from types import CodeType

__all__ = ["mentions"]


def mentions(cls: type, name: str, *, below: type) -> bool:
    """Whether a method of ``cls``, its own or of a base class that derives from ``below``, has ``name`` in its code.

    A hint and no proof: a name that is put together at run time, or stands in a function elsewhere, is not found.
    """
    bases = (base for base in cls.__mro__ if base is not below and base not in below.__mro__)
    return any(_names(member, name) for base in bases for member in vars(base).values())


def _names(member: object, name: str) -> bool:
    if isinstance(member, property):
        return any(_names(part, name) for part in (member.fget, member.fset, member.fdel))
    inner = inspect.unwrap(getattr(member, "__func__", member))  # type: ignore[arg-type]  # what is no function has no code
    code = getattr(inner, "__code__", None)
    return isinstance(code, CodeType) and _in_code(code, name)


def _in_code(code: CodeType, name: str) -> bool:
    return name in code.co_names or any(_in_code(part, name) for part in code.co_consts if isinstance(part, CodeType))
