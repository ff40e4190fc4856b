"""Who a request wants to be. Inside the local sandbox there is one user; in the kind `jupyter`, commands may be root.

The SDK names a user only when its caller passes `user=`: in a Basic header with an empty password, or as `username` in
the URL of a file.
"""

from __future__ import annotations

import base64
import binascii

USER, ROOT = "user", "root"


class WrongUser(Exception):  # noqa: N818 - says what is wrong
    """A user that the sandbox does not have. The message says which one it has."""

    def __init__(self, message: str, *, is_root: bool = False) -> None:
        super().__init__(message)
        self.is_root = is_root
        """E2B has a root: then the answer is "not done here" and not "no such user"."""


def user_of(authorization: str | None, *, root: bool = False) -> str:
    """Returns the user in a Basic header, or the default without one. Raises WrongUser as `check` does."""
    if not authorization:
        return USER
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic":
        return USER
    try:
        name = base64.b64decode(value, validate=True).decode().partition(":")[0]
    except (binascii.Error, ValueError):
        raise WrongUser("the Authorization header is not Basic authentication") from None
    return check(name, root=root)


def check(name: str | None, *, root: bool = False) -> str:
    """Returns the user. Raises WrongUser when `name` is neither `user` nor, with `root`, root; empty is left out."""
    if name == ROOT and root:
        return ROOT
    if name == ROOT:
        raise WrongUser("the local sandbox has no root: everything in it runs as 'user'; leave user= out", is_root=True)
    if name and name != USER:
        raise WrongUser(f"invalid username: '{name}' (the local sandbox knows only 'user')")
    return USER
