"""`streamgauge doctor`: looks at what the services' settings name and says in plain words what is wrong.

It reads the settings of every service that has at least one variable in the environment, and changes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.doctor_keys import Findings, Level, aggregator_keys, api_keys, node_keys
from services.runtime.errors import ServiceError, SettingsError
from services.runtime.kafka import open_admin
from services.runtime.settings import ClusterSettings, ServiceSettings, load_settings
from services.runtime.topics import Topics, TopicSpec, differences
from streamgauge.errors import StreamgaugeError

if TYPE_CHECKING:
    from services.api.settings import ApiSettings


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        level: ``ok``, ``note`` (works, but look at it) or ``problem`` (the service will not start or not work).
        service: edge, aggregator, api or replay.
        text: in plain words, with the remedy.
    """

    level: Level
    service: str
    text: str


def main() -> int:
    """Print what was found; returns 0 if nothing is wrong, 1 if something is, 2 if there are no settings."""
    findings = run_doctor(os.environ)
    for finding in findings:
        print(f"{finding.level:8} {finding.service:11} {finding.text}")
    if not findings:
        print("no settings found: set STREAMGAUGE_EDGE_*, _AGGREGATOR_*, _API_* or _REPLAY_* and run it again")
        return 2
    problems, notes = (sum(finding.level == level for finding in findings) for level in ("problem", "note"))
    if problems:
        print(f"{problems} problem{'s' * (problems > 1)}")
    else:
        print(f"no problem, {notes} note{'s' * (notes > 1)} to look at" if notes else "all is well")
    return 1 if problems else 0


def run_doctor(environment: Mapping[str, str]) -> list[Finding]:
    """Check every service that has settings in `environment` (of which only the names are looked at)."""
    checks: dict[str, Callable[[], Findings]] = {
        "edge": _edge,
        "aggregator": _aggregator,
        "api": _api,
        "replay": _replay,
    }
    return [
        Finding(level, service, text)
        for service, check in checks.items()
        if any(name.upper().startswith(f"STREAMGAUGE_{service.upper()}_") for name in environment)
        for level, text in _guarded(check)
    ]


def _guarded(check: Callable[[], Findings]) -> Findings:
    try:
        yield from check()
    except SettingsError as error:
        yield from (("problem", line) for line in str(error).splitlines())


def _edge() -> Findings:
    from services.edge_node.settings import EdgeSettings

    settings = load_settings(EdgeSettings)
    yield from _state_dir(settings)
    yield from _profile(settings.profile)
    yield from node_keys(settings)
    topics = Topics(settings.topic_prefix)
    yield from _cluster("records", settings.records, topics.records_specs(), needed=settings.topics)
    if settings.federation_cluster is not None:
        yield from _federation(settings.federation_cluster, topics)


def _aggregator() -> Findings:
    from services.aggregator.settings import AggregatorSettings

    settings = load_settings(AggregatorSettings)
    yield from _state_dir(settings)
    yield from aggregator_keys(settings)
    yield from _database(settings.url)
    specs = Topics(settings.topic_prefix).federation_specs(settings.update_partitions)
    yield from _cluster("federation", settings.federation_cluster, specs)


def _api() -> Findings:
    from services.api.settings import ApiSettings

    settings = load_settings(ApiSettings)
    yield from _state_dir(settings)
    yield from _database(settings.url)
    if settings.api_token_file is not None:
        yield from _token(settings)
    yield from api_keys(settings)
    topics = Topics(settings.topic_prefix)
    for number, cluster in enumerate(settings.records):
        yield from _cluster(f"records {number}", cluster, (), needed=[topics.alerts, topics.feedback])
    if settings.federation_cluster is not None:
        yield from _federation(settings.federation_cluster, topics)


def _token(settings: ApiSettings) -> Findings:
    try:
        settings.read_token()
    except SettingsError as error:
        yield "problem", str(error)
    else:
        yield "ok", f"api_token_file {settings.api_token_file} can be read"


def _replay() -> Findings:
    from services.replay.settings import ReplaySettings

    yield from _cluster("records", load_settings(ReplaySettings).records, ())


def _state_dir(settings: ServiceSettings) -> Findings:
    directory = settings.state_dir
    nearest = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        yield "problem", f"state_dir {directory} cannot be written: make it, or set another"
    else:
        yield "ok", f"state_dir {directory} can be written"


def _profile(name: str) -> Findings:
    from streamgauge.profiles.profile import load_profile

    try:
        load_profile(name)
    except StreamgaugeError as error:
        yield "problem", str(error)
    else:
        yield "ok", f"profile {name} can be read"


def _database(url: str) -> Findings:
    from services.runtime.database import probe_database

    try:
        yield "ok", probe_database(url)
    except SettingsError as error:
        yield "problem", str(error)


def _federation(cluster: ClusterSettings, topics: Topics) -> Findings:
    """The shared cluster, as those see it that do not make its topics."""
    needed = [spec.name for spec in topics.federation_specs()]
    findings = list(_cluster("federation", cluster, (), needed))
    absent = [text for level, text in findings if level == "problem"]
    if len(absent) < len(needed):
        yield from findings
        return
    yield from (finding for finding in findings if finding[0] != "problem")
    yield (
        "note",
        f"none of the federation's topics ({topics.prefix}...) is there: the aggregator makes them when it first "
        f"starts. It has not yet, or it uses another topic_prefix or cluster; until then this service waits",
    )


def _cluster(
    name: str, cluster: ClusterSettings, specs: Iterable[TopicSpec], needed: Iterable[str] = ()
) -> Findings:
    """Reachable? Do the topics that the service makes (`specs`) fit, and are those that others make there?"""
    quick = cluster.model_copy(update={"request_timeout_s": min(cluster.request_timeout_s, 5.0)})
    wanted = {spec.name: spec for spec in specs}
    others = sorted(set(needed) - wanted.keys())
    try:
        with open_admin(quick, client_id="streamgauge-doctor") as admin:
            brokers = admin.brokers()
            found = admin.describe([*wanted, *others])
    except ServiceError as error:
        yield "problem", f"{name} cluster: {error}"
        return
    yield (
        "ok",
        f"{name} cluster {cluster.bootstrap_servers} answers ({len(brokers) or 'unknown number of'} broker(s))",
    )
    for topic, spec in wanted.items():
        if topic not in found:
            yield "note", f"topic {topic} is not there yet; the service makes it at its start"
        elif problems := differences(spec, found[topic]):
            yield from (("problem", problem) for problem in problems)
        else:
            yield "ok", f"topic {topic} fits ({found[topic].partitions} partition(s))"
    for topic in others:
        if topic in found:
            yield "ok", f"topic {topic} is there ({found[topic].partitions} partition(s))"
        else:
            yield "problem", f"topic {topic} is not there: create it, or start the service that makes it"
