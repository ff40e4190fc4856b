"""CSV-like files as people have them: each way in which one was once misread, over several files, and what is said."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from ci_integrations.tables.reader import NotATableError, Table, read

Read = Callable[..., Table]
GERMAN = "Filiale;Umsatz\nKöln;12,50\nMünchen;8,25\nGießen;3,10\n"


@pytest.fixture
def table(tmp_path: Path) -> Read:
    """The table of a file with this content."""

    def table(content: str | bytes, name: str = "t.csv", **options: Any) -> Table:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        (found,) = read(tmp_path / name, options)
        return found

    return table


def columns(table: Table) -> dict[str, list[Any]]:
    frame = table.frame
    return frame.astype(object).where(frame.notna(), None).to_dict("list")


def said(table: Table) -> str:
    return "\n".join(table.notes.doubts)


def installed(path: str) -> Path:
    """A data file of an installed package."""
    package, _, rest = path.partition("/")
    spec = find_spec(package)
    assert spec
    assert spec.origin
    return Path(spec.origin).parent / rest


PLAIN = {
    "commas": ("a,b\n1,x;y\n2,z;w\n", {"a": [1, 2], "b": ["x;y", "z;w"]}),
    "one column": ("text\nhello\n", {"text": ["hello"]}),
    "only a header": ("a,b\n", {"a": [], "b": []}),
    "old Macintosh lines": ("a,b\r1,2\r", {"a": [1], "b": [2]}),
    "quotes": ('a,b\n"x;y",1\n"z;w",2\n', {"a": ["x;y", "z;w"], "b": [1, 2]}),
    "a comma ends every line": ("x,y\n1,2,\n3,4,\n", {"x": [1, 3], "y": [2, 4]}),
    "a blank after every comma": ("a, b\n1, x y\n2, z\n", {"a": [1, 2], "b": ["x y", "z"]}),
    "texts with commas and numbers": (
        'name,city,likes\nAda Byron,London,"1,2 and 3"\nBo Li,New York,"1,200 things"\n',
        {"name": ["Ada Byron", "Bo Li"], "city": ["London", "New York"], "likes": ["1,2 and 3", "1,200 things"]},
    ),
    "sentences": ("quote\nto be or not\nthree blind mice\n", {"quote": ["to be or not", "three blind mice"]}),
    "truth": ("ok,n\ntrue,1\nfalse,2\n", {"ok": [True, False], "n": [1, 2]}),
    "years as names": ("who,2022,2023\nA,1.5,2\nB,3,4.5\n", {"who": ["A", "B"], "2022": [1.5, 3], "2023": [2, 4.5]}),
    "a line break in a field": ('a,b\n"x\r\ny",1\n"z\rw",2\n', {"a": ["x\r\ny", "z\rw"], "b": [1, 2]}),
    "days stay text": ("day,n\n2024-01-02,1\n2024-01-03,2\n", {"day": ["2024-01-02", "2024-01-03"], "n": [1, 2]}),
}  # fmt: skip


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_file_is_read_and_nothing_is_said(table: Read, name: str) -> None:
    content, right = PLAIN[name]
    found = table(content)
    assert columns(found) == right
    assert not found.notes.doubts


@pytest.mark.parametrize(
    ("content", "name", "how"),
    [
        ("a;b\n1;2\n", "t.csv", ["separator ';'"]),
        ("a\tb\n1\t2\n", "t.csv", ["separator tab"]),
        ("a\tb\n1\t2\n", "t.tsv", []),
        ("a\tb\n1\t2\n", "t.tab", []),
        ("a|b\n1|2\n", "t.csv", ["separator '|'"]),
        ("a,b\n1,2\n3,4\n", "t.txt", []),
        ("sep=;\na;b\n1;2\n", "t.csv", ["separator ';'", "first line skipped"]),
        ("| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n", "t.txt", ["separator '|'"]),
    ],
)
def test_separators(table: Read, content: str, name: str, how: list[str]) -> None:
    found = table(content, name)
    assert list(found.frame.columns) == ["a", "b"]
    assert found.frame.b.iloc[0] == 2
    assert found.notes.how == how
    assert not found.notes.doubts


BLANKS = {
    "numbers": ("a b c\n1 2 3\n4 5 6\n7 8 9\n", "t.csv", (3, 3)),
    "quoted names": ('"a b" "c"\n1 2\n3 4\n', "t.csv", (2, 2)),
    "several blanks": ("x   yy  z\n1   2.5 a\n10  3   b\n100 4.5 c\n", "t.txt", (3, 3)),
    "names with blanks": (
        "name       age  city\nAda Byron  36   London\nBo Li      7    New York\nCy Twombly 9    Rome\n",
        "t.txt",
        (3, 3),
    ),
    "fixed width": ("id    name      n\n1     Ada By    5\n22    Bo       10\n333   Cy Two  100\n", "t.dat", (3, 3)),
    "R": ('"x" "y"\n"r1" 1 2\n"r2" 3 4\n"r3" 3 4\n', "t.txt", (3, 2)),
    "no names": ("1972 1 0.5\n1972 2 0.25\n1972 3 0.125\n", "t.dat", (3, 3)),
}  # fmt: skip


@pytest.mark.parametrize("name", BLANKS)
def test_blanks_between_columns(table: Read, name: str) -> None:
    content, file, shape = BLANKS[name]
    found = table(content, file)
    assert found.frame.shape == shape, found.frame
    assert "blanks between" in said(found) or "position" in said(found)


@pytest.mark.parametrize("name", ["Norris", "SiRstv", "SmLs01", "SmLs04", "AtmWtAg"])
def test_files_of_scipy_with_much_text_above_blanks(name: str) -> None:
    folder = "nist_linregress" if name == "Norris" else "nist_anova"
    path = installed(f"scipy/stats/tests/data/{folder}/{name}.dat")
    (found,) = read(path, {})
    numbers = [line.split() for line in path.read_text().splitlines()[60:] if line.strip()]
    assert found.frame.shape == (len(numbers), 2)
    assert found.frame.iloc[:, 1].sum() == pytest.approx(sum(float(row[1]) for row in numbers))
    assert "skipped" in said(found)


TITLES = {
    "commas below": "Sales report 2024,,\n,,\nregion,rev,n\nN,10,1\nS,20,2\n",
    "one line": "Sales report 2024\nregion,rev,n\nN,10,1\nS,20,2\n",
    "several lines": "Acme Ltd\nExported: 2024-01-02\nBy: me\n\nregion,rev,n\nN,10,1\nS,20,2\n",
    "with commas": "Report,Q1\n\nregion,rev,n\nN,10,1\nS,20,2\n",
    "semicolons": "Bericht\n\nregion;rev;n\nN;10;1\nS;20;2\n",
    "a comment": "# Sales report 2024\nregion,rev,n\nN,10,1\nS,20,2\n",
    "notes below": "region,rev,n\nN,10,1\nS,20,2\n\nSource: the office\n",
    "both": "Report\n\nregion,rev,n\nN,10,1\nS,20,2\n\nNote: without the islands\n(c) Acme\n",
}  # fmt: skip


@pytest.mark.parametrize("name", TITLES)
def test_what_stands_above_and_below_a_table_is_no_row_of_it(table: Read, name: str) -> None:
    found = table(TITLES[name])
    assert columns(found) == {"region": ["N", "S"], "rev": [10, 20], "n": [1, 2]}
    assert "skipped" in said(found) or found.notes.how == ["lines with '#' left out"]


HEADERS = {
    "years over in and out": (
        "2023,,2024,\nin,out,in,out\n1,2,3,4\n5,6,7,8\n",
        ["2023_in", "2023_out", "2024_in", "2024_out"],
    ),
    "groups": (
        "id,weight,,height,\n,min,max,min,max\n1,2,3,4,5\n2,6,7,8,9\n",
        ["id", "weight_min", "weight_max", "height_min", "height_max"],
    ),
    "pandas' levels": (
        "net,a,a,b\nnode,1,2,1\nside,lh,rh,lh\n,,,\n0,1.5,2.5,3\n1,4,5,6.5\n2,4,5,6.5\n",
        ["net_node_side", "a_1_lh", "a_2_rh", "b_1_lh"],
    ),
    "names of the index": ("k,a,a\nl,x,y\nid,,\n1,2.5,3\n2,4.5,5\n", ["k_l", "a_x", "a_y"]),
    "two rows of text": (
        "plant,height,weight\nname,mean,mean\noak,1.5,2\nash,2.5,3\nelm,3.5,4\n",
        ["plant_name", "height_mean", "weight_mean"],
    ),
}


@pytest.mark.parametrize("name", HEADERS)
def test_headers_of_several_rows(table: Read, name: str) -> None:
    content, names = HEADERS[name]
    found = table(content)
    assert list(found.frame.columns) == names
    assert all(dtype.kind in "if" for dtype in found.frame.dtypes[1:])
    assert "the header has" in said(found)


HASHES = {
    "tabs": "##number##\tjuuni\n##number##\tmai\nr\tsaar\n##number##\tmay\n##number##\tjuli\ns\tvoll\n",
    "commas": "#1,a\n#2,b\n#3,c\n4,d\n",
    "colours": "#ff0000,red\n#00ff00,green\n#0000ff,blue\nblack,black\n",
    "semicolons": "#x;1;2\n#y;3;4\ny;3;4\nz;3;4\n",
    "percent": "%a,1\n%b,2\nc,3\nd,4\n",
}


@pytest.mark.parametrize("name", HASHES)
def test_rows_that_begin_as_comments_do_are_rows(table: Read, name: str) -> None:
    found = table(HASHES[name])
    rows = HASHES[name].count("\n")
    assert len(found.frame) in (rows, rows - 1)
    assert "left out" not in " ".join(found.notes.how)


UNITS = {
    "letters": "depth,temp\nm,C\n1.5,9\n2.5,11\n3.5,10\n",
    "brackets": "depth,temp\n[m],[°C]\n1.5,9\n2.5,11\n3.5,10\n",
    "fractions": "depth,temp\nmg/L,m/s\n1.5,9\n2.5,11\n3.5,10\n",
    "round brackets": "depth,temp\n(km),(K)\n1.5,9\n2.5,11\n3.5,10\n",
    "semicolons": "depth;temp\nm;%\n1,5;9\n2,5;11\n3,5;10\n",
}


@pytest.mark.parametrize("name", UNITS)
def test_units_below_the_header_are_no_row(table: Read, name: str) -> None:
    found = table(UNITS[name])
    assert columns(found) == {"depth": [1.5, 2.5, 3.5], "temp": [9, 11, 10]}
    assert "units" in said(found)


NO_HEADER = {
    "numbers": ("1,10\n2,20\n3,30\n", 3),
    "text and numbers": ("Bo,3,4.5\nAl,4,2\nCy,5,1\n", 3),
    "semicolons": ("1;2,5\n2;3,5\n3;4,5\n", 3),
    "tabs": ("0.5\t1\n0.25\t2\n0.125\t3\n", 3),
    "the same words again": ("p,x,s\ne,x,y\ne,b,w\np,x,w\ne,x,s\np,b,y\n", 6),
    "one row": ("1.5,2.5,3.5,4.5\n", 1),
}


@pytest.mark.parametrize("name", NO_HEADER)
def test_no_row_is_taken_for_a_header(table: Read, name: str) -> None:
    content, rows = NO_HEADER[name]
    found = table(content)
    assert len(found.frame) == rows
    assert "no header" in said(found)


@pytest.mark.parametrize("name", ["mt19937", "pcg64", "pcg64dxsm", "philox", "sfc64"])
def test_files_of_numpy_without_a_header(name: str) -> None:
    path = installed(f"numpy/random/tests/data/{name}-testset-1.csv")
    (found,) = read(path, {})
    lines = path.read_text().splitlines()
    assert len(found.frame) in (len(lines), len(lines) - 1)
    assert lines[-1].split(",")[1].strip() in str(found.frame.iloc[-1, 1])


THOUSANDS = {
    "quoted commas": 'city,people\nA,"1,200"\nB,"980"\nC,"15,000"\n',
    "tabs": "city\tpeople\nA\t1,200\nB\t980\nC\t15,000\n",
    "blanks": "city,people\nA,1 200\nB,980\nC,15 000\n",
    "narrow blanks": "city,people\nA,1\u202f200\nB,980\nC,15\u202f000\n",
    "ticks": "city,people\nA,1'200\nB,980\nC,15'000\n",
    "dots": "city;people;share\nA;1.200;1.000,5\nB;980;2\nC;15.000;0,5\n",
    "far down": "city,people\n" + "X,5\n" * 8000 + 'A,"1,200"\nB,"980"\nC,"15,000"\n',
}


@pytest.mark.parametrize("name", THOUSANDS)
def test_marks_for_thousands(table: Read, name: str) -> None:
    found = table(THOUSANDS[name])
    assert found.frame.people[found.frame.city != "X"].sum() == 17180
    assert found.frame.people.max() == 15000
    assert "thousands" in said(found) + str(found.notes.how)


DECIMAL_COMMAS = {
    "plain": ("n;price\n1;2,5\n2;3\n", 5.5),
    "quoted between commas": ('n,price\n1,"2,5"\n2,"3"\n', 5.5),
    "far down": ("n;price\n" + "".join(f"{n};5\n" for n in range(8000)) + "1;2,5\n", 40002.5),
    "three digits beside others": ("a;price\n0,5;1,234\n2,5;2,345\n", 3.579),
    "tabs": ("n\tprice\n1\t2,5\n2\t3,25\n", 5.75),
    "negative": ("n;price\n1;-2,5\n2;3,25\n", 0.75),
}


@pytest.mark.parametrize("name", DECIMAL_COMMAS)
def test_decimal_commas(table: Read, name: str) -> None:
    content, total = DECIMAL_COMMAS[name]
    assert table(content).frame.price.sum() == pytest.approx(total)


@pytest.mark.parametrize("content", ["a;b\n1,234;x\n2,345;y\n", "a;b\n12,5;1.234\n1,5;2.345\n"])
def test_numbers_that_may_mean_either_stay_text_and_it_is_said(table: Read, content: str) -> None:
    found = table(content)
    assert "str" in {str(dtype).replace("object", "str") for dtype in found.frame.dtypes}
    assert "kept as text" in said(found)


CODES = {
    "first": ("code,n\n02134,1\n10001,2\n", ["02134", "10001"]),
    "last of many": ("code,n\n" + "".join(f"{10000 + n},1\n" for n in range(8000)) + "00042,1\n", ["10000", "00042"]),
    "powers": ("code,n\n12E4,1\n34E5,2\n56E1,3\n", ["12E4", "56E1"]),
    "powers among numbers": ("code,n\n12,1\n34E5,2\n7,3\n", ["12", "7"]),
    "long": ("code,n\n12345678901234567890123,1\n5,2\n", ["12345678901234567890123", "5"]),
    "semicolons": ("code;n\n01067;0,5\n80331;1\n", ["01067", "80331"]),
    "quoted": ('code,n\n"007",1\n"010",2\n', ["007", "010"]),
}


@pytest.mark.parametrize("name", CODES)
def test_codes_stay_text(table: Read, name: str) -> None:
    content, (first, last) = CODES[name]
    found = table(content)
    assert [found.frame.code.iloc[0], found.frame.code.iloc[-1]] == [first, last]
    assert "'code'" in said(found)


@pytest.mark.parametrize(
    ("content", "values", "kind"),
    [
        ("id,x\n9007199254740993,1\n,2\n9007199254740995,3\n", [9007199254740993, None, 9007199254740995], "Int64"),
        ("id,x\n9223372036854775807,1\n1,2\n", [9223372036854775807, 1], "int64"),
        ("id,x\n18446744073709551615,1\n1,2\n", [18446744073709551615, 1], "uint64"),
        ("id,x\n-9007199254740993,1\n,2\n", [-9007199254740993, None], "Int64"),
        ("id,x\n5,1\n,2\n", [5, None], "float64"),
        ("id,x\n1234567890123456789,1\n", [1234567890123456789], "int64"),
    ],
)
def test_integers_keep_all_digits(table: Read, content: str, values: list[int | None], kind: str) -> None:
    found = table(content)
    assert columns(found)["id"] == values
    assert str(found.frame.id.dtype) == kind


MISSING = {
    "Namibia": ("iso,n\nDE,83\nNA,3\nFR,68\n", "iso", ["DE", "NA", "FR"], "'NA' kept"),
    "words": ("name,n\nAda,1\nNone,2\nNull Island,3\n", "name", ["Ada", None, "Null Island"], "'None' read as missing"),
    "dashes among numbers": ("a,n\n1.5,1\n-,2\n2.5,3\n", "a", [1.5, None, 2.5], "'-' read as missing"),
    "dots among numbers": ("a,n\n1,1\n..,2\n2,3\n", "a", [1, None, 2], "'..' read as missing"),
    "an error of Excel": ("a,n\n1,1\n#DIV/0!,2\n2,3\n", "a", [1, None, 2], "'#DIV/0!' read as missing"),
    "plain": ("a,n\n1,1\n,2\n2,3\n", "a", [1, None, 2], ""),
    "NA among numbers": ("a,n\n1,1\nNA,2\n2,3\n", "a", [1, None, 2], ""),
    "a remark": ("a,n\n1,1\n2,1\n3,4\n<0.5,2\n", "a", ["1", "2", "3", "<0.5"], "numbers with marks such as '<0.5'"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISSING)
def test_words_for_missing_values(table: Read, name: str) -> None:
    content, column, values, doubt = MISSING[name]
    found = table(content)
    assert columns(found)[column] == values
    assert doubt in said(found) if doubt else not said(found)


ENCODINGS = {
    "Chinese": ("城市,人口\n北京,10\n上海,20\n广州,30\n", "gbk"),
    "Russian": ("город;цена\nМосква;1,5\nКазань;2,5\n", "cp1251"),
    "Russian of Unix": ("город;цена\nМосква;1,5\nКазань;2,5\n", "koi8-r"),
    "German": (GERMAN, "cp1252"),
    "Polish": ("miasto,n\nŁódź,1\nGdańsk,2\nPoznań,3\nKraków,4\n", "cp1250"),
    "Japanese": ("都市,人口\nとうきょう,10\nおおさか,20\n", "shift_jis"),
    "Greek": ("πόλη,n\nΑθήνα,1\nΘεσσαλονίκη,2\n", "cp1253"),
    "Korean": ("도시,인구\n서울,10\n부산,20\n대구광역시,5\n", "euc_kr"),
}


@pytest.mark.parametrize("name", ENCODINGS)
def test_encodings_are_guessed_and_called_a_guess(table: Read, name: str) -> None:
    content, encoding = ENCODINGS[name]
    found = table(content.encode(encoding))
    names = content.split("\n")[0].replace(";", ",").split(",")
    assert "encoding guessed" in said(found)
    assert list(found.frame.columns) == names
    assert found.frame.iloc[0, 0] == content.split("\n")[1].replace(";", ",").split(",")[0]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_unicode_is_no_guess(table: Read, encoding: str) -> None:
    found = table("name,n\r\nZoë,1\r\nBo Peep,2\r\n".encode(encoding))
    assert columns(found) == {"name": ["Zoë", "Bo Peep"], "n": [1, 2]}
    assert not found.notes.doubts


NO_TABLES = {
    "prose": b"This is prose, with a comma.\nAnd more of it. Yes, really, it is.\nNo table here\nat all, or is it?\n",
    "nothing": b"",
    "blanks": b"\n \n\n",
    "zero bytes": bytes(range(256)) * 40,
    "a picture": b"\x89PNG\r\n\x1a\n" + b"x" * 100,
    "unquoted decimal commas": "shop,sum\nKöln,12,50\nBonn,8,25\nUlm,1,00\n".encode(),
    "more fields than names": b"x,y\n1,2,,\n3,4,,5\n",
}


@pytest.mark.parametrize("name", NO_TABLES)
def test_what_is_no_table_is_refused_with_a_reason(table: Read, name: str) -> None:
    with pytest.raises(NotATableError) as caught:
        table(NO_TABLES[name])
    assert len(str(caught.value)) > 8


def test_fields_are_never_left_out(table: Read) -> None:
    found = table("x,y\n" + "1,2\n" * 6000 + "1,2,3\n")
    assert found.frame.iloc[-1].tolist() == [1, 2, 3]
    assert "more fields than the header" in said(found)
    found = table("x,y,z\n1,2,3\n1\n")
    assert columns(found) == {"x": [1, 1], "y": [2, None], "z": [3, None]}
    assert "1 row with fewer fields" in said(found)


def test_a_quote_that_never_closes_swallows_no_rows(table: Read) -> None:
    found = table('n,size\n1,5" pipe\n2,"x\n' + "".join(f"{n},z\n" for n in range(50)))
    assert found.frame.shape == (52, 2)


def test_what_the_developer_says_goes_before_what_is_seen(table: Read) -> None:
    found = table("a;b\n1,234;007\n", sep=";", decimal=",", dtype={"b": "str"})
    assert columns(found) == {"a": [1.234], "b": ["007"]}
    assert columns(table("x,1\ny,2\n", header=None, names=["k", "v"])) == {"k": ["x", "y"], "v": [1, 2]}
    assert columns(table("a,b\n1,-99\n2,3\n", na_values=["-99"])) == {"a": [1, 2], "b": [None, 3]}
    assert columns(table("title\nmore\na,b\n1,2\nend\n", skiprows=2, skipfooter=1)) == {"a": [1], "b": [2]}
    assert columns(table("a,b\nNA,\n", keep_default_na=False)) == {"a": ["NA"], "b": [None]}
    assert columns(table("12345\n67890\n", widths=[2, 3], header=None, names=["a", "b"])) == {
        "a": [12, 67],
        "b": [345, 890],
    }
    assert columns(table("город\nМосква\n".encode("cp1251"), encoding="cp1251")) == {"город": ["Москва"]}


@pytest.mark.parametrize(
    "name", ["gapminder", "iris", "tips", "medals", "stocks", "election", "wind", "experiment", "carshare"]
)
def test_files_of_plotly_are_read_as_pandas_reads_them(name: str, tmp_path: Path) -> None:
    import pandas as pd

    packed = installed(f"plotly/package_data/datasets/{name}.csv.gz")
    for path in packed, tmp_path / "renamed.csv":
        if path != packed:
            path.write_bytes(gzip.decompress(packed.read_bytes()))
        (found,) = read(path, {})
        pd.testing.assert_frame_equal(found.frame, pd.read_csv(packed), check_dtype=False)


def test_100_000_rows_are_fast(table: Read) -> None:
    content = "id;name;v\n" + "".join(f"{n};Köln;1.{n % 1000:03d},5\n" for n in range(100_000))
    started = time.perf_counter()
    found = table(content.encode("cp1252"))
    assert time.perf_counter() - started < 40
    assert found.frame.v.sum() == 100_000 * 1500
