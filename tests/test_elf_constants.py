"""Every ELF number equals the one in the machine's `elf.h` (glibc), as the C preprocessor sees it."""

from __future__ import annotations

import re
import subprocess

from relive.elf import constants

_NOT_IN_ELF_H = {
    # LLVM's and Solaris' own, sizes of records, and numbers younger than glibc 2.36
    "SHT_LLVM_ADDRSIG", "SHT_LLVM_LTO", "SHT_RELR", "SHT_X86_64_UNWIND", "SHF_X86_64_LARGE", "SHN_X86_64_LCOMMON",
    "EHDR_SIZE", "PHDR_SIZE", "SHDR_SIZE", "SYM_SIZE", "RELA_SIZE", "REL_SIZE", "DYN_SIZE", "VERSYM_HIDDEN",
    "DT_RELRSZ", "DT_RELR", "DT_RELRENT", "ELFCOMPRESS_ZSTD",
    "R_X86_64_CODE_4_GOTPCRELX", "R_X86_64_CODE_4_GOTTPOFF", "R_X86_64_CODE_4_GOTPC32_TLSDESC",
}  # fmt: skip


def test_values_are_those_of_elf_h() -> None:
    names = [n for n, v in vars(constants).items() if re.fullmatch(r"[A-Z][A-Za-z0-9_]+", n) and isinstance(v, int)]
    lines = "".join(f'#ifdef {n}\n@@ "{n}" ({n})\n#endif\n' for n in names)
    text = subprocess.run(
        ["cc", "-E", "-P", "-"], input=f"#include <elf.h>\n{lines}", capture_output=True, text=True, check=True
    ).stdout
    values = dict(re.findall(r'@@ "(\w+)" \((.*)\)$', text, re.MULTILINE))
    wrong = {}
    for name, expression in values.items():
        expected = eval(expression.replace("U", "").replace("u", ""))
        if expected & 0xFFFFFFFF != getattr(constants, name):
            wrong[name] = (expression, getattr(constants, name))
    assert not wrong
    assert set(names) - set(values) - _NOT_IN_ELF_H == set()


def test_relocations_have_names() -> None:
    assert constants.RELOCATION_NAMES[constants.R_X86_64_PLT32] == "R_X86_64_PLT32"
