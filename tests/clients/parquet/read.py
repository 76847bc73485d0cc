"""Prints the Parquet file at standard input as JSON: the types of its columns and its rows."""

import io
import json
import sys

import pyarrow.parquet

table = pyarrow.parquet.read_table(io.BytesIO(sys.stdin.buffer.read()))


def printable(value):
    return value.isoformat() if hasattr(value, "isoformat") else value


columns = {field.name: str(field.type) for field in table.schema}
rows = [{name: printable(cell) for name, cell in row.items()} for row in table.to_pylist()]
json.dump({"columns": columns, "rows": rows}, sys.stdout)
