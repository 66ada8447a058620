"""`relive status`: what is live, what is queued, what is refused and why."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from relive.cli import options
from relive.errors import Refusal
from relive.ui.plain import Plain

FIRST = ("generation", "watching", "queued", "refused", "refusals", "message", "reason", "last", "modules")
"""Told in words of their own (or told already); what else the engine reports follows as it comes."""


def parser() -> argparse.ArgumentParser:
    made = options.parser("status", "Tell what is live, what is queued, what is refused and why.")
    options.add_control(made)
    return made


def main(arguments: argparse.Namespace) -> int:
    answer = options.ask(arguments, "status")
    if arguments.json:
        print(json.dumps(answer["result"], ensure_ascii=False))
    else:
        sys.stdout.write(describe(answer["result"]))
    return int(answer["exit"])


def describe(status: Mapping[str, Any]) -> str:
    """The status for people; one fact a line."""
    face = Plain(sys.stdout, environ=os.environ, directory=os.getcwd())
    lines = [f"generation {status['generation']}"]
    if not status.get("watching", True):
        lines.append(f"no reloads: {status.get('reason', '')}")
    lines += [f"queued: {file}" for file in status.get("queued", ())]
    lines += [face.refusal(Refusal(**refusal)).rstrip("\n") for refusal in status.get("refused", ())]
    lines += status["message"].splitlines() if status.get("message") else []
    lines += [f"module {module['path']} at {module['base']:#x}" for module in status.get("modules", ())]
    for name, value in status.items():
        if name not in FIRST and value not in ({}, []):
            lines += _value(name.replace("_", " "), value)
    return "\n".join(lines) + "\n"


def _value(name: str, value: object) -> list[str]:
    if isinstance(value, dict):
        return [f"{name}:"] + [line for key, inner in value.items() for line in _indented(_value(str(key), inner))]
    if isinstance(value, list):
        return [f"{name}:"] + ["  " + (_flat(item) if isinstance(item, dict) else str(item)) for item in value]
    return [f"{name}: {value}"]


def _flat(fields: Mapping[str, object]) -> str:
    return ", ".join(f"{key} {value}" for key, value in fields.items())


def _indented(lines: list[str]) -> list[str]:
    return ["  " + line for line in lines]
