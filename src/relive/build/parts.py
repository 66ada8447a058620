"""A unit's command bent to compile only a part of it: preprocess, precompile a skeleton, compile an extract.

The texts that are compiled here come out of the preprocessor already, so forced includes are left out (what they
bring is in the text), and warnings are silenced: those about declared but undefined functions are true of every
extract, and what the user reads are the diagnostics of the whole unit. Everything that changes code stays.

Knows nothing of what is in a skeleton (`relive.source`) or where files are kept (`relive.host.skeletons`)."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence

from relive.build.command import Language, compiler_index, parse, rewrite

_FORCED = frozenset({"-include", "--include", "-imacros", "--imacros", "-include-pch"})
_STRICT = ("-Werror", "-pedantic-errors", "-Wfatal-errors")


def preprocess_command(
    arguments: Sequence[str], directory: str, file: str, *, output: str, depfile: str, forced: Mapping[str, str]
) -> tuple[str, ...]:
    """The unit after its preprocessor, with all macros kept in place (``-dD``) and line markers."""
    command = rewrite(
        arguments, directory, file, output=output, depfile=depfile, extra=("-w", "-E", "-dD"), forced=forced
    )
    return tuple(word for word in command if word != "-c")


def skeleton_command(
    arguments: Sequence[str], directory: str, file: str, language: Language, *, text: str, output: str
) -> tuple[str, ...]:
    """Precompiles the header ``text`` into ``output``."""
    return _part(arguments, directory, file, text, f"{language}-header", ("-w", "-o", output))


def extract_command(
    arguments: Sequence[str],
    directory: str,
    file: str,
    language: Language,
    *,
    text: str,
    output: str,
    skeleton: str | None,
    extra: Sequence[str],
) -> tuple[str, ...]:
    """Compiles ``text`` behind the precompiled ``skeleton`` (path of the header without ``.gch``/``.pch``; None: on
    its own) into the object ``output``. Warnings are silenced, unless the unit makes errors of them: then the caller
    looks at those about the text."""
    ours = [*("-Wno-error" if turns_warnings_into_errors(arguments) else "-w",), *extra, "-c", "-o", output]
    if skeleton is not None:
        ours += ["-include-pch", skeleton + ".pch"] if is_clang(arguments) else ["-include", skeleton]
    return _part(arguments, directory, file, text, language, ours)


def is_clang(arguments: Sequence[str]) -> bool:
    """Whether the compiler of a command is a clang by name."""
    return "clang" in posixpath.basename(arguments[compiler_index(arguments)])


def turns_warnings_into_errors(arguments: Sequence[str]) -> bool:
    """Whether a build with this command fails for a warning."""
    return any(word.startswith(_STRICT) for word in arguments)


def is_pic(arguments: Sequence[str]) -> bool:
    """Whether a command compiles for a shared library: what it defines may then be somebody else's in the end."""
    pic = False
    for word in arguments:
        if word in ("-fPIC", "-fpic"):
            pic = True
        elif word in ("-fno-pic", "-fno-PIC", "-fPIE", "-fpie", "-fno-pie", "-fno-PIE"):
            pic = False
    return pic


def skeleton_suffix(arguments: Sequence[str]) -> str:
    """What the compiler of a command appends to the name of a precompiled header."""
    return ".pch" if is_clang(arguments) else ".gch"


def _part(
    arguments: Sequence[str], directory: str, file: str, text: str, language: str, ours: Sequence[str]
) -> tuple[str, ...]:
    command = rewrite(arguments, directory, file, output="", depfile="")
    compiler = compiler_index(command)
    kept: list[str] = []
    clang_value = False
    for name, value, words in parse(command[compiler + 1 :]):
        if name == "":
            continue  # the source itself is the only file that `rewrite` leaves
        if name == "-Xclang" and (clang_value or value in _FORCED):
            clang_value = not clang_value  # `-Xclang -include -Xclang x.h`
            continue
        if name in _FORCED or name in ("-x", "-c", "-o", "-MD", "-MF", "--") or name.startswith(_STRICT):
            continue
        kept += words
    # What is included from within a body is looked for beside the unit's own file.
    kept += ["-iquote", posixpath.dirname(file)]
    return (*command[: compiler + 1], *kept, *ours, "-x", language, text)
