"""Templates by name, from the user's TOML file."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import sys
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from e2b import SandboxException
from e2b_code_interpreter import Sandbox

from ci_integrations.local.launcher import Endpoint, LocalServerError, local_endpoint

TOML = """
[templates.analysis]
files = { "/home/user/data/lookup.csv" = "lookup.csv" }
envs = { REGION = "eu" }
setup = ["mkdir -p /home/user/out", "echo $REGION > out/region.txt"]
memory = 300
preload = ["json", "colorsys"]

[templates.broken]
setup = ["echo here it is; exit 4"]

[templates.packaged]
packages = ["./ci_tiny-1.0-py3-none-any.whl"]

[templates.offline]
packages = ["no-such-package-of-ours==0.0.1"]

[templates.ours]
python = "ours"
preload = ["colorsys"]

[templates.same]
python = "ours"
preload = ["colorsys"]

[templates.bare]
python = "bare"

[templates.nowhere]
python = "missing/bin/python"

[templates.crashing]
python = "crashing"

[templates.small]
limits = { disk = 200, processes = 12 }
"""


def wheel() -> tuple[str, bytes]:
    """A small pure-Python package, `ci_tiny` 1.0."""
    out = io.BytesIO()
    files = {
        "ci_tiny.py": b"ANSWER = 42\n",
        "ci_tiny-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: ci-tiny\nVersion: 1.0\n",
        "ci_tiny-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(out, "w") as archive:
        record = ""
        for name, data in files.items():
            archive.writestr(name, data)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            record += f"{name},sha256={digest},{len(data)}\n"
        archive.writestr("ci_tiny-1.0.dist-info/RECORD", record + "ci_tiny-1.0.dist-info/RECORD,,\n")
    return "ci_tiny-1.0-py3-none-any.whl", out.getvalue()


def virtual_environment(folder: Path, packages: str | None = None) -> None:
    """With the packages of another folder, or none."""
    venv.create(folder, symlinks=True)
    if packages is not None:
        next(folder.glob("lib/python*/site-packages")).joinpath("more.pth").write_text(packages)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def configured(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Endpoint:
    directory = tmp_path_factory.mktemp("templates")
    (directory / "lookup.csv").write_text("a,b\n1,2\n")
    name, data = wheel()
    (directory / name).write_bytes(data)
    here = next(path for path in sys.path if path.endswith("site-packages"))
    virtual_environment(directory / "ours", here)
    virtual_environment(directory / "bare")
    broken = directory / "crashing" / "IPython"
    virtual_environment(directory / "crashing", str(broken.parent))
    broken.mkdir()
    (broken / "__init__.py").write_text("import no_such_part_of_it\n")
    file = directory / "templates.toml"
    file.write_text(TOML)
    return local_endpoint(templates=str(file))


def test_a_template_brings_its_files_variables_setup_and_limits(configured: Endpoint) -> None:
    with Sandbox.create("analysis", envs={"MINE": "too"}, **configured.sdk_options()) as sandbox:
        assert sandbox.files.read("data/lookup.csv") == "a,b\n1,2\n"
        assert sandbox.files.read("out/region.txt") == "eu\n"
        code = "import os, sys; os.environ['REGION'], os.environ['MINE'], os.environ['E2B_TEMPLATE_ID']"
        assert sandbox.run_code(code).text == str(("eu", "too", "analysis"))
        assert sandbox.run_code("'colorsys' in sys.modules, 'pandas' in sys.modules").text == "(True, False)"
        info = sandbox.get_info()
        assert (info.template_id, info.memory_mb) == ("analysis", 300)


def test_a_setup_that_fails_is_shown_and_leaves_nothing(configured: Endpoint) -> None:
    with pytest.raises(SandboxException, match=r"(?s)'echo here it is; exit 4' failed \(exit status 4\): here it is"):
        Sandbox.create("broken", **configured.sdk_options())
    assert "broken" not in [info.template_id for info in Sandbox.list(**configured.sdk_options()).next_items()]


def test_an_interpreter_of_its_own_runs_the_cells_and_the_commands(configured: Endpoint) -> None:
    with Sandbox.create("ours", **configured.sdk_options()) as sandbox:
        run = sandbox.run_code("import sys; print(sys.prefix, 'colorsys' in sys.modules)")
        prefix, preloaded = "".join(run.logs.stdout).split()
        assert (Path(prefix).name, preloaded) == ("ours", "True")
        assert sandbox.commands.run("python -c 'import sys; print(sys.prefix)'").stdout.strip() == prefix
        assert sandbox.run_code("import matplotlib.pyplot as plt; plt.plot([1, 2]); plt.show()").results[0].png


def test_templates_of_one_kind_share_a_fork_server(configured: Endpoint) -> None:
    Sandbox.create("ours", **configured.sdk_options()).kill()
    before = fork_servers()
    assert len(before) > 1
    Sandbox.create("same", **configured.sdk_options()).kill()
    assert fork_servers() == before


def fork_servers() -> set[str]:
    """Agents are forks of them and have the same command line; a fork server's parent is the server."""
    found = set()
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = Path("/proc", (place / "stat").read_text().rpartition(")")[2].split()[1])
            calls = [(each / "cmdline").read_bytes() for each in (place, parent)]
            if b"jail.zygote" in calls[0] and b"local.server" in calls[1]:
                found.add(place.name)
    return found


def test_packages_are_installed_once_and_seen_by_cells_and_commands(configured: Endpoint, cache: Path) -> None:
    for _ in range(2):
        with Sandbox.create("packaged", **configured.sdk_options()) as sandbox:
            assert sandbox.run_code("import ci_tiny, numpy; ci_tiny.ANSWER").text == "42"
            assert sandbox.commands.run("python -c 'import ci_tiny; print(ci_tiny.ANSWER)'").stdout == "42\n"
            attempt = sandbox.run_code("open(ci_tiny.__file__, 'w')")
            assert attempt.error is not None
            assert attempt.error.name in ("OSError", "PermissionError")
    (folder,) = (cache / "ci-integrations" / "packages").iterdir()
    assert (folder / "site-packages" / "ci_tiny.py").read_text() == "ANSWER = 42\n"


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("offline", r"(?s)template 'offline': no-such-package-of-ours==0.0.1 could not be installed .*package index"),
        (
            "bare",
            r"template 'bare': \S+ has no IPython, which runs the cells: \S+/bare/bin/python -m pip install ipython",
        ),
        ("nowhere", r"template 'nowhere': there is no Python interpreter at \S+/missing/bin/python"),
        ("crashing", r"template 'crashing': \S+ cannot run sandboxes: ModuleNotFoundError: .*no_such_part_of_it"),
    ],
)
def test_what_does_not_work_is_told_with_the_remedy(configured: Endpoint, template: str, words: str) -> None:
    with pytest.raises(SandboxException, match=words) as caught:
        Sandbox.create(template, **configured.sdk_options())
    assert "security-opt" not in str(caught.value)


def test_limits_of_a_template_hold(configured: Endpoint) -> None:
    with Sandbox.create("small", **configured.sdk_options()) as sandbox:
        assert sandbox.get_info().memory_mb == 1024
        forks = "import os\nfor _ in range(20):\n    if not os.fork(): import time; time.sleep(20); os._exit(0)"
        run = sandbox.run_code(forks)
        assert run.error is not None
        assert run.error.name == "BlockingIOError"


def test_templates_and_limits_in_code() -> None:
    endpoint = local_endpoint(templates={"greeting": {"envs": {"GREETING": "hello"}}}, limits={"memory": 400 * 2**20})
    with Sandbox.create("greeting", **endpoint.sdk_options()) as sandbox:
        assert sandbox.run_code("import os; os.environ['GREETING']").text == "hello"
        assert sandbox.get_info().memory_mb == 400


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"limits": {"memroy": 5}}, "there is no limit 'memroy'; there are memory, processes"),
        ({"limits": {"memory": -1}}, "the limit memory must be a whole number above 0, not -1"),
        ({"templates": {"x": {"limits": {"disk": "1G"}}}}, "template x: the limit disk must be a whole number"),
        ({"templates": {"x": {"packages": ["--index-url=x"]}}}, "packages are names and versions"),
    ],
)
def test_wrong_options_are_told_at_the_start(options: dict[str, Any], words: str) -> None:
    with pytest.raises(LocalServerError, match=words):
        local_endpoint(**options)


def test_unknown_names_list_the_known(configured: Endpoint) -> None:
    with pytest.raises(
        SandboxException, match=r"404.*analysis, bare, base, broken, code-interpreter-v1, crashing, .*packaged"
    ):
        Sandbox.create("nope", **configured.sdk_options())


def test_a_file_that_is_wrong_is_told_at_the_start(tmp_path: Path) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text("[templates.x]\nsetup = 5\n")
    with pytest.raises(LocalServerError, match="setup must be a list"):
        local_endpoint(templates=str(file))


def test_prometheus_reads_what_happened(configured: Endpoint) -> None:
    with Sandbox.create("base", **configured.sdk_options()):
        text = httpx.get(configured.url + "/metrics").text
    assert 'ci_sandboxes{state="running"} 1.0' in text
    assert 'ci_sandbox_events_total{event="created"}' in text
