"""Settings of the services: environment variables, strict, with errors that say what to write instead."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as SourceError

from services.runtime.errors import SettingsError

_SECRET_WORDS = ("password", "secret", "token")
_HIDDEN = "**********"
_NESTED = "__"


class ClusterSettings(BaseModel):
    """How to reach one Kafka cluster.

    Passwords are given as a file (`sasl_password_file`) or directly (`sasl_password`); they are never logged.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    bootstrap_servers: str = Field(min_length=3, description="host:port, several separated by commas.")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="How the brokers are spoken to."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(
        default=None, description="Needed with SASL."
    )
    sasl_username: str | None = Field(default=None, description="Needed with SASL.")
    sasl_password: SecretStr | None = Field(default=None, description="Better: sasl_password_file.")
    sasl_password_file: Path | None = Field(default=None, description="File with the password.")
    ssl_cafile: Path | None = Field(default=None, description="Certificates that the brokers' are checked with.")
    ssl_certfile: Path | None = Field(default=None, description="Own certificate, for mutual TLS.")
    ssl_keyfile: Path | None = Field(default=None, description="Its private key.")
    ssl_check_hostname: bool = Field(default=True, description="The certificate must name the host.")
    session_timeout_s: float = Field(
        default=45.0, ge=1, le=1800, description="Group mode: a silent member is dropped after this."
    )
    heartbeat_s: float = Field(default=3.0, ge=0.1, le=60, description="At most a third of session_timeout_s.")
    request_timeout_s: float = Field(default=30.0, ge=1, le=600, description="Of one request to a broker.")
    delivery_timeout_s: float = Field(default=120.0, ge=1, le=3600, description="Then the send is repeated.")
    max_poll_interval_s: float = Field(
        default=300.0, ge=1, le=3600, description="Group mode: a member that polls less often is dropped."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.security_protocol.startswith("SASL") and not (self.sasl_mechanism and self.sasl_username):
            raise ValueError(f"{self.security_protocol} needs sasl_mechanism and sasl_username")
        if self.sasl_password is not None and self.sasl_password_file is not None:
            raise ValueError("give sasl_password or sasl_password_file, not both")
        if self.heartbeat_s * 3 > self.session_timeout_s:
            raise ValueError("heartbeat_s must be at most a third of session_timeout_s")
        for server in self.servers:
            host, _, port = server.rpartition(":")
            if not host or not port.isdigit():
                raise ValueError(f"bootstrap_servers has {server!r}; write host:port, separated by commas")
        return self

    @property
    def servers(self) -> list[str]:
        """The bootstrap servers as a list of host:port."""
        return [server.strip() for server in self.bootstrap_servers.split(",") if server.strip()]

    def password(self) -> str | None:
        """The SASL password, read from its file if one is set.

        Raises:
            SettingsError: the file cannot be read.
        """
        if self.sasl_password_file is None:
            return self.sasl_password.get_secret_value() if self.sasl_password is not None else None
        try:
            return self.sasl_password_file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise SettingsError(f"sasl_password_file={self.sasl_password_file}: {error.strerror}") from None


class ServiceSettings(BaseSettings):
    """What every service has; subclasses add fields and set `env_prefix` in their `model_config`.

    A subclass writes ``model_config = SettingsConfigDict(env_prefix="STREAMGAUGE_EDGE_")``; the rest is
    inherited. Nested fields are reached with two underscores:
    ``STREAMGAUGE_EDGE_RECORDS__BOOTSTRAP_SERVERS``.
    """

    model_config = SettingsConfigDict(env_nested_delimiter=_NESTED, extra="forbid", frozen=True)

    topic_prefix: str = Field(
        default="streamgauge.", pattern=r"^[A-Za-z0-9._-]{0,100}$", description="Of the names of all own topics."
    )
    federation: str = Field(
        default="default",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,199}$",
        description="Nodes of one federation learn one model.",
    )
    metrics_host: str = Field(default="127.0.0.1", description="Where /metrics, /healthz and /readyz listen.")
    metrics_port: int = Field(default=0, ge=0, le=65535, description="0 takes a free port.")
    log_format: Literal["console", "json"] = Field(default="console", description="json: one object a line.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Less important lines are left out."
    )
    state_dir: Path = Field(description="Where the service keeps what must outlive a restart.")


class SiteSettings(BaseSettings):
    """What tools need of the settings of a site's edge node; its other variables are not looked at."""

    model_config = SettingsConfigDict(
        env_prefix="STREAMGAUGE_EDGE_", env_nested_delimiter=_NESTED, extra="ignore", frozen=True
    )

    records: ClusterSettings
    topic_prefix: str = "streamgauge."
    profile: str | None = None
    profiles: dict[str, str] = Field(default_factory=dict)
    learn_labels: bool = False
    max_ahead_s: float = 3600.0


def load_site(bootstrap_servers: str | None = None) -> SiteSettings:
    """Read them from the environment; servers that are given win over it.

    Raises:
        SettingsError: the cluster is not named, or a setting is wrong; names the variable, shows no value.
    """
    given: dict[str, Any] = {"records": {"bootstrap_servers": bootstrap_servers}} if bootstrap_servers else {}
    try:
        return SiteSettings(**given)
    except ValidationError as error:
        prefix = str(SiteSettings.model_config.get("env_prefix", ""))
        lines = [_line(prefix, detail) for detail in error.errors(include_url=False)]
        lines += ["or give --bootstrap-servers host:port"] if not bootstrap_servers else []
        raise SettingsError("\n".join(lines)) from None
    except SourceError as error:
        raise SettingsError(_not_json(str(SiteSettings.model_config.get("env_prefix", "")), error)) from None


S = TypeVar("S", bound=ServiceSettings)


def load_settings(cls: type[S], **overrides: Any) -> S:
    """Read settings from the environment; `overrides` win over it.

    Raises:
        SettingsError: one line for each wrong, missing or unknown setting. Secrets are never shown.
    """
    prefix = str(cls.model_config.get("env_prefix", ""))
    problems = list(_unknown_variables(cls, prefix, os.environ))
    try:
        settings = cls(**overrides)
    except ValidationError as error:
        named = {problem.partition(":")[0] for problem in problems}
        lines = [_line(prefix, detail) for detail in error.errors(include_url=False)]
        problems += [line for line in lines if line.partition(":")[0] not in named]
    except SourceError as error:  # a nested field whose variable is not JSON
        problems.append(_not_json(prefix, error))
    if problems:
        raise SettingsError("\n".join(problems))
    return settings


def variable_names(cls: type[BaseModel], prefix: str) -> Iterator[str]:
    """Names of all environment variables that set a field; a trailing ``*`` stands for any ending."""
    for name, field in cls.model_fields.items():
        variable = f"{prefix}{name}".upper()
        yield variable
        for model in _models_in(field.annotation):
            yield from variable_names(model, f"{variable}{_NESTED}")
        if _is_collection(field.annotation):
            yield f"{variable}{_NESTED}*"


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if _is_collection(annotation):
        return []
    return [model for argument in get_args(annotation) for model in _models_in(argument)]


def _is_collection(annotation: Any) -> bool:
    origin = getattr(annotation, "__origin__", annotation)
    return origin in (dict, list, tuple, set, frozenset) or any(_is_collection(a) for a in get_args(annotation))


def _not_json(prefix: str, error: SourceError) -> str:
    """A collection or a group of settings whose variable is no JSON."""
    field = re.search(r'field "(\w+)"', str(error))
    if field is None:
        return f"{prefix}*: {error}"
    name = f"{prefix}{field[1]}".upper()
    value = os.environ.get(name, "")
    shown = _HIDDEN if any(word in (name + value).lower() for word in _SECRET_WORDS) else value
    return (
        f'{name}={shown}: write JSON, e.g. ["a", "b"] for a list or {{"a": 1}} for a group, '
        f"or set one of the group by {name}{_NESTED}..."
    )


def _unknown_variables(cls: type[BaseModel], prefix: str, environment: Mapping[str, str]) -> Iterator[str]:
    if not prefix:
        return
    known = list(variable_names(cls, prefix))
    exact = {name for name in known if not name.endswith("*")}
    wild = tuple(name[:-1] for name in known if name.endswith("*"))
    for variable in sorted(environment):
        name = variable.upper()
        if name.startswith(prefix.upper()) and name not in exact and not (wild and name.startswith(wild)):
            yield f"{variable}: no such setting; {_nearest(name, exact)}"


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.0)
    return f"did you mean {close[0]}?" if close else "there are no settings"


_CLUSTERS = (["records"], ["federation_cluster"])
"""Groups of settings that name a Kafka cluster."""


def _line(prefix: str, detail: ErrorDetails) -> str:
    path = [str(part) for part in detail["loc"]]
    name = (prefix + _NESTED.join(path)).upper() if path else f"{prefix}*"
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "missing":
        server = f"; e.g. {name}{_NESTED}BOOTSTRAP_SERVERS=host:9092" if path[-1:] in _CLUSTERS else ""
        return f"{name} is not set: it is required{server}"
    if detail["type"] == "extra_forbidden":
        return f"{name}: no such setting"
    value = detail["input"]
    if isinstance(value, dict | list | BaseModel):
        return f"{name}: {message}"
    secret = isinstance(value, SecretStr) or any(word in name.lower() for word in _SECRET_WORDS)
    return f"{name}={_HIDDEN if secret else value}: {message}"
