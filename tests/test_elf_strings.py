"""The name index finds what a dictionary finds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relive.elf import strings
from relive.elf.strings import NameIndex, hash_name, hash_names

NAMES = st.lists(st.binary(max_size=40).filter(lambda n: 0 not in n and b"@" not in n), min_size=1, max_size=60)


def table_of(names: list[bytes]) -> tuple[strings.U8, strings.U32]:
    offsets = np.cumsum([1, *(len(n) + 1 for n in names)])[:-1].astype(np.uint32)
    return np.frombuffer(b"\0" + b"".join(n + b"\0" for n in names), dtype=np.uint8), offsets


@given(NAMES)
def test_every_name_leads_to_its_rows(names: list[bytes]) -> None:
    data, offsets = table_of(names)
    index = NameIndex.build(data, offsets, np.arange(len(names)))
    for name in names:
        assert set(index.candidates(name)) >= {k for k, n in enumerate(names) if n == name}
    assert index.candidates(b"no such name") == []


@given(NAMES, st.data())
def test_hash_does_not_depend_on_place_order_or_stretch(names: list[bytes], data: st.DataObject) -> None:
    table, offsets = table_of(names)
    order = np.array(data.draw(st.permutations(range(len(names)))))
    expected = [hash_name(name) for name in names]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strings, "_STRETCH", data.draw(st.sampled_from([1, 2, 7, 64, 1 << 20])))
        assert hash_names(table, offsets).tolist() == expected
        assert hash_names(table, offsets[order]).tolist() == [expected[k] for k in order]


def test_names_that_share_tails_and_carry_versions() -> None:
    table = np.frombuffer(b"\0printf@GLIBC_2.2.5\0f@@V2\0", dtype=np.uint8)
    assert hash_names(table, np.array([1, 4, 20, 0])).tolist() == [
        hash_name(b"printf"),
        hash_name(b"ntf"),
        hash_name(b"f"),
        hash_name(b""),
    ]


def test_very_long_names() -> None:
    names = [b"x" * 3_000_000, b"y" * 300, b"x" * 2_999_999 + b"z"]
    data, offsets = table_of(names)
    index = NameIndex.build(data, offsets, np.arange(3))
    assert [index.candidates(n) for n in names] == [[0], [1], [2]]


def test_many_names_of_equal_hash_are_all_candidates() -> None:
    data, _ = table_of([b"same"])
    index = NameIndex.build(data, np.ones(5000, dtype=np.uint32), np.arange(5000))
    assert index.candidates(b"same") == list(range(5000))
