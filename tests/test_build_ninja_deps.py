"""ninja's deps log: written by the test, and by ninja itself."""

import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relive.build.ninja_deps import parse_ninja_deps
from relive.errors import BuildError

Rules = list[tuple[str, list[str]]]
PATH = st.text(alphabet="abc/.é ", min_size=1, max_size=9)


def deps_log(rules: Rules, version: int = 4) -> bytes:
    """A log as deps_log.cc writes it."""
    data = b"# ninjadeps\n" + struct.pack("<I", version)
    ids: dict[str, int] = {}
    for output, inputs in rules:
        for path in [output, *inputs]:
            if path not in ids:
                raw = path.encode()
                raw += b"\0" * (-len(raw) % 4)
                data += struct.pack("<I", len(raw) + 4) + raw + struct.pack("<I", len(ids) ^ 0xFFFF_FFFF)
                ids[path] = len(ids)
        words = [ids[output], 1] + ([2] if version == 4 else []) + [ids[path] for path in inputs]
        data += struct.pack(f"<I{len(words)}I", len(words) * 4 | 1 << 31, *words)
    return data


@given(st.lists(st.tuples(PATH, st.lists(PATH, max_size=4)), max_size=6), st.sampled_from([3, 4]))
def test_both_versions_come_back_and_later_records_win(rules: Rules, version: int) -> None:
    log = parse_ninja_deps(deps_log(rules, version))
    assert {output: list(log.of(output)) for output, _ in rules} == dict(rules)


@given(st.integers(0, 200), st.binary(max_size=12))
def test_a_broken_end_keeps_what_came_before(cut: int, noise: bytes) -> None:
    rules: Rules = [("a.o", ["a.c", "a.h"]), ("b.o", ["b.c", "a.h"])]
    data = deps_log(rules)
    cut = max(16, len(data) - cut)
    log = parse_ninja_deps(data[:cut])
    assert set(log.inputs) <= {"a.o", "b.o"}
    assert parse_ninja_deps(data + noise).of("a.o") == ("a.c", "a.h")


def test_unknown_outputs_have_no_inputs() -> None:
    assert parse_ninja_deps(deps_log([])).of("x") == ()


@pytest.mark.parametrize(
    "data", [b"", b"# ninjadeps\n", b"# ninjalog v5\n1234", b"# ninjadeps\n" + struct.pack("<I", 9)]
)
def test_what_is_no_log_is_told(data: bytes) -> None:
    with pytest.raises(BuildError):
        parse_ninja_deps(data)


def test_the_log_of_a_real_ninja(tmp_path: Path) -> None:
    (tmp_path / "a.c").write_text('#include "a.h"\nint main(void) { return A; }\n')
    (tmp_path / "a.h").write_text("#define A 0\n")
    (tmp_path / "build.ninja").write_text(
        "rule cc\n  command = gcc -MD -MF $out.d -c $in -o $out\n  depfile = $out.d\n  deps = gcc\nbuild a.o: cc a.c\n"
    )
    subprocess.run(["ninja"], cwd=tmp_path, check=True, capture_output=True)
    log = parse_ninja_deps((tmp_path / ".ninja_deps").read_bytes())
    assert [path for path in log.of("a.o") if not path.startswith("/")] == ["a.c", "a.h"]
    assert not (tmp_path / "a.o.d").exists()
