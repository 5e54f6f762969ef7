"""NSL-KDD and KDD Cup 1999: no header, 41 features; KDD-99's labels end with a full stop."""

from __future__ import annotations

from streamgauge.profiles.loaders.base import LOADERS, Dataset
from streamgauge.profiles.loaders.csv_file import names_all, read_columns, with_header, without_header
from streamgauge.profiles.loaders.files import SourceFile
from streamgauge.profiles.loaders.table import Table
from streamgauge.profiles.loaders.truth import table_of, truth_of
from streamgauge.profiles.profile import Profile

FIELDS = (
    *("duration", "protocol_type", "service", "flag", "src_bytes", "dst_bytes", "land", "wrong_fragment"),
    *("urgent", "hot", "num_failed_logins", "logged_in", "num_compromised", "root_shell", "su_attempted"),
    *("num_root", "num_file_creations", "num_shells", "num_access_files", "num_outbound_cmds"),
    *("is_host_login", "is_guest_login", "count", "srv_count", "serror_rate", "srv_serror_rate"),
    *("rerror_rate", "srv_rerror_rate", "same_srv_rate", "diff_srv_rate", "srv_diff_host_rate"),
    *("dst_host_count", "dst_host_srv_count", "dst_host_same_srv_rate", "dst_host_diff_srv_rate"),
    *("dst_host_same_src_port_rate", "dst_host_srv_diff_host_rate", "dst_host_serror_rate"),
    *("dst_host_srv_serror_rate", "dst_host_rerror_rate", "dst_host_srv_rerror_rate"),
    "label",
)
"""The published columns; NSL-KDD has the difficulty, 0 to 21, after them."""


def _reader(fields: tuple[str, ...], file: SourceFile, profile: Profile) -> Table:
    assert profile.label is not None
    # Copies of it are about with a header; the bundled sample is one.
    text = with_header(file) if names_all(file, profile) else without_header(file, fields, number_at=0)
    columns = read_columns(text, profile, ["label"])
    truth = truth_of(columns.columns["label"], profile.label, spell=lambda label: label.removesuffix("."))
    return table_of(columns, profile, truth, entities=columns.columns["service"])


def read_nsl_kdd(file: SourceFile, profile: Profile) -> Table:
    """One of KDDTrain+, KDDTest+, KDDTest-21, KDDTrain+_20Percent; the difficulty is left out."""
    return _reader((*FIELDS, "difficulty"), file, profile)


def read_kdd99(file: SourceFile, profile: Profile) -> Table:
    """kddcup.data_10_percent or corrected, where two rows have the service ``icmp``: not in the profile's list."""
    return _reader(FIELDS, file, profile)


LOADERS.register("nsl-kdd")(Dataset("nsl-kdd", (("KDDTrain+.txt", "KDDTest+.txt"),), read_nsl_kdd, None))
LOADERS.register("kdd99")(Dataset("kdd99", (("kddcup.data_10_percent", "corrected"),), read_kdd99, None))
