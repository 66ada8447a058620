"""Tells when known files have new content, from a thread of its own.

inotify watches on the directories that hold known files say *where to look*; a hash of the content decides *whether
anything changed*: touching a file or restoring what was there gives nothing. Whatever happens in between, the last
content is looked at last, so the final state always wins.

Events are of two kinds. `CLOSE_WRITE` and `MOVED_TO` end a save and are looked at at once. `CREATE`, `DELETE` and
`MOVED_FROM` begin one as a rule (vim renames the old file away, then writes the new one; git deletes and creates), so
they wait `GRACE` for its end; a file that is still missing then is reported as deleted. Writes alone (`MODIFY`) are
not asked for: a log file beside the sources would keep us busy, and half a file is no save. So a writer counts when
it closes.

Directories come and go as well (git checkout, `mv`): each directory on the way to a known file is watched for the next
one, links are followed, and after any such event all watches are set anew by path, which is cheap and cannot go wrong.

A save must not fall between the first hash and the first event: watches are set before hashing, and a file whose inode
changed since the watcher was asked for it is reported even though its old content is unknown.

Polling (`stat`, then content) takes over where inotify cannot be had, and goes on beside it on file systems where
others may write behind the kernel's back. inotify(7); kernel times: `current_time()` ticks with
CLOCK_REALTIME_COARSE."""

from __future__ import annotations

import contextlib
import hashlib
import os
import select
import stat
import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from relive.host.watch_places import Notifier, is_remote, read_mounts

GRACE = 0.05
"""Seconds that a half-told save (file gone, file created) is given to complete."""
POLL_INTERVAL = 0.2
"""Seconds between two looks where files are polled; more when a look takes long."""
_RACY_NS = 2_000_000_000
"""A time stamp this young may stand for two contents: network file systems have coarse clocks."""
_CLOCK_REALTIME_COARSE = 5
_TICK_NS = 10_000_000
"""File times are those of the last tick of the kernel's clock (CONFIG_HZ=100 at the slowest)."""
_GONE = b""


@dataclass(frozen=True, slots=True)
class FilesChanged:
    """Known files with new content. ``deleted`` are those of ``files`` that are not there any more."""

    files: frozenset[str]
    detected_at_monotonic: float
    """`time.monotonic` when the first of these changes was noticed."""
    deleted: frozenset[str] = frozenset()


@dataclass(slots=True)
class _Pending:
    detected: float
    due: float


@dataclass(frozen=True, slots=True)
class _Request:
    """What other threads ask of the watcher's thread: files to learn, or to bring everything up to date."""

    paths: tuple[str, ...]
    since_ns: int
    done: threading.Event
    flush: bool = False


class Sink(Protocol):
    """Where changes go: a `queue.Queue` of anything that may be a `FilesChanged`."""

    def put(self, item: FilesChanged, /) -> None: ...


class Watcher:
    """Puts a `FilesChanged` into ``events`` for each change, as soon as it is noticed."""

    def __init__(
        self,
        events: Sink,
        inputs: Iterable[str],
        *,
        polling: bool | None = None,
    ) -> None:
        """``inputs``: absolute paths, which need not exist. ``polling``: True for polling alone, False for inotify
        alone, None for what each directory needs."""
        self.ready = threading.Event()
        """Set once the content of all first inputs is known."""
        self._events = events
        self._polling = polling
        self._known: dict[str, bytes] = {}
        self._pending: dict[str, _Pending] = {}
        self._polled: dict[str, tuple[int, ...]] = {}
        self._mounts = () if polling is not None else read_mounts()
        self._requests: deque[_Request] = deque([_Request(tuple(inputs), _coarse_now(), self.ready)])
        self._closed = False
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._thread = threading.Thread(target=self._run, name="relive-watch", daemon=True)
        self._thread.start()

    def add(self, paths: Iterable[str], *, since_ns: int | None = None) -> None:
        """Watches more files; known ones are left alone. Those that changed after ``since_ns`` (`time.time_ns`, default
        now), for example after the compiler that found them was started, are reported at once."""
        new = tuple(path for path in paths if path not in self._known)
        if new:
            since = _coarse_now() if since_ns is None else since_ns - _TICK_NS
            self._requests.append(_Request(new, since, threading.Event()))
            self._poke()

    def flush(self, timeout: float = 10.0) -> bool:
        """Waits until every save that ended before this call has been reported; False when that took too long. Nothing
        waits for the end of a half-told save, and polled files are looked at now."""
        request = _Request((), 0, threading.Event(), flush=True)
        self._requests.append(request)
        self._poke()
        return request.done.wait(timeout)

    def snapshot(self, path: str) -> bytes:
        """Hash of the content last seen (16 bytes), b"" for a file that is not there."""
        known = self._known.get(path)
        return _look(path)[0] if known is None else known

    def close(self) -> None:
        """Ends the thread; nothing is reported after this."""
        if not self._closed:
            self._closed = True
            self._poke()
            self._thread.join()
            os.close(self._wake)

    def __enter__(self) -> Watcher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _poke(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_write(self._wake, 1)

    def _run(self) -> None:
        notifier: Notifier | None = None
        if not self._polling:
            with contextlib.suppress(OSError):  # EMFILE: fs.inotify.max_user_instances
                notifier = Notifier()
        try:
            self._loop(notifier)
        finally:
            if notifier is not None:
                notifier.close()

    def _loop(self, notifier: Notifier | None) -> None:
        poller = select.poll()
        poller.register(self._wake, select.POLLIN)
        if notifier is not None:
            poller.register(notifier.fileno(), select.POLLIN)
        next_poll = 0.0
        while not self._closed:
            poller.poll(self._timeout(next_poll))
            now = time.monotonic()
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._wake)
            certain: set[str] = set()
            requests: list[_Request] = []
            while self._requests and not self._closed:
                requests.append(self._requests.popleft())
                certain |= self._learn(notifier, requests[-1])
            flush = any(request.flush for request in requests)
            if notifier is not None:
                ended, begun = notifier.read()
                certain |= ended
                for path in begun - ended:
                    self._pending.setdefault(path, _Pending(now, now + GRACE))
                if notifier.rearmed:
                    self._choose_polled(notifier)
            if self._polled and (flush or now >= next_poll):
                certain |= self._poll()
                next_poll = time.monotonic() + max(POLL_INTERVAL, 10 * (time.monotonic() - now))
            self._report(certain, now, everything=flush)
            for request in requests:
                request.done.set()
        while self._requests:  # nobody shall wait for a closed watcher
            self._requests.popleft().done.set()

    def _timeout(self, next_poll: float) -> float | None:
        """Milliseconds until something has to be done without an event."""
        deadlines = [pending.due for pending in self._pending.values()]
        if self._polled:
            deadlines.append(next_poll)
        if self._requests:
            return 0
        # Rounded up: waking too early would turn into a busy loop.
        return max(0.0, (min(deadlines) - time.monotonic()) * 1000 + 1) if deadlines else None

    def _learn(self, notifier: Notifier | None, request: _Request) -> set[str]:
        """First look at files; returns those that changed since they were asked for."""
        new = sorted({path for path in request.paths if path not in self._known})
        if notifier is not None:
            notifier.add(new)
        late: set[str] = set()
        for path in new:
            digest, changed_ns = _look(path)
            self._known[path] = digest
            if changed_ns >= request.since_ns:
                self._known[path] = b"?"  # equal to no content: whatever is there is news
                late.add(path)
        self._choose_polled(notifier)
        return late

    def _choose_polled(self, notifier: Notifier | None) -> None:
        """Decides anew which files are polled; the first poll of a file looks at its content."""
        if self._polling is False:
            return
        unwatched = notifier.unwatched() if notifier is not None else set()
        remote: dict[str, bool] = {}
        for path in self._known:
            directory = os.path.dirname(path)
            if directory not in remote:
                remote[directory] = is_remote(directory, self._mounts)
            if notifier is None or path in unwatched or remote[directory]:
                self._polled.setdefault(path, ())
            else:
                self._polled.pop(path, None)

    def _poll(self) -> set[str]:
        now = time.time_ns()
        changed: set[str] = set()
        for path, before in self._polled.items():
            try:
                status = os.stat(path)
                signature: tuple[int, ...] = (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)
            except OSError:
                signature = (-1,)
            if signature != before or now - signature[0] < _RACY_NS:
                self._polled[path] = signature
                changed.add(path)
        return changed

    def _report(self, certain: set[str], now: float, *, everything: bool) -> None:
        """Compares contents and tells what is new; ``everything``: do not wait for what is half told."""
        expired = {path for path, pending in self._pending.items() if everything or pending.due <= now}
        changed: set[str] = set()
        detected = now
        for path in sorted(certain | expired):
            digest, _ = _look(path)
            if digest == _GONE and path not in expired and not everything and self._known.get(path) != _GONE:
                self._pending.setdefault(path, _Pending(now, now + GRACE))
                continue
            pending = self._pending.pop(path, None)
            if self._known.get(path) != digest:
                self._known[path] = digest
                changed.add(path)
                if pending is not None:
                    detected = min(detected, pending.detected)
        if changed:
            deleted = frozenset(path for path in changed if self._known[path] == _GONE)
            self._events.put(FilesChanged(frozenset(changed), detected, deleted))


def _coarse_now() -> int:
    """The clock that file times are taken from."""
    return time.clock_gettime_ns(_CLOCK_REALTIME_COARSE)


def _look(path: str) -> tuple[bytes, int]:
    """(hash of the content or b"" when there is none, time of the inode's last change in ns or -1)."""
    try:
        # Without O_NONBLOCK the open of a FIFO of that name would wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return _GONE, -1
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return _GONE, -1
        digest = hashlib.blake2b(digest_size=16)
        while piece := os.read(descriptor, 1 << 20):
            digest.update(piece)
        return digest.digest(), max(status.st_mtime_ns, status.st_ctime_ns)
    except OSError:
        return _GONE, -1
    finally:
        os.close(descriptor)
