"""Reads the tables of SQLite and DuckDB files, without writing to them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from .model import MAX_TABLES, NotATableError, Notes, Table
from .values import frame_of_columns

MAX_ROWS = 5_000_000


def read_sqlite(path: Path) -> list[Table]:
    """Reads every table and view of a SQLite file."""
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as base:
        base.text_factory = lambda raw: raw.decode("utf-8", errors="replace")
        found = base.execute(
            "select name from sqlite_master where type in ('table', 'view') and name not like 'sqlite\\_%' escape '\\'"
        ).fetchmany(MAX_TABLES)
        tables = [_sqlite_table(base, str(name)) for (name,) in found]
    if not tables:
        raise NotATableError("the database has no tables")
    return tables


def _sqlite_table(base: sqlite3.Connection, name: str) -> Table:
    cursor = base.execute("select * from " + _sql_name(name))  # noqa: S608 - the name is quoted
    columns = [column[0] for column in cursor.description]
    rows = cursor.fetchmany(MAX_ROWS)
    notes = Notes()
    if cursor.fetchone() is not None:
        notes.doubt(f"only the first {MAX_ROWS} rows were loaded")
    return Table(frame_of_columns(columns, _turned(rows, len(columns)), notes), notes, name, "table")


def read_duckdb(path: Path) -> list[Table]:
    """Reads every table and view of a DuckDB file. Decimals and integers of 128 bits keep their digits."""
    import duckdb

    with duckdb.connect(str(path), read_only=True, config={"enable_external_access": "false"}) as base:
        found = base.execute(
            "select table_schema, table_name from information_schema.tables where table_schema not in "
            "('information_schema', 'pg_catalog') order by 1, 2"
        ).fetchmany(MAX_TABLES)
        tables = [_duckdb_table(base, str(schema), str(name)) for schema, name in found]
    if not tables:
        raise NotATableError("the database has no tables")
    return tables


def _duckdb_table(base: object, schema: str, name: str) -> Table:
    rows = base.execute(f"select * from {_sql_name(schema)}.{_sql_name(name)}")  # type: ignore[attr-defined]  # noqa: S608 - names are quoted
    columns = [column[0] for column in rows.description]
    notes = Notes()
    frame = frame_of_columns(columns, _turned(rows.fetchmany(MAX_ROWS), len(columns)), notes)
    if rows.fetchone() is not None:
        notes.doubt(f"only the first {MAX_ROWS} rows were loaded")
    return Table(frame, notes, name if schema == "main" else f"{schema}.{name}", "table")


def _turned(rows: list[tuple[object, ...]], width: int) -> list[list[object]]:
    return [[row[number] for row in rows] for number in range(width)]


def _sql_name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
