"""What is loaded, reading it, room near it, loading into that room, and new thread-locals."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import NoteSection

from relive.errors import TargetError
from relive.host.target import CodePatch, Module, Switch
from tests.agent_programs import Live, build, running, status_of, symbol_table, wait_for

PROGRAM = r"""
__thread int in_exe = 5;
__thread int also[7];
int answer = 41;
_Atomic long ready_at_offset;
_Atomic int called, bad_fd, count;
NOINLINE int f(void) { __asm__ volatile("nop; nop; nop; nop; nop"); return 1; }
int exit_code = 9;
void open_something(void) { bad_fd = open("/dev/null", O_RDONLY); called = 10 * called + 1; }
void second(void) { called = 10 * called + 2; }
int main(void) { in_exe++; also[0]++; ready = 1; while (!finish) { count = f(); nap(1000000); } return exit_code; }
"""
KINDS = {"pie": ["-fPIE", "-pie"], "non-pie": ["-fno-pie", "-no-pie"]}


@pytest.fixture(scope="module", params=KINDS)
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("memory"), PROGRAM, *KINDS[request.param])


def build_id(path: str) -> bytes:
    with open(path, "rb") as file:
        section = ELFFile(file).get_section_by_name(".note.gnu.build-id")
        assert isinstance(section, NoteSection)
        return bytes.fromhex(next(iter(section.iter_notes()))["n_desc"])


def test_modules_are_those_of_the_process(program: Path, tmp_path: Path) -> None:
    with running(program, tmp_path) as live:
        live.wait_ready()
        exe, *others = live.modules
        assert exe.path == str(program)
        assert exe.build_id == build_id(exe.path)
        assert (exe.base == 0) == (exe.low == 0x400000)
        assert exe.tls_module > 0
        assert exe.tls_offset is not None
        assert exe.tls_offset < 0
        names = [Path(module.path).name for module in others]
        assert "libc.so.6" in names
        assert not [name for name in names if "vdso" in name or "relive" in name]
        maps = Path(f"/proc/{live.target.pid}/maps").read_text().splitlines()
        for module in live.modules:
            rows = [line.split("-")[0] for line in maps if line.endswith(os.path.realpath(module.path))]
            assert module.low == int(rows[0], 16)
            assert module.low < module.high


def test_reading(program: Path, tmp_path: Path) -> None:
    with running(program, tmp_path) as live:
        live.wait_ready()
        target = live.target
        assert target.read(live.exe.low, 4) == b"\x7fELF"
        assert target.read_many([(live.address("answer"), 4), (live.exe.low + 1, 3), (live.exe.low, 0)]) == [
            (41).to_bytes(4, "little"), b"ELF", b"",
        ]  # fmt: skip
        with pytest.raises(TargetError, match="0x10 are not mapped"):
            target.read(0x10, 8)
        with pytest.raises(TargetError, match="not mapped"):
            target.read_many([(live.exe.low, 4), (2**64 - 8, 16)])
        assert target.read(live.exe.low, 4) == b"\x7fELF"
        assert len(target.read(live.exe.low, 4096)) == 4096


def reach(module: Module, address: int, size: int) -> int:
    return max(module.high, address + size) - min(module.low, address)


def test_reserving(program: Path, tmp_path: Path) -> None:
    """Near every module; for a non-PIE below 2 GB; what is given back can be had again, and is not shared."""
    with running(program, tmp_path) as live:
        for module in live.modules:
            size = 3 * 4096 + 5
            first = live.target.reserve((module.low, module.high), size)
            second = live.target.reserve((module.low, module.high), size)
            assert first % 4096 == second % 4096 == 0
            assert abs(first - second) >= 4 * 4096
            assert reach(module, first, size) < 2**31
            assert reach(module, second, size) < 2**31
            if module.base == 0:
                assert first + size < 2**31
            live.target.release(first, size)
            assert live.target.reserve((module.low, module.high), size) == first
            with pytest.raises(TargetError, match="not a reserved range"):
                live.target.release(first + 4096, size)
        big = live.target.reserve((live.exe.low, live.exe.high), 300 << 20)
        more = live.target.reserve((live.exe.low, live.exe.high), 300 << 20)  # outgrows what was taken at the start
        assert reach(live.exe, big, 300 << 20) < 2**31
        assert reach(live.exe, more, 300 << 20) < 2**31
        live.target.release(big, 300 << 20)
        live.target.release(more, 300 << 20)
        with pytest.raises(TargetError, match=r"no .* bytes of free address space"):
            live.target.reserve((live.exe.low, live.exe.high), 1 << 40)


def test_reserving_next_to_a_full_neighbourhood(tmp_path: Path) -> None:
    """The program itself has mapped nearly everything around its libraries: the gaps that are left are found."""
    source = r"""
    int main(void)
    {
        for (int i = 0; i < 3000; i++) mmap(0, 1 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        ready = 1;
        for (;;) pause();
    }
    """
    with running(build(tmp_path, source), tmp_path) as live:
        live.wait_ready()
        libc = next(module for module in live.modules if "libc.so" in module.path)
        for _ in range(20):
            address = live.target.reserve((libc.low, libc.high), 64 << 20)
            assert reach(libc, address, 64 << 20) < 2**31


def make_image(tmp_path: Path, address: int, source: str, name: str) -> Path:
    """A shared object with absolute addresses, as our linker makes them."""
    path = tmp_path / f"{name}.c"
    path.write_text(source)
    out = tmp_path / f"{name}.so"
    link = ["-Wl,-Ttext-segment=" + hex(address), "-Wl,-z,max-page-size=4096", "-Wl,--build-id=none"]
    subprocess.run(["gcc", "-shared", "-nostdlib", "-fPIC", "-O1", *link, "-o", str(out), str(path)], check=True)
    return out


NEW_CODE = """
static int table[3] = {20, 20, 2};
static int *where = &table[1];
int new_f(void) { return table[0] + *where + table[2]; }
"""
SIZE = 64 << 10


def redirect(live: Live, function: str, to: int) -> CodePatch:
    address = live.address(function)
    jump = b"\xe9" + (to - address - 5).to_bytes(4, "little", signed=True)
    return CodePatch(address, live.target.read(address, 5), jump)


def test_loading_new_code(program: Path, tmp_path: Path) -> None:
    with running(program, tmp_path) as live:
        live.wait_ready()
        for n in range(3):
            address = live.target.reserve((live.exe.low, live.exe.high), SIZE)
            image = make_image(tmp_path, address, NEW_CODE.replace("2}", f"{2 + n}}}"), f"new{n}")
            live.target.load(str(image), address, SIZE)
            new_f = symbol_table(image)["new_f"]
            assert address <= new_f < address + SIZE
            assert live.target.switch(Switch(code=(redirect(live, "f", new_f),), timeout_ms=60_000)).status == "done"
            wait_for(lambda n=n: live.value("count") == 42 + n, "new code")  # type: ignore[misc]
            loaded = live.target.modules()[-1]
            assert (loaded.path, loaded.base, loaded.low) == (str(image), 0, address)
            with pytest.raises(TargetError, match="not a reserved range"):
                live.target.release(address, SIZE)


def test_loading_what_cannot_be_loaded(program: Path, tmp_path: Path) -> None:
    """The room stays ours, and the next try works."""
    with running(program, tmp_path) as live:
        live.wait_ready()
        target = live.target
        address = target.reserve((live.exe.low, live.exe.high), SIZE)
        modules = target.modules()
        with pytest.raises(TargetError, match="cannot open shared object"):
            target.load(str(tmp_path / "nosuch.so"), address, SIZE)
        (tmp_path / "text.so").write_text("hello")
        with pytest.raises(TargetError, match=r"file too short|invalid ELF"):
            target.load(str(tmp_path / "text.so"), address, SIZE)
        elsewhere = make_image(tmp_path, 0x1000000, NEW_CODE, "elsewhere")
        with pytest.raises(TargetError, match="did not put the file"):
            target.load(str(elsewhere), address, SIZE)
        good = make_image(tmp_path, address, NEW_CODE, "good")
        with pytest.raises(TargetError, match="not reserved"):
            target.load(str(good), address + (1 << 20), SIZE)
        with pytest.raises(TargetError, match="not reserved"):
            target.load(str(good), address, SIZE * 4)
        assert target.modules() == modules
        target.load(str(good), address, SIZE)
        with pytest.raises(TargetError, match="not reserved"):
            target.load(str(good), address, SIZE)


def test_lookup_and_libraries(program: Path, tmp_path: Path) -> None:
    with running(program, tmp_path) as live:
        live.wait_ready()
        target = live.target
        found = target.lookup([b"printf", b"atexit", b"pthread_atfork", b"nosuchthing", b"cbrt", b"", b"a\0b"])
        libc = next(module for module in live.modules if "libc.so" in module.path)
        assert libc.low <= found[0] < libc.high
        assert found[1]
        assert found[2]
        assert found[3:] == [0, 0, 0, 0]
        assert not target.open_library("libnosuch.so.1")
        assert target.open_library("libm.so.6")
        assert target.lookup([b"cbrt"])[0]
        assert any("libm.so" in module.path for module in target.modules())


def test_calls_run_in_order_with_the_programs_descriptors(program: Path, tmp_path: Path) -> None:
    with running(program, tmp_path) as live:
        live.wait_ready()
        live.target.call([live.address(name) for name in ("open_something", "second", "open_something")])
        assert live.value("called") == 121
        assert live.value("bad_fd") == 4  # 3 was opened by the first of the two calls
        assert Path(f"/proc/{live.target.pid}/fd/4").readlink() == Path("/dev/null")
        live.target.call([])


def test_atexit_stand_in(program: Path, tmp_path: Path) -> None:
    """A function registered by new code runs when the program ends."""
    with running(program, tmp_path) as live:
        live.wait_ready()
        address = live.target.reserve((live.exe.low, live.exe.high), SIZE)
        atexit, _exit = live.target.lookup([b"atexit", b"_exit"])
        source = (
            f"static void end(void) {{ ((void (*)(int)){_exit:#x})(33); }}\n"
            f"void begin(void) {{ ((int (*)(void (*)(void))){atexit:#x})(end); }}\n"
        )
        image = make_image(tmp_path, address, source, "ending")
        live.target.load(str(image), address, SIZE)
        live.target.call([symbol_table(image)["begin"]])
        live.set("finish", 1)
        assert status_of(live.launched) == 33


THREADS = r"""
_Atomic int go, good, sum, offset = -100000;
static void *reader(void *u)
{
    ready++;
    while (!go) nap(1000000);
    char *tp;
    __asm__("mov %%fs:0,%0" : "=r"(tp));
    int *variable = (int *)(tp + offset);
    sum += *variable;
    *variable += 1;
    if (u) { pthread_t t = thread(reader, 0); pthread_join(t, 0); }
    ready++;
    while (!finish) nap(1000000);
    return 0;
}
static void *maker(void *u) { for (int i = 0; i < 200 && !go; i++) { thread(reader, 0); nap(300000); } return u; }
int main(int argc, char **argv)
{
    (void)argv;
    pthread_t t[4];
    for (int i = 0; i < 4; i++) t[i] = thread(reader, (void *)1);
    if (argc > 1) thread(maker, 0);
    for (int i = 0; i < 4; i++) pthread_join(t[i], 0);
    return 6;
}
"""


def test_new_thread_locals(tmp_path: Path) -> None:
    """Four threads that live get the initial value, and so do four that they start later; each has its own."""
    with running(build(tmp_path, THREADS), tmp_path) as live:
        live.wait_ready(4)
        pool = live.target.tls_pool()
        assert pool.size == 4096
        assert pool.tls_module > 0
        assert live.target.modules()[0].tls_offset != pool.tp_offset
        live.target.tls_install(256, (1000).to_bytes(4, "little"))
        live.set("offset", pool.tp_offset + 256)
        live.set("go", 1)
        wait_for(lambda: live.value("ready") == 12, "threads")  # 8 have begun, the 4 later ones have counted
        assert live.value("sum") == 8000
        live.target.tls_install(4000, b"x" * 96)
        for offset, image in ((4000, b"x" * 97), (4096, b"x"), (2**63, b"x")):
            with pytest.raises(TargetError, match="pool for new thread-local variables is full"):
                live.target.tls_install(offset, image)


def test_new_thread_locals_while_threads_are_made(tmp_path: Path) -> None:
    with running(build(tmp_path, THREADS), tmp_path, "makers") as live:
        live.wait_ready(8)
        pool = live.target.tls_pool()
        for n in range(8):
            live.target.tls_install(8 * n, (7).to_bytes(4, "little"))
        live.set("offset", pool.tp_offset + 56)
        live.set("go", 1)
        wait_for(lambda: live.value("sum") >= 7 * 8, "sums")
        assert live.value("sum") % 7 == 0
