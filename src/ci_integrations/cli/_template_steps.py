"""A template definition as calls of E2B's `Template` builder: one list, which is applied or printed as source."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from ci_integrations.local.definition import E2B_KERNELS, DefinitionError, TemplateDefinition

if TYPE_CHECKING:
    from e2b import TemplateBase, TemplateClass

DEBUG_READY_MS = 60_000
"""Milliseconds after which a debug build counts as ready, so that one can look at services that never become ready."""

_JOURNAL = (
    "for unit in jupyter code-interpreter; do mkdir -p /etc/systemd/system/$unit.service.d; "
    "printf '[Service]\\nStandardOutput=journal\\nStandardError=journal\\n' "
    "> /etc/systemd/system/$unit.service.d/journal.conf; done"
)
"""Sends what the two services of E2B's image print to the journal, where `ci-integrations doctor --sandbox` reads it.
The image itself throws the output of the first service away."""


@dataclass(frozen=True)
class Step:
    """One call of the builder."""

    method: str
    args: tuple[object, ...] = ()
    options: dict[str, object] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """The call in Python, with the dot before it."""
        words = [repr(arg) for arg in self.args] + [f"{name}={value!r}" for name, value in self.options.items()]
        return f".{self.method}({', '.join(words)})"


def steps(definition: TemplateDefinition, *, debug: bool = False) -> list[Step]:
    """Returns the calls that make a template of a definition, in their order.

    `debug`: the template counts as ready after a minute, and its services log to the journal. Raises DefinitionError
    for a kernel that E2B's image does not hold.
    """
    foreign = [name for name in definition.kernels if name not in E2B_KERNELS]
    if foreign:
        raise DefinitionError(
            f"template {definition.name}: E2B has no kernel {foreign[0]!r}; it has {', '.join(E2B_KERNELS)}"
        )
    made = [Step("from_template", (definition.base,))]
    # As root and with --system, because E2B's kernels run the image's own Python.
    if definition.packages:
        wanted = shlex.join(definition.packages)
        made.append(Step("run_cmd", (f"pip install -q uv && uv pip install --system {wanted}",), {"user": "root"}))
    if definition.envs:
        made.append(Step("set_envs", (dict(definition.envs),)))
    here = definition.directory  # the builder wants paths from there on
    made += [Step("copy", (str(local.relative_to(here)), remote)) for remote, local in definition.files.items()]
    made += [Step("run_cmd", (command,)) for command in definition.setup]
    if debug:
        made.append(Step("run_cmd", (_JOURNAL,), {"user": "root"}))
        made.append(Step("set_ready_cmd", (f"sleep {DEBUG_READY_MS // 1000}",)))
    return made


def apply(builder: TemplateBase, made: list[Step]) -> TemplateClass:
    """Returns the builder after all calls. Each call returns a builder, whose class depends on the step before."""
    current: object = builder
    for step in made:
        current = getattr(current, step.method)(*step.args, **step.options)
    return cast("TemplateClass", current)


def sizes_of(definition: TemplateDefinition) -> dict[str, Any]:
    """Returns the options of `Template.build` that the definition sets; E2B has defaults for the others."""
    sizes = {"cpu_count": definition.cpu, "memory_mb": definition.memory}
    return {name: value for name, value in sizes.items() if value is not None}


def source(definition: TemplateDefinition, made: list[Step]) -> str:
    """Returns a program that builds the same template."""
    sizes = "".join(f", {name}={value}" for name, value in sizes_of(definition).items())
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
