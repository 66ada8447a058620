"""What can go wrong, in three kinds (see STYLE): a *bug* is an assertion; the *environment* failing is one exception
tree, each class with an exit code and the next thing to try; a *refusal* is a value, because a change that cannot be
made live is an answer and not a failure. Imports nothing."""

from __future__ import annotations


class Refusal:
    """Why one thing cannot be made live. All refusals of a change are collected and shown at once.

    A value, never changed after it was made. It is written out because `dataclasses` takes 6 ms to import, and this
    module is what a program waits for that is started by `relive run`."""

    __slots__ = ("code", "file", "hint", "line", "reason", "subject")

    def __init__(self, code: str, subject: str, reason: str, hint: str, file: str = "", line: int = 0) -> None:
        self.code = code
        """Stable kebab-case name, e.g. ``variable-resized``; documented in docs/limitations.md."""
        self.subject = subject
        """What it is about: a qualified name or a file."""
        self.reason = reason
        """One sentence: why."""
        self.hint = hint
        """One sentence: what the user can do."""
        self.file = file
        self.line = line

    def as_dict(self) -> dict[str, str | int]:
        """As it is in a `reload` event."""
        names = ("code", "subject", "reason", "hint", "file", "line")
        return {name: getattr(self, name) for name in names}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Refusal) and self.as_dict() == other.as_dict()

    def __hash__(self) -> int:
        return hash((self.code, self.subject, self.reason, self.file, self.line))

    def __repr__(self) -> str:
        return f"Refusal({', '.join(f'{name}={value!r}' for name, value in self.as_dict().items())})"


class ReliveError(Exception):
    """The environment does not allow what was asked. ``str(error)`` is one sentence; ``hint`` the next thing to try."""

    exit_code = 1
    code = "error"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(ReliveError):
    """The command line or the configuration asks for something that does not exist."""

    exit_code = 2
    code = "usage"


class BuildError(ReliveError):
    """The project's build cannot be understood: no or a broken compile_commands.json, a compiler that is gone."""

    code = "build"


class FormatError(ReliveError):
    """A file is not what it should be: a truncated object, a stripped program, an unknown relocation."""

    code = "format"


class TargetError(ReliveError):
    """The program cannot be reached or did not do as it was asked; it runs on as it was."""

    code = "target"


class TargetGone(TargetError):  # noqa: N818 - it reads as what happened
    """The program ended while we talked to it."""

    code = "target-gone"


class AttachError(TargetError):
    """The agent could not be brought into a running program (permission, static program, other host)."""

    code = "attach"


class StorageError(ReliveError):
    """A cache or runtime directory cannot be written: full disk, read-only file system, foreign owner."""

    code = "storage"


class RefusedError(ReliveError):
    """Carries refusals through code that computes; the session turns it into a `reload` event."""

    exit_code = 4
    code = "refused"

    def __init__(self, refusals: tuple[Refusal, ...]) -> None:
        super().__init__("; ".join(f"{r.subject}: {r.reason} [{r.code}]" for r in refusals))
        self.refusals = refusals
