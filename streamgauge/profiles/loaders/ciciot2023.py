"""CICIoT2023: the release with 39 features (three samples of it are about) and the first with 46.

The samples spell one attack in three ways (``DDoS-UDP_Flood``, ``DDOS-UDP_FLOOD``) or name its family only.
"""

from __future__ import annotations

from streamgauge.profiles.loaders.base import LOADERS, Dataset
from streamgauge.profiles.loaders.csv_file import read_columns, with_header
from streamgauge.profiles.loaders.files import SourceFile
from streamgauge.profiles.loaders.table import NORMAL, Table
from streamgauge.profiles.loaders.truth import spelled_like, table_of, truth_of
from streamgauge.profiles.profile import Profile

FAMILIES = {
    "DDoS": (
        *("DDoS-ACK_Fragmentation", "DDoS-UDP_Flood", "DDoS-SlowLoris", "DDoS-ICMP_Flood", "DDoS-RSTFINFlood"),
        *("DDoS-PSHACK_Flood", "DDoS-HTTP_Flood", "DDoS-UDP_Fragmentation", "DDoS-ICMP_Fragmentation"),
        *("DDoS-TCP_Flood", "DDoS-SYN_Flood", "DDoS-SynonymousIP_Flood"),
    ),
    "DoS": ("DoS-TCP_Flood", "DoS-HTTP_Flood", "DoS-SYN_Flood", "DoS-UDP_Flood"),
    "Recon": (*("Recon-PingSweep", "Recon-OSScan", "VulnerabilityScan", "Recon-PortScan", "Recon-HostDiscovery"),),
    "Web-Based": (
        *("SqlInjection", "CommandInjection", "Backdoor_Malware", "Uploading_Attack", "XSS", "BrowserHijacking"),
        *("WebAttack", "Malware", "Uploading"),
    ),
    "BruteForce": ("DictionaryBruteForce",),
    "Spoofing": ("MITM-ArpSpoofing", "DNS_Spoofing"),
    "Mirai": ("Mirai-greip_flood", "Mirai-greeth_flood", "Mirai-udpplain"),
}
"""Family -> attack types, the 33 published ones and the names of families in the samples."""
_TYPES = {name: name for family, names in FAMILIES.items() for name in (family, *names)}
_FAMILY = {name: family for family, names in FAMILIES.items() for name in (family, *names)}
LABELS = ("label", "label_multiclass")
"""The column with the attack type has one of these names, in any capitals."""


def family_of(attack_type: str) -> str:
    """The family of an attack type as in `Table.attack_types`; ``normal`` and unknown types are their own.

    >>> family_of("Recon-PingSweep"), family_of("normal")
    ('Recon', 'normal')
    """
    return NORMAL if attack_type == NORMAL else _FAMILY.get(attack_type, attack_type)


def read(file: SourceFile, profile: Profile) -> Table:
    """One CSV file of either release; the profile says of which."""
    assert profile.label is not None
    text = with_header(file)
    names = [name.lower() for name in text.names]
    label = next((label for label in LABELS if label in names), LABELS[0])
    columns = read_columns(text, profile, [label])
    return table_of(columns, profile, truth_of(columns.columns[label], profile.label, spell=spelled_like(_TYPES)))


LOADERS.register("ciciot2023")(Dataset("ciciot2023", (("Merged*.csv",), ("*.csv",)), read))
LOADERS.register("ciciot2023-46")(Dataset("ciciot2023-46", (("part-*.csv",), ("*.csv",)), read))
