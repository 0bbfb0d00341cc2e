"""A folder cut into mini-batches and read back, for tests."""

from batch_endpoints.planning.mini_batches import InputFile
from batch_endpoints.planning.partitions import partition_size
from batch_endpoints.scoring.table_batches import TableBatch
from batch_endpoints.storage.tables.column_types import ColumnTypes
from batch_endpoints.storage.tables.joined_tables import joined
from batch_endpoints.storage.tables.parts import PartReader, cut_tables


def cut(folder, size, types=None):
    """All mini-batches of a folder as tables, and their parts."""
    types = types or ColumnTypes()
    files = [InputFile(path.relative_to(folder).as_posix()) for path in folder.rglob("*") if path.is_file()]
    batches = list(cut_tables(str(folder), files, partition_size(size), types, folder))
    reader = PartReader(str(folder), types.schema(), folder)
    return [[(path, part, reader.read(path, part)) for path, part in batch] for batch in batches]


def rows(batches, path):
    return [row for batch in batches for name, _, table in batch if name == path for row in table.to_pylist()]


def payloads(batches):
    """What the host process gets of each mini-batch that has rows."""
    for batch in batches:
        read = [(path, table) for path, _, table in batch if table.num_rows]
        if read:
            table = joined([table for _, table in read])
            places = [range(table.num_rows) for _, table in read]
            yield TableBatch(table, [path for path, _ in read], places).payload().to_pybytes()
