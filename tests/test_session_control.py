"""The control socket: real sockets in a directory of the test, an answerer in place of the loop."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from relive.errors import BuildError, TargetError, TargetGone, UsageError
from relive.events import Reload
from relive.session.control import ControlServer, Peer, call, choose, sessions
from relive.session.messages import Answer, Request


@pytest.fixture
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # sun_path holds 108 bytes: pytest's own folders may be longer than that with xdist.
    return tmp_path_factory.mktemp("s")


def answering(request: Request) -> None:
    if request.command == "explain":
        request.reply(BuildError("no such symbol", "spell it"))
    elif request.command == "reload":
        request.reply(Answer(4, {}, (Reload(1.0, 2, "refused"),)))
    else:
        request.reply(Answer(0, {"asked": request.command, "with": dict(request.arguments)}))


@pytest.fixture
def server(directory: Path) -> Iterator[ControlServer]:
    made = ControlServer(directory, os.getpid(), answering)
    yield made
    made.close()


def test_an_answer_comes_back(directory: Path, server: ControlServer) -> None:
    peer = choose(directory, None)
    assert peer.pid == os.getpid()
    answer = call(peer, "undo", {"to": 3})
    assert answer["result"] == {"asked": "undo", "with": {"to": 3}}


def test_events_come_as_json(directory: Path, server: ControlServer) -> None:
    answer = call(choose(directory, os.getpid()), "reload", {})
    assert answer["exit"] == 4
    assert answer["events"][0]["status"] == "refused"


def test_an_error_there_is_the_same_error_here(directory: Path, server: ControlServer) -> None:
    with pytest.raises(BuildError, match="no such symbol") as caught:
        call(choose(directory, None), "explain", {"what": "f"})
    assert caught.value.hint == "spell it"


@pytest.mark.parametrize(
    "line", [b"{", b"[]", b'{"command": "format-disk"}', b'{"command": "undo", "arguments": 3}', b"\xff"]
)
def test_nonsense_is_answered_and_the_connection_lives(directory: Path, server: ControlServer, line: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(directory / f"{os.getpid()}.sock"))
        with connection.makefile("rwb") as stream:
            for sent in (line, b'{"command": "status"}'):
                stream.write(sent + b"\n")
                stream.flush()
                answer = json.loads(stream.readline())
            assert answer["exit"] == 0


def test_nonsense_is_a_usage_error(server: ControlServer) -> None:
    assert server._answer(b"{}")["code"] == "usage"


def test_a_second_host_for_the_same_program_is_refused(directory: Path, server: ControlServer) -> None:
    with pytest.raises(TargetError, match="another relive already watches"):
        ControlServer(directory, os.getpid(), answering)


def test_a_socket_left_by_a_killed_host_is_taken_over(directory: Path) -> None:
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(directory / "77.sock"))
    assert sessions(directory) == []
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(directory / "77.sock"))
    made = ControlServer(directory, 77, answering)
    assert [peer.pid for peer in sessions(directory)] == [77]
    made.close()
    assert list(directory.iterdir()) == []


def test_with_several_programs_the_user_must_say_which(directory: Path, server: ControlServer) -> None:
    other = ControlServer(directory, 1, answering)
    with pytest.raises(UsageError, match="several") as caught:
        choose(directory, None)
    assert "--pid 1" in caught.value.hint
    assert choose(directory, 1).pid == 1
    other.close()


def test_without_sessions_the_hint_says_how_to_start_one(directory: Path) -> None:
    for pid in (None, 12):
        with pytest.raises(TargetError) as caught:
            choose(directory, pid)
        assert "relive run" in caught.value.hint


def test_a_session_that_ends_before_it_answers(directory: Path) -> None:
    path = directory / "5.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def hang_up() -> None:
            connection, _ = listener.accept()
            connection.recv(100)
            connection.close()

        _threaded(hang_up)
        with pytest.raises(TargetGone):
            call(Peer(5, "x", path), "status", {})
    with pytest.raises(TargetGone):
        call(Peer(5, "x", path), "status", {})


def test_requests_are_served_side_by_side(directory: Path) -> None:
    """One that waits for a long compilation does not keep another terminal from connecting."""
    waiting: list[Request] = []
    both = threading.Event()

    def put(request: Request) -> None:
        waiting.append(request)
        if len(waiting) == 2:
            both.set()

    made = ControlServer(directory, 9, put)
    clients = [_threaded(lambda: call(Peer(9, "x", directory / "9.sock"), "status", {})) for _ in range(2)]
    assert both.wait(30)
    for request in waiting:
        request.reply(Answer(0, {}))
    for client in clients:
        client.join(30)
        assert not client.is_alive()
    made.close()


def _threaded(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread
