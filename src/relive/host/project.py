"""The project on disk: which database, which units, which files each unit was made from.

`Project.open` finds compile_commands.json as clangd does and learns the inputs of each unit from what the build left
behind: ninja's deps log, or a depfile beside the object. Each directory is listed once, instead of asking for each
possible name. What the build did not leave is reported by `missing_dependencies`, for somebody with time to spare;
the depfiles of our own compilations (`update_dependencies`) replace what the build said, so a header that is included
for the first time counts from then on, and one that a failed compilation could not find is waited for
(`note_failure`).

System headers are not inputs: they are most of every depfile and do not change while a program runs.

A Project belongs to one thread."""

from __future__ import annotations

import os
import posixpath
import re
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from relive.build.command import include_directories
from relive.build.database import CompileCommand, Note, database_candidates, not_found, read_database
from relive.build.depfile import depfile_candidates, parse_depfile
from relive.build.ninja_deps import NinjaDeps, parse_ninja_deps
from relive.build.units import Unit, make_units, without_object
from relive.errors import BuildError
from relive.host.precompiled import precompiled_headers

_SYSTEM = ("/usr/", "/nix/store/", "/gnu/store/")
_NOT_SYSTEM = ("/usr/src/", "/usr/home/")
_TOOLCHAIN = re.compile(r"/lib(?:64|exec)?/(?:gcc|gcc-cross|clang)/")
_OBJECT_SUFFIXES = (".o", ".obj", ".lo", ".os")
_ET_REL = b"\x01\x00"
_INCLUDE_LINE = re.compile(r"#\s*(?:include|include_next|import)\s*[<\"]([^>\"\n]+)[>\"]")
_FATAL_LINE = re.compile(r"(?m)^([^\s:][^:\n]*):\d+:(?:\d+:)? [^:\n]*: '?([^\s':]+)'?(?:: | file not found)")


@dataclass(frozen=True, slots=True)
class DatabaseChange:
    """What a new compile_commands.json says that the old one did not; ``changed`` holds the new forms."""

    added: tuple[Unit, ...] = ()
    removed: tuple[Unit, ...] = ()
    changed: tuple[Unit, ...] = ()
    notes: tuple[Note, ...] = ()


class _Spelling(dict[str, str]):
    """Names in depfiles of one directory → absolute paths, "" for system headers. Half a million names are a few
    thousand different ones, so this is asked in one sweep at the speed of C."""

    def __init__(self, directory: str, is_system: Callable[[str], bool]) -> None:
        self._directory = directory
        self._is_system = is_system

    def __missing__(self, name: str) -> str:
        path = posixpath.normpath(posixpath.join(self._directory, name))
        self[name] = path = "" if self._is_system(path) else path
        return path


class Project:
    """Units of a program's build and the files they are made from."""

    def __init__(
        self,
        database: str,
        units: Mapping[str, Unit],
        dependencies: Mapping[str, Iterable[str]] | None = None,
        *,
        notes: tuple[Note, ...] = (),
        response_files: tuple[str, ...] = (),
    ) -> None:
        """``dependencies``: inputs of units by key, as written in depfiles; units without an entry count as unknown."""
        self.database = database
        self.notes = notes
        self.units: dict[str, Unit] = {}
        self._response_files = frozenset(response_files)
        self._dependencies: dict[str, frozenset[str]] = {}
        self._awaited: dict[str, frozenset[str]] = {}
        self._users: defaultdict[str, set[str]] = defaultdict(set)
        self._real: dict[str, list[str]] | None = None
        self._inputs: frozenset[str] | None = None
        self._roots: tuple[str, ...] = ()
        self._spelling: dict[str, _Spelling] = {}
        self._add(units, dependencies or {})

    @classmethod
    def open(cls, program: str, *, build_dir: str | None, start_dir: str) -> Project:
        """``program`` as given on the command line (looked up in PATH when it has no slash), ``build_dir`` the user's
        ``--build-dir``. BuildError when there is no usable database."""
        database = find_database(program, build_dir=build_dir, start_dir=start_dir)
        units, notes, response_files = _read_units(database)
        if not units:
            hint = next((note.hint for note in notes if note.hint), "build the project and write the database anew")
            why = f" ({notes[0].message})" if notes else ""
            raise BuildError(f"{database} has no entry that can be compiled{why}", hint)
        dependencies, more = _left_dependencies(database, units.values())
        return cls(database, units, dependencies, notes=notes + more, response_files=response_files)

    def units_of(self, path: str) -> tuple[Unit, ...]:
        """Units that have ``path`` among their inputs: as their source, as a header, or as a header they wait for."""
        path = posixpath.normpath(posixpath.join("/", path))
        keys = self._users.get(path)
        if keys is None:
            if self._real is None:
                self._real = {}
                for known in self._users:
                    self._real.setdefault(os.path.realpath(known), []).append(known)
            keys = {key for known in self._real.get(os.path.realpath(path), ()) for key in self._users[known]}
        return tuple(unit for key, unit in self.units.items() if key in keys) if keys else ()

    def inputs(self) -> frozenset[str]:
        """All files worth watching: sources, headers, the database, its response files. System headers are left out."""
        if self._inputs is None:
            self._inputs = frozenset((*self._users, self.database, *self._response_files))
        return self._inputs

    def inputs_of(self, unit_key: str) -> frozenset[str]:
        """Known inputs of one unit, its source included."""
        return self._dependencies.get(unit_key, frozenset()) | {self.units[unit_key].source}

    def describes_build(self, path: str) -> bool:
        """Whether a change of ``path`` calls for `refresh_database`."""
        return path == self.database or path in self._response_files

    def missing_dependencies(self) -> tuple[Unit, ...]:
        """Units whose build left no depfile: a header edit does not reach them until `update_dependencies` is
        called."""
        return tuple(unit for key, unit in self.units.items() if key not in self._dependencies)

    def update_dependencies(self, unit_key: str, depfile_text: str) -> frozenset[str]:
        """Takes the depfile of a compilation for the truth; returns inputs that nobody knew before, to be watched
        from now on. An empty text (assembly without preprocessing, nothing found out) says that the source is all we
        know."""
        unit = self.units.get(unit_key)
        if unit is None:
            return frozenset()
        awaited = self._awaited.pop(unit_key, frozenset())
        old = self._dependencies.get(unit_key, frozenset())
        names = parse_depfile(depfile_text)
        if names:
            self._dependencies[unit_key] = self._project_files(unit.command.directory, names)
        else:
            self._dependencies[unit_key] = old | {unit.source}
        fresh = self._add_users(unit_key, self._dependencies[unit_key])
        self._drop_users(unit_key, old, awaited)
        return fresh

    def note_failure(self, unit_key: str, diagnostics: str) -> frozenset[str]:
        """Finds headers that a failed compilation looked for in vain; returns the paths where they would be found, to
        be watched, so that creating one recompiles the unit."""
        unit = self.units.get(unit_key)
        if unit is None:
            return frozenset()
        command = unit.command
        directories = {posixpath.dirname(unit.source): None}
        names: dict[str, None] = {}
        for file, name in _FATAL_LINE.findall(diagnostics):
            names[name] = None
            directories[posixpath.dirname(posixpath.join(command.directory, file))] = None
        shown = set(_INCLUDE_LINE.findall(diagnostics))
        wanted = [name for name in names if name in shown] or [name for name in names if "." in name]
        directories.update(dict.fromkeys(include_directories(command.arguments, command.directory)))
        places = {posixpath.normpath(posixpath.join(directory, name)) for name in wanted for directory in directories}
        awaited = frozenset(place for place in places if not self._is_system(place) and not os.path.exists(place))
        self._drop_users(unit_key, self._awaited.pop(unit_key, frozenset()) - awaited)
        if awaited:
            self._awaited[unit_key] = awaited
        return self._add_users(unit_key, awaited)

    def refresh_database(self) -> DatabaseChange:
        """Reads the database again. BuildError when it is gone or broken: everything stays as it was."""
        fresh, notes, response_files = _read_units(self.database)
        added = {key: unit for key, unit in fresh.items() if key not in self.units}
        removed = tuple(unit for key, unit in self.units.items() if key not in fresh)
        changed = tuple(unit for key, unit in fresh.items() if key in self.units and self.units[key] != unit)
        dependencies, _ = _left_dependencies(self.database, added.values())
        for unit in removed:
            self._drop_users(unit.key, self._dependencies.pop(unit.key, frozenset()), self._awaited.pop(unit.key, ()))
            self._drop_users(unit.key, (unit.source,), force=True)
            del self.units[unit.key]
        for unit in changed:
            self.units[unit.key] = unit
        self._response_files = frozenset(response_files)
        self._add(added, dependencies)
        self.notes = notes
        return DatabaseChange(tuple(added.values()), removed, changed, notes)

    def stale(self) -> tuple[Unit, ...]:
        """Units whose object is older than one of its inputs: edited and not built. Units without an object are
        none."""
        times: dict[str, int] = {}

        def mtime(path: str) -> int:
            if path not in times:
                try:
                    times[path] = os.stat(path).st_mtime_ns
                except OSError:
                    times[path] = -1
            return times[path]

        found: list[Unit] = []
        for key, unit in self.units.items():
            built = mtime(unit.object) if unit.object else -1
            if built >= 0 and any(mtime(path) > built for path in self.inputs_of(key)):
                found.append(unit)
        return tuple(found)

    def _add(self, units: Mapping[str, Unit], dependencies: Mapping[str, Iterable[str]]) -> None:
        self.units.update(units)
        roots = {posixpath.dirname(self.database)}
        for unit in self.units.values():
            roots.add(unit.command.directory)
            roots.add(posixpath.dirname(unit.source))
        # Only a project that itself lies under /usr has any use for these.
        self._roots = tuple(root + "/" for root in roots if root.startswith(_SYSTEM) and root.count("/") > 2)
        for key, unit in units.items():
            self._add_users(key, (unit.source,))
            if unit.source.endswith(".s"):  # never preprocessed
                self._dependencies[key] = frozenset((unit.source,))
            elif key in dependencies:
                files = self._project_files(unit.command.directory, dependencies[key])
                self._dependencies[key] = files
                self._add_users(key, files)
        self._inputs = None

    def _project_files(self, directory: str, names: Iterable[str]) -> frozenset[str]:
        """Absolute paths of the inputs that are the project's own. The same few thousand names come again and again."""
        spelling = self._spelling.get(directory)
        if spelling is None:
            spelling = self._spelling[directory] = _Spelling(directory, self._is_system)
        return frozenset(map(spelling.__getitem__, names)) - {""}

    def _is_system(self, path: str) -> bool:
        if path.startswith(_SYSTEM):
            return not path.startswith(_NOT_SYSTEM) and not path.startswith(self._roots)
        return _TOOLCHAIN.search(path) is not None

    def _add_users(self, key: str, paths: Iterable[str]) -> frozenset[str]:
        new = [path for path in paths if path not in self._users]
        for path in paths:
            self._users[path].add(key)
        if new:
            self._inputs = self._real = None
        return frozenset(new)

    def _drop_users(self, key: str, *groups: Iterable[str], force: bool = False) -> None:
        source = self.units[key].source
        kept = self._dependencies.get(key, frozenset())
        for path in (path for group in groups for path in group):
            if not force and (path == source or path in kept):
                continue
            self._users[path].discard(key)
            if not self._users[path]:
                del self._users[path]
                self._inputs = self._real = None


def find_database(program: str, *, build_dir: str | None, start_dir: str) -> str:
    """Path of compile_commands.json: in ``build_dir`` if given, otherwise in clangd's order around the program, then
    around ``start_dir``. BuildError when there is none."""
    start = os.path.abspath(start_dir)
    if build_dir is not None:
        path = posixpath.normpath(posixpath.join(start, build_dir))
        if posixpath.basename(path) != "compile_commands.json":
            path = posixpath.join(path, "compile_commands.json")
        if not os.path.isfile(path):
            raise BuildError(f"there is no {path}", "give --build-dir the folder that holds compile_commands.json")
        return path
    if program and "/" not in program:
        program = shutil.which(program) or program
    place = posixpath.dirname(posixpath.normpath(posixpath.join(start, program)))
    places = dict.fromkeys((place, os.path.realpath(place), start, os.path.realpath(start)))
    for candidate in (candidate for place in places for candidate in database_candidates(place)):
        if os.path.isfile(candidate):
            return candidate
    raise not_found((place, start))


def _read_units(database: str) -> tuple[dict[str, Unit], tuple[Note, ...], tuple[str, ...]]:
    try:
        with open(database, "rb") as file:
            text = file.read().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise BuildError(f"cannot read {database}: {error.strerror}", "let the build system write it anew") from None
    content = read_database(text, database, _read_text)
    present: list[CompileCommand] = []
    gone: list[str] = []
    for command in content.commands:
        if os.path.exists(command.file):
            present.append(command)
        else:
            gone.append(command.file)
    units, notes = make_units(present)
    for key, unit in units.items():
        if unit.object and not unit.object.endswith(_OBJECT_SUFFIXES) and not _is_relocatable(unit.object):
            units[key] = without_object(unit)
    if gone:
        files = "1 source" if len(gone) == 1 else f"{len(gone)} sources"
        notes += (Note(f"{database} names {files} that are gone, first {gone[0]}", "write the database anew"),)
    return units, content.notes + notes, content.response_files


def _left_dependencies(database: str, units: Iterable[Unit]) -> tuple[dict[str, tuple[str, ...]], tuple[Note, ...]]:
    """Inputs by unit key from ninja's logs and from depfiles, as written there."""
    units = list(units)
    logs, notes = _ninja_logs(database, units)
    found: dict[str, tuple[str, ...]] = {}
    listings: dict[str, frozenset[str]] = {}
    for unit in units:
        if precompiled_headers(unit.command):
            continue  # what is in the precompiled header does not show in gcc's depfile
        for base, log in logs:
            output = unit.object.removeprefix(base + "/")
            names = log.of(output) or log.of(unit.object)
            if names:
                # ninja runs every command in its own directory, which is where these names belong
                found[unit.key] = names if base == unit.command.directory else _absolute(base, names)
                break
        else:
            names = _depfile_names(unit, listings)
            if names:
                found[unit.key] = names
    return found, notes


def _ninja_logs(database: str, units: list[Unit]) -> tuple[list[tuple[str, NinjaDeps]], tuple[Note, ...]]:
    logs: list[tuple[str, NinjaDeps]] = []
    notes: list[Note] = []
    directories = [posixpath.dirname(database), posixpath.dirname(os.path.realpath(database))]
    directories += [unit.command.directory for unit in units]
    for directory in dict.fromkeys(directories):
        path = posixpath.join(directory, ".ninja_deps")
        try:
            with open(path, "rb") as file:
                logs.append((directory, parse_ninja_deps(file.read())))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            notes.append(Note(f"cannot read {path}: {error.strerror}"))
        except BuildError as error:
            notes.append(Note(f"{path}: {error}", error.hint))
    return logs, tuple(notes)


def _depfile_names(unit: Unit, listings: dict[str, frozenset[str]]) -> tuple[str, ...]:
    """Prerequisites in the first depfile that is about this unit's source, () without one."""
    named = posixpath.join(unit.command.directory, unit.depfile) if unit.depfile else None
    source = posixpath.basename(unit.source)
    for candidate in depfile_candidates(unit.object, named):
        directory, name = posixpath.split(posixpath.normpath(candidate))
        if directory not in listings:
            try:
                listings[directory] = frozenset(os.listdir(directory))
            except OSError:
                listings[directory] = frozenset()
        if name not in listings[directory]:
            continue
        names = parse_depfile(_read_text(candidate) or "")
        if any(posixpath.basename(path) == source for path in names):
            return names
    return ()


def _absolute(base: str, names: Iterable[str]) -> tuple[str, ...]:
    return tuple(posixpath.join(base, name) for name in names)


def _is_relocatable(path: str) -> bool:
    """Whether there is an ELF object file at ``path`` (or nothing yet)."""
    try:
        with open(path, "rb") as file:
            head = file.read(18)
    except OSError:
        return not os.path.isdir(path)
    return head[:4] == b"\x7fELF" and head[16:18] == _ET_REL


def _read_text(path: str) -> str | None:
    try:
        with open(path, "rb") as file:
            return file.read().decode("utf-8", "surrogateescape")
    except OSError:
        return None
