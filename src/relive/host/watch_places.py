"""Where to look for changes: inotify watches for a set of files, and which mounts cannot be trusted to send events.

A file is watched through its directory. Each directory on the way there is watched too, for the event that the next one
appears, vanishes or is replaced; links are followed, the link's own place and its goal both count. Watches belong to
inodes while we think in paths: after any event about a directory itself, every path is asked for its watch again, which
shows by another watch descriptor that another directory is there now.

Knows nothing of contents."""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable

from inotify_simple import INotify, flags, parse_events

_ENDS = int(flags.CLOSE_WRITE | flags.MOVED_TO)
_NAMES = int(flags.CREATE | flags.DELETE | flags.MOVED_FROM | flags.MOVED_TO)
_SELF = int(flags.DELETE_SELF | flags.MOVE_SELF | flags.IGNORED | flags.UNMOUNT)
_MASK = _ENDS | _NAMES | int(flags.DELETE_SELF | flags.MOVE_SELF | flags.ONLYDIR)
_OVERFLOW = int(flags.Q_OVERFLOW)
_IGNORED = int(flags.IGNORED)

_REMOTE = re.compile(r"(?:nfs\d?|cifs|smb\d?|smbfs|9p|vboxsf|virtiofs|fuse(?:blk|\..*)?|afs|ceph|lustre|prl_fs|drvfs)")
_ESCAPE = re.compile(r"\\([0-7]{3})")


class Notifier:
    """inotify for files by path. OSError (EMFILE) when the user has no more inotify instances."""

    def __init__(self) -> None:
        self.failed: set[str] = set()
        """Directories that exist and cannot be watched."""
        self.rearmed = False
        """Whether the last `read` set watches anew."""
        self._inotify = INotify(nonblocking=True)
        self._files: defaultdict[str, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        self._below: defaultdict[str, set[str]] = defaultdict(set)  # directory → names of directories of interest in it
        self._interest: set[str] = set()
        self._watch_of: dict[str, int] = {}
        self._directories: dict[int, set[str]] = {}  # one watch may serve several paths: it belongs to the inode

    def fileno(self) -> int:
        return int(self._inotify.fileno())

    def close(self) -> None:
        self._inotify.close()

    def add(self, paths: Iterable[str]) -> None:
        """Watches more files, existing or not."""
        for path in paths:
            self._add_place(path, path)
            self._follow(path)

    def unwatched(self) -> set[str]:
        """Files that have a place for which there is no watch to be had: to be polled."""
        return {path for place in self.failed for files in self._files.get(place, {}).values() for path in files}

    def read(self) -> tuple[set[str], set[str]]:
        """What has happened so far, without waiting: (files that a save has ended on, files in the middle of one)."""
        ended: set[str] = set()
        begun: set[str] = set()
        anew = False
        self.rearmed = False
        while data := self._take():
            for watch, mask, _, name in parse_events(data):
                if mask & _OVERFLOW:
                    anew = True
                    ended.update(path for names in self._files.values() for files in names.values() for path in files)
                if mask & _SELF and watch in self._directories:
                    anew = True
                    if mask & _IGNORED:  # the kernel has removed it
                        for directory in self._directories.pop(watch):
                            if self._watch_of.get(directory) == watch:
                                del self._watch_of[directory]
                for directory in tuple(self._directories.get(watch, ())) if name else ():
                    files = self._files[directory].get(name, ()) if directory in self._files else ()
                    if mask & _ENDS:
                        ended.update(files)
                    elif files and mask & int(flags.CREATE) and posixpath.islink(posixpath.join(directory, name)):
                        ended.update(files)  # nothing will be written into a link
                    else:
                        begun.update(files)
                    if mask & _NAMES and name in self._below.get(directory, ()):
                        anew = True
        if anew:
            ended |= self._rearm()
            self.rearmed = True
        for path in ended:
            self._follow(path)  # it may have become a link, or lead elsewhere
        return ended, begun

    def _take(self) -> bytes:
        try:
            return os.read(self._inotify.fileno(), 1 << 16)
        except BlockingIOError:
            return b""

    def _add_place(self, place: str, path: str) -> None:
        directory, name = posixpath.split(place)
        self._files[directory][name].add(path)
        self._add_interest(directory)

    def _follow(self, path: str) -> None:
        """Adds each place that a link to a file leads through."""
        place = path
        for _ in range(40):  # the kernel's own limit
            try:
                goal = os.readlink(place)
            except OSError:
                return
            place = posixpath.normpath(posixpath.join(os.path.realpath(posixpath.dirname(place)), goal))
            self._add_place(place, path)

    def _add_interest(self, directory: str) -> None:
        if directory in self._interest:
            return
        self._interest.add(directory)
        parent, name = posixpath.split(directory)
        if name:
            self._below[parent].add(name)
            # `/` and its direct children are busy places that are not replaced as a whole.
            if parent.count("/") > 1:
                self._add_interest(parent)
        self._follow_directory(directory)
        self._arm(directory)

    def _follow_directory(self, directory: str) -> None:
        """A watch through a link sits on the link's goal; whether the goal is replaced shows in the goal's parents."""
        with contextlib.suppress(OSError):
            goal = os.readlink(directory)
            parent = os.path.realpath(posixpath.dirname(directory))
            self._add_interest(posixpath.normpath(posixpath.join(parent, goal)))

    def _arm(self, directory: str) -> bool:
        """Sets the watch of a directory; True when it is another one than before, or none any more."""
        before = self._watch_of.get(directory)
        watch = self._try_watch(directory)
        if watch is None and directory not in self.failed:
            # Missing: watch for its coming, and try again, as it may have come before that watch was set.
            parent, name = posixpath.split(directory)
            self._below[parent].add(name)
            self._add_interest(parent)
            watch = self._try_watch(directory)
        if watch == before:
            return False
        if before is not None:
            del self._watch_of[directory]
            users = self._directories[before]
            users.discard(directory)
            if not users:
                del self._directories[before]
                with contextlib.suppress(OSError):
                    self._inotify.rm_watch(before)
        if watch is not None:
            self._watch_of[directory] = watch
            self._directories.setdefault(watch, set()).add(directory)
        return True

    def _try_watch(self, directory: str) -> int | None:
        self.failed.discard(directory)
        try:
            return int(self._inotify.add_watch(directory, _MASK))
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                self.failed.add(directory)  # ENOSPC: fs.inotify.max_user_watches; EACCES
            return None

    def _rearm(self) -> set[str]:
        """Sets all watches anew; returns the files in directories that are others now. Parents first: what appears in a
        directory after its watch was set gives an event, what was there before is found by the next step."""
        others: set[str] = set()
        for directory in sorted(self._interest):
            if self._arm(directory):
                self._follow_directory(directory)
                others.update(path for files in self._files.get(directory, {}).values() for path in files)
        return others


def read_mounts() -> tuple[tuple[str, bool], ...]:
    """Mounts of this process, see `parse_mountinfo`; empty when none is remote."""
    try:
        with open("/proc/self/mountinfo", "rb") as file:
            mounts = parse_mountinfo(os.fsdecode(file.read()))
    except OSError:
        return ()
    return mounts if any(remote for _, remote in mounts) else ()


def parse_mountinfo(text: str) -> tuple[tuple[str, bool], ...]:
    """(mount point, whether it is a network or shared-folder file system, whose files others may change without an
    event). proc(5): ``id parent major:minor root MOUNTPOINT options optional… - TYPE source options``."""
    places: dict[str, bool] = {}
    for line in text.splitlines():
        left, dash, right = line.partition(" - ")
        fields = left.split(" ")
        if dash and len(fields) >= 6 and right:
            point = _ESCAPE.sub(lambda match: chr(int(match[1], 8)), fields[4])
            places[point] = _REMOTE.fullmatch(right.split(" ")[0]) is not None  # a later mount hides an earlier one
    return tuple(places.items())


def is_remote(directory: str, mounts: tuple[tuple[str, bool], ...]) -> bool:
    """Whether the mount that holds ``directory`` is a remote one."""
    if not mounts:
        return False
    best, answer = -1, False
    real = os.path.realpath(directory)
    for point, remote in mounts:
        if len(point) > best and (real == point or real.startswith(point.rstrip("/") + "/")):
            best, answer = len(point), remote
    return answer
