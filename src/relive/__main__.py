"""`python -m relive` is the `relive` command."""

from __future__ import annotations

from relive.cli.main import entry

if __name__ == "__main__":
    entry()
