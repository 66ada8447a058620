"""Everything that refers to a function is found, and nothing else; in programs as compilers and linkers make them."""

from __future__ import annotations

import struct
import subprocess
import tempfile
from pathlib import Path

import pytest

from relive.arch import x86_64
from relive.errors import RefusedError
from relive.host.fake import FakeTarget
from relive.host.target import CodePatch, PointerRewrite, Switch
from relive.session.callsites import referring_code, referring_data
from relive.session.modules import ModuleState
from tests import small
from tests.fake_process import Session, loaded, module_of

SOURCE = """
__attribute__((noinline, noclone)) int spin(int x) { return x * 3 + 1; }
__attribute__((noinline, noclone)) int other(int x) { return x * 5 + 1; }
int (*const table[])(int) = {other, spin, other, spin};
int (*writable)(int) = spin;
int by_call(int x) { return spin(x) + spin(x + 1) + other(x); }
int by_jump(int x) { return spin(x + 2); }
int by_condition(int x) { if (x > 3) return spin(x); return other(x); }
int (*by_address(void))(int) { return spin; }
int main(int c, char **v) { return by_call(c) + by_jump(c) + by_address()(c) + table[c & 3](c) + by_condition(c); }
"""
NEW = 0x40_0000  # from the home


class Program:
    """A program, and what changes when `spin` goes elsewhere."""

    def __init__(
        self, folder: Path, source: str, *flags: str, link: tuple[str, ...] = (), compiler: str = "gcc"
    ) -> None:
        self.path = small.build(folder, {"main.c": source}, flags=("-g", *flags), link=link, compiler=compiler)
        self.target = loaded(self.path)
        self.module: ModuleState = module_of(self.target)
        self.home = self.address("spin")
        self.new = self.home + NEW

    def address(self, name: str) -> int:
        (row,) = self.module.image.find_any(name.encode())
        return self.module.address(int(self.module.image.symbols.value[row]))

    def size(self, name: str) -> int:
        (row,) = self.module.image.find_any(name.encode())
        return int(self.module.image.symbols.size[row])

    def code(self) -> list[CodePatch]:
        return referring_code(self.target, [self.module], (), self.home, self.new)

    def inside(self, function: str) -> int:
        """How many of the code changes lie in a function."""
        low = self.address(function)
        return sum(low <= patch.address < low + self.size(function) for patch in self.code())

    def instructions(self, function: str) -> list[tuple[str, str]]:
        """(mnemonic, operands) of a function as it is in memory, by objdump."""
        low, size = self.address(function), self.size(function)
        return disassembled(self.target.read(low, size), low)


def disassembled(code: bytes, address: int) -> list[tuple[str, str]]:
    words = ["objdump", "-D", "-b", "binary", "-m", "i386:x86-64", "--no-show-raw-insn", f"--adjust-vma={address:#x}"]
    with tempfile.NamedTemporaryFile() as raw:
        raw.write(code)
        raw.flush()
        done = subprocess.run([*words, raw.name], capture_output=True, text=True, check=True)
    lines = [line.split("\t", 1)[1] for line in done.stdout.splitlines() if "\t" in line]
    return [(line.split(None, 1)[0], line.split(None, 1)[1] if " " in line.strip() else "") for line in lines]


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("flags", [("-O0",), ("-O2", "-ffunction-sections")], ids=" ".join)
def test_calls_jumps_and_addresses(tmp_path: Path, compiler: str, flags: tuple[str, ...]) -> None:
    program = Program(tmp_path / "p", SOURCE, *flags, compiler=compiler)
    assert program.inside("by_call") == 2
    assert program.inside("by_jump") == 1
    assert program.inside("by_condition") == 1
    assert program.inside("by_address") == 1
    assert program.inside("other") == program.inside("spin") == 0
    patches = program.code()
    assert all(len(p.expected) == len(p.replacement) <= 16 for p in patches)
    assert all(program.target.read(p.address, len(p.expected)) == p.expected for p in patches)
    before = {name: program.instructions(name) for name in ("by_call", "by_jump", "by_address", "by_condition")}
    assert program.target.switch(Switch(code=tuple(patches))).status == "done"
    for name, old in before.items():
        new = program.instructions(name)
        assert [m for m, _ in new] == [m for m, _ in old], "the same instructions"
        differing = [(a, b) for (_, a), (_, b) in zip(old, new, strict=True) if a != b]
        assert len(differing) == (2 if name == "by_call" else 1)
        assert all(f"{program.home:x}" in a and f"{program.new:x}" in b for a, b in differing)
    assert program.code() == [], "nothing refers to the old one any more"


def test_a_program_at_fixed_addresses_holds_them_as_immediates(tmp_path: Path) -> None:
    program = Program(tmp_path / "p", SOURCE, "-O0", "-fno-pie", link=("-no-pie",))
    assert program.module.base == 0
    assert program.inside("by_address") == 1
    low = program.address("by_address")
    (patch,) = (p for p in program.code() if low <= p.address < low + program.size("by_address"))
    assert patch.expected[:1] == b"\xb8"
    assert patch.replacement == b"\xb8" + struct.pack("<i", program.new)


def test_pointers_in_read_only_memory(tmp_path: Path) -> None:
    for flags, link in (((), ()), (("-fno-pie",), ("-no-pie",)), ((), ("-Wl,-z,now",))):
        program = Program(tmp_path / f"p{len(link)}{''.join(flags + link)[-4:]}", SOURCE, "-O0", *flags, link=link)
        stores = referring_data(program.target, [program.module], (), program.home, program.new)
        table = program.address("table")
        assert [s.address for s in stores if table <= s.address < table + 32] == [table + 8, table + 24]
        assert program.address("writable") not in {s.address for s in stores}, "that is a pointer rewrite"
        assert all(s.expected == struct.pack("<Q", program.home) for s in stores)
        assert all(s.replacement == struct.pack("<Q", program.new) for s in stores)
        assert program.target.switch(Switch(stores=tuple(stores))).status == "done"
        assert referring_data(program.target, [program.module], (), program.home, program.new) == []
        rewritten = program.target.switch(Switch(rewrites=(PointerRewrite(program.home, program.new),)))
        assert rewritten.rewritten >= 1
        assert program.target.read(program.address("writable"), 8) == struct.pack("<Q", program.new)


def test_bytes_that_only_look_like_a_reference(tmp_path: Path) -> None:
    # Immediates that happen to be the distance to spin.
    text = (
        SOURCE
        + """
    __attribute__((naked)) void decoy(void) {
        __asm__("movl $spin - 1f, %eax\\n1: movl $spin - 2f, 5(%rbp)\\n2: addl $spin - 3f, %eax\\n3:\\n"
                "movb $1, spin(%rip)\\n movabsq $0x5b8e811111111, %rcx\\n ret");
    }"""
    )
    program = Program(tmp_path / "p", text, "-O0")
    assert program.inside("decoy") == 0
    assert program.inside("by_call") == 2


def test_a_jump_of_two_bytes_is_refused(tmp_path: Path) -> None:
    source = """__attribute__((noinline, noclone)) static int spin(int x) { __asm__ volatile ("" : "+r"(x)); return x; }
    int near(int x) { return spin(x + 1); }
    int main(int c, char **v) { return near(c); }"""
    program = Program(tmp_path / "p", source, "-O2")
    code = program.target.read(program.address("near"), program.size("near"))
    assert b"\xeb" in code, "the assembler made a short jump of the tail call"
    with pytest.raises(RefusedError) as error:
        program.code()
    (refusal,) = error.value.refusals
    assert refusal.code == "entry-not-patchable"
    assert "near" in refusal.reason
    # When `near` is replaced as well, now or before, nobody enters that code any more.
    near = program.address("near")
    found = referring_code(program.target, [program.module], (), program.home, program.new, {near})
    assert not [p for p in found if near <= p.address < near + program.size("near")]
    jump = CodePatch(near, code[:5], x86_64.redirect(near, program.new))
    program.target.switch(Switch(code=(jump,)))
    assert program.code() == found


def test_a_loop_to_its_own_entry_is_no_reference(tmp_path: Path) -> None:
    source = """__attribute__((naked)) void spin(void) { __asm__("incl %eax\\n jne spin\\n loop spin\\n ret"); }
    int main(void) { spin(); return 0; }"""
    program = Program(tmp_path / "p", source, "-O0")
    assert [program.inside(name) for name in ("spin", "main")] == [0, 1]


def test_code_of_earlier_patches(tmp_path: Path) -> None:
    program = Program(tmp_path / "p", SOURCE, "-O0")
    at = program.module.high + 0x1000
    code = bytearray(b"\xcc" * 64)

    def put(offset: int, head: bytes) -> None:
        distance = program.home - (at + offset + len(head) + 4)
        code[offset : offset + len(head) + 4] = head + struct.pack("<i", distance)

    put(0, b"\xe8")
    put(8, b"\xe9")
    put(16, b"\x0f\x84")
    put(24, b"\x48\x8d\x05")
    put(40, b"\x48\xc7\x05")  # a store to it: no reference that can be meant
    program.target.memory[at] = code + struct.pack("<QQ", program.home, program.home + 1)
    found = referring_code(program.target, [], [(at, len(code))], program.home, program.new)
    assert [p.address - at for p in found] == [0, 8, 16, 24]
    assert [len(p.expected) for p in found] == [5, 5, 6, 7]
    data = referring_data(program.target, [], [(at, len(code) + 16)], program.home, program.new)
    assert [d.address - at for d in data] == [64]


# --- the whole story --------------------------------------------------------------------------------------------------

LOOP = """__attribute__((naked)) void spin(void)
{ __asm__("1: incl %%eax\\n nop\\n decl %%ecx\\n jne 1b + 2\\n movl $%d, %%eax\\n ret"); }
"""
REST = """extern void spin(void); void (*const table[])(void) = {spin%s}; void (*pointer)(void) = spin;
void user(void) { spin();%s } void wrapper(void) { spin(); }
int main(void) { user(); wrapper(); table[0](); pointer(); return 0; }
"""


def test_a_new_home_by_a_reload(tmp_path: Path) -> None:
    session = Session(tmp_path, {"spin.c": LOOP % 1, "rest.c": REST % ("", "")})
    result = session.save({"spin.c": LOOP % 2})
    assert (result.status, result.functions) == ("applied", ("spin",)), result
    assert any("its callers were rewritten" in note for note in result.notes)
    home = session.address("spin")
    assert session.destination("spin") is None
    assert not _references(session, home)
    entry = int.from_bytes(session.target.read(session.address("table"), 8), "little")
    assert session.target.read(session.address("pointer"), 8) == struct.pack("<Q", entry)
    first = _jump(session.target, entry)
    # From now on the entry is an ordinary one.
    result = session.save({"spin.c": LOOP % 3})
    assert result.status == "applied"
    assert _jump(session.target, entry) not in (None, first)
    session.engine.undo(0)
    assert session.whole_memory() == session.start


def test_a_new_home_together_with_those_who_use_it(tmp_path: Path) -> None:
    # The user's entry is redirected, and the table is stored anew: neither is changed a second time in its middle.
    text = "extern void spin(void); void one(void), two(void);\nvoid (*const table[2])(void) = {spin, %s};\n"
    text += '__attribute__((naked)) void user(void) { __asm__("call spin\\n movl $%d, %%%%eax\\n ret"); }\n'
    text += "void wrapper(void) { spin(); } void one(void) {} void two(void) {}\n"
    text += "int main(void) { user(); wrapper(); table[1](); return 0; }\n"
    session = Session(tmp_path, {"spin.c": LOOP % 1, "rest.c": (text % ("one", 1)).replace("%%", "%")})
    result = session.save({"spin.c": LOOP % 2, "rest.c": (text % ("two", 2)).replace("%%", "%")})
    assert result.status == "applied", result
    assert "spin" in result.functions
    assert not _references(session, session.address("spin"), besides="user")
    session.engine.undo()
    assert session.whole_memory() == session.start


def _jump(target: FakeTarget, entry: int) -> int | None:
    code = target.read(entry, 5)
    return entry + 5 + int.from_bytes(code[1:], "little", signed=True) if code[:1] == b"\xe9" else None


def _references(session: Session, home: int, besides: str | None = None) -> list[int]:
    module = module_of(session.target)
    found = [p.address for p in referring_code(session.target, [module], (), home, home + NEW)]
    found += [d.address for d in referring_data(session.target, [module], (), home, home + NEW)]
    skipped = session.address(besides) if besides else 0
    return [at for at in found if not skipped <= at < skipped + 5]
