"""What is said after a unit that was brought up to date the fast way was compiled whole.

Usually nothing: both mean the same. Lines that moved change functions which mention their own line (`assert`); that is
as it should be, and told without alarm. Anything else is a fault of the fast way, told loudly; the program runs the
right code by then."""

from __future__ import annotations

import os
from collections.abc import Collection

from relive.build.units import Unit
from relive.events import Event, Notice, Reload
from relive.host.demangle import qualified_name

DIFFERS = "fast way differs"


def outcome(event: Reload, edited: Collection[bytes], unit: Unit, now: float) -> list[Event]:
    """What the user reads of a verification that ended with `event`; `edited`: symbols compiled the fast way."""
    name = os.path.basename(unit.source)
    if event.status == "unchanged":
        return []
    if event.status == "applied":
        wrong = {qualified_name(symbol) for symbol in edited} & set(event.functions)
        if not wrong:
            return [event]
        what = ", ".join(sorted(wrong)[:4])
        words = f"{DIFFERS}: {what} of {name} came out otherwise when the whole file was compiled; it is right now"
        return [event, Notice(now, words, "please report the file's last edit")]
    if event.status == "failed":
        words = f"{name} as a whole does not compile, although the edited function does:\n{event.message}"
        return [Notice(now, words, "a build of the project fails as well; mend it and save")]
    reasons = "; ".join(f"{r.subject}: {r.reason} [{r.code}]" for r in event.refusals)
    return [Notice(now, f"{DIFFERS}: {name} as a whole is refused: {reasons}", "restart the program to be sure")]
