"""Refusals that the session itself decides on; each code is explained in `codes.py`."""

from __future__ import annotations

import os

from relive.build.units import Unit
from relive.errors import Refusal
from relive.host.demangle import qualified_name


def still_used(name: bytes, user: Unit, unit: Unit) -> Refusal:
    """A definition is gone that another unit, which is not compiled now, refers to."""
    return Refusal(
        "removed-but-used", qualified_name(name),
        f"{os.path.basename(user.source)} still refers to it: a fresh build would not link",
        "edit the other file too, or put it back", unit.source,
    )  # fmt: skip


def called_elsewhere(name: bytes, user: Unit) -> Refusal:
    """A function has other parameters, and a unit that is not compiled now calls it."""
    return Refusal(
        "signature-changed-elsewhere", qualified_name(name),
        f"its parameters or result changed, and {os.path.basename(user.source)}, which does not include its "
        "declaration, calls it",
        "declare it in a header that both include", user.source,
    )  # fmt: skip


def no_baseline(unit: Unit) -> Refusal:
    """Nobody knows what runs of a unit."""
    return Refusal(
        "no-baseline", os.path.basename(unit.source),
        "there is no object file of it, so nobody can tell what runs",
        "build the project and restart the program", unit.source,
    )  # fmt: skip


def variable_reduced(name: bytes, source: str) -> Refusal:
    """clang keeps only a bit of a variable, and its meaning in the code."""
    return Refusal(
        "variable-reduced", qualified_name(name),
        "the optimiser keeps only parts of it, or whether it was set; what they stand for is in the code that changed",
        "compile this file with -O0 or -O1, or restart the program", source,
    )  # fmt: skip


def out_of_reach(source: str) -> Refusal:
    """A unit uses library data directly even when asked not to."""
    return Refusal(
        "data-out-of-reach", os.path.basename(source),
        "it uses a library's data directly, further than 2 GB away",
        "compile it with -fPIC, or restart the program", source,
    )  # fmt: skip
