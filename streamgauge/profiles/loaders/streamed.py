"""A file's records a block at a time, by the same loaders that read whole files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import IO, Any

from streamgauge.errors import ConfigurationError, DataError
from streamgauge.profiles.fields import ISO8601, STRPTIME, UNIX
from streamgauge.profiles.loaders.base import LOADERS, Dataset
from streamgauge.profiles.loaders.csv_file import names_all, with_header
from streamgauge.profiles.loaders.files import SourceFile
from streamgauge.profiles.loaders.inputs import ANY, Input, open_input
from streamgauge.profiles.loaders.own_file import read_own
from streamgauge.profiles.loaders.table import Table
from streamgauge.profiles.profile import Profile, load_profile

BLOCK_BYTES = 1 << 20
"""Of text read at once: some thousand records."""
_HEADER_BYTES = 1 << 18
_PARQUET_ROW_BYTES = 256
Moved = Callable[[int], None]
"""Told how many bytes of a file on disk were read since the last call."""


def dataset_of(profile: Profile) -> Dataset:
    """How files of a profile are read: by the loader of its name, else as one's own CSV files.

    A profile that has the name of a data set by chance, and other fields, is one's own.
    """
    if profile.name in LOADERS and load_profile(profile.name).fields == profile.fields:
        return LOADERS[profile.name]
    return Dataset(profile.name, ANY, read_own)


def stream_tables(
    each: Input, profile: Profile, moved: Moved = lambda _: None, block_bytes: int = BLOCK_BYTES
) -> Iterator[Table]:
    """The records of one file in its order, a block at a time; memory does not grow with the file.

    Args:
        each: the file.
        profile: names the columns; its loader knows how the owner writes them.
        moved: told of the progress.
        block_bytes: text of a block.

    Raises:
        DataError: see the loader; what is wrong in a block shows when the block is reached.
        ConfigurationError: pyarrow is not installed.
    """
    dataset = dataset_of(profile)
    blocks = _parquet_blocks if each.is_parquet else _text_blocks
    for block in blocks(each, profile, dataset, moved, block_bytes):
        if len(table := dataset.read(block, profile)):
            yield table


def column_names(each: Input) -> tuple[str, ...]:
    """Names in the header of a file of one's own.

    Raises:
        DataError: it is empty or no CSV or Parquet file.
    """
    if each.is_parquet:
        with open_input(each) as (stream, _):
            return tuple(_parquet_file(each, stream).schema_arrow.names)
    with open_input(each) as (stream, _):
        return with_header(SourceFile(each.name, stream.readline(_HEADER_BYTES))).names


def _text_blocks(
    each: Input, profile: Profile, dataset: Dataset, moved: Moved, block_bytes: int
) -> Iterator[SourceFile]:
    """Blocks of whole lines, each with the file's header above."""
    with open_input(each) as (stream, raw):
        at = lines = 0
        block = _lines(stream, max(block_bytes, _HEADER_BYTES))
        header = b""
        if dataset.header is not None or names_all(SourceFile(each.name, block), profile):
            text = with_header(SourceFile(each.name, block), dataset.header or None)
            header = block[: len(block) - len(text.data)]
        first = True
        while block.strip() or first:
            skipped = 0 if first else lines - header.count(b"\n")
            yield SourceFile(each.name, block if first else header + block, skipped=skipped)
            lines += block.count(b"\n")
            moved(raw.tell() - at)
            at, first = raw.tell(), False
            block = _lines(stream, block_bytes)


def _lines(stream: IO[bytes], size: int) -> bytes:
    return stream.read(size) + stream.readline()


def _parquet_blocks(
    each: Input, profile: Profile, dataset: Dataset, moved: Moved, block_bytes: int
) -> Iterator[SourceFile]:
    """Row groups in place of lines: one reader knows a data set's quirks, whatever the kind of file."""
    with open_input(each) as (stream, _):
        file = _parquet_file(each, stream)
        share = each.size_bytes / max(1, file.metadata.num_rows)
        size = block_bytes // _PARQUET_ROW_BYTES
        # One by one: an iterator over all row groups keeps the bytes of those it has passed.
        groups = (file.iter_batches(size, row_groups=[group]) for group in range(file.num_row_groups))
        for batch in chain.from_iterable(groups):
            columns = [_without_timestamps(column, profile) for column in batch.columns]
            rows = type(batch).from_arrays(columns, batch.schema.names)
            yield SourceFile(each.name[: -len(".parquet")] + ".csv", b"", rows)
            moved(round(share * len(batch)))


def _parquet_file(each: Input, stream: IO[bytes]) -> Any:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise ConfigurationError("reading Parquet needs pyarrow; pip install 'streamgauge[data]'") from error
    try:
        return parquet.ParquetFile(stream)
    except pa.ArrowInvalid as error:
        raise DataError(f"file {each.name}: is no Parquet file ({error})") from None


def _without_timestamps(column: Any, profile: Profile) -> Any:
    """Timestamps in the profile's format; other columns as they are."""
    import pyarrow as pa
    from pyarrow import compute

    if not pa.types.is_timestamp(column.type):
        return column
    micros = column.cast(pa.timestamp("us"), safe=False)  # of a time with a zone: UTC
    format_ = profile.time.format
    if format_.startswith(STRPTIME):
        # Of seconds: Arrow's %S would write the fraction too.
        return compute.strftime(micros.cast(pa.timestamp("s"), safe=False), format_.removeprefix(STRPTIME))
    if format_ == ISO8601:
        whole = micros.cast(pa.timestamp("s"), safe=False)  # without a fraction where there is none
        return (whole if compute.all(compute.equal(whole, micros)).as_py() else micros).cast(pa.string())
    ticks = micros.cast(pa.int64())
    return compute.divide(ticks.cast(pa.float64()), 1e6 / UNIX[format_])
