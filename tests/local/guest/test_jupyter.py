"""JavaScript and TypeScript by Deno's Jupyter kernel, and what is said when a language is not there."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from ci_integrations.local.host import languages
from ci_integrations.local.protocol.contract import Limits

needs_deno = pytest.mark.skipif(not Path(sys.executable).with_name("deno").exists(), reason="the deno wheel is missing")


@pytest.fixture
def js(opener, collect):
    context = None

    async def run(code, **options):
        nonlocal context
        context = context or await opener(language=" JS ")
        return await collect(context, code, **options)

    return run


@needs_deno
async def test_values_output_errors_and_state(js):
    first = await js("const a = 1; a + 1")
    assert (first.value, first.types) == ("2", ["started", "display", "done"])
    assert (await js("({a, b: [1, 2]})")).value == "{ a: 1, b: [ 1, 2 ] }"
    logged = await js("console.log('out'); console.error('err')")
    assert (logged.stdout, logged.stderr) == ("out\n", "err\n")
    assert (await js("throw new TypeError('bad')")).error == ("TypeError", "bad")
    assert (await js("await new Promise(r => setTimeout(() => r('done'), 50))")).value == '"done"'
    assert (await js("'only a string'")).value == '"only a string"'


@needs_deno
async def test_what_does_not_parse_says_where(js):
    cell = await js("let ok = 1;\nlet broken =")
    assert cell.errors[0]["name"] == "SyntaxError"
    assert cell.errors[0]["value"].startswith("Expression expected")
    assert "2 | let broken =" in cell.errors[0]["value"]
    assert (await js("typeof ok")).value == '"undefined"'


@needs_deno
async def test_node_habits_work_with_require_import_and_globals(js):
    assert (await js("require('path').join('a', 'b')")).value == '"a/b"'
    assert (await js("import fs from 'fs'; fs.existsSync('/')")).value == "true"
    assert (await js("[typeof process.env, typeof Buffer, typeof module.exports, global === globalThis]")).value == (
        '[ "object", "function", "object", true ]'
    )


@needs_deno
async def test_a_late_error_does_not_wedge_the_kernel(js):
    await js("setTimeout(() => { throw new Error('late') }, 10); Promise.reject(new Error('nobody')); 1")
    assert (await js("await new Promise(r => setTimeout(r, 100)); 2", timeout=20)).value == "2"


@needs_deno
async def test_variables_of_one_call_are_gone_after_it(js):
    cell = await js("console.log(process.env.MINE)", envs={"MINE": 'it\'s "quoted"\n\\n'})
    assert cell.stdout == 'it\'s "quoted"\n\\n\n'
    assert (await js("process.env.MINE === undefined")).value == "true"


@needs_deno
async def test_an_interrupt_ends_deno_and_says_so(js):
    await js("1")
    cell = await js("while (true) {}", timeout=0.3)
    assert cell.died == "ended by the interrupt: this language's kernel does not survive one"


@needs_deno
async def test_typescript(opener, collect):
    context = await opener(language="ts")
    cell = await collect(context, "interface Named { name: string }\nconst n: Named = { name: 'x' };\nn.name")
    assert (context.language, cell.value) == ("typescript", '"x"')


@needs_deno
async def test_the_kernel_goes_with_its_driver(opener, collect):
    context = await opener(language="js")
    cell = await collect(context, "Deno.pid")
    await context.close()
    for _ in range(100):
        if not _runs(cell.value):
            return
        await asyncio.sleep(0.05)
    pytest.fail("the kernel outlived its context")


def _runs(pid):
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "(zombie)" not in status.read_text()


def test_a_language_without_a_kernel_is_refused_with_what_to_install(monkeypatch):
    monkeypatch.setattr(languages, "folders", list)
    with pytest.raises(languages.LanguageError, match="IRkernel"):
        languages.entry("r", cwd="/", envs={}, limits=Limits())
    with pytest.raises(languages.LanguageError, match="No kernel for 'cobol'"):
        languages.entry("cobol", cwd="/", envs={}, limits=Limits())


def test_an_installed_kernelspec_comes_before_deno(monkeypatch, tmp_path):
    folder = tmp_path / "kernels" / "javascript"
    folder.mkdir(parents=True)
    spec = {"argv": ["ijskernel", "{connection_file}"], "language": "javascript", "env": {"A": "1"}}
    (folder / "kernel.json").write_text(json.dumps(spec))
    (tmp_path / "kernels" / "broken").mkdir()
    (tmp_path / "kernels" / "broken" / "kernel.json").write_text("{")
    monkeypatch.setattr(languages, "folders", lambda: [str(tmp_path / "kernels")])
    found = languages.find("javascript")
    assert (found.argv, found.dialect, dict(found.env)) == (("ijskernel", "{connection_file}"), "node", {"A": "1"})


@pytest.mark.parametrize(
    ("given", "name"), [(" PYTHON ", "python"), ("js", "javascript"), ("TS", "typescript"), (None, "python")]
)
def test_names_of_languages(given, name):
    assert languages.normalise(given) == name
