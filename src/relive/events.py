"""The one stream that every face reads: frozen records, one JSON object a line. Imports only `Refusal` of relive.

The fields are fixed in docs/events.md (schema: docs/events.schema.json); faces add no knowledge of their own."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Literal

from relive.errors import Refusal

Status = Literal["applied", "unchanged", "failed", "refused", "undone"]
Mode = Literal["body", "full", "all"]


@dataclass(frozen=True, slots=True)
class Timings:
    """Milliseconds of each phase of one reload; ``total`` runs from the file event to the switch."""

    detect: float = 0.0
    analyse: float = 0.0
    compile: float = 0.0
    link: float = 0.0
    apply: float = 0.0
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class Ready:
    """From now on a save is applied."""

    t: float
    pid: int
    program: str
    units: int
    functions: int
    startup_ms: float
    event: str = "ready"


@dataclass(frozen=True, slots=True)
class Change:
    """Known inputs of the program have new content."""

    t: float
    files: tuple[str, ...]
    event: str = "change"


@dataclass(frozen=True, slots=True)
class Reload:
    """How one save ended: exactly one of these per save and target."""

    t: float
    generation: int
    status: Status
    mode: Mode = "body"
    compiled: Literal["functions", "unit"] = "unit"
    files: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    message: str = ""
    timings_ms: Timings = field(default_factory=Timings)
    pause_us: float = 0.0
    notes: tuple[str, ...] = ()
    """What the user should know of an applied reload: kept initialisers, old code still active, ..."""
    event: str = "reload"


@dataclass(frozen=True, slots=True)
class Crash:
    """The program got a fatal signal."""

    t: float
    signal: str
    function: str = ""
    file: str = ""
    line: int = 0
    held: bool = False
    event: str = "crash"


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the user should read that belongs to no reload: what, and the next thing to try."""

    t: float
    message: str
    hint: str = ""
    event: str = "notice"


@dataclass(frozen=True, slots=True)
class Exit:
    """The program ended; ``status`` as a shell would give it (128 + signal)."""

    t: float
    status: int
    event: str = "exit"


Event = Ready | Change | Reload | Crash | Notice | Exit


def to_json(event: Event) -> str:
    """One line of JSON, ``"event"`` first and ``"t"`` second; times rounded to a microsecond."""
    fields = asdict(event)
    if isinstance(event, Reload):
        fields["refusals"] = [refusal.as_dict() for refusal in event.refusals]
    head = {"event": fields.pop("event"), "t": round(fields.pop("t"), 6)}
    return json.dumps(head | fields, ensure_ascii=False, separators=(", ", ": "))
