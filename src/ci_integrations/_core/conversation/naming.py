"""Names conversations so that every process of an application finds the same sandbox, and no other conversation's.

A sandbox carries a keyed hash of its conversation's name in its metadata, from its creation on. What a message or a
graph's state says is input: a sandbox that it names is used only when that sandbox's own metadata name this very
conversation, which is looked up before connecting. The key is what all workers of one application share and no message
ever holds: `CI_INTEGRATIONS_SECRET`, otherwise the key of the E2B account or of the local server.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from ci_integrations._core.options import InterpreterOptions
from ci_integrations._core.service import Connection

SECRET = "CI_INTEGRATIONS_SECRET"  # noqa: S105 - the name of a variable
"""Environment variable with the key of the hashes. It has to be the same for all workers of an application."""

APPLICATION = "CI_INTEGRATIONS_APPLICATION"
"""Environment variable with the application's name: two applications of one E2B account may both have a thread "1"."""

CONVERSATION = "ci_integrations_conversation"
"""Metadata key of the keyed hash that names a sandbox's conversation."""
KIND = "ci_integrations_kind"
"""Metadata key of the keyed hash of what a sandbox was made from."""

_PURPOSE = b"ci_integrations conversation 1"
_OF_THIS_PROCESS = secrets.token_bytes(32)
"""The key where no other is known: then no other process recognises our sandboxes."""
_HASH = 32
"""Hexadecimal digits of each hash."""

MADE_HERE: dict[str, None] = {}
"""Ids of the sandboxes that this process made, the newest last."""
_MOST = 10_000


@dataclass(frozen=True)
class Conversation:
    """Names a conversation: the thread's id in the application. None: it has no name, and no other process may join."""

    thread: str | None
    application: str = ""

    @classmethod
    def of(cls, thread: str | None, application: str | None = None) -> Conversation:
        """Returns the conversation of `thread`; the application's name is from its environment unless it is given."""
        return cls(thread, application if application is not None else os.environ.get(APPLICATION, ""))


def key_of(connection: Connection | None, options: InterpreterOptions) -> bytes:
    """Returns the key of all hashes and signatures, which is the same in all workers of one application."""
    own = os.environ.get(SECRET) or (connection or {}).get("api_key") or options.api_key or _of_the_account(options)
    return hmac.new(str(own).encode() if own else _OF_THIS_PROCESS, _PURPOSE, hashlib.sha256).digest()


def _of_the_account(options: InterpreterOptions) -> object:
    return options.create_options.get("api_key") or os.environ.get("E2B_API_KEY")


def keyed(key: bytes, *words: object) -> str:
    """Returns the keyed hash of `words`, which are plain JSON."""
    said = json.dumps(words, ensure_ascii=True, separators=(",", ":")).encode()
    return hmac.new(key, said, hashlib.sha256).hexdigest()[:_HASH]


def tag_of(conversation: Conversation, key: bytes) -> str | None:
    """Returns the hash by which a sandbox names its conversation; None for one without a name."""
    if conversation.thread is None:
        return None
    return keyed(key, "conversation", conversation.application, conversation.thread)


def kind_of(conversation: Conversation, options: InterpreterOptions, key: bytes) -> str:
    """Returns the hash of what makes one sandbox of a conversation another than the next: program and options.

    It is asked for only where a sandbox is looked for that no message names: two tools of one agent may have different
    packages, and two programs of one account the same names of threads.
    """
    files = options.files if isinstance(options.files, Mapping) else {str(path): "" for path in _listed(options.files)}
    return keyed(
        key, "kind", conversation.application or os.getcwd(), options.template, list(options.packages),  # noqa: PTH109
        options.setup_code, sorted((options.envs or {}).items()), sorted(files), sorted(options.dataframes or {}),
        sorted((options.metadata or {}).items()), sorted((name, repr(v)) for name, v in options.create_options.items()),
    )  # fmt: skip


def tags_of(conversation: Conversation | None, options: InterpreterOptions, key: bytes) -> dict[str, str]:
    """Returns the metadata by which other workers recognise a conversation's sandbox; none for one without a name."""
    tag = tag_of(conversation, key) if conversation is not None else None
    if conversation is None or tag is None:
        return {}
    return {CONVERSATION: tag, KIND: kind_of(conversation, options, key)}


def _listed(files: object) -> list[object]:
    return list(files) if isinstance(files, (list, tuple)) else []


def note_made(sandbox_id: str) -> None:
    """Notes that this process made a sandbox."""
    MADE_HERE[sandbox_id] = None
    while len(MADE_HERE) > _MOST:
        del MADE_HERE[next(iter(MADE_HERE))]
