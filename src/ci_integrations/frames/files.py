"""Makes files of tables and tables of files on the host, where pandas may be missing and files may be hostile."""

from __future__ import annotations

import tempfile
from importlib.util import find_spec
from typing import IO, Any

from ci_integrations._errors import ArtifactError, ConfigurationError, MissingDependencyError

MAX_BYTES = 4 * 1024**3
"""Of one table that comes out of a sandbox, unless the caller says less."""


def check_pandas(feature: str) -> None:
    """Raises `MissingDependencyError` when pandas is not installed here."""
    if find_spec("pandas") is None:
        raise MissingDependencyError(feature, "local")


def written(name: str, table: object, *, arrow_there: bool, polars_there: bool) -> tuple[IO[bytes], dict[str, Any]]:
    """Returns a temporary file with the table, at its beginning, and what `encode` says of it.

    Raises `ConfigurationError`, which names the table, for what is none.
    """
    from ci_integrations.frames.codec import encode

    stream = tempfile.TemporaryFile(prefix="ci-frame-")  # noqa: SIM115 - the caller closes it
    try:
        said = encode(table, stream, arrow_there=arrow_there, polars_there=polars_there)
    except TypeError as error:
        stream.close()
        raise ConfigurationError(f"{name!r} cannot be put into the sandbox: {error}") from error
    except BaseException:
        stream.close()
        raise
    stream.seek(0)
    return stream, said


def read_back(name: str, stream: IO[bytes]) -> tuple[Any, list[str]]:
    """Returns the table of a file that came out of a sandbox, and what it could not be here.

    Raises `ArtifactError` when it is no file of `written`.
    """
    from ci_integrations.frames.codec import MalformedError, decode

    try:
        return decode(stream)  # type: ignore[arg-type]  # IO[bytes] is a BinaryIO in all but name
    except MalformedError as error:
        raise ArtifactError(f"{name}: what came out of the sandbox is no table: {error}") from error


def capabilities() -> tuple[bool, bool]:
    """Returns whether pyarrow and polars are installed here."""
    from ci_integrations.frames.codec import arrow

    return arrow.is_here(), arrow.has_polars()
