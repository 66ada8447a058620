"""What was edited between two forms of one file: L1 of the dependency graph, and what is gone."""

from __future__ import annotations

from relive.source.forms import Form
from relive.source.graph import Edit, Graph


def compare_forms(old: Form, new: Form) -> tuple[tuple[tuple[int, str, int], bool], ...]:
    """What was edited in a file: (kind, name, ordinal) of vertices of the new form, and whether their interface
    changed. What only moved is equal. What is gone is not in it; what used it does not compile, or means something
    else now: `removed` tells."""
    before = _by_name(old)
    edits = []
    for (kind, name), rows in _by_name(new).items():
        known = before.get((kind, name), [])
        contents = {int(old.table["content"][row]) for row in known}
        interfaces = {int(old.table["interface"][row]) for row in known}
        for row in rows:
            if int(new.table["content"][row]) not in contents:
                shown = int(new.table["interface"][row]) not in interfaces
                edits.append(((kind, name, int(new.table["ordinal"][row])), shown))
    return tuple(edits)


def edits(graph: Graph, old: Form, new: Form) -> tuple[Edit, ...]:
    """The same as vertices of a graph that holds the new form: what `Graph.sets` asks for."""
    numbers = {graph.vertex(number).key[1:]: number for number in graph.of_file(new.file)}
    return tuple(Edit(numbers[key], interface) for key, interface in compare_forms(old, new) if key in numbers)


def removed(old: Form, new: Form) -> tuple[tuple[int, str, int], ...]:
    """Vertices whose kind and name are gone, or that have fewer of their name: by their old ordinal."""
    after = _by_name(new)
    gone = []
    for (kind, name), rows in _by_name(old).items():
        kept = {int(new.table["interface"][row]) for row in after.get((kind, name), ())}
        for row in rows:
            if int(old.table["interface"][row]) not in kept:
                gone.append((kind, name, int(old.table["ordinal"][row])))
    return tuple(gone)


def _by_name(form: Form) -> dict[tuple[int, str], list[int]]:
    found: dict[tuple[int, str], list[int]] = {}
    kinds = form.table["kind"].tolist()
    for row, name in enumerate(form.names):
        found.setdefault((kinds[row], name), []).append(row)
    return found
