"""What a compile command says, and the same command bent to our purposes.

A command is ``launcher… compiler option…``. It is read with the little of gcc's and clang's option grammar that
matters: which options take the next word (so that a value is never taken for an option or a source), which name files
that the compiler writes, and which later word beats an earlier one.

Rewriting keeps everything else as it is, in its order, since a unit must mean the same as in the user's build:
launcher, ``-Werror``, ``-pipe``, prefix maps, sanitizers. It removes what would write into the user's build tree or
beside our object (``-o``, depfiles, ``-save-temps``, serialized diagnostics, listings, split DWARF) and adds ours at
the end, where it wins.

Precompiled headers are never used by our compilations: gcc takes a stale one without a word (it does not look at the
headers in it), clang refuses it, and one made without our extra flags is invalid anyhow. A forced ``-include x.h``
that has an ``x.h.gch`` is replaced by a wrapper that includes ``x.h`` by name: nested inclusions never use a
precompiled header.

Knows nothing of files and of running anything."""

from __future__ import annotations

import itertools
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from relive.errors import BuildError

Language = Literal["c", "c++", "other"]
Word = tuple[str, str, tuple[str, ...]]
"""(option name or "" for a file, its value or the file, the words it was written with)"""


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Options whose value is the next word when nothing is glued to them. gcc's common.opt/c.opt and clang's Options.td.
_SEPARATE = _set("""
    -o -x -I -D -U -L -l -B -T -u -z -e -A -G -F -V -b -include -imacros -isystem -iquote -idirafter -iprefix
    -iwithprefix -iwithprefixbefore -isysroot -imultilib -MF -MT -MQ -MJ -Xpreprocessor -Xassembler -Xlinker -Xclang
    -Xanalyzer -Xopenmp-target -aux-info --param -arch -target --target -wrapper -dumpbase -dumpbase-ext -dumpdir -mllvm
    -framework -iframework --serialize-diagnostics -serialize-diagnostics -index-store-path -index-unit-output-path
    -include-pch -ivfsoverlay -cxx-isystem -stdlib++-isystem -c-isystem -working-directory --output --language
    --include --include-directory --define-macro --undefine-macro --imacros --sysroot -gcc-toolchain --config -specs
    -mthread-model -meabi -rpath -soname
""")
_GLUED = ("-o", "-x", "-MF", "-MT", "-MQ", "-MJ")  # of those, the ones asked for whose value may be glued on
_ALIASES = {
    "--output": "-o",
    "--language": "-x",
    "--include": "-include",
    "-serialize-diagnostics": "--serialize-diagnostics",
}

# Dropped when rewriting: dependency output (ours replaces it) and files that would land in the user's tree.
_DEPENDENCY = _set("-M -MM -MD -MMD -MP -MG -MV -MF -MT -MQ -MJ -write-dependencies")
_WRITES = _set("-o -aux-info --serialize-diagnostics -index-store-path -index-unit-output-path") | _set(
    "-dumpbase -dumpbase-ext -dumpdir"
)
_WRITES_PREFIX = ("-save-temps", "--save-temps", "-fmodule-output", "-foptimization-record-file=", "-ftime-trace=")
_NOT_A_COMPILATION = {
    "-E": "it only preprocesses",
    "--preprocess": "it only preprocesses",
    "-M": "it only lists dependencies",
    "-MM": "it only lists dependencies",
    "-S": "it only writes assembly",
    "--assemble": "it only writes assembly",
    "-fsyntax-only": "it only checks syntax",
    "--precompile": "it precompiles a module or header",
    "-emit-ast": "it only writes a syntax tree",
}

_C = frozenset({".c", ".i"})
_CXX = frozenset(
    {".cc", ".cp", ".cpp", ".cxx", ".c++", ".C", ".CPP", ".ii", ".ipp", ".tcc", ".cppm", ".ixx", ".ccm", ".cxxm"}
)
_OTHER = frozenset(
    {".s", ".S", ".sx", ".asm", ".m", ".mm", ".mi", ".mii", ".f", ".F", ".f90", ".F90", ".f95", ".f03", ".f08"}
)
_LINKER_INPUT = (".o", ".a", ".so", ".lo", ".la", ".obj")

_COMPILER = re.compile(r"(?:.*-)?(?:gcc|g\+\+|cc|c\+\+|clang|clang\+\+|icx|icpx|zapcc|gfortran|flang)(?:-[\d.]+)?")
_CXX_COMPILER = re.compile(r"(?:.*-)?(?:g\+\+|c\+\+|clang\+\+|icpx)(?:-[\d.]+)?")
_LAUNCHERS = _set(
    "ccache distcc sccache icecc icerun buildcache recc gomacc rewrapper cachecc1 cachepot firebuild fccache"
)
_FOREIGN = _set("nasm yasm nvcc rustc swiftc cl cl.exe clang-cl windres as ld ar moc ispc glslc javac go")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_OPTIMISE = re.compile(r"-O(?:\d|s|z|g|fast)?")


@dataclass(frozen=True, slots=True)
class Traits:
    """What one command says about the unit it makes."""

    compiler: int
    """Index of the compiler's word; the words before it are the launcher."""
    language: Language
    optimised: bool
    lto: bool
    debug: bool
    depfile: str | None
    """The command's own ``-MF`` as written, or None."""
    not_a_compilation: str = ""
    """Why no object comes out of this command that a program could be linked from; empty when one does."""


def compiler_index(arguments: Sequence[str]) -> int:
    """Position of the compiler behind its launchers. BuildError for libtool, whose script hides the compiler."""
    index = 0
    last = len(arguments) - 1
    while index < last:
        name = posixpath.basename(arguments[index])
        if "--mode=compile" in arguments[index + 1 : index + 6] or name in ("libtool", "glibtool"):
            raise BuildError(
                "libtool commands hide the compiler",
                "record the build with `bear -- make`, which sees the compiler that libtool runs",
            )
        if name == "env":
            index = _after_env(arguments, index + 1)
        elif name in ("nice", "ionice", "time", "taskset", "stdbuf"):
            index += 1
            while index < last and re.match(r"-|\d", arguments[index]):
                index += 1  # `nice -n 10`, `taskset 0x3`
        elif name == "cmake" and arguments[index + 1] == "-E":
            # `cmake -E env A=b c++ …`, `cmake -E time c++ …`, `cmake -E __run_co_compile --tidy=… -- c++ …`
            if "--" in arguments[index:]:
                index = arguments.index("--", index) + 1
            else:
                index = _after_env(arguments, index + 3)
        elif name in _LAUNCHERS:
            index += 1
            while index < last and (_ASSIGNMENT.match(arguments[index]) or arguments[index].startswith("-")):
                index += 1  # `ccache base_dir=/x gcc`
        elif not _COMPILER.fullmatch(name) and _COMPILER.fullmatch(posixpath.basename(arguments[index + 1])):
            index += 1  # a wrapper nobody told us of
        else:
            break
    return min(index, last)


def parse(arguments: Sequence[str]) -> Iterator[Word]:
    """Options and files of a command, the words before its options left out of account by the caller."""
    index = 0
    while index < len(arguments):
        word = arguments[index]
        index += 1
        if word[:1] != "-" or word == "-":
            yield "", word, (word,)
        elif word == "--":
            yield "--", "", (word,)
            for file in arguments[index:]:
                yield "", file, (file,)
            return
        elif word in _SEPARATE:
            value = arguments[index] if index < len(arguments) else ""
            yield _ALIASES.get(word, word), value, tuple(arguments[index - 1 : index + 1])
            index += 1
        elif word[:2] == "--" and "=" in word and word.split("=", 1)[0] in _SEPARATE:
            name, value = word.split("=", 1)
            yield _ALIASES.get(name, name), value, (word,)
        elif word.startswith(_GLUED):
            name = word[:3] if word[1] == "M" else word[:2]
            yield name, word[len(name) :], (word,)
        else:
            yield word, "", (word,)


def explicit_output(arguments: Sequence[str]) -> str | None:
    """The object that the last ``-o`` names, None without one. A command without ``-c`` links: its ``-o`` is a
    program."""
    output: str | None = None
    compiles = False
    for name, value, _ in parse(arguments[1:]):
        if name == "-o":
            output = value
        elif name in ("-c", "--compile"):
            compiles = True
    return output if output and (compiles or output.endswith((".o", ".obj"))) else None


def default_output(file: str) -> str:
    """What a compiler calls the object of ``file`` without ``-o``, in its working directory."""
    return posixpath.splitext(posixpath.basename(file))[0] + ".o"


def read_traits(arguments: Sequence[str], directory: str, file: str) -> Traits:
    """``file`` is absolute. BuildError where the compiler cannot be found in the command."""
    compiler = compiler_index(arguments)
    name = posixpath.basename(arguments[compiler])
    optimised = lto = debug = False
    depfile: str | None = None
    why = f"{name} is no C or C++ compiler that relive knows" if name in _FOREIGN else ""
    explicit = ""  # last -x before the source
    spoken = ""  # -x as it was at the source
    for option, value, words in parse(arguments[compiler + 1 :]):
        if option == "-x":
            explicit = "" if value == "none" else value
        elif option == "":
            if _same_file(value, directory, file):
                spoken = explicit
        elif option == "-MF":
            depfile = value
        elif option.startswith("-Wp,"):
            depfile = _preprocessor_depfile(option) or depfile
        elif _OPTIMISE.fullmatch(option):
            optimised = option != "-O0"
        elif option in ("-flto", "-emit-llvm") or option.startswith("-flto="):
            lto = True
        elif option == "-fno-lto":
            lto = False
        elif option.startswith("-g"):
            debug = _debug_level(option, debug)
        elif option in _NOT_A_COMPILATION and not why:
            why = _NOT_A_COMPILATION[words[0]]
    language, reason = _language(spoken or explicit, file, bool(_CXX_COMPILER.fullmatch(name)))
    return Traits(compiler, language, optimised, lto, debug, depfile, why or reason)


def rewrite(
    arguments: Sequence[str],
    directory: str,
    file: str,
    *,
    output: str,
    depfile: str,
    extra: Sequence[str] = (),
    forced: Mapping[str, str] | None = None,
) -> tuple[str, ...]:
    """The same compilation with its object at ``output`` and its dependencies at ``depfile`` (absolute paths).

    ``extra`` comes after everything of the user's; ``forced`` replaces values of ``-include``."""
    if file.endswith(".s"):
        # Pure assembly includes nothing and has the sections it says; clang complains of flags that mean nothing to it.
        return _rewrite(arguments, directory, file, ("-c", "-o", output), {})
    ours = ["-c", "-MD", "-MF", depfile, "-o", output]
    return _rewrite(arguments, directory, file, (*extra, *ours), forced or {})


def rewrite_for_dependencies(
    arguments: Sequence[str], directory: str, file: str, *, depfile: str, forced: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """A run of the preprocessor that only writes what ``file`` includes to ``depfile``."""
    return _rewrite(arguments, directory, file, ("-w", "-M", "-MF", depfile), forced or {})


def forced_includes(arguments: Sequence[str]) -> tuple[str, ...]:
    """Values of ``-include``, as written."""
    return tuple(value for name, value, _ in parse(arguments[1:]) if name == "-include")


def include_directories(arguments: Sequence[str], directory: str) -> tuple[str, ...]:
    """Absolute directories of ``-iquote``, ``-I``, ``-isystem`` and ``-idirafter``, in the order of the command."""
    found: dict[str, None] = {}
    names = ("-iquote", "-I", "-isystem", "-idirafter", "--include-directory")
    for name, value, words in parse(arguments[1:]):
        if name not in names:
            prefix = next((prefix for prefix in names if name.startswith(prefix)), None)
            if prefix is None:
                continue
            value = words[0][len(prefix) :].removeprefix("=")
        if value:
            found[posixpath.normpath(posixpath.join(directory, value))] = None
    return tuple(found)


def _rewrite(
    arguments: Sequence[str], directory: str, file: str, added: Sequence[str], forced: Mapping[str, str]
) -> tuple[str, ...]:
    compiler = compiler_index(arguments)
    kept: list[str] = []
    source = ""
    place: int | None = None
    namesakes: list[str] = []
    dashes = split_dwarf = invalid_pch = False
    for name, value, words in parse(_without_clang_pch(arguments[compiler + 1 :])):
        if name == "":
            if _same_file(value, directory, file):
                if not source:
                    source, place = value, len(kept)
            elif not _is_input(value):
                kept.append(value)
            elif posixpath.basename(value) == posixpath.basename(file):
                namesakes.append(value)
            # any other is a second source of the same command, or something for the linker
        elif name == "--":
            dashes = True
        elif name in _DEPENDENCY or name in _WRITES or name in ("-c", "--compile") or name.startswith(_WRITES_PREFIX):
            continue
        elif name == "-include" and value in forced:
            kept += ["-include", forced[value]]
        elif name.startswith(("-Wp,", "-Wa,")):
            kept += _without_files(name)
        else:
            split_dwarf = split_dwarf or name.startswith("-gsplit-dwarf")
            invalid_pch = invalid_pch or "invalid-pch" in name
            kept += words
    # The command may name the source otherwise than the database does (through a link, say): then the name decides.
    source = source or (namesakes[0] if namesakes else file)
    tail = [*(("-gno-split-dwarf",) if split_dwarf else ()), *(("-Wno-invalid-pch",) if invalid_pch else ()), *added]
    # clang-tidy and friends that CMake runs beside the compiler have nothing to do with the object
    launcher = () if "__run_co_compile" in arguments[:compiler] else arguments[:compiler]
    head = [*launcher, arguments[compiler]]
    if dashes:
        return (*head, *kept, *tail, "--", source)
    if place is None:
        place = len(kept)
    return (*head, *kept[:place], source, *kept[place:], *tail)


def _after_env(arguments: Sequence[str], index: int) -> int:
    """First word behind the options and assignments of `env`."""
    last = len(arguments) - 1
    while index < last:
        word = arguments[index]
        if word in ("-u", "--unset", "-C", "--chdir"):
            index += 2
        elif word == "--" or word.startswith("-") or _ASSIGNMENT.match(word):
            index += 1
        else:
            break
    return min(index, last)


def _language(explicit: str, file: str, cxx_compiler: bool) -> tuple[Language, str]:
    """(language, why this is no unit)"""
    if explicit:
        if "header" in explicit:
            return "other", "it precompiles a header"
        if explicit in ("c", "cpp-output", "c-cpp-output"):
            return "c", ""
        return ("c++" if explicit.startswith("c++") else "other"), ""
    suffix = posixpath.splitext(file)[1]
    if suffix in _C:
        return ("c++" if cxx_compiler else "c"), ""  # g++ takes .c as C++
    if suffix in _CXX:
        return "c++", ""
    if suffix in _OTHER:
        return "other", ""
    if suffix in (".h", ".hh", ".hpp", ".hxx", ".H", ".h++"):
        return "other", "it precompiles a header"
    return "other", f"no compiler takes a {suffix or 'nameless'} file for source without -x"


def _debug_level(option: str, before: bool) -> bool:
    """Whether there is debug information after ``option``; options that only shape it change nothing."""
    level = option.removeprefix("-g")
    if level in ("0", "gdb0", "stabs0", "vms0"):
        return False
    if re.fullmatch(r"[123]?|gdb[123]?|dwarf(-\d)?|line-tables-only|mlt|full|modules", level):
        return True
    return before


def _same_file(word: str, directory: str, file: str) -> bool:
    return posixpath.normpath(posixpath.join(directory, word)) == file


def _is_input(word: str) -> bool:
    suffix = posixpath.splitext(word)[1]
    return suffix in _C or suffix in _CXX or suffix in _OTHER or suffix in _LINKER_INPUT or ".so." in word


def _preprocessor_depfile(option: str) -> str | None:
    """``-Wp,-MD,path`` (the kernel's and old autotools' way), ``-Wp,-MMD,path``, ``-Wp,-MF,path``."""
    parts = option.split(",")
    for here, following in itertools.pairwise(parts):
        if here in ("-MD", "-MMD", "-MF"):
            return following
    return None


def _without_files(option: str) -> list[str]:
    """``-Wp,…`` without dependency output, ``-Wa,…`` without listings; nothing when nothing is left."""
    head, *parts = option.split(",")
    kept: list[str] = []
    skip = False
    for part in parts:
        if skip:
            skip = False
        elif head == "-Wp" and part in _DEPENDENCY:
            skip = part in ("-MD", "-MMD", "-MF", "-MT", "-MQ")
        elif head == "-Wa" and re.match(r"-a[a-z]*=|--MD", part):
            continue
        else:
            kept.append(part)
    return [",".join([head, *kept])] if kept else []


def _without_clang_pch(words: Sequence[str]) -> Sequence[str]:
    """CMake's way for clang: ``-Xclang -include-pch -Xclang x.pch -Xclang -include -Xclang x.h``; the second half
    alone is the plain header. Without it the precompiled header is all there is, and stays."""
    for index in range(len(words) - 7):
        here = words[index : index + 8]
        if here[1] == "-include-pch" and here[5] == "-include" and {*here[::2]} == {"-Xclang"}:
            return [*words[:index], *words[index + 4 :]]
    return words
