"""Facts from a Parquet file, which may unpack to a million times its size.

1. The sizes that it declares are checked before anything is unpacked. 2. Texts are read as the
file keeps them: each different one once, and for every row its number. 3. What a few rows would
take with each its own text is counted, and refused, before they get it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from worker.contract.errors import UserError
from worker.contract.menu import ReadFacts
from worker.core.facts._columns import check_columns
from worker.core.facts._layouts import arrange
from worker.core.facts.rows import MAX_ROWS, Row, read_rows

if TYPE_CHECKING:  # pyarrow takes half a second, which files of other kinds need not wait for
    import pyarrow as pa
    import pyarrow.parquet as pq

TITLE = "Parquet"
ENDINGS = (".parquet",)
MAX_UNPACKED = 100_000_000


def read(data: bytes, mapping: Mapping[str, str]) -> ReadFacts:
    """Read a Parquet table; raise UserError when it is none, or would unpack to too much."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        texts = _texts(pq.ParquetFile(io.BytesIO(data)))
        file = pq.ParquetFile(io.BytesIO(data), read_dictionary=texts)
        _check(file)
        columns = list(file.schema_arrow.names)
        check_columns(columns)
        rows = (Row(n, n, row) for n, row in enumerate(_rows(file), 1))
        found = arrange(rows, mapping, TITLE)
        return read_rows(found.rows, found.columns or columns, mapping, found.format)
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


def _texts(file: pq.ParquetFile) -> list[str]:
    """The paths of the columns of text, also of those within lists."""
    columns = (file.schema.column(i) for i in range(len(file.schema.names)))
    return [column.path for column in columns if column.physical_type == "BYTE_ARRAY"]


def _rows(file: pq.ParquetFile) -> Iterator[Mapping[str, Any]]:
    """Small batches, so that a column which unpacks to more than it declared is noticed early."""
    unpacked = 0
    for batch in file.iter_batches(batch_size=1_000):
        unpacked += sum(_size(column) for column in batch.columns)
        if unpacked > MAX_UNPACKED:
            raise UserError(
                f"The table unpacks to more than {MAX_UNPACKED / 1e6:.0f} MB, which is more than "
                f"it declares.",
                field="file",
            )
        yield from batch.to_pylist()


def _size(values: pa.Array) -> int:
    """Bytes that values take with each its own text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(values.type):
        if not len(values.dictionary):
            return int(values.nbytes)
        lengths = pc.binary_length(values.dictionary.cast(pa.large_binary()))
        return int(pc.sum(lengths.cast(pa.int64()).take(values.indices)).as_py() or 0)
    if pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
        return int(values.nbytes) + _size(values.flatten())
    if pa.types.is_struct(values.type):
        return sum(_size(field) for field in values.flatten())
    return int(values.nbytes)
