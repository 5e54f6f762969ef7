"""From changes of open alerts to messages, with explanations as long as the budget lasts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from schemas import Alert, AlertFeature, RecordRef
from services.edge_node.ids import alert_id, event_time, record_id
from services.edge_node.poison import bisect
from services.edge_node.scorer import Scorer
from services.edge_node.settings import EdgeSettings
from services.runtime.envelope import Sealer
from services.runtime.log import Outgoing, Partition
from services.runtime.logging import get_logger
from streamgauge.calibration.threshold import Threshold
from streamgauge.features import OTHER
from streamgauge.profiles.imputing import Imputed
from streamgauge.profiles.profile import Profile
from streamgauge.stream.alerts import AlertChange, Hit

log = get_logger("edge.alerts")


class ExplanationBudget:
    """At most `per_s` explanations a second of wall time; one second's worth at once, but at least one."""

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._most = max(per_s, 1.0) if per_s > 0 else 0.0
        self._left = self._most
        self._last: float | None = None

    def take(self, wanted: int, now: float) -> int:
        """How many of `wanted` may be explained at monotonic time `now`, in seconds."""
        if self._last is not None:
            self._left = min(self._most, self._left + (now - self._last) * self._per_s)
        self._last = now
        granted = min(wanted, int(self._left))
        self._left -= granted
        return granted


def worst_payload(imputed: Imputed, row: int, scorer: Scorer, threshold: Threshold, raw: float) -> dict[str, Any]:
    """What an alert keeps of a record: enough to explain it later, as JSON-able values."""
    masked = imputed.masked[row]
    return {
        "values": imputed.values[row].tolist(),
        "codes": imputed.codes[row].tolist(),
        "masked": np.flatnonzero(masked).tolist(),
        "schema": scorer.bundle.info.schema_hash,
        "release_seq": scorer.bundle.info.release_seq,
        "bundle_id": scorer.bundle_id,
        "threshold": threshold.value,
        "p_value": threshold.p_value(raw),
    }


class AlertWriter:
    """Makes the messages of one node.

    Args:
        settings: of the node.
        profile: names and categories for the explanations.
        sealer: for topics of the site's own cluster.
        topic: where alerts go.
    """

    def __init__(self, settings: EdgeSettings, profile: Profile, sealer: Sealer, topic: str) -> None:
        self._settings, self._profile, self._sealer, self._topic = settings, profile, sealer, topic
        self._budget = ExplanationBudget(settings.alerts.explained_per_s)
        schema = profile.schema
        self._names = [f.name for f in schema.numeric] + [f.name for f in schema.categorical]
        self._schema = schema.hash
        self.unexplained = 0
        """Alert messages sent without explanation: because of the cap, or because it failed or means nothing."""

    def write(
        self, changes: Sequence[tuple[Partition, str, AlertChange]], scorer: Scorer | None, now: float
    ) -> list[Outgoing]:
        """Messages for changes, in their order.

        Args:
            changes: partition, its topic's incarnation, change.
            scorer: explains the worst record of each, worst first, within the budget; None explains nothing (a
                node that took a partition over may close its alerts before it has a model).
            now: monotonic time in seconds, for the budget.
        """
        features = self._explain([change for _, _, change in changes], scorer, now)
        alerts = [self._alert(*change, features.get(i)) for i, change in enumerate(changes)]
        return [self._sealer.seal(alert, self._topic, _key(alert.entity)) for alert in alerts]

    def _explain(
        self, changes: Sequence[AlertChange], scorer: Scorer | None, now: float
    ) -> dict[int, tuple[AlertFeature, ...]]:
        # An alert that was opened under another profile (group mode) has values of other columns.
        own = [i for i, c in enumerate(changes) if c.worst_payload.get("schema", self._schema) == self._schema]
        order = sorted(own, key=lambda i: -changes[i].worst.score)
        chosen = order[: self._budget.take(len(own), now)] if scorer else []
        if scorer is None:
            self.unexplained += len(changes)
            return {}

        def explained(part: list[int]) -> list[tuple[AlertFeature, ...]]:
            payloads = [changes[i].worst_payload for i in part]
            shares = scorer.explain(self._rows(payloads), forecasts=_forecasts(payloads))
            return [self._top(share, payload) for share, payload in zip(shares, payloads, strict=True)]

        # A record that was scored and cannot be explained is an alert all the same.
        parts, failed = bisect(explained, chosen)
        for at, why in failed:
            change = changes[chosen[at]]
            log.error("alert not explained", entity=change.entity, offset=change.worst.offset, why=why)
        self.unexplained += len(changes) - len(chosen) + len(failed)
        return {chosen[start + k]: top for start, part in parts for k, top in enumerate(part)}

    def _rows(self, payloads: Sequence[dict[str, Any]]) -> np.ndarray[Any, np.dtype[np.float32]]:
        masked = np.zeros((len(payloads), len(self._names)), bool)
        for row, payload in enumerate(payloads):
            masked[row, payload["masked"]] = True
        values = np.array([p["values"] for p in payloads], np.float64).reshape(len(payloads), -1)
        codes = np.array([p["codes"] for p in payloads], np.int64).reshape(len(payloads), -1)
        return Imputed(values, codes, masked, {}).encode(self._profile.schema)

    def _top(
        self, share: np.ndarray[Any, np.dtype[np.float64]], payload: dict[str, Any]
    ) -> tuple[AlertFeature, ...]:
        top = np.argsort(-share, kind="stable")[: self._settings.alerts.features]
        return tuple(
            AlertFeature(name=self._names[j], contribution=float(share[j]), value=self._value(payload, j))
            for j in top.tolist()
            if share[j] > 0
        )

    def _value(self, payload: dict[str, Any], j: int) -> float | str | None:
        if j in payload["masked"]:
            return None
        numeric = len(payload["values"])
        if j < numeric:
            return float(payload["values"][j])
        categories = (*self._profile.schema.categorical[j - numeric].categories, OTHER)
        return str(categories[payload["codes"][j - numeric]])

    def _alert(
        self,
        partition: Partition,
        incarnation: str,
        change: AlertChange,
        features: tuple[AlertFeature, ...] | None,
    ) -> Alert:
        settings, opened = self._settings, change.first_payload

        def reference(hit: Hit) -> RecordRef:
            identity = record_id(
                settings.records_cluster_name, incarnation, partition.partition, hit.offset, hit.row
            )
            return RecordRef(
                record_id=identity,
                topic=partition.topic,
                partition=partition.partition,
                offset=hit.offset,
                row=hit.row,
                time=event_time(hit.time),
                score=hit.score,
            )

        def alert_of(offset: int, row: int) -> Any:
            first = record_id(settings.records_cluster_name, incarnation, partition.partition, offset, row)
            return alert_id(settings.federation, settings.detector, first)

        return Alert(
            alert_id=alert_of(change.first.offset, change.first.row),
            version=change.version,
            state=change.state,
            close_reason=change.close_reason,
            continues=alert_of(*change.continues) if change.continues else None,
            federation=settings.federation,
            detector=settings.detector,
            node=settings.node,
            site=settings.site,
            entity=change.entity,
            first=reference(change.first),
            last=reference(change.last),
            worst=reference(change.worst),
            count=change.count,
            scores=change.scores,
            score=change.worst.score,
            raw_score=change.worst.raw,
            threshold=change.worst_payload["threshold"],  # the line that this score is relative to
            p_value=change.worst_payload.get("p_value"),  # a checkpoint of an older version has none
            release_seq=opened["release_seq"],
            bundle_id=opened["bundle_id"],
            explained=features is not None,
            features=features or (),
            context=opened["context"],
        )


def _key(entity: str) -> bytes:
    return entity.encode()


def _forecasts(payloads: Sequence[dict[str, Any]]) -> np.ndarray[Any, np.dtype[np.float32]] | None:
    """What a sequence detector expected of each record; other detectors expect nothing."""
    if any("forecast" not in payload for payload in payloads):
        return None
    return np.array([payload["forecast"] for payload in payloads], np.float32)
