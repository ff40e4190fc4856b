"""A definition as calls of E2B's `Template` builder: one list, applied to the builder or printed as its source."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass, field
from typing import Any

from ci_integrations.local.definition import E2B_KERNELS, DefinitionError, TemplateDefinition

DEBUG_READY_MS = 60_000
"""Milliseconds after which a debug build counts as ready, so that one can look at services that never become so."""

_JOURNAL = (
    "for unit in jupyter code-interpreter; do mkdir -p /etc/systemd/system/$unit.service.d; "
    "printf '[Service]\\nStandardOutput=journal\\nStandardError=journal\\n' "
    "> /etc/systemd/system/$unit.service.d/journal.conf; done"
)
"""What the two services of E2B's image print goes to the journal, where `ci-integrations doctor --sandbox` reads it. By
itself the image throws the output of the first one away."""


@dataclass(frozen=True)
class Step:
    """One call of the builder."""

    method: str
    args: tuple[Any, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def source(self) -> str:
        words = [repr(arg) for arg in self.args] + [f"{name}={value!r}" for name, value in self.options.items()]
        return f".{self.method}({', '.join(words)})"


def steps(definition: TemplateDefinition, *, debug: bool = False) -> list[Step]:
    """Raises DefinitionError for a kernel that E2B's image does not hold."""
    foreign = [name for name in definition.kernels if name not in E2B_KERNELS]
    if foreign:
        raise DefinitionError(
            f"template {definition.name}: E2B has no kernel {foreign[0]!r}; it has {', '.join(E2B_KERNELS)}"
        )
    made = [Step("from_template", (definition.base,))]
    if definition.packages:
        wanted = " ".join(shlex.quote(name) for name in definition.packages)
        made.append(Step("run_cmd", (f"pip install -q uv && uv pip install --system {wanted}",), {"user": "root"}))
    if definition.envs:
        made.append(Step("set_envs", (dict(definition.envs),)))
    for remote, local in definition.files.items():
        made.append(Step("copy", (str(local.relative_to(definition.directory)), remote)))
    made += [Step("run_cmd", (command,)) for command in definition.setup]
    if debug:
        made.append(Step("run_cmd", (_JOURNAL,), {"user": "root"}))
        made.append(Step("set_ready_cmd", (f"sleep {DEBUG_READY_MS // 1000}",)))
    return made


def apply(builder: Any, made: list[Step]) -> Any:
    """The builder after all calls."""
    for step in made:
        builder = getattr(builder, step.method)(*step.args, **step.options)
    return builder


def source(definition: TemplateDefinition, made: list[Step]) -> str:
    """A program that builds the same template."""
    sizes = "".join(
        f", {name}={value}"
        for name, value in (("cpu_count", definition.cpu), ("memory_mb", definition.memory))
        if value is not None
    )
    lines = [
        "from e2b import Template",
        "",
        "template = (",
        f"    Template(file_context_path={str(definition.directory)!r})",
        *(f"    {step.source}" for step in made),
        ")",
        f"built = Template.build(template, {definition.name!r}{sizes})",
        'print(f"{built.template_id=}")',
    ]
    return "\n".join(lines)
