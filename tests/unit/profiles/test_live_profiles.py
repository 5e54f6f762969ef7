"""Profiles of live collectors, on lines as these write them; the formats are cited in the profiles."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamgauge.errors import ConfigurationError
from streamgauge.profiles.decoder import Decoded, Decoder
from streamgauge.profiles.imputing import Imputer
from streamgauge.profiles.profile import load_profile, parse_profile
from streamgauge.profiles.tags import TagDecoder, pivoted
from streamgauge.stream.imputation import LastValues

EXAMPLES = Path(__file__).parents[3] / "docs/examples"


@dataclass(frozen=True)
class Record:
    value: bytes
    offset: int = 0
    key: bytes | None = None
    timestamp: int = 1_700_000_000_000


def wide(profile: str, *lines: str) -> Decoded:
    decoded = Decoder(load_profile(profile)).decode([Record(line.encode()) for line in lines])
    assert decoded.rejected == []
    return decoded


def long(profile: str, *lines: str) -> Decoded:
    records = [Record(line.encode(), i) for i, line in enumerate(lines)]
    decoded, rejected = pivoted(records, TagDecoder(load_profile(EXAMPLES / profile)))
    assert rejected == []
    return decoded


ZEEK = (
    '{"ts":1591367999.305988,"uid":"CMdzit1AMNsmfAIiQc","id.orig_h":"192.168.4.76","id.orig_p":36844,'
    '"id.resp_h":"192.168.4.1","id.resp_p":53,"proto":"udp","service":"dns","duration":0.06685185432434082,'
    '"orig_bytes":62,"resp_bytes":141,"conn_state":"SF","missed_bytes":0,"history":"Dd","orig_pkts":2,'
    '"orig_ip_bytes":118,"resp_pkts":2,"resp_ip_bytes":197}',
    '{"ts":1591368000.430166,"uid":"C5bLoe2Mvxqhawzqqd","id.orig_h":"192.168.4.76","id.orig_p":46378,'
    '"id.resp_h":"31.3.245.133","id.resp_p":80,"proto":"tcp","conn_state":"S0","local_orig":true,'
    '"local_resp":false,"missed_bytes":0,"history":"S","orig_pkts":1,"orig_ip_bytes":60,"resp_pkts":0,'
    '"resp_ip_bytes":0,"ip_proto":6}',
)


def test_zeek_conn() -> None:
    profile = load_profile("zeek-conn")
    decoded = wide("zeek-conn", *ZEEK)
    assert decoded.times.tolist() == [1591367999.305988, 1591368000.430166]
    assert decoded.entities == ["192.168.4.76"] * 2
    first = dict(zip([f.feature.name for f in profile.numeric], decoded.values[0].tolist(), strict=True))
    assert (first["resp_port"], first["duration"], first["resp_bytes"]) == (53, 0.06685185432434082, 141)
    assert decoded.context(1) == {
        "uid": "C5bLoe2Mvxqhawzqqd",
        "id.orig_p": 46378,
        "id.resp_h": "31.3.245.133",
        "id.resp_p": 80,
        "history": "S",
    }
    imputed = Imputer(profile).impute(decoded, None)
    shown = {
        (f.feature.name, (*f.feature.categories, "other")[c])
        for f, c in zip(profile.categorical, imputed.codes[1], strict=True)
    }
    assert shown == {
        ("proto", "tcp"),
        ("service", "other"),
        ("conn_state", "S0"),
        ("local_orig", "true"),
        ("local_resp", "false"),
    }
    assert imputed.counts == {
        ("service", "constant"): 1,
        ("local_orig", "mask"): 1,
        ("local_resp", "mask"): 1,
        ("duration", "mask"): 1,
        ("orig_bytes", "mask"): 1,
        ("resp_bytes", "mask"): 1,
    }


def flow(**changes: Any) -> str:
    """As Flow.get_data of cicflowmeter gives it: every number of the profile, addresses, and copies."""
    values = dict.fromkeys((f.field for f in load_profile("cicflowmeter").numeric), 1.0)
    copies = {"fwd_seg_size_avg": 1.0, "bwd_seg_size_avg": 1.0, "cwe_flag_count": 0, "subflow_fwd_pkts": 2}
    common = {"src_ip": "192.168.0.7", "dst_ip": "10.0.0.1", "timestamp": "2024-05-01 10:00:00"}
    return json.dumps({**values, **copies, **common, **changes})


def test_cicflowmeter_shares_its_features_with_the_data_set_of_the_java_program() -> None:
    decoded = wide("cicflowmeter", flow(dst_port=443, flow_duration=66851.8), flow(init_bwd_win_byts=0))
    assert decoded.times.tolist() == [1714557600.0] * 2
    assert (list(decoded.entities), decoded.values[0, [1, 3]].tolist()) == (["192.168.0.7"] * 2, [443, 66851.8])
    assert decoded.context(0) == {"dst_ip": "10.0.0.1", "dst_port": 443}
    features = {f.feature for f in load_profile("ciciot-diad2024").numeric}
    assert {f.feature for f in load_profile("cicflowmeter").numeric} <= features


TELEGRAF = (
    '{"fields":{"usage_guest":0,"usage_guest_nice":0,"usage_idle":94.2,"usage_iowait":0.1,"usage_irq":0,'
    '"usage_nice":0,"usage_softirq":0.2,"usage_steal":0,"usage_system":2.2,"usage_user":3.3},"name":"cpu",'
    '"tags":{"cpu":"cpu-total","host":"raynor"},"timestamp":1458229140}'
)


def test_telegraf_fields_stand_in_an_object() -> None:
    fields = dict.fromkeys(("usage_idle", "usage_user", "usage_system", "usage_nice", "usage_irq"), 1)
    odd = json.dumps({"fields": fields, "name": "cpu", "tags": {"host": "b"}, "timestamp": 1458229150})
    decoded = wide("telegraf-cpu", TELEGRAF + "\n", odd)
    assert decoded.entities == ["raynor", "b"]
    assert decoded.times.tolist() == [1458229140, 1458229150]
    assert decoded.values[0, :3].tolist() == [3.3, 2.2, 94.2]
    assert np.isnan(decoded.values[1]).sum() == 5
    assert [decoded.context(0), decoded.context(1)] == [{"$.tags.cpu": "cpu-total"}, {}]


def test_telegraf_one_value_a_message() -> None:
    def line(topic: str, value: float, t: int) -> str:
        tags = {"host": "gateway", "topic": topic}
        return json.dumps({"fields": {"value": value}, "name": "mqtt_consumer", "tags": tags, "timestamp": t})

    decoded = long(
        "telegraf_mqtt.toml",
        line("plant/press/temperature", 80.5, 1458229140),
        line("plant/press/pressure", 5, 1458229143),
    )
    assert decoded.values.tolist() == [[80.5, 5.0]]
    assert (list(decoded.entities), decoded.times.tolist()) == (["gateway"], [1458229143])


def test_opc_publisher_samples() -> None:
    def line(name: str, value: Any, second: int) -> str:
        return json.dumps({
            "NodeId": f"nsu=http://microsoft.com/Opc/OpcPlc/;s={name}",
            "EndpointUrl": "opc.tcp://opcplc:50000/",
            "ApplicationUri": "urn:OpcPlc:opcplc",
            "DisplayName": name,
            "Timestamp": f"2022-03-18T12:52:{second}.137703Z",
            "Value": {"Value": value, "SourceTimestamp": f"2022-03-18T12:52:{second}.1327544Z"},
            "SequenceNumber": 120,
        })  # fmt: skip

    lines = [line("StepUp", 21713, 42), line("AlternatingBoolean", True, 42), line("StepUp", 21714, 43)]
    decoded = long("opc_publisher.toml", *lines, line("DipData", [1, 2], 44).replace("DipData", "Array"))
    assert decoded.entities == ["urn:OpcPlc:opcplc"] * 2
    assert (decoded.values[:, 0].tolist(), decoded.codes[:, 0].tolist()) == ([21713, 21714], [0, -1])
    assert decoded.times[0] == 1647607962.132754
    assert decoded.context(0) == {"EndpointUrl": "opc.tcp://opcplc:50000/"}


def test_sparkplug_metrics_fill_in_what_did_not_change() -> None:
    def line(name: str, value: Any, t: int, **more: Any) -> str:
        source = {"group_id": "plant", "edge_node_id": "line 1", "device_id": "press"}
        return json.dumps({**source, "name": name, "timestamp": t, "datatype": "Float", "value": value, **more})

    t = 1_486_144_502_000
    decoded = long(
        "sparkplug.toml",
        line("Inputs/Temperature", 80.5, t + 122),
        line("Inputs/Pressure", 5.0, t + 140),
        line("Outputs/Pump", True, t + 150, datatype="Boolean"),
        line("Inputs/Pressure", 5.5, t + 3200),
        line("Inputs/Temperature", None, t + 7200, is_null=True),
    )
    assert decoded.times.tolist() == [1486144502.15, 1486144505.2, 1486144509.2]
    imputed = Imputer(load_profile(EXAMPLES / "sparkplug.toml")).impute(decoded, LastValues())
    assert imputed.values.tolist() == [[80.5, 5.0], [80.5, 5.5], [80.5, 5.5]]
    assert imputed.codes[:, 0].tolist() == [0, 2, 2]


NESTED = """
name = "n"
title = "n"
missing = "mask"
max_missing_share = 1
[time]
field = "$.at.s"
format = "unix_s"
[entity]
field = "who"
[[numeric]]
field = "$.a.b.c"
min = 0
max = 1
[[numeric]]
field = "$.a.d"
min = 0
max = 1
[[numeric]]
field = "a.d"
name = "flat"
min = 0
max = 1
"""


@pytest.mark.parametrize(
    ("a", "expected"),
    [
        ({"b": {"c": 0.5}, "d": 1}, [0.5, 1, 2]),
        ({"b": None, "d": 1}, [np.nan, 1, 2]),
        ({"b": {}}, [np.nan, np.nan, 2]),
        ({"b": {"c": None, "e": [1]}, "d": None}, [np.nan, np.nan, 2]),
        (None, [np.nan, np.nan, 2]),
    ],
)
def test_paths_into_objects_that_lack_or_are_null(a: Any, expected: list[float]) -> None:
    record = Record(json.dumps({"at": {"s": 1e9}, "who": "w", "a": a, "a.d": 2}).encode())
    decoded = Decoder(parse_profile(NESTED)).decode([record, Record(b"\xef\xbb\xbf" + record.value)])
    np.testing.assert_array_equal(decoded.values, [expected, expected])


def test_an_object_that_is_none_is_a_wrong_type() -> None:
    record = Record(json.dumps({"at": {"s": 1e9}, "who": "w", "a": 3}).encode())
    (rejected,) = Decoder(parse_profile(NESTED)).decode([record]).rejected
    assert rejected.reason == "wrong-type"
    assert "$.a" in rejected.detail


@pytest.mark.parametrize(
    ("old", "new", "says"), [("$.a.d", "$.a.b", "lies within"), ("$.a.d", "$.a..d", "empty key")]
)
def test_paths_that_cannot_be_are_refused(old: str, new: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        parse_profile(NESTED.replace(old, new, 1))
