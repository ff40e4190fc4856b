"""What a language needs from its driver: how variables are set for one call, and how its kernel's gaps are filled.

Used by `kernel_jupyter` only. Everything is code in that language, run by its kernel.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

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
    """A language of which nothing special is known: its code runs as it is; variables of one call are not supported."""

    setup = ""
    late = False
    """Whether results may come after the kernel said that it is idle."""

    def prepare(self, code: str) -> str:
        return code

    def set_envs(self, envs: Mapping[str, str]) -> str:
        return ""

    def reset_envs(self, envs: Mapping[str, str]) -> str:
        return ""

    def why(self, error: Mapping[str, Any], code: str) -> str:
        """Code that fails with the reason why `code` could not even start; empty when `error` says it already."""
        return ""

    def explain(self, answer: dict[str, Any]) -> dict[str, Any]:
        return answer


class Node(Dialect):
    """JavaScript by a kernel of Node's own."""

    def set_envs(self, envs: Mapping[str, str]) -> str:
        if not envs:
            return ""
        values = json.dumps(dict(envs))
        return (
            f"globalThis.__ci_old = Object.fromEntries(Object.keys({values}).map((k) => [k, process.env[k]])); "
            f"Object.assign(process.env, {values}); undefined"
        )

    def reset_envs(self, envs: Mapping[str, str]) -> str:
        if not envs:
            return ""
        return (
            "for (const [k, v] of Object.entries(globalThis.__ci_old)) "
            "{ if (v === undefined) delete process.env[k]; else process.env[k] = v; } delete globalThis.__ci_old"
        )


class Deno(Node):
    """JavaScript and TypeScript by `deno jupyter`: with `require` and Node's globals; late errors do not wedge it.

    What stays different from the cloud's ijavascript: an interrupt ends the kernel and its state; `const` and `let`
    may be declared again; packages come by `npm:` and `jsr:` imports, over the network only; a value shows as Deno
    prints it.
    """

    setup = _NODE_SETUP
    late = True

    def prepare(self, code: str) -> str:
        """A leading semicolon: a cell that is only a string would be taken for a directive and have no value."""
        return ";" + code

    def why(self, error: Mapping[str, Any], code: str) -> str:
        """Deno answers "Execution failed" to what it cannot parse; a module made of it says where, and runs nothing."""
        if error["value"] != "Execution failed" or error["traceback"]:
            return ""
        source = json.dumps("throw 0;\n" + code)
        return f';await import("data:application/typescript," + encodeURIComponent({source}))'

    def explain(self, answer: dict[str, Any]) -> dict[str, Any]:
        words = str(answer["value"]).removeprefix("SyntaxError: ").split("\n    at data:")[0]
        text = re.sub(r"(?m)^(\d+)(?= \|)", lambda line: str(int(line[1]) - 1), words)
        return {"name": "SyntaxError", "value": text, "traceback": f"SyntaxError: {text}"}


class R(Dialect):
    def set_envs(self, envs: Mapping[str, str]) -> str:
        if not envs:
            return ""
        names = ", ".join(json.dumps(name) for name in envs)
        values = ", ".join(f"`{name}` = {json.dumps(value)}" for name, value in envs.items())
        return f".ci_old <- Sys.getenv(c({names}), unset = NA, names = TRUE); Sys.setenv({values}); invisible()"

    def reset_envs(self, envs: Mapping[str, str]) -> str:
        if not envs:
            return ""
        return (
            "for (n in names(.ci_old)) if (is.na(.ci_old[[n]])) Sys.unsetenv(n) else "
            "do.call(Sys.setenv, as.list(.ci_old[n])); rm(.ci_old)"
        )


def dialect(name: str) -> Dialect:
    """By the name `languages` gives it."""
    return {"deno": Deno, "node": Node, "r": R}.get(name, Dialect)()
