"""The root of the errors."""

from __future__ import annotations

from typing import Any, ClassVar

__all__ = ["TickrailError"]


class TickrailError(Exception):
    """Root of the tree.

    Attributes:
        message: What happened, where, and what was expected.
        hint: The likely fix, or ``None``.
        exit_code: What a command ends with that fails by it: 1, or 78 (``EX_CONFIG``) where the configuration or the
            user's code is wrong and a restart would not help.
        phase: The phase of a start in which it arose, or ``None``.
    """

    exit_code: ClassVar[int] = 1
    phase: str | None = None

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[Any, ...]:  # without ``__init__``: what it asks for by keyword is not in ``args``
        return type(self).__new__, (type(self), *self.args), {**self.__dict__, "args": self.args}

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\n  hint: {self.hint}"
