"""The private door at which an agent knocks: a Unix socket in a directory of mode 0700, for one program.

Who comes in must be the process we expect (SO_PEERCRED: pid and user) and must know the session's token; anybody else
is sent away and the door stays open."""

from __future__ import annotations

import os
import socket
import struct
import time
from contextlib import suppress
from pathlib import Path

from relive.errors import StorageError, TargetError

TYPE_CHECKING = False  # see relive/__init__.py
if TYPE_CHECKING:
    from relive.wire.frames import Conversation

TOKEN_SIZE = 16
"""Bytes; `wire.frames.TOKEN_SIZE`, which is imported when the program runs."""
_UCRED = struct.Struct("iII")
_LONGEST = 100
"""Bytes of a socket's name (108 with the final NUL, minus room to be safe)."""


class Listener:
    """Listens at `path` for the agent that knows `token`."""

    def __init__(self, directory: Path) -> None:
        """`directory` is made (0700) when missing; StorageError when that is not possible or it is not ours."""
        self.token = os.urandom(TOKEN_SIZE)  # `secrets` is this and 3 ms of imports, before the program starts
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = directory.stat()
            if status.st_uid != os.getuid() or status.st_mode & 0o077:
                raise StorageError(
                    f"{directory} is open to other users", f"chmod 700 {directory}, or set XDG_RUNTIME_DIR"
                )
            self.path = directory.resolve() / f"agent-{os.urandom(6).hex()}.sock"
            self._bind()
        except OSError as error:
            self._socket.close()
            raise StorageError(
                f"cannot listen in {directory}: {error.strerror}", "set XDG_RUNTIME_DIR to a directory of your own"
            ) from error
        except BaseException:
            self._socket.close()
            raise
        self._socket.listen(4)

    def _bind(self) -> None:
        if len(os.fsencode(self.path)) <= _LONGEST:
            self._socket.bind(os.fsencode(self.path))
            return
        # A path too long for sockaddr_un is reached by way of its directory; the agent does the same.
        directory = os.open(self.path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._socket.bind(f"/proc/self/fd/{directory}/{self.path.name}")
        finally:
            os.close(directory)

    @property
    def argument(self) -> str:
        """What the agent needs to know: socket path, newline, token in hex."""
        return f"{self.path}\n{self.token.hex()}"

    def fileno(self) -> int:
        """Readable when somebody knocks."""
        return self._socket.fileno()

    def accept(self, pid: int, timeout: float) -> tuple[socket.socket, Conversation] | None:
        """The connection of process `pid`'s agent, after the handshake; None when nobody came within `timeout` s, or it
        hung up at once.

        ProtocolError: the agent came, but speaks another version."""
        from relive.wire.frames import ProtocolError

        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                connection, _ = self._socket.accept()
            except TimeoutError:
                return None
            expected = False
            try:
                expected = is_peer(connection, pid)
                if expected:
                    return connection, self._greet(connection, deadline)
            except (OSError, TargetError) as error:
                connection.close()
                if isinstance(error, ProtocolError):
                    raise
                if expected:
                    return None  # it ended, or ran another program: the caller looks which
                continue
            connection.close()
        return None

    def _greet(self, connection: socket.socket, deadline: float) -> Conversation:
        from relive.wire.frames import Conversation

        conversation = Conversation(self.token)
        while True:
            connection.settimeout(max(0.05, deadline - time.monotonic()))
            data = connection.recv(conversation.missing())
            if not data:
                raise TargetError("the agent hung up")
            happened, out = conversation.receive(data)
            if happened:
                connection.sendall(out)
                return conversation

    def close(self) -> None:
        """Removes the socket; a connection that is there stays."""
        self._socket.close()
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


def is_peer(connection: socket.socket, pid: int) -> bool:
    """The other end is process `pid` of our own user (or we are root, who may watch anybody)."""
    peer, user, _ = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return bool(peer == pid and (user == os.getuid() or os.getuid() == 0))
