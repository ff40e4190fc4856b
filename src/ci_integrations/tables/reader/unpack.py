"""Unpacks what a file is packed in, by its content and bounded: gzip, bzip2, xz, zstd, zip and tar."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from .model import MAX_TABLES, MAX_UNPACKED, NotATableError, PasswordError

_MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_SUFFIXES = (".gz", ".gzip", ".bz2", ".xz", ".zst", ".zstd", ".z")


def packing_of(path: Path) -> str:
    """Returns how a file is packed, by its first bytes: empty when it is not. Workbooks are not said to be zip."""
    with path.open("rb") as file:
        head = file.read(8)
    for magic, name in _MAGIC.items():
        if head.startswith(magic):
            return name
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "" if is_workbook(path) else "zip"
    return "tar" if path.stat().st_size >= 1024 and not head.startswith(b"\0" * 8) and tarfile.is_tarfile(path) else ""


def is_workbook(path: Path) -> bool:
    """Returns whether a zip file is an Excel or ODS workbook."""
    if not zipfile.is_zipfile(path):
        return path.suffix.lower() in (".xlsx", ".xlsm", ".ods", ".xlsb")
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist()[:10_000])
    return any(name.startswith("xl/") for name in names) or ("content.xml" in names and "mimetype" in names)


def unpack(path: Path, packing: str, room: Path) -> list[Path]:
    """Unpacks into the folder `room` and returns the files. Raises `NotATableError` for more than is read."""
    if packing in ("zip", "tar"):
        return list(_members(path, packing, room))
    stem = path.name
    while stem.lower().endswith(_SUFFIXES):
        stem = stem[: stem.rindex(".")]
    target = room / (stem if stem not in (".", "..", "") else "file")
    with _opened(path, packing) as source:
        _copied(source, target, MAX_UNPACKED)
    return [target]


def _opened(path: Path, packing: str) -> IO[bytes]:
    if packing == "gzip":
        return cast("IO[bytes]", gzip.open(path))
    if packing == "bzip2":
        return cast("IO[bytes]", bz2.open(path))
    if packing == "xz":
        return cast("IO[bytes]", lzma.open(path))
    return _zstd(path)


def _zstd(path: Path) -> IO[bytes]:
    import pyarrow as pa

    return cast("IO[bytes]", pa.CompressedInputStream(pa.OSFile(str(path)), "zstd"))


def _copied(source: IO[bytes], target: Path, most: int) -> int:
    """Copies at most so many bytes: a few kilobytes may unpack to terabytes."""
    size = 0
    try:
        with target.open("wb") as out:
            while chunk := source.read(1 << 20):
                size += len(chunk)
                if size > most:
                    raise NotATableError(f"it unpacks to more than {MAX_UNPACKED >> 20} MiB")
                out.write(chunk)
    except (EOFError, lzma.LZMAError, zipfile.BadZipFile) as error:
        raise NotATableError(f"it is packed and damaged: {error}") from error
    return size


def _members(path: Path, packing: str, room: Path) -> Iterator[Path]:
    """Yields the unpacked files of an archive. Their names come from it and are never paths here."""
    left = MAX_UNPACKED
    for number, (name, source) in enumerate(_files_in(path, packing)):
        if number >= MAX_TABLES:
            break
        folder = room / str(number)
        folder.mkdir()
        target = folder / (Path(name.replace("\\", "/")).name or "file")
        with source:
            left -= _copied(source, target, left)
        yield target


def _files_in(path: Path, packing: str) -> Iterator[tuple[str, IO[bytes]]]:
    if packing == "tar":
        with tarfile.open(path) as archive:
            for member in archive:
                if member.isfile() and (source := archive.extractfile(member)) and not _is_hidden(member.name):
                    yield member.name, source
        return
    with zipfile.ZipFile(path) as packed:
        for info in packed.infolist():
            if info.is_dir() or _is_hidden(info.filename):
                continue
            if info.flag_bits & 1:
                raise PasswordError("it is encrypted: it needs its password")
            yield info.filename, packed.open(info)


def _is_hidden(name: str) -> bool:
    return name.startswith("__MACOSX/") or Path(name).name.startswith(".")
