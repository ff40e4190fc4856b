"""Decides whether a model may be pickled: one that holds a key may not."""

from __future__ import annotations

import pickle
import re

from llama_index.core.llms import LLM
from pydantic import SecretStr

_SECRET = re.compile(r"key$|secret|password|credential|(?<!max_)token$|headers$", re.IGNORECASE)


def is_free_of_keys(llm: LLM) -> bool:
    """Returns True for a model that can be pickled and has nothing in it that is called a key, or is a `SecretStr`."""
    fields = {**llm.__dict__, **(getattr(llm, "__pydantic_private__", None) or {})}
    if any(value and (_SECRET.search(name) or isinstance(value, SecretStr)) for name, value in fields.items()):
        return False
    try:
        # LlamaIndex drops what cannot be pickled without an error: a model that lost a part is not whole.
        parts = [pickle.dumps(value) for value in fields.values()]
    except Exception:  # noqa: BLE001 - whatever keeps it from being pickled
        return False
    return len(parts) == len(fields)
