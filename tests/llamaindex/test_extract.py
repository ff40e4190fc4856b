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
