"""Keys on the command line: make a pair, enrol a node."""

from __future__ import annotations

from pathlib import Path

from services.runtime.atomic import write_atomic
from services.runtime.errors import SettingsError
from services.runtime.lifecycle import run_command
from services.runtime.signing import create_key, load_verify_key


def enrol(public_key: Path, directory: Path) -> Path:
    """Copy a node's public key into the aggregator's directory; the file's name is the node's name.

    Returns:
        The new file.

    Raises:
        SettingsError: the file is not a public key, or another key of that name is enrolled already.
    """
    if public_key.suffix != ".pub":
        raise SettingsError(f"{public_key} does not end in .pub: only the public half leaves the node")
    pem = load_verify_key(public_key).to_pem()
    target = directory / public_key.name
    if target.exists() and load_verify_key(target).to_pem() != pem:
        raise SettingsError(
            f"another key of {node_name(target)} is enrolled as {target}: "
            f"delete it first if the node really has a new one"
        )
    write_atomic(target, pem, mode=0o644)
    return target


def node_name(public_key: Path) -> str:
    """The name that a key's file stands for, e.g. ``plant-a/1`` for ``plant-a__1.pub``."""
    return public_key.stem.replace("__", "/")


def create_command(name: str, directory: Path) -> int:
    """`streamgauge keys create`; returns the exit code."""

    def command() -> int:
        private, public = create_key(directory, name)
        print(f"private key of {name}: {private} (keep it on this machine)")
        print(f"public key of {name}:  {public} (copy it to the other side;")
        print("    a node's is enrolled at the aggregator with `streamgauge keys enrol`)")
        return 0

    return run_command(command, OSError)


def enrol_command(public_key: Path, directory: Path) -> int:
    """`streamgauge keys enrol`; returns the exit code."""

    def command() -> int:
        target = enrol(public_key, directory)
        print(f"{node_name(target)} is enrolled: {target}")
        return 0

    return run_command(command, OSError)
