"""Large plain files are read by NumPy: what arrives, and what is said, is what the csv module's way gives."""

from __future__ import annotations

import csv
import io
import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ci_integrations.tables.reader import NotATableError, Table, plain, read, text
from ci_integrations.tables.reader.cells import Cells
from ci_integrations.tables.reader.dialect import Dialect, Source
from ci_integrations.tables.reader.evidence import MISSING, MISSING_AMONG_NUMBERS, notation_of

QUICK = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
NUMBERS = st.one_of(
    st.integers(-(10**22), 10**22).map(str),
    st.floats(allow_nan=False).map(repr),
    st.decimals(allow_nan=False, allow_infinity=False, places=3).map(str),
    st.from_regex(r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,25})?", fullmatch=True),
    st.sampled_from(["00042", "12E4", "1.234", "1,234", "1.234,5", "+5", "-0", "-0.0", ".5", "5.", "1 200", "$5", "-"]),
)
WORDS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\x85\u2028\u2029"), max_size=12),
    st.sampled_from([*sorted(MISSING), *sorted(MISSING_AMONG_NUMBERS), "true", "FALSE", "inf", "AB",
                     "2024-01-02", "2024-01-02 10:00:00", " 5", "x ", "(1) a: b", 'say "so"', "a,b", "x\ny", "nan "]),
)  # fmt: skip
COLUMNS = st.lists(st.sampled_from([NUMBERS, WORDS, st.one_of(NUMBERS, WORDS)]), min_size=1, max_size=4)


def rows_of(kinds: list[st.SearchStrategy[str]]) -> st.SearchStrategy[list[tuple[str, ...]]]:
    few = [st.lists(kind, min_size=1, max_size=4).flatmap(st.sampled_from) for kind in kinds]
    return st.lists(st.tuples(*few), min_size=2, max_size=30)


def written(rows: list[tuple[str, ...]], end: str, quoting: int) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator=end, quoting=quoting)  # type: ignore[arg-type]
    writer.writerow([f"name {n}" for n in range(len(rows[0]))])
    writer.writerows(rows)
    return out.getvalue().encode()


def outcome(path: Path) -> tuple[object, ...]:
    try:
        (table,) = read(path, {})
    except NotATableError as error:
        return (str(error),)
    return (table, table.notes.how, table.notes.doubts)


def same(one: tuple[object, ...], other: tuple[object, ...]) -> None:
    assert one[1:] == other[1:]
    if isinstance(one[0], Table) and isinstance(other[0], Table):
        pd.testing.assert_frame_equal(one[0].frame, other[0].frame, check_exact=True)
        for name in one[0].frame.select_dtypes("float64"):
            left, right = one[0].frame[name].to_numpy(), other[0].frame[name].to_numpy()
            assert np.array_equal(np.signbit(left), np.signbit(right))
    else:
        assert one[0] == other[0]


@QUICK
@given(
    rows=COLUMNS.flatmap(rows_of),
    end=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    piece=st.sampled_from([20, 300, 1 << 20]),
)
def test_both_ways_give_the_same(
    tmp_path: Path, rows: list[tuple[str, ...]], end: str, quoting: int, piece: int
) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(written(rows, end, quoting))
    with pytest.MonkeyPatch.context() as patch:
        careful = outcome(path)
        patch.setattr(text, "SMALL", -1)
        patch.setattr(plain, "_CHARACTERS", piece)
        same(careful, outcome(path))


MANY = 60_000
FILES = {
    "numbers": "".join(f"{n},{n / 7:.2f},{n / 7!r}\n" for n in range(MANY)),
    "a code far down": "".join(f"{10000 + n},x,1\n" for n in range(MANY)) + "00042,x,1\n",
    "a decimal far down": "".join(f"{n},x,1\n" for n in range(MANY)) + "1.5,x,1\n",
    "a word far down": "".join(f"{n},x,1\n" for n in range(MANY)) + "n/a,x,none\n",
    "dashes in every piece": "".join(f"{n if n % 9 else '-'},x,1\n" for n in range(MANY)),
    "texts in quotes": "".join(f'{n},"Smith, {n} ""Jo""","1,{n % 1000:03}"\n' for n in range(MANY)),
    "long integers": "".join(f"{9007199254740993 + n},{'' if n % 5 else n},x\n" for n in range(MANY)),
    "a footer": "".join(f"{n},x,1\n" for n in range(MANY)) + "Source: the office,,\n",
}


@pytest.mark.parametrize("name", FILES)
def test_large_files_are_read_the_same_quickly_and_carefully(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b,c\n" + FILES[name])
    monkeypatch.setattr(text, "SMALL", 1 << 10)
    monkeypatch.setattr(plain, "_CHARACTERS", 200_000)
    assert plain.PlainRows(Source(path, "utf-8", Dialect()), 300, 60).look.count == FILES[name].count("\n") + 1
    quick = outcome(path)
    monkeypatch.setattr(text, "SMALL", 1 << 30)
    same(outcome(path), quick)


@pytest.mark.parametrize("odd", ["1\n", "1,2,3\n", "\n", '1,5" pipe\n', "1\r2,3\n", '1,"never closed\n', " \n"])
def test_lines_that_are_not_plain_are_left_to_the_csv_module(tmp_path: Path, odd: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n" + "1,2\n" * 50 + odd + "1,2\n", newline="")
    source = Source(path, "utf-8", Dialect())
    with pytest.raises(plain.NotPlainError):
        plain.PlainRows(source, 300, 60)


def column(values: list[str]) -> Cells:
    raw = "".join(f"{value},x\n" for value in values).encode()
    return plain.split(raw, ord(","), ord('"'), 2)[0]


def test_floats_of_up_to_nineteen_digits_are_rounded_as_python_does() -> None:
    chance = random.Random(5)
    values = [repr(chance.uniform(-10, 10)) for _ in range(20_000)]
    values += [f"{chance.randrange(10**9)}.{chance.randrange(10**10):010}" for _ in range(20_000)]
    # Just between two floats: 2**53 + 1 and its like, as fractions.
    values += [f"{(2**53 + 2 * n + 1) / 1000:.3f}" for n in range(100)] + ["9007199254740.993", "0.1", "5e-324", "1.50"]
    found = column(values).numbers
    assert found.mask.sum() > 39_000
    for value, number, there in zip(values, found.values, found.mask, strict=True):
        assert not there or float(value) == number, value


@given(value=st.one_of(WORDS, NUMBERS, st.text("0123456789+-.,eE $%()[]:/infatruNA", max_size=12)))
def test_what_is_surely_text_is_no_number_and_no_missing_value(value: str) -> None:
    if "\n" in value or '"' in value or "," in value or "\r" in value:
        return
    stripped = value.strip()
    if column([value]).surely_text()[0]:
        assert notation_of(stripped) == "text"
        assert stripped not in MISSING | MISSING_AMONG_NUMBERS
    if column([value]).numbers.mask[0]:
        assert notation_of(value) in ("integer", "dot", "dot3")
