"""The rows of a file, one at a time: NDJSON, or CSV whose rows become the same JSON objects.

UTF-8, with or without a byte order mark; lines end with LF or CRLF; blank ones are no rows. A row that
cannot be read is one with a reason, and the next one begins on the line after it.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Literal

import msgspec

from milepost.errors import INVALID_INPUT, Refusal

LINE_BYTES_MAX = 1024 * 1024
"""Of a line without its end, and of all lines of a CSV row."""

Columns = Mapping[str, Literal["text", "json"]]
"""The columns of a CSV file by name. A "json" cell has a number, a truth or any other JSON value."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SKIP_BYTES = 64 * 1024
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)
_TOO_LONG = Refusal(INVALID_INPUT, f"A row must have at most {LINE_BYTES_MAX:,} bytes.")
_NOT_UTF8 = Refusal(INVALID_INPUT, "It is not UTF-8.")
_NOT_CSV = Refusal(INVALID_INPUT, "It is not CSV.")

_encode = msgspec.json.Encoder().encode
_json = msgspec.json.Decoder(float_hook=str)


class UnreadableFile(Exception):
    """No row of the file can be read; the message says why."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: a JSON object as bytes, or why there is none.

    `line` is the physical line on which it begins, from 1, `last_line` the one on which it ends, and
    `ends_at` the offset of the byte behind it.
    """

    line: int
    last_line: int
    ends_at: int
    content: bytes | Refusal


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    ends_at: int
    text: bytes | None
    """Without its end; None: longer than `LINE_BYTES_MAX`."""

    @property
    def blank(self) -> bool:
        return self.text is not None and not self.text.strip()


def is_csv(name: str, file: BinaryIO) -> bool:
    """Whether a file has CSV: by its name, or where that does not say, if it begins with no `{`."""
    ending = name.rpartition(".")[2].lower()
    if ending in ("csv", "ndjson", "jsonl", "json"):
        return ending == "csv"
    file.seek(0)
    begin = file.read(_SKIP_BYTES).removeprefix(_BYTE_ORDER_MARK).lstrip()
    return bool(begin) and not begin.startswith(b"{")


def read_ndjson(file: BinaryIO, position: int, line: int) -> Iterator[Row]:
    """The rows from an offset on, before which there are so many lines."""
    for each in _read_lines(file, position, line):
        if each.text is None:
            yield Row(each.number, each.number, each.ends_at, _TOO_LONG)
        elif not each.blank:
            yield Row(each.number, each.number, each.ends_at, each.text)


def read_csv(
    file: BinaryIO, columns: Columns, required: Sequence[str], position: int, line: int
) -> Iterator[Row]:
    """The rows from an offset on, before which there are so many lines; 0: behind the header.

    The header, whose names say what the cells are, is the first line that is not blank. Other columns
    than `columns` are ignored. Raises `UnreadableFile` for a header that lacks one of the `required`
    ones, has one twice, or has none of the names.
    """
    lines = _Waiting(_read_lines(file, 0, 0))
    header = _read_header(lines, columns, required)
    if position:
        lines = _Waiting(_read_lines(file, position, line))
    while (first := lines.take()) is not None:
        if first.blank:
            continue
        cells = _read_cells(lines, first)
        if not isinstance(cells, Refusal) and len(cells) != len(header):
            # A quote that is never closed takes in good rows: they are read by themselves.
            lines.put_back()
            detail = f"It has {len(cells)} cells, and the header has {len(header)}."
            cells = Refusal(INVALID_INPUT, detail)
        content = cells if isinstance(cells, Refusal) else _as_json(header, columns, cells)
        last = lines.last
        yield Row(first.number, last.number, last.ends_at, content)


class _Waiting:
    """Lines, with those that were put back first."""

    def __init__(self, lines: Iterator[_Line]) -> None:
        self._lines = lines
        self._back: deque[_Line] = deque()
        self._taken: list[_Line] = []

    def take(self) -> _Line | None:
        """The next line with which a row begins."""
        self._taken = []
        return self.take_more()

    def take_more(self) -> _Line | None:
        """A further line of the same row."""
        found = self._back.popleft() if self._back else next(self._lines, None)
        if found is not None:
            self._taken.append(found)
        return found

    def put_back(self) -> None:
        """All that was taken behind the row's first line is still to come."""
        self._back.extendleft(reversed(self._taken[1:]))
        del self._taken[1:]

    @property
    def last(self) -> _Line:
        """The last line of the row."""
        return self._taken[-1]


def _read_lines(file: BinaryIO, position: int, number: int) -> Iterator[_Line]:
    file.seek(position)
    while read := file.readline(LINE_BYTES_MAX + 2):
        number += 1
        position += len(read)
        text: bytes | None = read.removesuffix(b"\n").removesuffix(b"\r")
        if number == 1 and text is not None:
            text = text.removeprefix(_BYTE_ORDER_MARK)
        if text is not None and len(text) > LINE_BYTES_MAX:
            text = None
            while not read.endswith(b"\n") and (read := file.readline(_SKIP_BYTES)):
                position += len(read)
        yield _Line(number, position, text)


def _read_header(lines: _Waiting, columns: Columns, required: Sequence[str]) -> list[str]:
    first = lines.take()
    while first is not None and first.blank:
        first = lines.take()
    if first is None:
        return []
    read = _read_cells(lines, first)
    if isinstance(read, Refusal):
        raise UnreadableFile(f"its header cannot be read: {read.detail}")
    header = [cell.strip() for cell in read]
    if not columns.keys() & set(header):
        raise UnreadableFile(f"its header has none of the columns {', '.join(columns)}")
    if missing := [name for name in required if name not in header]:
        raise UnreadableFile(f"its header lacks {', '.join(missing)}")
    if twice := [name for name in columns if header.count(name) > 1]:
        raise UnreadableFile(f"its header has {', '.join(twice)} twice")
    return header


def _read_cells(lines: _Waiting, first: _Line) -> list[str] | Refusal:
    """The cells of the row that begins with a line; if it cannot be read, only that line is lost."""
    if first.text is None:
        return _TOO_LONG

    def texts() -> Iterator[str]:
        size = 0
        line: _Line | None = first
        while line is not None:
            size += len(line.text or b"")
            if line.text is None or size > LINE_BYTES_MAX:
                raise csv.Error("too long")
            yield line.text.decode() + "\n"
            line = lines.take_more()

    try:
        if b'"' not in first.text:
            return first.text.decode().split(",")
        csv.field_size_limit(LINE_BYTES_MAX)
        return next(csv.reader(texts(), strict=True))
    except (csv.Error, UnicodeDecodeError) as error:
        lines.put_back()
        return _NOT_CSV if isinstance(error, csv.Error) else _NOT_UTF8


def _as_json(header: Sequence[str], columns: Columns, cells: Sequence[str]) -> bytes | Refusal:
    """The row as a JSON object; blank cells are absent."""
    fields = []
    for name, cell in zip(header, cells, strict=True):
        kind = columns.get(name)
        bare = cell.strip()
        if kind is None or not bare:
            continue
        if kind == "text":
            fields.append(b'"%s":%s' % (name.encode(), _encode(cell)))
            continue
        value = _json_of(bare)
        if value is None:
            return Refusal(INVALID_INPUT, f"{name} is neither a number nor other JSON.")
        fields.append(b'"%s":%s' % (name.encode(), value))
    return b"{%s}" % b",".join(fields)


def _json_of(cell: str) -> bytes | None:
    """A cell that is one JSON value, truths in any case, as bytes; None if it is none."""
    if _NUMBER.fullmatch(cell):
        return cell.encode()
    if cell.lower() in ("true", "false"):
        return cell.lower().encode()
    try:
        _json.decode(cell)
    except (msgspec.DecodeError, RecursionError):
        return None
    return cell.encode()
