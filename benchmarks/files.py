"""Reads the data files of installed packages and compares each with what independent readers make of it.

    python -m benchmarks.files FOLDER...        # e.g. the site-packages of an environment with statsmodels in it
    python -m benchmarks.files FOLDER --show    # also every file that is not simply right

Independent readers of text: pandas' `read_csv`, DuckDB's sniffer, and CleverCSV; of JSON: pandas and DuckDB; of
workbooks: xlrd or openpyxl, and calamine, through pandas; of Stata and SAS: pandas and pyreadstat. A file counts as

- right: two of them agree, value by value, and so do we;
- said: we read it otherwise than two that agree, or no two agree, and the profile has a line about it;
- alone: no two agree, and we say nothing: somebody has to look;
- refused: it is said to be no table;
- wrong: two agree, we read something else, and say nothing. This must be 0.
"""

from __future__ import annotations

import argparse
import math
import signal
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from itertools import combinations, islice
from pathlib import Path
from typing import Any

from ci_integrations.tables.reader import read

TEXT = {".csv", ".tsv", ".tab", ".dat", ".txt", ".data"}
SUFFIXES = {*TEXT, ".json", ".jsonl", ".xls", ".xlsx", ".dta", ".sas7bdat", ".xpt"}
MAX_BYTES = 3_000_000

Grid = tuple[tuple[str, ...], tuple[tuple[Any, ...], ...]]
Reader = Callable[[Path], Any]


def cell(value: Any) -> Any:
    """A value as it is compared: numbers as floats, text without blanks around it, nothing for a missing one."""
    if value is None or str(value) in ("NaT", "<NA>", "nan", ""):
        return None
    if isinstance(value, (list, dict)):
        return str(value)
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        return float(f"{float(value):.12g}")
    text = str(value).strip()
    return text.removesuffix(" 00:00:00") or None


def grid(frame: Any) -> Grid:
    """A table as it is compared. An index that has values is a column; one without a name and a value is none."""
    if type(frame.index).__name__ != "RangeIndex":
        frame = frame.reset_index()
    names, columns = [], []
    for number, name in enumerate(frame.columns):
        values = tuple(cell(value) for value in frame.iloc[:, number].tolist())
        plain = str(name).strip()
        unnamed = plain.startswith(("Unnamed: ", "column")) or plain in ("", "index", "level_0")
        if unnamed and all(value is None for value in values):
            continue
        names.append("" if unnamed else plain.removesuffix("_1").removesuffix(".1"))
        columns.append(values)
    # Empty rows in a sheet are no rows.
    kept = [number for number in range(len(frame)) if any(column[number] is not None for column in columns)]
    return tuple(names), tuple(tuple(column[number] for number in kept) for column in columns)


def by_pandas(path: Path) -> Any:
    import pandas as pd

    plain = path.suffix == ".csv"
    return pd.read_csv(path, encoding_errors="strict", **({} if plain else {"sep": None, "engine": "python"}))


def by_duckdb(path: Path) -> Any:
    import duckdb

    kinds = "['BOOLEAN', 'BIGINT', 'DOUBLE', 'VARCHAR']"
    return duckdb.sql(f"select * from read_csv('{path}', sample_size=-1, auto_type_candidates={kinds})").df()


def by_clevercsv(path: Path) -> Any:
    import clevercsv

    if path.stat().st_size > 300_000:  # its search for a dialect takes minutes
        raise ValueError("too large")
    return clevercsv.read_dataframe(str(path))


def json_by_pandas(path: Path) -> Any:
    import pandas as pd

    return pd.read_json(path, convert_dates=False, dtype=False, lines=path.suffix == ".jsonl")


def json_by_duckdb(path: Path) -> Any:
    import duckdb

    return duckdb.sql(f"select * from read_json('{path}', auto_detect=true)").df()


def sheet(path: Path, engine: str | None) -> Any:
    import pandas as pd

    return pd.read_excel(path, engine=engine)


def by_pyreadstat(path: Path) -> Any:
    import pyreadstat

    read_one = {".dta": pyreadstat.read_dta, ".xpt": pyreadstat.read_xport}.get(path.suffix, pyreadstat.read_sas7bdat)
    return read_one(str(path), **({"apply_value_formats": True} if path.suffix == ".dta" else {}))[0]


def stata_by_pandas(path: Path) -> Any:
    import pandas as pd

    return pd.read_stata(path) if path.suffix == ".dta" else pd.read_sas(path, encoding="latin-1")


def readers(path: Path) -> list[Reader]:
    if path.suffix in TEXT:
        return [by_pandas, by_duckdb, by_clevercsv]
    if path.suffix in (".json", ".jsonl"):
        return [json_by_pandas, json_by_duckdb]
    if path.suffix in (".xls", ".xlsx"):
        return [partial(sheet, engine=None), partial(sheet, engine="calamine")]
    return [stata_by_pandas, by_pyreadstat]


def agreed(path: Path) -> list[Grid]:
    """What at least two readers agree on: at most one grid. A third is asked when the first two do not agree."""
    grids: list[Grid] = []
    for reader in readers(path):
        signal.alarm(20)
        try:
            grids.append(grid(reader(path)))
        except Exception:
            continue
        finally:
            signal.alarm(0)
        found = [one for one, other in combinations(grids, 2) if same(one, other)]
        if found:
            return found[:1]
    return []


def same(one: Grid, other: Grid) -> bool:
    if len(one[0]) != len(other[0]) or [len(c) for c in one[1]] != [len(c) for c in other[1]]:
        return False
    names = all(a == b or not a or not b for a, b in zip(one[0], other[0], strict=True))
    return names and all(equal(a, b) for x, y in zip(one[1], other[1], strict=True) for a, b in zip(x, y, strict=True))


def equal(theirs: Any, ours: Any) -> bool:
    """Whether a value is the same. A number in a column that blanks made text for others is one."""
    if isinstance(ours, float) and isinstance(theirs, str):
        try:
            theirs = float(theirs)
        except ValueError:
            return False
    if isinstance(theirs, float) and isinstance(ours, float):
        return math.isclose(theirs, ours, rel_tol=1e-9, abs_tol=1e-300)
    return bool(theirs == ours)


def judged(path: Path) -> tuple[str, str]:
    """The verdict on a file, and what there is to say about it."""
    try:
        tables = read(path, {})
    except Exception as error:
        return "refused", f"{type(error).__name__}: {error}"
    doubts = [doubt for table in tables for doubt in table.notes.doubts]
    doubts += [how for table in tables for how in table.notes.how if how.startswith("the records under")]
    theirs = agreed(path)
    ours = grid(tables[0].frame)
    said = "; ".join(doubts)
    if theirs and same(theirs[0], ours):
        return "right", said
    if doubts:
        return "said", said
    return ("wrong" if theirs else "alone"), difference(theirs[0], ours) if theirs else f"{tables[0].frame.shape}"


def difference(theirs: Grid, ours: Grid) -> str:
    if theirs[0] != ours[0] or [len(c) for c in theirs[1]] != [len(c) for c in ours[1]]:
        shapes = [(len(table[0]), len(table[1][0]) if table[1] else 0) for table in (theirs, ours)]
        return f"columns {theirs[0][:6]}, here {ours[0][:6]}; (columns, rows): {shapes}"
    pairs = (
        (name, a, b) for name, x, y in zip(theirs[0], theirs[1], ours[1], strict=True)
        for a, b in zip(x, y, strict=True) if not equal(a, b)
    )  # fmt: skip
    return f"{next(pairs, '')}"


def files(places: list[Path]) -> Iterator[Path]:
    for place in places:
        yield from filter(is_data, sorted(place.rglob("*")) if place.is_dir() else [place])


def is_data(path: Path) -> bool:
    of_packaging = any(part.endswith((".dist-info", ".egg-info")) for part in path.parts)
    hidden = path.name.startswith(".")
    return (
        not hidden
        and path.suffix in SUFFIXES
        and path.is_file()
        and 0 < path.stat().st_size < MAX_BYTES
        and not of_packaging
    )


def too_slow(*_: object) -> None:
    raise TimeoutError


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("places", nargs="+", type=Path)
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--most", type=int, default=10_000, help="how many files")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, too_slow)
    counts: dict[str, Counter[str]] = {}
    for path in islice(files(options.places), options.most):
        verdict, why = judged(path)
        counts.setdefault(path.suffix, Counter())[verdict] += 1
        if verdict in ("wrong", "alone") or (options.show and (verdict != "right" or why)):
            print(f"{verdict:8} {'/'.join(path.parts[-3:])}: {why[:220]}", flush=True)
    columns = ("right", "said", "alone", "refused", "wrong")
    print("kind".ljust(12) + "".join(name.rjust(9) for name in columns))
    for kind, found in [*counts.items(), ("all", sum(counts.values(), Counter()))]:
        print(kind.ljust(12) + "".join(str(found[name]).rjust(9) for name in columns))
    return 1 if sum(found["wrong"] for found in counts.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
