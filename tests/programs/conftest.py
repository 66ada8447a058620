"""Each program is one fixture: its built tree, ours alone for the length of a test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.programs.fetch import Tree, checkout


@pytest.fixture
def redis_tree() -> Iterator[Tree]:
    with checkout("redis") as tree:
        yield tree


@pytest.fixture
def memcached_tree() -> Iterator[Tree]:
    with checkout("memcached") as tree:
        yield tree


@pytest.fixture
def lua_tree() -> Iterator[Tree]:
    with checkout("lua5.4") as tree:
        yield tree


@pytest.fixture
def doom_tree() -> Iterator[Tree]:
    with checkout("chocolate-doom") as tree:
        yield tree


@pytest.fixture
def teeworlds_tree() -> Iterator[Tree]:
    with checkout("teeworlds") as tree:
        yield tree


@pytest.fixture
def openttd_tree() -> Iterator[Tree]:
    with checkout("openttd") as tree:
        yield tree
