"""Finds the encoding of a text file by decoding all of it: UTF-8 where it is that, otherwise the most likely guess."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from .model import NotATableError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SAMPLE = 1 << 20
_MOST_WORDS = 4000
_CYRILLIC = "оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъёіїєґўћђџљњј"
_LETTERS = {
    "cp1252": "äöüßéèêëàáâãåçñíìîïóòôõøúùûæœýÿ°€£–—’‘“”ºª©®«»·µ×½²³´",
    "cp1250": "ąćęłńóśźżěščřžýáíéůúťďňőűäöüăâîşţôľĺ–„”",
    "cp1254": "ğışçöüâî",
    "cp1251": _CYRILLIC,
    "koi8-r": _CYRILLIC,
    "cp866": _CYRILLIC,
    "iso8859-5": _CYRILLIC,
    "mac-cyrillic": _CYRILLIC,
    "cp1253": "αβγδεζηθικλμνξοπρςστυφχψωάέήίόύώ",
    "cp1255": "אבגדהוזחטיכלמנסעפצקרשתםןףץך",
    "cp1256": "ابتثجحخدذرزسشصضطظعغفقكلمنهويةىئءأإآپچگ",
    "cp874": "กขคงจฉชซญฎฐณดตถทธนบปผพฟภมยรลวศษสหอะาำเแโใไ่้ิีึืุู",
    "cp850": "äöüßéèêëàáâçñíìîóòôúùûåæø",
    "mac-roman": "äöüßéèêëàáâãåçñíìîïóòôõøúùûæœ",
}
"""Letters that texts in these encodings are made of, in lower case."""
_WIDE = ("gb18030", "big5", "shift_jis", "euc_jp", "euc_kr")


@dataclass(frozen=True)
class Encoding:
    """Names an encoding as Python does. `guessed`: the file does not say it and it is not UTF-8."""

    name: str
    guessed: bool = False


def encoding_of(path: Path) -> Encoding:
    """Returns the encoding of a text file. Raises `NotATableError` for what is no text."""
    with path.open("rb") as file:
        head = file.read(1 << 16)
    for mark, name in _MARKS:
        if head.startswith(mark):
            return _whole(path, Encoding(name))
    if b"\0" in head:
        return _whole(path, Encoding(_wide_by_zeros(head), guessed=False))
    odd = len(head.translate(None, bytes(range(32, 256)) + b"\t\n\r\f\v\x1a\x1b\x1c\x1d\x1e\x1f\x01\x02"))
    if odd > len(head) / 100:
        raise NotATableError("it is binary: it holds control characters")
    if decodes(path, "utf-8"):
        return Encoding("utf-8")
    return Encoding(_guess(path), guessed=True)


def _whole(path: Path, encoding: Encoding) -> Encoding:
    if not decodes(path, encoding.name):
        raise NotATableError(f"it looks like {encoding.name} and is not")
    return encoding


def _wide_by_zeros(head: bytes) -> str:
    """Returns which UTF-16 a text without a mark is in: Latin letters have a zero in every second byte."""
    half = len(head) // 2
    even, odd = head[0::2].count(0) / half, head[1::2].count(0) / half
    if odd > 0.4 and even < 0.05:
        return "utf-16-le"
    if even > 0.4 and odd < 0.05:
        return "utf-16-be"
    raise NotATableError("it is binary: it holds zero bytes")


def decodes(path: Path, encoding: str) -> bool:
    """Returns whether all of a file is in an encoding. It is read in pieces: it may be larger than the memory."""
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeError:
        return False
    return True


def _guess(path: Path) -> str:
    """Returns the encoding whose reading of the words with other than ASCII bytes looks most like a language."""
    with path.open("rb") as file:
        raw = file.read(_SAMPLE)
        while not (words := re.findall(rb"[A-Za-z]*[\x80-\xff][\x40-\xff]*", raw)):
            raw = file.read(_SAMPLE)
    sample = b" ".join(words[:_MOST_WORDS])
    scores = {name: _wide_score(_wide_sample(path), name) for name in _WIDE}
    scores |= {name: _score(sample, name, letters) for name, letters in _LETTERS.items()}
    for name in sorted(scores, key=lambda name: -scores[name]):
        if decodes(path, name):
            return name
    return "latin-1"


def _wide_sample(path: Path) -> bytes:
    with path.open("rb") as file:
        return b"\n".join(line for line in file.read(_SAMPLE).split(b"\n") if not line.isascii())


def _wide_score(sample: bytes, name: str) -> float:
    """Returns the share of common characters among those that are not ASCII, by the tables that they stand in."""
    text = sample.decode(name, errors="ignore")
    wide = [char for char in text if ord(char) > 127]
    if not wide:
        return -1.0
    lost = len(sample) - len(text.encode(name, errors="ignore"))
    return sum(_common(char, name) for char in wide) / len(wide) - 4 * lost / len(wide)


def _common(char: str, name: str) -> float:
    if "\uff01" <= char <= "\uff5e" or "\u3001" <= char <= "\u3015":
        return 0.7
    if "\u3041" <= char <= "\u30fc":
        return 1.1 if name in ("shift_jis", "euc_jp") else -0.5
    if "\uac00" <= char <= "\ud7a3":
        return 1.05 if name == "euc_kr" else -1.0
    if not "\u4e00" <= char <= "\u9fff":
        return -1.0
    lead = char.encode(name)[0]
    low, high = {"gb18030": (0xB0, 0xD7), "big5": (0xA4, 0xC6), "shift_jis": (0x88, 0x97), "euc_jp": (0xB0, 0xCF)}.get(
        name, (0xFF, 0)
    )
    return 1.0 if low <= lead <= high else -0.6


def _score(sample: bytes, name: str, letters: str) -> float:
    text = sample.decode(name, errors="replace")
    latin = letters[0] in "äąğ"
    total = count = 0.0
    for word in text.split():
        high = [char for char in word if ord(char) > 127]
        count += len(high)
        total += sum(_likely(char, letters) for char in high)
        if latin and re.search(r"[^\W\d_a-zA-Z]{4}", word):
            total -= 2 * len(high)
        if not latin and re.search(r"[a-zA-Z]", word):
            total -= 2 * len(high)
        # In a word, a capital after a small letter is rare in every language.
        total -= sum(before.islower() and after.isupper() for before, after in pairwise(word))
    return total / count if count else -1.0


def _likely(char: str, letters: str) -> float:
    place = letters.find(char.lower())
    if place >= 0:
        # The letters of Cyrillic stand in the order of how often they are used.
        usual = 1.25 - place / 40 if letters is _CYRILLIC else 1.0
        return usual if char in letters else 0.7 * usual
    return 0.1 if char.isalpha() else -0.6
