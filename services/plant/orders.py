"""Attacks on command: what the status port of running plants takes besides its questions."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from services.plant.sites import Sites
from services.runtime.http import Order, Reply
from streamgauge.errors import ConfigurationError

_JSON, _TEXT = "application/json", "text/plain; charset=utf-8"


def orders_of(sites: Sites) -> dict[str, Order]:
    """`POST /attacks` begins an attack, `POST /schedule` the schedule."""

    def attack(body: bytes) -> Reply:
        try:
            ordered = sites.attack(_object(body))
        except ConfigurationError as error:
            return 400, _TEXT, f"{error}\n".encode()
        return _accepted([{"site": site, **asdict(attack)} for site, attack in ordered])

    def schedule(body: bytes) -> Reply:
        sites.begin_schedule()
        return _accepted([{"site": site} for site in sites.plants])

    return {"/attacks": attack, "/schedule": schedule}


def _accepted(items: list[dict[str, Any]]) -> Reply:
    return 202, _JSON, json.dumps({"items": items}).encode() + b"\n"


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError as error:
        raise ConfigurationError(f"no JSON: {error}") from None
    if not isinstance(found, dict):
        raise ConfigurationError("send one JSON object, an attack")
    return found
