"""Table `strict`: without labels, on later data or attacks never seen; the headline."""

from __future__ import annotations

from benchmarks.quality.strict.nsl_rows import nsl_section, supervised_section
from benchmarks.quality.strict.series_rows import batadal_section
from benchmarks.quality.strict.skab_rows import skab_section, skab_time_section
from benchmarks.quality.table import TABLES, Table


@TABLES.register("strict")
def strict() -> Table:
    """NSL-KDD over ten nodes, SKAB and BATADAL."""
    sections = (
        nsl_section(),
        supervised_section(),
        skab_section(),
        skab_time_section(),
        batadal_section(),
    )
    return Table("strict", "Strict: unsupervised, on attacks and times never seen", sections)
