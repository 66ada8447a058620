"""How each real program is built, as its own authors build it: steps and the finished executable.

Values only; `fetch` carries them out. Everything is built for debugging, with a compile_commands.json (`bear` where the
build is make). The Debian packages that they need are in tools/debian-packages.txt."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """One command of a build; ``cwd`` is relative to the source tree and made when it is missing."""

    argv: tuple[str, ...]
    cwd: str = "."
    env: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Recipe:
    """A program: where its sources come from and what makes an executable of them."""

    name: str
    source_package: str
    steps: tuple[Step, ...]
    build_dir: str
    """Holds compile_commands.json; relative to the source tree, as the next two."""
    executable: str
    rebuild: Step
    """The program's own incremental build of the executable: what a developer types after an edit."""
    links: tuple[tuple[str, str], ...] = ()
    """Symbolic links to make afterwards: (where, to what)."""


def _bear(*make: str) -> tuple[str, ...]:
    return ("bear", "--output", "compile_commands.json", "--", *make)


_REDIS_MAKE = (
    *("make", "-C", "src", "-j2", "MALLOC=libc", "OPTIMIZATION=-O0", "DEBUG=-g -ggdb"),
    *("redis-server", "redis-cli", "redis-benchmark"),
)
REDIS = Recipe(
    name="redis",
    source_package="redis",
    steps=(Step(_bear(*_REDIS_MAKE)),),
    build_dir=".",
    executable="src/redis-server",
    rebuild=Step(_REDIS_MAKE),
)

MEMCACHED = Recipe(
    name="memcached",
    source_package="memcached",
    steps=(
        Step(("../configure", "--disable-docs"), cwd="build", env=(("CFLAGS", "-g -O0"),)),
        Step(_bear("make", "-j2", "memcached"), cwd="build"),
    ),
    build_dir="build",
    executable="build/memcached",
    rebuild=Step(("make", "-j2", "memcached"), cwd="build"),
)

_LUA_MAKE = (
    *("make", "-C", "src", "-j2", "lua", "CFLAGS=-g -O0 -Wall -std=gnu99 -DLUA_COMPAT_5_3 -DLUA_USE_LINUX"),
    "MYLIBS=-Wl,-E -ldl",
)
LUA = Recipe(
    name="lua5.4",
    source_package="lua5.4",
    steps=(Step(_bear(*_LUA_MAKE)),),
    build_dir=".",
    executable="src/lua",
    rebuild=Step(_LUA_MAKE),
)

CHOCOLATE_DOOM = Recipe(
    name="chocolate-doom",
    source_package="chocolate-doom",
    steps=(
        Step(
            (
                *("cmake", "-G", "Ninja", "-S", ".", "-B", "build", "-DCMAKE_BUILD_TYPE=Debug"),
                *("-DCMAKE_C_FLAGS_DEBUG=-g -O0", "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON"),
            )
        ),
        Step(("ninja", "-j2", "-C", "build", "chocolate-doom")),
    ),
    build_dir="build",
    executable="build/src/chocolate-doom",
    rebuild=Step(("ninja", "-j2", "-C", "build", "chocolate-doom")),
)

TEEWORLDS = Recipe(
    name="teeworlds",
    source_package="teeworlds",
    steps=(
        Step(
            (
                *("cmake", "-G", "Ninja", "-S", ".", "-B", "build", "-DCMAKE_BUILD_TYPE=Debug"),
                *("-DCMAKE_CXX_FLAGS_DEBUG=-g -O0", "-DCMAKE_C_FLAGS_DEBUG=-g -O0", "-DCLIENT=OFF"),
                *("-DDOWNLOAD_GTEST=OFF", "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON"),
            )
        ),
        Step(("ninja", "-j2", "-C", "build", "teeworlds_srv")),
    ),
    build_dir="build",
    executable="build/teeworlds_srv",
    rebuild=Step(("ninja", "-j2", "-C", "build", "teeworlds_srv")),
    links=(("build/data/maps", "data/maps"),),
)

OPENTTD = Recipe(
    name="openttd",
    source_package="openttd",
    steps=(
        Step(
            (
                *("cmake", "-G", "Ninja", "-S", ".", "-B", "build", "-DCMAKE_BUILD_TYPE=Debug"),
                *("-DCMAKE_CXX_FLAGS_DEBUG=-g -O0", "-DOPTION_DEDICATED=ON", "-DOPTION_USE_ASSERTS=ON"),
                "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON",
            )
        ),
        Step(("ninja", "-j2", "-C", "build", "openttd")),
    ),
    build_dir="build",
    executable="build/openttd",
    rebuild=Step(("ninja", "-j2", "-C", "build", "openttd")),
    # Without graphics the game does not start, though nobody looks at them.
    links=(("build/baseset/opengfx", "/usr/share/games/openttd/baseset/opengfx"),),
)

RECIPES = {recipe.name: recipe for recipe in (REDIS, MEMCACHED, LUA, CHOCOLATE_DOOM, TEEWORLDS, OPENTTD)}
