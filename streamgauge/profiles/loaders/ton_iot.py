"""TON_IoT telemetry, one data set a device: blanks around cells, and a switch written as 0/1 and as true/false.

The files begin with attacks; the date gives the label away, so it must not be a feature.
"""

from __future__ import annotations

import numpy as np

from streamgauge.profiles.loaders.base import LOADERS, Dataset
from streamgauge.profiles.loaders.csv_file import read_columns, with_header
from streamgauge.profiles.loaders.files import SourceFile
from streamgauge.profiles.loaders.table import Column, Table, constant
from streamgauge.profiles.loaders.truth import parse_times, table_of, truth_of
from streamgauge.profiles.profile import Profile

DEVICES = {
    "fridge": "Fridge",
    "garage-door": "Garage_Door",
    "gps-tracker": "GPS_Tracker",
    "modbus": "Modbus",
    "motion-light": "Motion_Light",
    "thermostat": "Thermostat",
    "weather": "Weather",
}
"""Device, as in the data set's name -> as in its file's name."""
PREFIX = "ton-iot-"
_SWITCH = {"0": "false", "1": "true"}
_TRUTH_AND_TIME = ("date", "time", "label", "type")


def read(file: SourceFile, profile: Profile) -> Table:
    """One device's file. 0 and 1 of a column that also holds true and false are those: the label hides in them."""
    assert profile.label is not None
    columns = read_columns(with_header(file, "label"), profile, _TRUTH_AND_TIME)
    c = dict(columns.columns)
    for field in profile.categorical:
        if {"true", "false"} <= set(field.feature.categories):
            c[field.field] = np.array([_SWITCH.get(value, value) for value in c[field.field]], object)
    moments: Column = np.array([f"{d} {t}" for d, t in zip(c["date"], c["time"], strict=True)], object)
    return table_of(
        type(columns)(columns.file, c),
        profile,
        truth_of(c["label"], profile.label, c["type"]),
        times=parse_times(moments, ["%d-%b-%y %H:%M:%S"], f"file {file.name}: columns date and time"),
        entities=constant(profile.name.removeprefix(PREFIX), len(columns)),
    )


for _device, _file in DEVICES.items():
    LOADERS.register(PREFIX + _device)(Dataset("ton-iot", ((f"Train_Test_IoT_{_file}.csv",),), read, "label"))
