"""Tables of all settings and metrics, made from the code by ``python -m services.reference``.

The settings go to ``docs/configuration.md``, the metrics into the README between two marks; a test keeps both
current.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path, PurePath
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from services.aggregator.metrics import AggregatorMetrics
from services.aggregator.settings import AggregatorSettings
from services.api.metrics import ApiMetrics
from services.api.settings import ApiSettings
from services.edge_node.metrics import EdgeMetrics
from services.edge_node.settings import EdgeSettings
from services.plant.metrics import PlantMetrics
from services.plant.settings import PlantSettings
from services.replay.metrics import ReplayMetrics
from services.replay.settings import ReplaySettings
from services.runtime.settings import ClusterSettings, ServiceSettings

ROOT = Path(__file__).resolve().parents[1]
CONFIGURATION_FILE, README = ROOT / "docs" / "configuration.md", ROOT / "README.md"
SERVICES: dict[str, type[ServiceSettings]] = {
    "Edge node": EdgeSettings,
    "Aggregator": AggregatorSettings,
    "API": ApiSettings,
    "Replay": ReplaySettings,
    "Plant": PlantSettings,
}
_MADE = "<!-- Made by `python -m services.reference`; do not edit. -->"
_TYPES = {int: "whole number", float: "number", bool: "true or false", str: "text", SecretStr: "secret"}
_BOUNDS = {"gt": "above", "ge": "from", "lt": "below", "le": "to"}
_CONFIGURATION = f"""{_MADE}
# Configuration

Every service reads environment variables and nothing else. Names are not case-sensitive. A group of settings is
reached with two underscores (`STREAMGAUGE_EDGE_ALERTS__GAP_S=30`), or written as one JSON object
(`STREAMGAUGE_EDGE_ALERTS={{"gap_s": 30}}`). Lists are JSON (`STREAMGAUGE_EDGE_TOPICS=["a", "b"]`).
An unknown variable with a service's prefix, a missing or a wrong one ends the service at its start, with one line
for each that says what is allowed; the exit code is 2. Secrets are never shown. `_S` is seconds,
`_BYTES` is bytes.
"""
_CLUSTER = """
## Kafka clusters

These follow the name of a cluster's setting, e.g. `STREAMGAUGE_EDGE_RECORDS__BOOTSTRAP_SERVERS`; in the API's
list `STREAMGAUGE_API_RECORDS__0__BOOTSTRAP_SERVERS`, `STREAMGAUGE_API_RECORDS__1__...`.
"""
BEGIN, END = "<!-- metrics: made by `python -m services.reference` -->", "<!-- end of metrics -->"
_API_NOTE = "`METRICS_HOST` and `METRICS_PORT` have no effect here: the API shows its metrics on its own port.\n"


def configuration() -> str:
    """The text of ``docs/configuration.md``."""
    parts = [_CONFIGURATION]
    for title, cls in SERVICES.items():
        prefix = str(cls.model_config.get("env_prefix", ""))
        parts += [f"\n## {title} (`{prefix}*`)\n", *([_API_NOTE] if cls is ApiSettings else [])]
        parts.append(_table("variable", "allowed", "default", "meaning"))
        parts += [_row(*row) for row in _settings(cls, prefix)]
    parts += [_CLUSTER, _table("ending", "allowed", "default", "meaning")]
    parts += [_row(*row) for row in _settings(ClusterSettings, "__")]
    return "\n".join(parts) + "\n"


def metrics() -> str:
    """The tables of all metrics, as they stand in the README."""
    api = ApiMetrics()
    api.watch_nodes(list)
    edge = CollectorRegistry()
    owners = {
        "Edge node": (EdgeMetrics(edge), edge),
        "Aggregator": (owner := AggregatorMetrics(), owner.registry),
        "API": (api, api.registry),
        "Replay": (replay := ReplayMetrics(), replay.registry),
        "Plant": (plant := PlantMetrics(), plant.registry),
    }
    parts: list[str] = []
    for title, (service, registry) in owners.items():
        parts += [f"\n**{title}**\n", _table("metric", "type", "labels", "meaning")]
        parts += [_row(*row) for row in sorted(_metric_rows(service, registry))]
    return "\n".join(parts) + "\n"


def _metric_rows(owner: object, registry: CollectorRegistry) -> Iterator[tuple[str, str, str, str]]:
    labels = {
        family.name: metric._labelnames
        for metric in vars(owner).values()
        if isinstance(metric, MetricWrapperBase)
        for family in metric.describe()
    }
    for family in registry.collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        names = labels.get(family.name, getattr(family, "_labelnames", ()))
        yield f"`{name}`", family.type, ", ".join(f"`{label}`" for label in names), family.documentation


def _settings(cls: type[BaseModel], prefix: str) -> Iterator[tuple[str, str, str, str]]:
    """(variable, allowed, default, meaning) of each setting; groups other than clusters are opened."""
    for name, field in cls.model_fields.items():
        variable = f"{prefix}{name}".upper()
        group = _group(field.annotation)
        if group is not None and group is not ClusterSettings:
            yield from _settings(group, f"{variable}__")
        else:
            yield f"`{variable}`", _allowed(field), _default(field), field.description or ""


def _group(annotation: Any) -> type[BaseModel] | None:
    kinds = [a for a in (annotation, *get_args(annotation)) if isinstance(a, type) and issubclass(a, BaseModel)]
    return kinds[0] if kinds and get_origin(annotation) is not tuple else None


def _allowed(field: FieldInfo) -> str:
    limits = [f"{word} {value:.12g}" for key, word in _BOUNDS.items() if (value := _limit(field, key)) is not None]
    return " ".join([_kind(field.annotation), *limits])


def _limit(field: FieldInfo, key: str) -> float | None:
    return next((getattr(m, key) for m in field.metadata if getattr(m, key, None) is not None), None)


def _kind(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(arguments[0])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in (Union, UnionType):
        return " or ".join(_kind(a) for a in arguments if a is not NoneType)
    if origin is tuple:
        return f"list of {_kind(arguments[0])}s"
    if origin is dict:
        return "JSON object"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "cluster"
    if isinstance(annotation, type) and issubclass(annotation, PurePath):
        return "path"
    return _TYPES.get(annotation, "time" if getattr(annotation, "__name__", "") == "datetime" else "text")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None or value is PydanticUndefined or value == () or value == {}:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, dict):
        return f"`{json.dumps(value)}`"
    if isinstance(value, float):
        return f"`{value:.12g}`"
    return f"`{value}`"


def _table(*columns: str) -> str:
    return f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}"


def _row(*cells: str) -> str:
    return f"| {' | '.join(re.sub(r'[|]', r'&#124;', cell) for cell in cells)} |"


def with_metrics(readme: str) -> str:
    """The README's text with today's tables between the two marks."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{metrics()}\n{END}{after}"


def main() -> None:
    """Write both files."""
    CONFIGURATION_FILE.write_text(configuration(), encoding="utf-8")
    README.write_text(with_metrics(README.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
