"""JSON Schemas of all messages, for whoever reads the topics with other tools."""

from __future__ import annotations

import json
from pathlib import Path

from schemas import MESSAGES, Message


def json_schema(message: type[Message]) -> str:
    """The JSON Schema of a message as text; the same build gives the same text."""
    schema = message.model_json_schema()
    identity = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"{message.TYPE}.v{message.VERSION}",
    }
    return json.dumps({**schema, **identity}, indent=2, sort_keys=True) + "\n"


def file_name(message: type[Message]) -> str:
    """Name of a message's schema file: its type as in the header ``ce_type``."""
    return f"{message.TYPE}.v{message.VERSION}.json"


def export(directory: Path) -> list[Path]:
    """Write one file for each message and remove those of messages that are no more; returns the files."""
    directory.mkdir(parents=True, exist_ok=True)
    written = [directory / file_name(message) for message in MESSAGES]
    for stale in set(directory.glob("*.json")) - set(written):
        stale.unlink()
    for path, message in zip(written, MESSAGES, strict=True):
        path.write_text(json_schema(message), encoding="utf-8")
    return written
