"""Colour or none, decided once: NO_COLOR > CLICOLOR_FORCE > is it a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TextIO

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}


class Style:
    """Wraps text in terminal colours, or leaves it alone."""

    def __init__(self, stream: TextIO, environ: Mapping[str, str]) -> None:
        if environ.get("NO_COLOR"):
            self.coloured = False
        elif environ.get("CLICOLOR_FORCE", "0") not in ("", "0"):
            self.coloured = True
        else:
            self.coloured = stream.isatty() and environ.get("TERM") != "dumb"

    def __call__(self, colour: str, text: str) -> str:
        return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if self.coloured and text else text
