"""Dialects say what a language needs from the Jupyter driver, as setting variables for one cell.

All of it is code in that language, which the language's kernel runs. Only `guest/jupyter.py` uses this module.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from ci_integrations.local.protocol.frames import Frame

# Deno cells are ES modules: `require`, `module` and `global` are Node's, and npm packages look for them.
_NODE_SETUP = """;{
  const { createRequire } = await import("node:module");
  globalThis.require = createRequire(Deno.cwd() + "/cell.js");
  globalThis.module = { exports: {} };
  globalThis.exports = globalThis.module.exports;
  globalThis.global = globalThis;
  globalThis.addEventListener("error", (event) => { event.preventDefault(); console.error(event.error); });
  globalThis.addEventListener("unhandledrejection", (event) => {
    event.preventDefault();
    console.error(event.reason);
  });
}"""


class Dialect:
    """Describes a language with nothing special: its code runs as it is, without variables for one cell."""

    setup = ""
    """Code that runs once, when the kernel has started."""
    late = False
    """Whether results may come after the kernel said that it is idle."""

    def prepare(self, code: str) -> str:
        """Returns the cell as the kernel gets it."""
        return code

    def set_envs(self, envs: Mapping[str, str]) -> str:
        """Returns code that sets variables of the environment, at least one, and remembers what they were."""
        return ""

    def reset_envs(self, envs: Mapping[str, str]) -> str:
        """Returns code that undoes `set_envs`."""
        return ""

    def why(self, error: Frame, code: str) -> str:
        """Returns code that fails with the reason why `code` could not start; empty when `error` says it already."""
        return ""

    def explain(self, answer: Frame) -> Frame:
        """Returns the error for the user, made from the one that the code of `why` ended with."""
        return answer


class Node(Dialect):
    """Describes JavaScript by a kernel that runs Node itself."""

    def set_envs(self, envs: Mapping[str, str]) -> str:
        values = json.dumps(dict(envs))
        return (
            f"globalThis.__ci_old = Object.fromEntries(Object.keys({values}).map((k) => [k, process.env[k]])); "
            f"Object.assign(process.env, {values}); undefined"
        )

    def reset_envs(self, envs: Mapping[str, str]) -> str:
        return (
            "for (const [k, v] of Object.entries(globalThis.__ci_old)) "
            "{ if (v === undefined) delete process.env[k]; else process.env[k] = v; } delete globalThis.__ci_old"
        )


class Deno(Node):
    """Describes JavaScript and TypeScript by `deno jupyter`, with `require` and Node's globals.

    Errors that come late, from timers and promises, do not block it.

    These differences from the cloud's ijavascript stay: an interrupt ends the kernel and its state; `const` and `let`
    may be declared again; packages come by `npm:` and `jsr:` imports, over the network only; a value shows as Deno
    prints it.
    """

    setup = _NODE_SETUP
    late = True

    def prepare(self, code: str) -> str:
        """Adds a leading semicolon: a cell that is only a string would be taken for a directive and have no value."""
        return ";" + code

    def why(self, error: Frame, code: str) -> str:
        """Returns a module made of the code, which says where it cannot be parsed and runs nothing of it.

        Deno itself answers only "Execution failed" to such code.
        """
        if error["value"] != "Execution failed" or error["traceback"]:
            return ""
        source = json.dumps("throw 0;\n" + code)
        return f';await import("data:application/typescript," + encodeURIComponent({source}))'

    def explain(self, answer: Frame) -> Frame:
        words = str(answer["value"]).removeprefix("SyntaxError: ").split("\n    at data:")[0]
        # `why` put one line before the code, so that every line number is one too high.
        text = re.sub(r"(?m)^(\d+)(?= \|)", lambda line: str(int(line[1]) - 1), words)
        return {"name": "SyntaxError", "value": text, "traceback": f"SyntaxError: {text}"}


class R(Dialect):
    """Describes R by IRkernel."""

    def set_envs(self, envs: Mapping[str, str]) -> str:
        names = ", ".join(json.dumps(name) for name in envs)
        values = ", ".join(f"`{name}` = {json.dumps(value)}" for name, value in envs.items())
        return f".ci_old <- Sys.getenv(c({names}), unset = NA, names = TRUE); Sys.setenv({values}); invisible()"

    def reset_envs(self, envs: Mapping[str, str]) -> str:
        return (
            "for (n in names(.ci_old)) if (is.na(.ci_old[[n]])) Sys.unsetenv(n) else "
            "do.call(Sys.setenv, as.list(.ci_old[n])); rm(.ci_old)"
        )


def dialect(name: str) -> Dialect:
    """Returns the dialect of a name that the host's `languages` gives; one without specials for an unknown name."""
    return {"deno": Deno, "node": Node, "r": R}.get(name, Dialect)()
