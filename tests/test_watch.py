"""The watcher against real file systems: every way in which files are saved, moved, linked and deleted."""

import errno
import hashlib
import os
import queue
import shutil
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inotify_simple import INotify

from relive.host import watch
from relive.host.watch import FilesChanged, Watcher
from relive.host.watch_places import Notifier, is_remote, parse_mountinfo

TIMEOUT = 60
WAYS = pytest.mark.parametrize("polling", [False, True], ids=["inotify", "polling"])


class Watching:
    """A watcher and what it has told."""

    def __init__(self, files: Iterable[Path], *, polling: bool | None = False) -> None:
        self.events: queue.Queue[FilesChanged] = queue.Queue()
        self.watcher = Watcher(self.events, map(str, files), polling=polling)
        assert self.watcher.ready.wait(TIMEOUT)

    def __enter__(self) -> "Watching":
        return self

    def __exit__(self, *_: object) -> None:
        self.watcher.close()

    def next(self) -> FilesChanged:
        return self.events.get(timeout=TIMEOUT)

    def quiet(self) -> bool:
        """Nothing was told, and nothing is about to be."""
        assert self.watcher.flush(TIMEOUT)
        return self.events.empty()

    def rest(self) -> list[FilesChanged]:
        assert self.watcher.flush(TIMEOUT)
        told = []
        while not self.events.empty():
            told.append(self.events.get())
        return told


def digest(path: Path) -> bytes:
    try:
        return hashlib.blake2b(path.read_bytes(), digest_size=16).digest()
    except OSError:
        return b""


def settled(path: Path) -> Path:
    """A file that was last changed before the watcher starts, by the clock of files too (it ticks in milliseconds)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("first\n")
    stamp = max(os.stat(path).st_ctime_ns, os.stat(path).st_mtime_ns)
    while time.clock_gettime_ns(5) <= stamp:
        time.sleep(0.001)
    return path


def rewrite(path: Path, text: str) -> None:
    path.write_text(text)


def rename_over(path: Path, text: str) -> None:
    (path.parent / "tmp~").write_text(text)
    (path.parent / "tmp~").rename(path)


def remove_and_create(path: Path, text: str) -> None:
    path.unlink()
    path.write_text(text)


def backup_and_create(path: Path, text: str) -> None:  # vim with 'backupcopy=no'
    path.rename(path.with_suffix(".bak"))
    path.write_text(text)


def link_over(path: Path, text: str) -> None:
    (path.parent / "tmp~").write_text(text)
    path.unlink()
    os.link(path.parent / "tmp~", path)
    (path.parent / "tmp~").unlink()


Save = Callable[[Path, str], None]
SAVES = [rewrite, rename_over, remove_and_create, backup_and_create, link_over]


@WAYS
@pytest.mark.parametrize("save", SAVES)
def test_each_way_of_saving_is_told_once(
    tmp_path: Path, save: Save, polling: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if save is not link_over:  # a link made without a write has no second event to wait for
        monkeypatch.setattr(watch, "GRACE", 3600.0)
    path = settled(tmp_path / "a.c")
    if polling and save in (remove_and_create, backup_and_create, link_over):
        monkeypatch.setattr(watch, "GRACE", 1.0)  # polling may see the gap, and has to look again after it
    with Watching([path], polling=polling) as watching:
        before = time.monotonic()
        save(path, "second\n")
        told = watching.next()
        assert told.files == {str(path)}
        assert told.deleted == frozenset()
        assert before <= told.detected_at_monotonic <= time.monotonic()
        assert watching.watcher.snapshot(str(path)) == digest(path)
        assert watching.quiet()


@WAYS
def test_touching_tells_nothing(tmp_path: Path, polling: bool) -> None:
    path = settled(tmp_path / "a.c")
    with Watching([path], polling=polling) as watching:
        os.utime(path)
        path.write_text("first\n")
        rename_over(path, "first\n")
        (tmp_path / "other.c").write_text("unknown")
        assert watching.quiet()


def test_there_and_back_ends_with_what_was(tmp_path: Path) -> None:
    path = settled(tmp_path / "a.c")
    with Watching([path]) as watching:
        for _ in range(20):
            path.write_text("second\n")
            path.write_text("first\n")
        watching.rest()
        assert watching.watcher.snapshot(str(path)) == digest(path)


@WAYS
def test_of_many_saves_the_last_one_wins(tmp_path: Path, polling: bool) -> None:
    path = settled(tmp_path / "a.c")
    with Watching([path], polling=polling) as watching:
        for number in range(200):
            SAVES[number % 3](path, f"{number}\n")
        assert watching.rest()
        assert watching.watcher.snapshot(str(path)) == digest(path)


@WAYS
def test_a_deleted_file_is_told_once_and_again_when_it_returns(tmp_path: Path, polling: bool) -> None:
    path = settled(tmp_path / "a.c")
    with Watching([path], polling=polling) as watching:
        path.unlink()
        told = watching.next()
        assert told.files == told.deleted == {str(path)}
        assert watching.watcher.snapshot(str(path)) == b""
        assert watching.quiet()
        path.write_text("first\n")
        told = watching.next()
        assert told.files == {str(path)}
        assert told.deleted == frozenset()


def test_a_half_written_file_is_read_again_at_its_end(tmp_path: Path) -> None:
    path = settled(tmp_path / "a.c")
    with Watching([path]) as watching:
        with path.open("w") as file:
            file.write("half")
            file.flush()
            rename_over(tmp_path / "b.c", "")  # something else makes the watcher look
            watching.rest()
            file.write(" whole")
        watching.rest()
        assert watching.watcher.snapshot(str(path)) == digest(path)


@WAYS
def test_several_files_at_once_are_one_message(tmp_path: Path, polling: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [settled(tmp_path / f"{number}/a.c") for number in range(5)]
    with Watching(paths, polling=polling) as watching:
        swapped = tmp_path / "all"
        swapped.mkdir()
        for path in paths:
            path.write_text("second\n")
        told: set[str] = set()
        while told != {str(path) for path in paths}:
            told |= watching.next().files
        assert watching.quiet()


@WAYS
def test_directories_that_vanish_and_return(tmp_path: Path, polling: bool) -> None:
    path = settled(tmp_path / "p/src/deep/a.c")
    with Watching([path], polling=polling) as watching:
        shutil.rmtree(tmp_path / "p")
        assert watching.next().deleted == {str(path)}
        path.parent.mkdir(parents=True)
        path.write_text("second\n")
        assert str(path) in watching.next().files
        watching.rest()
        path.write_text("third\n")
        assert watching.next().files == {str(path)}


@WAYS
@pytest.mark.parametrize("level", ["p", "p/src", "p/src/deep"])
def test_a_directory_is_swapped_for_another(tmp_path: Path, level: str, polling: bool) -> None:
    path = settled(tmp_path / "p/src/deep/a.c")
    other = tmp_path / "other" / path.relative_to(tmp_path)
    other.parent.mkdir(parents=True)
    other.write_text("second\n")
    with Watching([path], polling=polling) as watching:
        (tmp_path / level).rename(tmp_path / "away")
        (tmp_path / "other" / level).rename(tmp_path / level)
        watching.rest()
        assert watching.watcher.snapshot(str(path)) == digest(path) != b""
        path.write_text("third\n")
        assert watching.next().files == {str(path)}
        (tmp_path / "away" / path.relative_to(tmp_path / level)).write_text("nobody's any more\n")
        assert watching.quiet()


def test_a_file_in_a_directory_that_is_not_there_yet(tmp_path: Path) -> None:
    path = tmp_path / "gen/one/two/a.h"
    with Watching([path]) as watching:
        path.parent.mkdir(parents=True)
        path.write_text("second\n")
        assert str(path) in watching.next().files
        watching.rest()
        assert watching.watcher.snapshot(str(path)) == digest(path)


@WAYS
def test_links_to_files_and_directories(tmp_path: Path, polling: bool) -> None:
    real = settled(tmp_path / "real/a.h")
    other = settled(tmp_path / "other/a.h")
    other.write_text("other\n")
    (tmp_path / "src").mkdir()
    file_link = tmp_path / "src/a.h"
    file_link.symlink_to("../real/a.h")
    (tmp_path / "linked").symlink_to("real")
    through = tmp_path / "linked/a.h"
    settled(tmp_path / "x")
    with Watching([file_link, through], polling=polling) as watching:
        both = {str(file_link), str(through)}
        for save in (rewrite, rename_over):
            save(real, f"{save.__name__}\n")
            told: set[str] = set()
            while told != both:
                told |= watching.next().files
        (tmp_path / "new").symlink_to("../other/a.h")
        (tmp_path / "new").rename(file_link)
        assert watching.next().files == {str(file_link)}
        (tmp_path / "new").symlink_to("other")
        (tmp_path / "new").rename(tmp_path / "linked")
        assert watching.next().files == {str(through)}
        other.write_text("other again\n")
        told = set()
        while told != both:
            told |= watching.next().files
        watching.rest()
        assert watching.watcher.snapshot(str(through)) == digest(other)


def test_a_fifo_in_the_place_of_a_file_holds_nobody_up(tmp_path: Path) -> None:
    path = settled(tmp_path / "a.c")
    with Watching([path]) as watching:
        path.unlink()
        os.mkfifo(path)
        watching.rest()
        assert watching.watcher.snapshot(str(path)) == b""


def test_a_git_checkout_over_two_hundred_files(tmp_path: Path) -> None:
    def git(*words: str) -> None:
        names = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "init.defaultBranch=main"]
        subprocess.run(["git", *names, *words], cwd=tmp_path, check=True, capture_output=True)

    paths = [tmp_path / f"d{number % 20}/s{number % 3}/f{number}.c" for number in range(200)]
    git("init")
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"one {path.name}\n")
    git("add", ".")
    git("commit", "-qm", "one")
    git("checkout", "-qb", "two")
    for number, path in enumerate(paths):
        if number % 20 < 5:
            path.unlink()  # whole directories go
        else:
            path.write_text(f"two {path.name}\n")
    git("add", "-A")
    git("commit", "-qm", "two")
    git("checkout", "-q", "main")
    settled(tmp_path / "x")
    with Watching(paths) as watching:
        for branch in ("two", "main", "two", "main"):
            git("checkout", "-q", branch)
            told = {file for message in watching.rest() for file in message.files}
            assert told == {str(path) for path in paths}
            for path in paths:
                assert watching.watcher.snapshot(str(path)) == digest(path)


def test_a_save_between_the_start_and_the_first_look_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = settled(tmp_path / "a.c")
    original = Notifier.add

    def add(self: Notifier, paths: Iterable[str]) -> None:
        rename_over(path, "second\n")  # after the watcher was asked for, before it could look
        original(self, paths)

    monkeypatch.setattr(Notifier, "add", add)
    with Watching([path]) as watching:
        assert watching.next().files == {str(path)}
        assert watching.quiet()


def test_files_added_later(tmp_path: Path) -> None:
    path, header = settled(tmp_path / "a.c"), settled(tmp_path / "sub/a.h")
    with Watching([path]) as watching:
        watching.watcher.add([str(path), str(header), str(tmp_path / "not/yet.h")])
        assert watching.quiet()
        header.write_text("second\n")
        assert watching.next().files == {str(header)}
        (tmp_path / "not").mkdir()
        (tmp_path / "not/yet.h").write_text("")
        assert watching.next().files == {str(tmp_path / "not/yet.h")}


def test_files_added_later_that_changed_since_somebody_read_them(tmp_path: Path) -> None:
    path, header, same = settled(tmp_path / "a.c"), settled(tmp_path / "a.h"), settled(tmp_path / "same.h")
    with Watching([path]) as watching:
        time.sleep(0.05)  # file times tick, and what is within a tick counts as later
        compiler_started = time.time_ns()
        header.write_text("saved while the compiler ran\n")
        watching.watcher.add([str(header), str(same)], since_ns=compiler_started)
        assert watching.next().files == {str(header)}
        assert watching.quiet()


def test_a_lost_event_queue_makes_it_look_at_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = settled(tmp_path / "a/a.c"), settled(tmp_path / "b/b.c")
    original = Notifier._take
    lose = True

    def take(self: Notifier) -> bytes:
        nonlocal lose
        data = original(self)
        if data and lose:
            lose = False
            while original(self):
                pass
            return struct.pack("iIII", -1, 0x4000, 0, 0)
        return data

    with Watching([first, second]) as watching:
        monkeypatch.setattr(Notifier, "_take", take)
        first.write_text("second\n")
        second.write_text("second\n")
        told: set[str] = set()
        while told != {str(first), str(second)}:
            told |= watching.next().files


def test_without_inotify_instances_it_polls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(watch, "Notifier", fail)
    path = settled(tmp_path / "a.c")
    with Watching([path], polling=None) as watching:
        path.write_text("second\n")
        assert watching.next().files == {str(path)}


def test_directories_without_a_watch_are_polled_and_others_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = INotify.add_watch

    def add_watch(self: object, path: str, mask: int) -> int:
        if str(path).endswith("/unlucky"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return int(original(self, path, mask))

    monkeypatch.setattr(INotify, "add_watch", add_watch)
    lucky, unlucky = settled(tmp_path / "lucky/a.c"), settled(tmp_path / "unlucky/a.c")
    with Watching([lucky, unlucky], polling=None) as watching:
        assert set(watching.watcher._polled) == {str(unlucky)}
        unlucky.write_text("second\n")
        assert watching.next().files == {str(unlucky)}
        lucky.write_text("second\n")
        assert watching.next().files == {str(lucky)}


def test_remote_directories_are_polled_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "read_mounts", lambda: (("/", False), (str(tmp_path / "nfs"), True)))
    local, remote = settled(tmp_path / "a.c"), settled(tmp_path / "nfs/a.c")
    with Watching([local, remote], polling=None) as watching:
        assert set(watching.watcher._polled) == {str(remote)}
        remote.write_text("second\n")
        assert watching.next().files == {str(remote)}


def test_after_close_nothing_is_told(tmp_path: Path) -> None:
    path = settled(tmp_path / "a.c")
    watching = Watching([path])
    watching.watcher.close()
    watching.watcher.close()
    path.write_text("second\n")
    assert not watching.watcher._thread.is_alive()
    assert watching.events.empty()


MOUNTINFO = r"""
22 1 254:0 / / rw - ext4 /dev/vda rw
30 22 0:44 / /home rw,relatime shared:1 master:2 - nfs4 server:/home rw
31 30 0:45 / /home/me/local\040disk rw - ext4 /dev/vdb rw
32 22 0:46 / /mnt/c rw - 9p drvfs rw
33 22 0:47 / /mnt/enc rw - fuse.gocryptfs enc rw
34 22 0:48 / /sys/fs/fuse/connections rw - fusectl fusectl rw
broken line
"""


def test_mounts_that_others_write_to() -> None:
    mounts = parse_mountinfo(MOUNTINFO)
    assert [
        directory
        for directory in ("/", "/home", "/home/me/src", "/home/me/local disk/x", "/homes")
        if is_remote(directory, mounts)
    ] == ["/home", "/home/me/src"]
    assert is_remote("/mnt/c/p", mounts)
    assert is_remote("/mnt/enc", mounts)
    assert not is_remote("/sys/fs/fuse/connections", mounts)
    assert not is_remote("/anything", ())


@given(st.text(max_size=200))
def test_any_mountinfo_is_read(text: str) -> None:
    parse_mountinfo(text)


NAMES = ["a.c", "d/a.c", "d/e/a.c", "d/e/b.c", "k/a.c"]
PLACES = ["a.c", "d", "d/e", "d/a.c", "d/e/a.c", "d/e/b.c", "k", "k/a.c", "spare"]
STEP = st.tuples(
    st.sampled_from(["write", "write", "replace", "delete", "mkdir", "move", "link"]),
    st.sampled_from(PLACES),
    st.sampled_from(PLACES),
    st.integers(0, 3),
)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(STEP, st.booleans()), max_size=14))
def test_whatever_happens_the_final_state_wins(steps: list[tuple[tuple[str, str, str, int], bool]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in NAMES:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text("0")
        with Watching([root / name for name in NAMES]) as watching:
            for (action, here, there, number), look in steps:
                try:
                    do(action, root / here, root / there, str(number))
                except (OSError, shutil.Error):
                    continue  # not possible just now
                if look:
                    watching.rest()
            watching.rest()
            for name in NAMES:
                assert watching.watcher.snapshot(str(root / name)) == digest(root / name), name
            # and it still listens
            for name in NAMES:
                if (root / name).is_file():
                    (root / name).write_text("last")
            watching.rest()
            for name in NAMES:
                assert watching.watcher.snapshot(str(root / name)) == digest(root / name), name


def do(action: str, here: Path, there: Path, text: str) -> None:
    match action:
        case "write":
            here.write_text(text)
        case "replace":
            rename_over(here, text)
        case "delete" if here.is_dir() and not here.is_symlink():
            shutil.rmtree(here)
        case "delete":
            here.unlink()
        case "mkdir":
            here.mkdir(parents=True)
        case "move":
            here.rename(there)
        case "link":
            here.symlink_to(there)
