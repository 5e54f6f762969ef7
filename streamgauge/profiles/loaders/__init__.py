"""Loaders of public data sets: the files as their owners publish them, quirks and all, as one `Table`."""

from streamgauge.profiles.loaders.base import LOADERS, Dataset, load
from streamgauge.profiles.loaders.table import Table

__all__ = ["LOADERS", "Dataset", "Table", "load"]
