"""Settings of the API: environment variables ``STREAMGAUGE_API_*``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from services.runtime.errors import SettingsError
from services.runtime.hosts import is_loopback
from services.runtime.settings import ClusterSettings, ServiceSettings

MIN_TOKEN_CHARACTERS = 16


def _token_problem(token: str) -> str | None:
    """Why no client could be asked for this token; None if it will do."""
    if len(token) < MIN_TOKEN_CHARACTERS:
        return f"is too short: at least {MIN_TOKEN_CHARACTERS} characters"
    if not (token.isascii() and token.isprintable() and token == token.strip()):
        # What clients make of others in an HTTP header differs, and spaces at the ends are cut off.
        return (
            "can never match: only printable ASCII characters without spaces at the ends arrive in an HTTP "
            "header; make one with `openssl rand -hex 16`"
        )
    return None


class ApiSettings(ServiceSettings):
    """All settings of the API. It writes verdicts to Kafka, nothing else; metrics stand on its own port."""

    model_config = SettingsConfigDict(env_prefix="STREAMGAUGE_API_")

    records: tuple[ClusterSettings, ...] = Field(
        default=(),
        description="The sites' own clusters, where alerts are: a JSON list, or RECORDS__0__BOOTSTRAP_SERVERS=...",
    )
    federation_cluster: ClusterSettings | None = Field(default=None, description="The shared cluster.")
    host: str = Field(default="127.0.0.1", min_length=1, description="Address to listen on.")
    port: int = Field(default=8000, ge=0, le=65535, description="0 takes a free port; see the log.")
    api_token: SecretStr | None = Field(default=None, description="Bearer token that every question must carry.")
    api_token_file: Path | None = Field(default=None, description="File with the token.")
    max_request_bytes: int = Field(default=65_536, ge=0, le=1 << 24, description="Largest request body.")

    database_url: str | None = Field(default=None, description="Default: sqlite file api.sqlite in state_dir.")
    alert_retention_days: float = Field(default=30.0, gt=0, le=36_500, description="Since their last message.")
    round_retention_days: float = Field(default=90.0, gt=0, le=36_500, description="Since a round's last message.")
    keep_artefacts: int = Field(default=20, ge=1, le=100_000, description="Newest of each federation.")
    max_artefact_bytes: int = Field(
        default=16 << 20, ge=1024, le=1 << 30, description="Larger weights are not stored."
    )
    housekeeping_interval_s: float = Field(
        default=60.0, gt=0, le=86_400, description="Between deletions of what is too old."
    )

    aggregator: str = Field(default="aggregator", description="Name of the aggregator whose messages count.")
    aggregator_key_file: Path | None = Field(default=None, description="Its public key; without it, unchecked.")
    nodes_keys_dir: Path | None = Field(default=None, description="Enrolled nodes' keys; without it, unchecked.")

    @field_validator("records", mode="before")
    @classmethod
    def _numbered(cls, value: Any) -> Any:
        # RECORDS__0__..., RECORDS__1__... arrive as a dict of numbers.
        if isinstance(value, dict) and value and all(str(key).isdigit() for key in value):
            return [value[key] for key in sorted(value, key=int)]
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.api_token is not None and self.api_token_file is not None:
            raise ValueError("give api_token or api_token_file, not both")
        if self.api_token is not None and (problem := _token_problem(self.api_token.get_secret_value())):
            raise ValueError(f"api_token {problem}")
        if not is_loopback(self.host) and self.api_token is None and self.api_token_file is None:
            raise ValueError(
                f"host={self.host} is not loopback: set api_token or api_token_file, or use host=127.0.0.1"
            )
        if not self.records and self.federation_cluster is None:
            raise ValueError("nothing to read: set records, federation_cluster or both")
        return self

    @property
    def url(self) -> str:
        """The database's URL."""
        return self.database_url or f"sqlite:///{self.state_dir / 'api.sqlite'}"

    def read_token(self) -> str | None:
        """The API token, from the setting or its file; None: no token is asked for.

        Raises:
            SettingsError: the file cannot be read or its token is of no use.
        """
        if self.api_token_file is None:
            return self.api_token.get_secret_value() if self.api_token is not None else None
        try:
            token = self.api_token_file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise SettingsError(f"api_token_file={self.api_token_file}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise SettingsError(f"api_token_file={self.api_token_file}: not text; put the token in it") from None
        if problem := _token_problem(token):
            raise SettingsError(f"api_token_file={self.api_token_file}: its token {problem}")
        return token
