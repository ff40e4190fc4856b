"""The JSON bodies that clients send, as pydantic models, and the words for what is wrong with one.

Port 49999 answers as E2B's server does there, which is a FastAPI application: status 422, and pydantic's own errors in
`detail`. The control plane answers with status 400 and one sentence. Only this module imports pydantic, which takes
60 ms and more: `main._import_slow_parts` does that while the engine starts, and handlers import this module when they
need it, so that the server listens no later.
"""

from __future__ import annotations

import json
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from ci_integrations.local.server.http import HttpError

MAX_TIMEOUT = 24 * 3600
"""Seconds. E2B has a limit for each tier; here everybody gets the largest of them."""
MAX_ENTRIES = 1000
"""Of one object or list in a body."""
MAX_TEXT = 128 * 1024
"""Characters of one value: the bytes that Linux allows for one environment variable."""


def _few(value: object) -> object:
    """Refuses a container for its size before its items are looked at: each wrong item would cost an error object."""
    if isinstance(value, dict | list) and len(value) > MAX_ENTRIES:
        raise PydanticCustomError("too_long", "Input should have at most {most} entries", {"most": MAX_ENTRIES})
    return value


def _short(text: str) -> str:
    """By hand: pydantic's own `max_length` refuses lone surrogates as well, which JSON may hold."""
    if len(text) > MAX_TEXT:
        raise PydanticCustomError("too_long", "Input should have at most {most} characters", {"most": MAX_TEXT})
    return text


Texts = Annotated[dict[str, Annotated[str, AfterValidator(_short)]], BeforeValidator(_few)]
Hosts = Annotated[list[str], BeforeValidator(_few)]
Seconds = Annotated[int, Field(ge=0, le=MAX_TIMEOUT)]


class Body(BaseModel):
    """A body, or an object in one. Unknown fields are ignored: a newer SDK may send more than this server knows."""

    # With from_attributes, FastAPI's setting, what is no object is refused in FastAPI's words.
    model_config = ConfigDict(strict=True, from_attributes=True)


class ExecuteBody(Body):
    """What `/execute` takes. An empty string counts as left out, as at E2B."""

    code: str
    context_id: str | None = None
    language: str | None = None
    env_vars: Annotated[dict[str, str], BeforeValidator(_few)] | None = None


class ContextBody(Body):
    """What a new context is made from."""

    language: str | None = None
    cwd: str | None = None


class ControlBody(Body):
    """A body of the control plane. E2B's API writes names in camel case there, with exceptions."""

    model_config = ConfigDict(alias_generator=to_camel)


class NetworkBody(ControlBody):
    """`network` of create. Those typed `object` are looked at for being there: `unsupported` refuses them."""

    allow_out: Hosts | None = None
    deny_out: Hosts | None = None
    allow_public_traffic: bool | None = None
    rules: object = None
    egress_proxy: object = None
    dns_servers: object = None
    mask_request_host: object = None


class NetworkUpdateBody(NetworkBody):
    """The whole body of a network update."""

    allow_internet_access: bool | None = Field(None, alias="allow_internet_access")


class AutoResumeBody(ControlBody):
    enabled: bool | None = None


class CreateBody(ControlBody):
    """What a sandbox is made from."""

    template_id: str = Field(alias="templateID", min_length=1)
    timeout: Seconds | None = None
    """The SDK leaves it out when its caller gave none."""
    auto_pause: bool | None = None
    auto_resume: AutoResumeBody | None = None
    metadata: Texts | None = None
    env_vars: Texts | None = None
    allow_internet_access: bool | None = Field(None, alias="allow_internet_access")
    network: NetworkBody | None = None
    mcp: object = None
    iam: object = None
    volume_mounts: object = None
    auto_pause_memory: object = None


class LeaseBody(ControlBody):
    """What connect, timeout, refreshes and pause take. Each reads its own part and ignores the others."""

    timeout: Seconds | None = None
    duration: Seconds | None = None
    memory: object = None
    """`False` asks for a sandbox without its memory, which is refused."""


class UnprocessableError(HttpError):
    """A body that the code interpreter cannot take: FastAPI's status 422 with the list of what is wrong."""

    def __init__(self, *problems: object) -> None:
        super().__init__(422, "the body is not what this path takes")
        self._problems = problems

    def content(self) -> dict[str, object]:
        return {"detail": self._problems}


Model = TypeVar("Model", bound=Body)


def parse(model: type[Model], raw: bytes) -> Model:
    """The body of a request to the code interpreter. Raises UnprocessableError."""
    if not raw:
        raise UnprocessableError({"type": "missing", "loc": ["body"], "msg": "Field required", "input": None})
    try:
        return model.model_validate(json.loads(raw))
    except ValidationError as error:
        problems = error.errors(include_url=False)
        raise UnprocessableError(*({**problem, "loc": ["body", *problem["loc"]]} for problem in problems)) from None
    except (ValueError, RecursionError) as error:
        # Only JSONDecodeError knows a place; a number of 5000 digits is a plain ValueError, deep nesting the other.
        found = {"loc": ["body", getattr(error, "pos", 0)], "ctx": {"error": getattr(error, "msg", str(error))}}
        raise UnprocessableError({"type": "json_invalid", "msg": "JSON decode error", "input": {}, **found}) from None


def check(model: type[Model], value: object) -> Model:
    """The body of a request to the control plane. HttpError 400 says the first thing that is wrong."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))[:200] or "the body"
        raise HttpError(400, f"{where}: {first['msg']}") from None
