"""Models wrap their programs in many ways; each of these was seen in a bug report or a prompt's example."""

from __future__ import annotations

from textwrap import indent

import pytest

from ci_integrations.llamaindex.analysis.extract import extract_code

NL = "\n"
CODE = "import pandas as pd\nprint(pd.__version__)"


@pytest.mark.parametrize(
    "said",
    [
        CODE,
        f"```python\n{CODE}\n```",
        f"```\n{CODE}\n```",
        f"Sure!\n\n```py\n{CODE}\n```\nThat prints the version.",
        f"~~~python\n{CODE}\n~~~",
        f"```python\n{CODE}",
        f"```{{python}}\n{CODE}\n```",
        f"<execute>\n{CODE}\n</execute>",
        f"Here you go:\n{CODE}\nThis prints the version of pandas, I think.",
        "```python\nimport pandas as pd\n```\nand then\n```python\nprint(pd.__version__)\n```",
        f"```bash\npip install pandas\n```\n```python\n{CODE}\n```",
        ">>> import pandas as pd\n>>> print(pd.__version__)\n3.0.0",
        "```pycon\n>>> import pandas as pd\n>>> print(pd.__version__)\n3.0.0\n```",
        f"1. Run this:\n{indent(f'```python{NL}{CODE}{NL}```', '   ')}\n2. Read the version.",
        f"```python\n{indent(CODE, '    ')}\n```",
        indent(CODE, "    "),
        f"Here you go:\n\n{indent(CODE, '    ')}\n\nThat is all of it.",
        f"```python {CODE}\n```",
        f'```python title="a.py"\n{CODE}\n```',
        f"```python\n{CODE}\n```\nwhich prints:\n```\n3.0.0\n```",
        f"<think>```python\nimport os\n``` would be wrong.</think>\n```python\n{CODE}\n```",
        f"[PYTHON]\n{CODE}\n[/PYTHON]",
        f"```python\n{CODE}\n```\n".replace("\n", "\r\n"),
    ],
)
def test_the_program_is_found(said: str) -> None:
    assert [line for line in (extract_code(said) or "").split("\n") if line] == CODE.split("\n")


@pytest.mark.parametrize("said", ["", "   ", "I cannot do that.", "Sorry", "```json\n{}\n```", "```\n\n```"])
def test_no_program(said: str) -> None:
    assert extract_code(said) is None


def test_an_expression_in_backticks_and_magics() -> None:
    for wrapped in ("`df['a'].sum()`", "```df['a'].sum()```", "```python df['a'].sum()```"):
        assert extract_code(wrapped) == "df['a'].sum()"
    assert extract_code("x = df[code]\nprint(x)") == "x = df[code]\nprint(x)"
    assert extract_code("%pip install x\nimport x") == "%pip install x\nimport x"


def test_long_prose_is_given_up_in_time() -> None:
    assert extract_code("this is not code, really\n" * 5000) is None


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("df", "df"),
        ("`df`", "df"),
        ("df;", "df"),
        ("The answer is `df.x.sum()`", "df.x.sum()"),
        ("You can use `df.x.sum()`. It adds up the column `x`.", "df.x.sum()"),
        ("First `df.head()`, but better `df.x.sum()` here.", "df.x.sum()"),
        ('"df.x.sum()"', "df.x.sum()"),
        ("'df.x.sum()'", "df.x.sum()"),
        ('"""df.x.sum();"""', "df.x.sum()"),
        ("df.x.sum();", "df.x.sum()"),
        ("    df.x.sum()", "df.x.sum()"),
        ("x = df.x\nx.sum();", "x = df.x\nx.sum()"),
        ("```python\n    df.x.sum();\n```", "df.x.sum()"),
        ("```\n`df.x.sum()`\n```", "df.x.sum()"),
        ("'2024-01-01'", "'2024-01-01'"),
        ("'42'", "'42'"),
        ('"Sure: here it is"', '"Sure: here it is"'),
        ("No.", None),
    ],
)
def test_one_expression_however_it_is_dressed(said: str, code: str | None) -> None:
    assert extract_code(said) == code


def test_a_model_that_streams_and_talks() -> None:
    from ci_integrations.llamaindex.analysis.extract import said_by

    pieces = (piece for piece in ["```py", "thon\nprint(", "1)\n``", "`"])
    assert extract_code(said_by(pieces)) == "print(1)"
    assert extract_code(said_by(["print(", "1)"])) == "print(1)"
    assert said_by("text") == "text"
    assert said_by(None) == ""
