"""What the documentation says of the code is true: settings, metrics, topics, routes, files, reasons, rules."""

from __future__ import annotations

import re
from typing import get_args

import pytest
import yaml
from fastapi.routing import APIRoute
from pydantic import BaseModel

from services import reference
from services.api.questions import AlertQuestion, RoundQuestion
from services.api.routes_alerts import router as alert_routes
from services.api.routes_federation import router as federation_routes
from services.api.routes_models import router as model_routes
from services.api.routes_service import metrics_router, open_router
from services.runtime.settings import ClusterSettings, variable_names
from services.runtime.topics import Topics
from streamgauge.detectors import DETECTORS
from streamgauge.federation.rules_base import RULES
from streamgauge.profiles.decoder import Rejected
from streamgauge.profiles.profile import bundled_profiles
from tests.unit.docs import pages
from tests.unit.docs.pages import ROOT, inline, links, rows

SETTINGS = {
    name
    for cls in reference.SERVICES.values()
    for name in variable_names(cls, str(cls.model_config.get("env_prefix", "")))
}
METRICS = set(re.findall(r"streamgauge_[a-z_]+", reference.metrics()))


def test_the_tables_of_settings_and_metrics_are_current() -> None:
    assert reference.CONFIGURATION_FILE.read_text() == reference.configuration(), (
        "run python -m services.reference"
    )
    readme = reference.README.read_text()
    assert readme == reference.with_metrics(readme), "run python -m services.reference"
    assert len(METRICS) > 40


def _undescribed(cls: type[BaseModel]) -> list[str]:
    return [f"{cls.__name__}.{name}" for name, field in cls.model_fields.items() if not field.description]


@pytest.mark.parametrize("cls", [*reference.SERVICES.values(), ClusterSettings])
def test_each_setting_says_what_it_is(cls: type[BaseModel]) -> None:
    assert _undescribed(cls) == []


@pytest.mark.parametrize("page", pages.pages())
def test_each_named_variable_metric_and_topic_exists(page: str) -> None:
    text = pages.pages()[page]
    wild = {name[:-1] for name in SETTINGS if name.endswith("*")}
    for name in re.findall(r"STREAMGAUGE_[A-Z0-9_]*[A-Z0-9]\b(?!\*)", text):
        numbered = name.startswith("STREAMGAUGE_API_RECORDS__")
        assert name in SETTINGS or numbered or name.startswith(tuple(wild)), name
    families = tuple(re.findall(r"\b(streamgauge_(?:edge|aggregator|api|replay)_[a-z_]+[a-z])", text))
    assert set(families) <= METRICS
    topics = {spec.name for spec in (*Topics().records_specs(), *Topics().federation_specs())}
    assert set(re.findall(r"`(streamgauge\.[a-z][a-z-]*)`", text)) <= topics


@pytest.mark.parametrize("page", pages.pages())
def test_each_link_and_each_path_leads_somewhere(page: str) -> None:
    here = (ROOT / page).parent
    assert [target for target in links(page) if not (here / target).exists()] == []
    ours = re.compile(r"(deploy|docs|services|streamgauge|tests|schemas|benchmarks)/[\w./-]+")
    paths = [code for code in inline(page) if ours.fullmatch(code)]
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_short_names_of_settings_in_the_operations_guide_exist() -> None:
    endings = {name.partition("_")[2].partition("_")[2] for name in SETTINGS}
    endings |= {name.rpartition("__")[2] for name in endings}
    named = [code for page in pages.pages() if page.startswith("docs/operations") for code in inline(page)]
    short = {code for code in named if re.fullmatch(r"[A-Z]{2,}(_[A-Z]+)*", code) and code != "SIGTERM"}
    assert short
    assert short <= endings


def test_the_readmes_defaults_are_the_codes() -> None:
    known = {row[0]: row[2] for row in _configuration_rows()}
    table = [(row[0], row[1]) for row in rows("README.md", "variable")]
    assert len(table) >= 10
    for name, default in table:
        assert known[name] == f"`{default}`", name


def _configuration_rows() -> list[list[str]]:
    lines = reference.configuration().splitlines()
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `STREAM")
    ]


def test_the_readme_lists_every_route_and_filter() -> None:
    routers = (alert_routes, federation_routes, model_routes, metrics_router, open_router)
    routes = {
        r.path for router in routers for r in router.routes if isinstance(r, APIRoute) and r.include_in_schema
    }
    table = list(rows("README.md", "path"))
    assert {path.strip("`") for row in table for path in row[0].split(", ")} == routes
    alerts, rounds = (next(row[1] for row in table if row[0] == f"`{path}`") for path in ("/alerts", "/rounds"))
    fields = AlertQuestion.model_fields
    words = {v for name in ("state", "verdict") for a in get_args(fields[name].annotation) for v in get_args(a)}
    assert set(re.findall(r"`(\w+)`", alerts)) == {*fields, *words}
    assert set(re.findall(r"`(\w+)`", rounds)) <= set(RoundQuestion.model_fields)


def test_the_detectors_rules_and_profiles_that_the_readme_names_exist() -> None:
    """Not the other way round: dropping a file in must not need a second change."""
    text = pages.pages()["README.md"]
    for heading, known in (("Detectors:", set(DETECTORS)), ("Federation rules:", set(RULES))):
        listed = re.findall(
            r"^- (.+?):", text.partition(heading)[2].partition("\n\n")[2].partition("\n\n")[0], re.M
        )
        names = {name for entry in listed for name in re.findall(r"`(\w+)`", entry)}
        assert names
        assert names <= known
    assert {"nsl-kdd", "skab"} <= set(bundled_profiles())


def test_topics_and_their_retention() -> None:
    named = {row[0].strip("`"): (row[1], row[3]) for row in rows("docs/operations/install.md", "topic")}
    specs = {s.name: ("site", s) for s in Topics().records_specs()}
    specs |= {s.name: ("shared", s) for s in Topics().federation_specs()}
    assert named.keys() == specs.keys()
    for name, (cluster, spec) in specs.items():
        assert named[name][0] == cluster
        days = int(spec.config.get("retention.ms", 0)) / 86_400_000
        if spec.config["cleanup.policy"] == "compact":
            assert "newest" in named[name][1]
        else:
            assert ("for ever" if days < 0 else f"{days:g} days") in named[name][1]


def test_every_alert_rule_is_explained() -> None:
    groups = yaml.safe_load((ROOT / "deploy/prometheus/rules/streamgauge.yml").read_text())["groups"]
    names = [rule["alert"] for group in groups for rule in group["rules"]]
    assert [row[0].strip("`") for row in rows("docs/operations/alerts.md", "rule")] == names


def test_every_reason_and_header_of_a_dead_letter_is_explained() -> None:
    told = {
        code
        for row in rows("docs/operations/dead-letters.md", "reason")
        for code in re.findall(r"`(.+?)`", row[0])
    }
    reasons = re.findall(r"[a-z]+(?:-[a-z0-9]+)+", str(Rejected.__doc__).partition("is one of")[2])
    assert told == {*reasons, "crashed"}
    source = (ROOT / "services/edge_node/dead_letters.py").read_text()
    headers = {
        c for row in rows("docs/operations/dead-letters.md", "header") for c in re.findall(r"`(.+?)`", row[0])
    }
    assert headers == set(re.findall(r'\("(sg_\w+)"', source))


def test_decisions_are_listed_and_complete() -> None:
    folder = ROOT / "docs/adr"
    files = sorted(path.name for path in folder.glob("[0-9]*.md"))
    assert links("docs/adr/README.md") == files
    assert len({name[:3] for name in files}) == len(files)
    for name in files:
        text = (folder / name).read_text()
        assert text.startswith(f"# {name[:3]}. ")
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]


def test_no_page_names_this_machine() -> None:
    assert [page for page, text in pages.pages().items() if str(ROOT) in text or str(ROOT.home()) in text] == []


def test_the_picture_of_the_demo_is_a_picture() -> None:
    svg = (ROOT / "docs/images/demo.svg").read_text(encoding="utf-8")
    assert svg.startswith("<svg")
    assert "Streamgauge" in svg
