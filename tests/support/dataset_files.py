"""A few lines of every public data set as its owner publishes it, quirks and all.

Lines of NSL-KDD, TON_IoT, UNSW-NB15 and KDD-99 (with the odd service `icmp` put into the second) are real ones;
the others follow the published layout with numbers of our own.
"""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

from streamgauge.profiles.loaders.ciciot_diad2024 import columns_of
from streamgauge.profiles.profile import load_profile

BOM = b"\xef\xbb\xbf"
NSL_TRAIN = b"""\
0,tcp,ftp_data,SF,491,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,2,2,0.00,0.00,0.00,0.00,1.00,0.00,0.00,150,25,0.17,0.03,0.17,\
0.00,0.00,0.00,0.05,0.00,normal,20
0,udp,other,SF,146,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,13,1,0.00,0.00,0.00,0.00,0.08,0.15,0.00,255,1,0.00,0.60,0.88,\
0.00,0.00,0.00,0.00,0.00,normal,15
"""
NSL_TEST = b"""\
0,tcp,private,REJ,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,229,10,0.00,0.00,1.00,1.00,0.04,0.06,0.00,255,10,0.04,0.06,\
0.00,0.00,0.00,0.00,1.00,1.00,neptune,21
"""
KDD99 = b"""\
0,udp,private,SF,105,146,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,1,1,0.00,0.00,0.00,0.00,1.00,0.00,0.00,255,254,1.00,0.01,\
0.00,0.00,0.00,0.00,0.00,0.00,normal.
0,icmp,icmp,SF,1032,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,511,511,0.00,0.00,0.00,0.00,1.00,0.00,0.00,255,255,1.00,0.00,\
1.00,0.00,0.00,0.00,0.00,0.00,smurf.
"""
UNSW = BOM + (
    b"id,dur,proto,service,state,spkts,dpkts,sbytes,dbytes,rate,sttl,dttl,sload,dload,sloss,dloss,sinpkt,dinpkt,"
    b"sjit,djit,swin,stcpb,dtcpb,dwin,tcprtt,synack,ackdat,smean,dmean,trans_depth,response_body_len,ct_srv_src,"
    b"ct_state_ttl,ct_dst_ltm,ct_src_dport_ltm,ct_dst_sport_ltm,ct_dst_src_ltm,is_ftp_login,ct_ftp_cmd,"
    b"ct_flw_http_mthd,ct_src_ltm,ct_srv_dst,is_sm_ips_ports,attack_cat,label\r\n"
    b"1,0.000011,udp,-,INT,2,0,496,0,90909.0902,254,0,180363632,0,0,0,0.011,0,0,0,0,0,0,0,0,0,0,248,0,0,0,2,2,1,1,"
    b"1,2,0,0,0,1,2,0,Normal,0\r\n"
    b"248,0.000009,sctp,-,INT,2,0,104,0,111111.1072,254,0,46222220,0,0,0,0.009,0,0,0,0,0,0,0,0,0,0,52,0,0,0,1,2,2,"
    b"1,1,2,0,0,0,1,1,0,Exploits,1\r\n"
)
TON = {
    "Fridge": "fridge_temperature,temp_condition,label,type\r\n"
    "25-Apr-19, 19:19:40 ,9,high,1,ddos\r\n31-Mar-19,   12:39:16   ,12.7,high ,0,normal\r\n"
    "2-Apr-19,   04:01:50   ,2,low  ,0,normal\r\n",
    "Garage_Door": "door_state,sphone_signal,label,type\r\n"
    "25-Apr-19, 14:42:33 ,closed,0,1,ddos\r\n2-Apr-19,   04:04:52   ,closed,false  ,0,normal\r\n"
    "25-Apr-19, 08:52:27 ,open,1,1,injection\r\n31-Mar-19,   12:41:51   ,open,true  ,0,normal\r\n",
    "GPS_Tracker": "latitude,longitude,label,type\r\n25-Apr-19, 18:31:39 ,116.5217044,132.1625042,1,ddos\r\n",
    "Modbus": "FC1_Read_Input_Register,FC2_Read_Discrete_Value,FC3_Read_Holding_Register,FC4_Read_Coil,label,type"
    "\r\n25-Apr-19, 09:14:00 ,49389,52921,25770,13625,1,injection\r\n",
    "Motion_Light": "motion_status,light_status,label,type\r\n"
    "25-Apr-19, 19:41:37 ,0, off,1,ddos\r\n31-Mar-19,12:43:53,1, on,0,normal\r\n",
    "Thermostat": "current_temperature,thermostat_status,label,type\r\n"
    "25-Apr-19,8:59:02,30.57732541,1,1,injection\r\n",
    "Weather": "temperature,pressure,humidity,label,type\r\n"
    "25-Apr-19,17:33:16,40.88186638,-0.101805871,38.3636313,1,ddos\r\n",
}
_TAGS = [f.field for f in load_profile("batadal").numeric]
BATADAL03 = f"DATETIME,{','.join(_TAGS)},ATT_FLAG\n06/01/14 00,0.509729922,{','.join(['1'] * 42)},0\n".encode()
BATADAL04 = (
    f"DATETIME, {', '.join(_TAGS)}, ATT_FLAG\n"
    f"04/07/16 00, 2.44, {', '.join(['1.00'] * 42)}, -999\n14/09/16 03, 3.75, {', '.join(['1.00'] * 42)}, 1\n"
).encode()
BATADAL_TEST = (
    f",DATETIME,{','.join(_TAGS)},ATT_FLAG\n0,2017-01-04 00:00:00,0.73,{','.join(['1'] * 42)},benign\n"
    f"1,2017-01-16 09:00:00,6.34,{','.join(['1'] * 42)},attack8\n"
).encode()
SKAB_NAMES = ";".join(f.field for f in load_profile("skab").numeric)
SKAB_RUN = (
    f"datetime;{SKAB_NAMES};anomaly;changepoint\r\n2020-03-09 10:14:33;0.02;0.04;1.5;0.05;79;26;233;32;0.0;0.0\r\n"
    "2020-03-09 10:14:34;0.03;0.04;1.5;-0.6;79.5;26;236;32;1.0;1.0\r\n"
).encode()
SKAB_FREE = f"datetime;{SKAB_NAMES}\r\n2020-02-08 13:30:47;0.2;0.3;2.2;0.4;91;27;239;123\r\n".encode()


def _numbers(n: int, start: float = 0.5) -> list[str]:
    return [str(start + i) for i in range(n)]


def _ciciot(name: str, label: str, rows: list[str]) -> bytes:
    fields = [f.field for f in load_profile(name).numeric]
    lines = [",".join([*_numbers(len(fields), i), kind]) for i, kind in enumerate(rows)]
    return "\r\n".join([",".join([*fields, label]), *lines, ""]).encode()


def _ciciot2022() -> bytes:
    """Blanks in two names, a row number before, addresses as numbers."""
    profile = load_profile("ciciot2022")
    blank = {"ethernet_frame_size": "ethernet_frame_size ", "protocol": "protocol "}
    names = [blank.get(f.field, f.field) for f in profile.numeric]
    lines = [
        f"Unnamed: 0,{','.join(names)},ip_dst_new,most_freq_d_ip,epoch_timestamp",
        f"0,{','.join(_numbers(len(names)))},4294967295,4294967295,1633693207.332755",
    ]
    return "\n".join([*lines, ""]).encode()


def _tar(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:xz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def cic_ids2017_lines() -> list[bytes]:
    """Blanks before names, `Fwd Header Length` twice, infinity and nothing for a rate, a dash in Latin-1."""
    fields = [f.field for f in load_profile("cic-ids2017").numeric]
    names = [*fields[:55], "Fwd Header Length", *fields[55:], "Label"]
    header = ",".join(name if i % 4 == 0 else f" {name}" for i, name in enumerate(names))

    def line(label: bytes, **cells: str) -> bytes:
        values = [cells.get(name.replace("/", "_").replace(" ", "_"), "7") for name in names[:-1]]
        return ",".join(values).encode() + b"," + label

    return [
        header.encode(),
        line(b"BENIGN", Flow_Bytes_s="56000.0"),
        line(b"DoS Hulk", Flow_Bytes_s="", Flow_Packets_s="Infinity"),
        line(b"Web Attack \x96 XSS", Flow_Bytes_s="NaN", Flow_Packets_s="inf"),
        b"," * (len(names) - 1),
    ]


DIAD = columns_of(load_profile("ciciot-diad2024"))
DIAD_HEADER = ",".join(DIAD).encode()


def diad_line(rate: str = "12.5", time: str = "13/09/2022 02:06:58 PM") -> bytes:
    """A flow of 84 cells."""
    cells = dict.fromkeys(DIAD, "3") | {"Flow ID": "a-b-1-2-6", "Src IP": "192.168.137.41", "Dst IP": "8.8.8.8"}
    cells |= {"Timestamp": time, "Flow Bytes/s": rate, "Label": "NeedManualLabel"}
    return ",".join(cells[name] for name in DIAD).encode()


SWAT_TAGS = [f.field for f in load_profile("swat").numeric]


def swat_text(
    rows: list[tuple[str, str]], *, delimiter: str = ",", comma: bool = False, stages: bool = True
) -> bytes:
    """Stages above the header, blanks before every other tag, leading blanks before times."""
    names = ["Timestamp", *(t if i % 2 else f" {t}" for i, t in enumerate(SWAT_TAGS)), "Normal/Attack"]
    numbers = [n.replace(".", ",") if comma else n for n in _numbers(51, 0.25)]
    lines = [delimiter.join(["", "P1", *[""] * 51])] if stages else []
    lines += [delimiter.join(names), *(delimiter.join([f" {t}", *numbers, label]) for t, label in rows)]
    return "\r\n".join([*lines, ""]).encode()


SWAT_NORMAL = swat_text([("22/12/2015 4:30:00 PM", "Normal"), ("22/12/2015 4:30:01 PM", "Normal")])
SWAT_ATTACK = swat_text(
    [
        ("28/12/2015 10:00:00 AM", "Normal"),
        ("28/12/2015 10:29:14 AM", "Attack"),
        ("2/1/2016 1:41:10 PM", "A ttack"),
    ],
    delimiter=";",
    comma=True,
)

PLANT_LINE = ",".join(["2025-06-15T15:06:40Z", "north", *_numbers(51, 0.25)])
PLANT = "\n".join(
    [
        ",".join(["t", "plant", *SWAT_TAGS, "label", "attack_class", "attack_points"]),
        f"{PLANT_LINE},normal,,",
        f"{PLANT_LINE},attack,replay,LIT101 FIT201",
        "",
    ]
).encode()

FILES: dict[str, dict[str, bytes]] = {
    "nsl-kdd": {
        "KDDTrain+.txt.gz": gzip.compress(NSL_TRAIN),
        "KDDTest+.txt": NSL_TEST,
        "KDDTrain+_20Percent.txt": NSL_TRAIN,
        "KDDTest-21.txt": NSL_TEST,
    },
    "kdd99": {"corrected.gz": gzip.compress(KDD99), "kddcup.data_10_percent": KDD99},
    "unsw-nb15": {
        "UNSW_NB15_82332.csv.gz": gzip.compress(UNSW),
        "UNSW-NB15_features.csv": b"No.,Name\r\n1,srcip\r\n",
    },
    "ciciot2023": {
        "a.csv": _ciciot("ciciot2023", "Label", ["MITM-ArpSpoofing", "Benign_Final", "DDoS-UDP_Flood"]),
        "b.csv": _ciciot("ciciot2023", "Label", ["BENIGN", "DDOS-UDP_FLOOD", "UPLOADING_ATTACK"]),
        "c.csv": _ciciot("ciciot2023", "label_multiclass", ["Benign", "DDoS"]),
    },
    "ciciot2023-46": {
        "part-00000-363d1ba3.csv": _ciciot("ciciot2023-46", "label", ["BenignTraffic", "DDoS-RSTFINFlood"]),
        "part-00001-363d1ba3.csv": _ciciot("ciciot2023-46", "label", ["Mirai-greeth_flood"]),
        "README.csv": b"not,data\n",
    },
    "ciciot2022": {
        "devices.tar.xz": _tar({"./sonos/sonos_2.csv": _ciciot2022(), "./roomba/roombaON_1.csv": _ciciot2022()})
    },
    "ciciot-diad2024": {
        "Benign/1.csv": b"\n".join([DIAD_HEADER, diad_line(), diad_line("Infinity"), b""]),
        "DDoS/UDP Flood/2.csv": b"\n".join([diad_line("NaN"), DIAD_HEADER, diad_line(), b"1,2,3", b""]),
        "Web-Based/3.csv": b"\n".join([DIAD_HEADER[:200], diad_line(time="2022-09-13 14:06:58"), b""]),
    },
    "cic-ids2017": {"Thursday.csv": b"\r\n".join([*cic_ids2017_lines(), b""])},
    "skab": {
        "data/valve1/2.csv": SKAB_RUN,
        "data/valve1/10.csv": SKAB_RUN,
        "data/anomaly-free/anomaly-free.csv": SKAB_FREE,
    },
    "batadal": {
        "BATADAL_dataset03.csv": BATADAL03,
        "BATADAL_dataset04.csv": BATADAL04,
        "BATADAL_testdataset.csv.gz": gzip.compress(BATADAL_TEST),
    },
    "plant": {"day.csv": PLANT},
    "swat": {"SWaT_Dataset_Normal_v1.csv": SWAT_NORMAL, "SWaT_Dataset_Attack_v0.csv": SWAT_ATTACK},
    **{
        f"ton-iot-{device.lower().replace('_', '-')}": {
            f"Train_Test_IoT_{device}.csv": BOM + f"date,time,{text}".encode(),
        }
        for device, text in TON.items()
    },
}
"""Data set -> file -> bytes."""


def write_dataset(name: str, folder: Path) -> Path:
    """Write a data set's files; returns the folder."""
    for relative, data in FILES[name].items():
        (folder / relative).parent.mkdir(parents=True, exist_ok=True)
        (folder / relative).write_bytes(data)
    return folder
