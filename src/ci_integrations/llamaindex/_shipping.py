"""Sends the user's functions into the kernel as source: CodeActAgent promises the model that it may call them."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator, Sequence
from types import CodeType, FunctionType, ModuleType
from typing import Any

from ci_integrations._errors import ConfigurationError


def source_of(functions: Sequence[Callable[..., Any]]) -> str:
    """Returns one cell that defines `functions`, the helpers they call and the modules they use.

    Raises `ConfigurationError` for what cannot live elsewhere: closures, methods, lambdas, and values of the module
    around them. Those values are not sent silently, because a secret may be among them.
    """
    imports: dict[str, str] = {}
    bodies: dict[str, str] = {}
    waiting = list(functions)
    while waiting:
        # Decorators are the host's business: the function below them is sent.
        function = inspect.unwrap(waiting.pop(0))
        name = _checked(function)
        if name in bodies:
            continue
        bodies[name] = _body(function)
        for used, value in _used(function):
            if isinstance(value, ModuleType):
                imports[used] = f"import {value.__name__} as {used}"
            elif isinstance(value, FunctionType) and value.__module__ == function.__module__:
                waiting.append(value)
            else:
                imports[used] = _import_line(name, used, value)
    return "\n".join([*imports.values(), *bodies.values()])


def _checked(function: Any) -> str:
    if not isinstance(function, FunctionType) or function.__name__ == "<lambda>":
        raise ConfigurationError(f"{function!r} is not a plain function: only those can be shipped into the sandbox")
    if function.__closure__:
        names = ", ".join(function.__code__.co_freevars)
        raise ConfigurationError(f"{function.__name__}() uses {names} of the function around it: make it an argument")
    return function.__name__


def _body(function: FunctionType) -> str:
    """Returns a function's source without decorators and annotations: both may name what is not in the kernel."""
    try:
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    except (OSError, SyntaxError, ValueError) as error:
        raise ConfigurationError(f"{function.__name__}() has no source that could be shipped: {error}") from error
    for node in ast.walk(definition):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            node.returns = None
            node.decorator_list = [] if node is definition else node.decorator_list
        elif isinstance(node, ast.arg):
            node.annotation = None
    return ast.unparse(definition)


def _used(function: FunctionType) -> Iterator[tuple[str, Any]]:
    for name in sorted(set(_names(function.__code__))):
        if name in function.__globals__ and name != function.__name__:
            yield name, function.__globals__[name]


def _names(code: CodeType) -> Iterator[str]:
    """Yields the names that a function, and the functions inside it, look up. Attribute names come along."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _import_line(name: str, used: str, value: Any) -> str:
    """Returns the import of what came by `from module import thing`. Raises `ConfigurationError` for anything else."""
    module = getattr(value, "__module__", None)
    if isinstance(value, (type, FunctionType)) and module not in (None, "__main__") and hasattr(value, "__name__"):
        return f"from {module} import {value.__name__} as {used}"
    raise ConfigurationError(
        f"{name}() uses the value {used!r} of its module, which does not exist in the sandbox: make it an argument"
    )
