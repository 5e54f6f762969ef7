"""What all messages share: frozen, versioned, strict for writers, lenient for readers."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")]
"""Name of a node, site, federation, detector or rule: letters, digits, ``. _ / -``."""
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256 digest in lower-case hexadecimal."""
Count = Annotated[int, Field(ge=0)]
"""A number of things, never negative."""
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""A duration in seconds, finite and not negative."""
Finite = Annotated[float, Field(allow_inf_nan=False)]
"""A finite number."""


class UnsupportedVersionError(ValueError):
    """A message's major version is neither the current one nor the one before it."""


class Part(BaseModel):
    """A nested part of a message: frozen; unknown fields are refused when written."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


class Message(Part):
    """A message: construct it to write (unknown fields are refused), `read` it to receive.

    ``TYPE`` goes into the CloudEvents header ``ce_type``; ``VERSION`` is the current major version.
    """

    TYPE: ClassVar[str]
    VERSION: ClassVar[int] = 1

    schema_version: int = 1

    @classmethod
    def read(cls, value: bytes | str) -> Self:
        """Parse JSON leniently: unknown fields are ignored, the current and previous major are accepted.

        Raises:
            UnsupportedVersionError: another major version.
            pydantic.ValidationError: the JSON is malformed or a field is missing, mistyped or out of range.
        """
        try:
            message = cls.model_validate_json(value, extra="ignore")
        except ValidationError:
            # Another major version may look different: then its number is the reason, not the first odd field.
            cls._check(_version(value, cls.VERSION))
            raise
        cls._check(message.schema_version)
        return message

    @classmethod
    def _check(cls, version: int) -> None:
        if version not in (cls.VERSION, cls.VERSION - 1):
            raise UnsupportedVersionError(
                f"{cls.TYPE} has schema_version {version}; "
                f"this build reads {cls.VERSION} and {cls.VERSION - 1}: upgrade the older side"
            )

    def to_json(self) -> bytes:
        """The message as UTF-8 JSON; equal messages give equal bytes."""
        return self.model_dump_json().encode()


class _Versioned(BaseModel):
    """What any major version of any message has."""

    schema_version: int = 1


def _version(value: bytes | str, default: int) -> int:
    try:
        return _Versioned.model_validate_json(value, extra="ignore").schema_version
    except ValidationError:
        return default
