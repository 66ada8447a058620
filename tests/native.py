"""The C libraries of the house, compiled once for a test run."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

from relive.diff import library
from relive.host.native import compile_native


@functools.cache
def diff_calls() -> dict[str, Any]:
    """The C half of the diff room (`Interner(diff_calls())`)."""
    cache = Path(tempfile.gettempdir()) / "relive-test-native"
    return library.load(compile_native("diff", library.SOURCES, flags=library.FLAGS, cache=cache))
