"""Ed25519 keys of nodes and the aggregator, and the bytes that are signed.

A private key is a PEM file ``<name>.key`` readable by its owner only, a public key a PEM file ``<name>.pub``.
A slash in a name becomes two underscores in the file's name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from services.runtime.atomic import write_atomic
from services.runtime.errors import SettingsError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")
_NULL = b"\xff\xff\xff\xff"


@dataclass(frozen=True, slots=True)
class VerifyKey:
    """A public key."""

    public: Ed25519PublicKey

    def verify(self, signature: bytes, data: bytes) -> bool:
        """Whether `signature` over `data` was made with the private half."""
        try:
            self.public.verify(signature, data)
        except InvalidSignature:
            return False
        return True

    def to_pem(self) -> bytes:
        """As a PEM file."""
        return self.public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key; its text form never shows it."""

    private: Ed25519PrivateKey

    @classmethod
    def generate(cls) -> SigningKey:
        """A new random key."""
        return cls(Ed25519PrivateKey.generate())

    def sign(self, data: bytes) -> bytes:
        """The signature over `data`, 64 bytes; the same data gives the same signature."""
        return self.private.sign(data)

    @property
    def verify_key(self) -> VerifyKey:
        """The public half."""
        return VerifyKey(self.private.public_key())

    def to_pem(self) -> bytes:
        """As a PEM file without a password."""
        return self.private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


def canonical_bytes(
    topic: str, key: bytes | None, headers: Iterable[tuple[str, bytes]], value: bytes | None
) -> bytes:
    """What is signed: topic, key, name and value of each header sorted by name, value.

    Each has its length before it as 4 bytes, big-endian; a null is the length ffffffff alone, so that no two
    records share their bytes.
    """
    parts: list[bytes | None] = [topic.encode(), key]
    for name, content in sorted(headers):
        parts += [name.encode(), content]
    parts.append(value)
    return b"".join(_NULL if part is None else len(part).to_bytes(4, "big") + part for part in parts)


def file_stem(name: str) -> str:
    """File name of a key without its ending, e.g. ``plant-a__w1`` for ``plant-a/w1``.

    Raises:
        SettingsError: the name has other characters than letters, digits, ``. _ / -``, or two underscores.
    """
    if not _NAME.fullmatch(name) or "__" in name or ".." in name:
        raise SettingsError(
            f"key name {name!r}: use letters, digits, '.', '_', '-' and '/', "
            f"at most 200 characters, without '__' and '..'"
        )
    return name.replace("/", "__")


def create_key(directory: Path, name: str) -> tuple[Path, Path]:
    """Make a key pair ``<name>.key`` (mode 0600) and ``<name>.pub`` in `directory`.

    Returns:
        The paths of the private and the public key.

    Raises:
        SettingsError: the name is not usable, or the key exists already (it is never overwritten).
    """
    stem = file_stem(name)
    private, public = directory / f"{stem}.key", directory / f"{stem}.pub"
    if private.exists():
        raise SettingsError(f"{private} exists: delete it first if you really want a new key for {name!r}")
    key = SigningKey.generate()
    # The private half last: a kill in between leaves nothing that keeps the next try from making both.
    write_atomic(public, key.verify_key.to_pem(), mode=0o644)
    write_atomic(private, key.to_pem(), mode=0o600)
    return private, public


def load_signing_key(path: Path) -> SigningKey:
    """Read a private key.

    Raises:
        SettingsError: the file is missing, unreadable or not an Ed25519 private key.
    """
    try:
        key = serialization.load_pem_private_key(_read(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise SettingsError(f"{path} is not a private key: make one with `streamgauge keys create`") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise SettingsError(f"{path} is not an Ed25519 key: make one with `streamgauge keys create`")
    return SigningKey(key)


def load_verify_key(path: Path) -> VerifyKey:
    """Read a public key.

    Raises:
        SettingsError: the file is missing, unreadable or not an Ed25519 public key.
    """
    try:
        key = serialization.load_pem_public_key(_read(path))
    except (ValueError, UnsupportedAlgorithm):
        raise SettingsError(
            f"{path} is not a public key: copy the .pub file made by `streamgauge keys create`"
        ) from None
    if not isinstance(key, Ed25519PublicKey):
        raise SettingsError(f"{path} is not an Ed25519 key: copy the .pub file made by `streamgauge keys create`")
    return VerifyKey(key)


def load_verify_keys(directory: Path) -> dict[str, VerifyKey]:
    """Read all public keys ``*.pub`` of a directory, by name.

    Raises:
        SettingsError: the directory is missing or one of the files is not a key.
    """
    if not directory.is_dir():
        raise SettingsError(
            f"{directory} is not a directory: make it and enrol keys with `streamgauge keys enrol`"
        )
    return {path.stem.replace("__", "/"): load_verify_key(path) for path in sorted(directory.glob("*.pub"))}


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(f"key {path}: {error.strerror}") from None
