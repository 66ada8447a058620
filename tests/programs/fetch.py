"""Real programs from Debian's source packages, built once and kept in ``$XDG_CACHE_HOME/relive-tests/<program>/``.

``tree/`` is the built source tree, always at the same place: compile_commands.json, depfiles, debug info and the
``__FILE__`` strings in the objects hold absolute paths, so a copy elsewhere would not be what the program was built
from. Whoever uses a tree holds its lock (`checkout`); whatever was edited is put back afterwards with its old time
stamp, also when an earlier user was killed: originals wait in ``originals/`` until they are back.

apt runs with its own source list and state below the cache: no root, and the machine's configuration stays as it is.
The suite is fixed, so that every machine gets the same versions."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.programs.recipes import RECIPES, Recipe, Step

_SUITE = "bookworm"
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


class FetchError(Exception):
    """A program could not be fetched or built; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Tree:
    """A built program, ours alone while `checkout` is open. All paths absolute."""

    recipe: Recipe
    root: Path
    originals: Path

    @property
    def executable(self) -> Path:
        return self.root / self.recipe.executable

    @property
    def build_dir(self) -> Path:
        return self.root / self.recipe.build_dir

    def edit(self, diff: str) -> list[str]:
        """Saves edits, each file by one write, as an editor does; the paths.

        ``diff`` is a plain one: ``--- PATH`` starts a file, ``@@`` a further place in it; then lines that stay, go
        and come (" ", "-", "+"). Those that stay and go must occur exactly once, as whole lines."""
        paths = []
        for part in re.split(r"^--- ", diff.lstrip("\n"), flags=re.M)[1:]:
            path, _, rest = part.partition("\n")
            text = "\n" + (self.root / path).read_text(encoding="utf-8", errors="surrogateescape")
            for place in re.split(r"^@@\n", rest, flags=re.M):
                lines = place.splitlines()
                old = "".join("\n" + line[1:] for line in lines if line[:1] != "+") + "\n"
                new = "".join("\n" + line[1:] for line in lines if line[:1] != "-") + "\n"
                if text.count(old) != 1:
                    raise FetchError(f"{path} of {self.recipe.name} has {text.count(old)} times (not once):{old}")
                text = text.replace(old, new)
            self.write(path, text[1:])
            paths.append(path)
        return paths

    def write(self, path: str, text: str) -> None:
        """Save a whole file; the first time, its original (or that there was none) is remembered."""
        self._remember(path)
        (self.root / path).write_text(text, encoding="utf-8", errors="surrogateescape")

    def restore(self, path: str) -> None:
        """The file as it was shipped, time stamp included."""
        kept = self.originals / path
        if kept.with_name(kept.name + ".absent").exists():
            (self.root / path).unlink(missing_ok=True)
            kept.with_name(kept.name + ".absent").unlink()
        elif kept.exists():
            shutil.copy2(kept, self.root / path)
            kept.unlink()

    def restore_all(self) -> list[str]:
        """Puts back every edited file; returns their paths."""
        kept = [file for file in self.originals.rglob("*") if file.is_file() and file.suffix != ".partial"]
        paths = [str(file.relative_to(self.originals)).removesuffix(".absent") for file in kept]
        for path in paths:
            self.restore(path)
        return paths

    def rebuild(self) -> None:
        """The program's own incremental build."""
        _run(self.recipe.rebuild, self.root)

    def _remember(self, path: str) -> None:
        kept = self.originals / path
        if kept.exists() or kept.with_name(kept.name + ".absent").exists():
            return
        kept.parent.mkdir(parents=True, exist_ok=True)
        if (self.root / path).exists():
            # Whole or not at all: a truncated original would be put back by whoever comes next.
            partial = kept.with_name(kept.name + ".partial")
            shutil.copy2(self.root / path, partial)
            partial.rename(kept)
        else:
            kept.with_name(kept.name + ".absent").touch()


def cache_root() -> Path:
    """Where the programs are kept between test runs."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "relive-tests"


@contextmanager
def checkout(name: str) -> Iterator[Tree]:
    """The built program, for this process alone; unedited at the start and at the end. Builds it when needed."""
    recipe = RECIPES[name]
    home = cache_root() / name
    home.mkdir(parents=True, exist_ok=True)
    with open(home / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        tree = Tree(recipe, home / "tree", home / "originals")
        if not _finished(home, recipe):
            _make(recipe, home)
        elif paths := tree.restore_all():
            # Someone was killed half-way and may have built what they edited.
            for path in paths:
                (tree.root / path).touch()
            tree.rebuild()
        try:
            yield tree
        finally:
            tree.restore_all()


def _stamp(recipe: Recipe) -> str:
    """What a finished build depends on: the recipe and the compiler."""
    compiler = subprocess.run(["cc", "--version"], capture_output=True, text=True).stdout.split("\n")[0]
    return hashlib.sha256(f"{recipe!r}\n{compiler}".encode()).hexdigest()


def _finished(home: Path, recipe: Recipe) -> bool:
    stamp = home / "stamp"
    return stamp.exists() and stamp.read_text() == _stamp(recipe)


def _make(recipe: Recipe, home: Path) -> None:
    for part in ("tree", "originals"):
        shutil.rmtree(home / part, ignore_errors=True)
    (home / "stamp").unlink(missing_ok=True)
    archive = _download(recipe.source_package, home)
    root = home / "tree"
    root.mkdir()
    subprocess.run(["tar", "-xf", str(archive), "-C", str(root), "--strip-components=1"], check=True)
    for step in recipe.steps:
        _run(step, root)
    for where, target in recipe.links:
        (root / where).parent.mkdir(parents=True, exist_ok=True)
        if not (root / where).exists():
            (root / where).symlink_to(root / target)
    database = root / recipe.build_dir / "compile_commands.json"
    # bear leaves an empty list behind when it was interrupted or could not preload.
    if not database.exists() or not json.loads(database.read_text()):
        raise FetchError(f"{recipe.name} was built, but {database} is missing or empty")
    (home / "stamp").write_text(_stamp(recipe))


def _run(step: Step, root: Path) -> None:
    cwd = root / step.cwd
    cwd.mkdir(parents=True, exist_ok=True)
    # Our own make's flags and jobserver, and pytest's or relive's environment, are not the program's.
    env = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS", "LD_PRELOAD"))}
    done = subprocess.run(
        step.argv, cwd=cwd, env=env | dict(step.env), stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-30:])
        raise FetchError(
            f"{' '.join(step.argv)} in {cwd} ended with {done.returncode}; is a package missing that "
            f"tools/debian-packages.txt lists?\n{tail}"
        )


def _download(package: str, home: Path) -> Path:
    """The upstream tarball of a Debian source package (`--tar-only`: the packaging is not needed)."""
    kept = sorted(home.glob("*.orig.tar.*"))
    if kept:
        return kept[0]
    apt = cache_root() / "apt"
    apt.mkdir(parents=True, exist_ok=True)
    with open(apt / "lock", "w") as lock, tempfile.TemporaryDirectory(dir=home) as scratch:
        fcntl.flock(lock, fcntl.LOCK_EX)
        options = _private_apt(apt)
        for command in (
            ["apt-get", *options, "-q", "update"],
            ["apt-get", *options, "-q", "source", "--download-only", "--tar-only", package],
        ):
            done = subprocess.run(command, cwd=scratch, capture_output=True, text=True)
            if done.returncode != 0:
                raise FetchError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()}")
        archives = list(Path(scratch).glob("*.orig.tar.*"))
        if len(archives) != 1:
            raise FetchError(f"apt-get source {package} brought {[a.name for a in archives]}, expected one tarball")
        return archives[0].rename(home / archives[0].name)


def _private_apt(folder: Path) -> list[str]:
    """Options that make apt use a source list and state of its own (the machine's apt.conf stays)."""
    for part in ("lists/partial", "cache/archives/partial", "parts"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "sources.list").write_text(f"deb-src [signed-by={_KEYRING}] {_mirror()} {_SUITE} main\n")
    return [
        *("-o", f"Dir::Etc::sourcelist={folder}/sources.list", "-o", f"Dir::Etc::sourceparts={folder}/parts"),
        *("-o", f"Dir::State::lists={folder}/lists", "-o", f"Dir::Cache={folder}/cache", "-o", "APT::Sandbox::User="),
    ]


def _mirror() -> str:
    """The Debian mirror that this machine uses, or the general one."""
    etc = Path("/etc/apt")
    for file in (etc / "sources.list", *sorted(etc.glob("sources.list.d/*"))):
        if file.is_file():
            found = re.search(r"^(?:URIs:|deb\s+(?:\[.*?\])?)\s*(https?://\S*/debian)/?\s", file.read_text(), re.M)
            if found:
                return found[1]
    return "http://deb.debian.org/debian"
