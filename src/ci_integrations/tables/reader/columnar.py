"""Reads files that know their own types: Parquet, Feather, ORC, Stata, SAS and SPSS."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from .model import NotATableError, Notes, Table

if TYPE_CHECKING:
    import pandas as pd


def read_columnar(path: Path, kind: str) -> list[Table]:
    """Reads a file of a kind that `READERS` has. Raises what the format's own reader raises."""
    notes = Notes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame = READERS[kind](path, notes)
    if not frame.shape[1]:
        raise NotATableError("it has no columns")
    return [Table(frame, notes)]


def _parquet(path: Path, _: Notes) -> pd.DataFrame:
    import pandas as pd

    return pd.read_parquet(path)


def _feather(path: Path, _: Notes) -> pd.DataFrame:
    import pandas as pd
    import pyarrow as pa

    try:
        return pd.read_feather(path)
    except pa.ArrowInvalid:  # an Arrow stream begins otherwise than an Arrow file
        with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as stream:
            return stream.read_pandas()


def _orc(path: Path, _: Notes) -> pd.DataFrame:
    import pandas as pd

    return pd.read_orc(path)


def _stata(path: Path, notes: Notes) -> pd.DataFrame:
    import pandas as pd

    try:
        return pd.read_stata(path)
    except ValueError:  # value labels that are not unique cannot become categories
        frame = pd.read_stata(path, convert_categoricals=False)
        notes.doubt("value labels are not unique: the codes are kept")
        return frame


def _sas(path: Path, _: Notes) -> pd.DataFrame:
    import pandas as pd

    return pd.read_sas(path, format="sas7bdat", encoding="infer")


def _xport(path: Path, _: Notes) -> pd.DataFrame:
    import pandas as pd

    return pd.read_sas(path, format="xport", encoding="cp1252")


def _spss(path: Path, notes: Notes) -> pd.DataFrame:
    import pyreadstat

    frame, known = pyreadstat.read_sav(str(path), apply_value_formats=True, formats_as_category=True)
    if known.missing_ranges:
        notes.how.append("missing values as the file defines them")
    return frame


def _portable(path: Path, _: Notes) -> pd.DataFrame:
    import pyreadstat

    return pyreadstat.read_por(str(path))[0]


READERS: dict[str, Callable[[Path, Notes], pd.DataFrame]] = {
    "parquet": _parquet, "feather": _feather, "orc": _orc, "stata": _stata, "sas": _sas, "xport": _xport,
    "spss": _spss, "portable": _portable,
}  # fmt: skip
