"""Runs all benchmarks, or those named."""

from __future__ import annotations

import importlib
import sys

NAMES = ("save_to_live", "fast_way", "quick_build", "pause", "startup", "memory", "overhead")


def main() -> int:
    names = sys.argv[1:] or NAMES
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        print(f"no such benchmark: {', '.join(unknown)}; there are: {', '.join(NAMES)}", file=sys.stderr)
        return 2
    for name in names:
        importlib.import_module(f"benchmarks.{name}").run()
    return 0


sys.exit(main())
