"""Who a request wants to be. Inside the local sandbox there is one user."""

from __future__ import annotations

import base64
import binascii

USER = "user"


class WrongUser(Exception):  # noqa: N818 - says what is wrong
    """The message says which user there is."""


def user_of(authorization: str | None) -> str:
    """The user in a Basic header; the default without one. WrongUser for any but `user`."""
    if not authorization:
        return USER
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic":
        return USER
    try:
        name = base64.b64decode(value, validate=True).decode().partition(":")[0]
    except (binascii.Error, ValueError):
        raise WrongUser("the Authorization header is not Basic authentication") from None
    return check(name)


def check(name: str | None) -> str:
    if name == "root":
        raise WrongUser("the local sandbox has no root: everything in it runs as 'user'; leave user= out")
    if name and name != USER:
        raise WrongUser(f"invalid username: '{name}' (the local sandbox knows only 'user')")
    return USER
