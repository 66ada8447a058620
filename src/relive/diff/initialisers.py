"""Names of the functions that compilers make to construct a unit's variables. They ran when the program started; they
are never redirected and never run again as they are.

Source: gcc's cp/decl2.cc (`start_objects`, `start_static_storage_duration_function`), clang's CGDeclCXX.cpp."""

from __future__ import annotations

import re

_INITIALISER = re.compile(
    rb"^(_GLOBAL__(sub_)?[ID]_|_Z41__static_initialization_and_destruction_0|__cxx_global_(var_init|array_dtor)|"
    rb"__static_initialization_and_destruction_|_GLOBAL__D_|__tls_init|_ZTH)"
)


def is_initialiser(name: bytes) -> bool:
    """Whether a function only constructs or destroys variables of static storage."""
    return _INITIALISER.match(name) is not None
