"""On which line of a TOML text each key stands.

The reader gives no places. This scan runs over text that the reader has already accepted, so it
only has to find the ends of keys and values, never to judge them; a property test holds that both find the same keys.
"""

from __future__ import annotations

import re
from typing import Final

import tomli

__all__ = ["KeyLines", "key_lines", "parse_key"]

Key = tuple[str, ...]

SPACE: Final = re.compile(r"[ \t]*")
BLANK: Final = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
KEY_PART: Final = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*'""")
STRING: Final = re.compile(
    r'"""(?:[^\\]|\\[\s\S])*?"{3,5}(?!")'
    r"|'''[\s\S]*?'{3,5}(?!')"
    r'|"(?:[^"\\]|\\.)*"'
    r"|'[^']*'"
)
BARE: Final = re.compile(r"[^,\]}#\n]+")


def parse_key(text: str) -> Key:
    """The parts of a dotted key: ``instruments."EURUSD.SIM".currency`` has three.

    Raises:
        ValueError: The text is no TOML key.
    """
    if "\n" in text or "=" in KEY_PART.sub("", text):
        raise ValueError("not a key")
    node: object = tomli.loads(f"{text} = 0")
    parts: list[str] = []
    while isinstance(node, dict):
        ((part, node),) = node.items()
        parts.append(part)
    return tuple(parts)


def key_lines(text: str) -> dict[Key, int]:
    """The line (from 1) of every key and table header of a valid TOML text.

    An array is one value: keys of tables inside it have no lines of their own.
    """
    return _Scan(text.replace("\r\n", "\n")).run()


class KeyLines:
    """The lines of one text, scanned when the first is asked for: a load in which all is well needs none."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._lines: dict[Key, int] | None = None

    def line(self, key: Key) -> int | None:
        """The line of ``key``, or of the innermost table around it."""
        if self._lines is None:
            self._lines, self._text = key_lines(self._text), ""
        return next((self._lines[key[:depth]] for depth in range(len(key), 0, -1) if key[:depth] in self._lines), None)


class _Scan:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[Key, int] = {}
        self.arrays: set[Key] = set()
        self._counted = 0
        self._line = 1

    def run(self) -> dict[Key, int]:
        table: Key = ()
        while self._skip(BLANK) < len(self.text):
            if self.text[self.at] == "[":
                table = self._header()
            else:
                self._pair(table)
        return self.lines

    def _header(self) -> Key:
        array = self.text.startswith("[[", self.at)
        line = self._line_here()
        self.at += 2 if array else 1
        key = self._key()
        self.at += 2 if array else 1
        self._record(key, line)
        if array:
            self.arrays.add(key)
        return key

    def _pair(self, table: Key) -> None:
        self._skip(SPACE)
        line = self._line_here()
        key = table + self._key()
        self.at += 1  # the equals sign
        self._skip(SPACE)
        self._record(key, line)
        self._value(key)

    def _value(self, key: Key) -> None:
        if self.text[self.at] == "{":
            self._inline_table(key)
        elif self.text[self.at] == "[":
            self.arrays.add(key)
            self._array(key)
        elif self.text[self.at] in "\"'":
            self._skip(STRING)
        else:
            self._skip(BARE)

    def _inline_table(self, key: Key) -> None:
        self.at += 1
        while self.text[self._skip(BLANK)] != "}":
            if self.text[self.at] == ",":
                self.at += 1
            else:
                self._pair(key)
        self.at += 1

    def _array(self, key: Key) -> None:
        self.at += 1
        while self.text[self._skip(BLANK)] != "]":
            if self.text[self.at] == ",":
                self.at += 1
            else:
                self._value(key)
        self.at += 1

    def _key(self) -> Key:
        parts: list[str] = []
        while True:
            start = self._skip(SPACE)
            part = self.text[start : self._skip(KEY_PART)]
            parts.append(parse_key(part)[0] if part[0] in "\"'" else part)
            self._skip(SPACE)
            if not self.text.startswith(".", self.at):
                return tuple(parts)
            self.at += 1

    def _record(self, key: Key, line: int) -> None:
        if any(key[:depth] in self.arrays for depth in range(1, len(key) + 1)):
            return
        for depth in range(1, len(key) + 1):
            self.lines.setdefault(key[:depth], line)

    def _skip(self, pattern: re.Pattern[str]) -> int:
        found = pattern.match(self.text, self.at)
        self.at = found.end() if found else self.at
        return self.at

    def _line_here(self) -> int:
        self._line += self.text.count("\n", self._counted, self.at)
        self._counted = self.at
        return self._line
