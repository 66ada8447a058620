"""What the engine tells about itself: the plan of a reload, status, explanations. And small tables of a comparison."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from relive.diff.atoms import Atoms, Kind
from relive.diff.compare import Comparison
from relive.events import Reload
from relive.host.demangle import qualified_name
from relive.host.project import Project
from relive.link.model import Address
from relive.link.select import atoms_in
from relive.session.baselines import Left

if TYPE_CHECKING:
    from relive.session.apply import ModulePatch
    from relive.session.baselines import Residence
    from relive.session.generations import Generation
    from relive.session.modules import ModuleState


def does_something(patch: ModulePatch) -> bool:
    """Whether a patch changes anything in the process."""
    selection = patch.prepared.selection
    return bool(selection.redirects or selection.in_place or selection.moved or selection.blocks or selection.commons)


def plan(patches: Sequence[ModulePatch]) -> list[str]:
    """What a reload does, line by line: `relive reload -n` and `relive explain` print it."""
    lines = []
    for patch in patches:
        selection = patch.prepared.selection
        lines.append(f"{os.path.basename(patch.module.path)}: {patch.prepared.size} bytes near {patch.module.low:#x}")
        for redirect in selection.redirects:
            lines.append(f"  redirect {qualified_name(redirect.name)} at {redirect.home:#x}: its code changed")
        for reborn in selection.reborn:
            lines.append(f"  new identity for {qualified_name(reborn.name)}: it is called by other rules than before")
        for rehomed in selection.rehomed:
            lines.append(f"  new home for {qualified_name(rehomed.name)}: the entry at {rehomed.home:#x} takes no jump")
        for entry in selection.in_place:
            lines.append(f"  rewrite {qualified_name(entry.name)} at {entry.address:#x}: a constant of unchanged size")
        for moved in selection.moved:
            lines.append(f"  move {qualified_name(moved.name)} from {moved.old:#x}: a constant of another size")
        redirected = {(r.unit, r.atom) for r in selection.redirects}
        for block in selection.blocks:
            new = selection.units[block.unit].new
            for atom in atoms_in(new, block):
                name = new.names[atom]
                if name is not None and (block.unit, atom) not in redirected:
                    what = "function" if new.kind[atom] == Kind.TEXT else "variable"
                    lines.append(f"  new {what} {qualified_name(name)}, {new.size(atom)} bytes")
    return lines


def carried_over(comparison: Comparison, live: Mapping[bytes, Address]) -> dict[bytes, Address]:
    """Addresses of the old atoms under the names that they have in the new object."""
    new = comparison.new
    result: dict[bytes, Address] = {}
    for name, atom in new.by_name.items():
        if name in live:
            result[name] = live[name]
        elif (before := comparison.counterpart.get(atom)) is not None:
            old_name = comparison.old.names[before]
            if old_name is not None and old_name in live:
                result[name] = live[old_name]
    return result


def returning(comparison: Comparison, left: Mapping[bytes, Left]) -> tuple[dict[bytes, Address], frozenset[bytes]]:
    """Of what had left the source and is there again: what has its old memory (mutable variables of unchanged size),
    and names whose old memory it must not have. Functions are not remembered: what comes back may be another."""
    new = comparison.new
    back: dict[bytes, Address] = {}
    other: set[bytes] = set()
    for name, was in left.items():
        atom = new.by_name.get(name)
        if atom is None:
            continue
        if was.kind != Kind.CONST and int(new.kind[atom]) == was.kind and new.size(atom) == was.size:
            back[name] = was.address
        else:
            other.add(name)
    return back, frozenset(other)


def left_behind(comparison: Comparison, residence: Residence) -> dict[bytes, Left]:
    """The variables that are in no source any more."""
    old, new = comparison.old, comparison.new
    left = {name: was for name, was in residence.left.items() if name not in new.by_name}
    for name in comparison.removed:
        atom = old.by_name[name]
        if name in residence.live and old.kind[atom] in (Kind.CONST, Kind.DATA, Kind.TLS):
            left[name] = Left(residence.live[name], int(old.kind[atom]), old.size(atom))
    return left


def same_changes(comparison: Comparison, atoms: Atoms) -> Comparison:
    """A comparison's verdicts, by name, for another object of the same source (compiled with other access to data)."""

    def named(indices: Sequence[int] | frozenset[int]) -> list[int]:
        names = [comparison.new.names[i] for i in indices]
        return [atoms.by_name[n] for n in names if n is not None and n in atoms.by_name]

    counterpart = {}
    for atom, before in comparison.counterpart.items():
        name = comparison.new.names[atom]
        if name is not None and name in atoms.by_name:
            counterpart[atoms.by_name[name]] = before
    known = set(counterpart)
    added = [i for i, name in enumerate(atoms.names) if name is not None and i not in known]
    return Comparison(
        comparison.old,
        atoms,
        frozenset(named(comparison.same)),
        tuple(named(comparison.changed)),
        tuple(named(comparison.reinitialised)),
        tuple(named(comparison.resized)),
        tuple(added),
        comparison.removed,
        counterpart,
    )


def status(
    number: int, modules: Sequence[ModuleState], generations: Sequence[Generation], last: Reload | None
) -> dict[str, object]:
    """For `relive status`."""
    by_generation: dict[str, list[str]] = {}
    newest: dict[str, int] = {}
    for generation in generations:
        for name in generation.functions:
            newest[name] = generation.number
    for name, n in sorted(newest.items()):
        by_generation.setdefault(str(n), []).append(name)
    refused = last.refusals if last is not None and last.status == "refused" else ()
    return {
        "generation": number,
        "modules": [{"path": m.path, "base": m.base} for m in modules],
        "functions": by_generation,
        "patch_memory": sum(size for g in generations for _, _, size in g.memory),
        "queued": list(last.files) if last is not None and last.status in ("failed", "refused") else [],
        "refusals": [
            {"code": r.code, "subject": r.subject, "reason": r.reason, "hint": r.hint, "file": r.file, "line": r.line}
            for r in refused
        ],
        "last": last.status if last is not None else None,
    }


def explain(
    what: str | None,
    last: Reload | None,
    lines: Sequence[str],
    generations: Sequence[Generation],
    project: Project,
) -> str:
    """For `relive explain`: the last reload, a file, or a function."""
    if what is None:
        if last is None:
            return "nothing was reloaded yet"
        head = f"generation {last.generation}: {last.status}"
        if last.files:
            head += " after an edit of " + ", ".join(os.path.basename(f) for f in last.files)
        refusals = [f"  refused {r.subject}: {r.reason} [{r.code}]; {r.hint}" for r in last.refusals]
        message = [last.message.rstrip()] if last.message else []
        return "\n".join([head, *lines, *refusals, *(f"  note: {n}" for n in last.notes), *message])
    path = os.path.abspath(what)
    units = project.units_of(path)
    if units:
        when = [str(g.number) for g in generations if path in g.files]
        text = f"{what} is an input of {len(units)} unit(s): " + ", ".join(os.path.basename(u.source) for u in units)
        return text + (f"\nreloaded in generation {', '.join(when)}" if when else "\nnot reloaded in this session")
    mine = [g for g in generations if any(what in (f, f.rsplit("::", 1)[-1]) for f in g.functions)]
    if mine:
        files = sorted({f for g in mine for f in g.files})
        numbers = ", ".join(str(g.number) for g in mine)
        return f"{what} was replaced in generation {numbers}, because its code changed with {', '.join(files)}"
    return f"{what} is no function that was replaced, and no file that the program is made from"
