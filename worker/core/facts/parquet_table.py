"""Facts from a Parquet file. Its declared sizes are checked before anything is unpacked."""

import io
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from worker.contract.errors import UserError
from worker.contract.menu import ReadFacts
from worker.core.facts._rows import MAX_ROWS, read_rows

TITLE = "Parquet"
ENDINGS = (".parquet",)
MAX_UNPACKED = 100_000_000


def read(data: bytes, mapping: Mapping[str, str]) -> ReadFacts:
    """Read a Parquet table; raise UserError when it is none, or would unpack to too much."""
    try:
        file = pq.ParquetFile(io.BytesIO(data))
        _check(file)
        columns = list(file.schema_arrow.names)
        if len(columns) != len(set(columns)):
            twice = next(column for column in columns if columns.count(column) > 1)
            raise UserError(f"The column {twice[:60]!r} occurs twice; rename one.", field="file")
        return read_rows(enumerate(_rows(file), 1), columns, mapping, TITLE)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise UserError(f"This is no Parquet file: {reason}.", field="file") from None


def _check(file: pq.ParquetFile) -> None:
    groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
    unpacked = sum(group.total_byte_size for group in groups)
    if unpacked > MAX_UNPACKED:
        raise UserError(
            f"The table unpacks to {unpacked / 1e6:,.0f} MB; expected at most "
            f"{MAX_UNPACKED / 1e6:.0f} MB. Keep only the columns that facts are made of.",
            field="file",
        )
    if file.metadata.num_rows > MAX_ROWS:
        raise UserError(
            f"The table has {file.metadata.num_rows:,} rows; expected at most {MAX_ROWS:,}.",
            field="file",
        )


def _rows(file: pq.ParquetFile) -> Iterator[Mapping[str, Any]]:
    """Small batches, so that a column which unpacks to more than it declared is noticed early."""
    unpacked = 0
    for batch in file.iter_batches(batch_size=1_000):
        unpacked += batch.nbytes
        if unpacked > MAX_UNPACKED:
            raise UserError(
                f"The table unpacks to more than {MAX_UNPACKED / 1e6:.0f} MB, which is more than "
                f"it declares.",
                field="file",
            )
        yield from batch.to_pylist()
