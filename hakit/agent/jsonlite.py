"""JSON without the `json` package, whose import costs a host 10 ms at each start.

It stands on the same C code that the package uses (`_json`), so it reads and writes exactly the same language.
"""

from __future__ import annotations

from _json import encode_basestring_ascii, make_scanner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


class _Context:
    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = staticmethod(_constant)
    memo: dict[str, str] = {}  # noqa: RUF012 - the scanner of C wants it so; it is never filled


_scan = make_scanner(_Context())  # type: ignore[arg-type]  # the stub asks for what the C code does not


def loads(text: str) -> Any:
    """The value of a JSON text without surrounding blanks. Raises ValueError."""
    try:
        value, end = _scan(text, 0)
    except StopIteration:
        raise ValueError("no JSON value") from None
    except SystemError:
        # The C code can't raise its JSONDecodeError where the json package was never imported.
        raise ValueError("no valid JSON") from None
    except RecursionError:
        raise ValueError("nested too deep") from None
    if end != len(text):
        raise ValueError(f"data after the JSON value at character {end}")
    return value


def dumps(value: Any) -> str:
    """A value of None, bool, int, float, str, list, tuple and dict with string keys as ASCII JSON. Raises TypeError."""
    out: list[str] = []
    _write(value, out.append)
    return "".join(out)


def _write(value: Any, put: Any) -> None:
    if isinstance(value, str):
        put(encode_basestring_ascii(value))
    elif value is None or value is True or value is False:
        put("null" if value is None else "true" if value else "false")
    elif isinstance(value, int):
        put(int.__repr__(value))
    elif isinstance(value, float):
        if value in {float("inf"), float("-inf")} or value != value:  # noqa: PLR0124 - only NaN differs from itself
            raise TypeError("JSON has no such number")
        put(float.__repr__(value))
    elif isinstance(value, (list, tuple)):
        _write_row("[", "]", value, put, named=False)
    elif isinstance(value, dict):
        _write_row("{", "}", value.items(), put, named=True)
    else:
        raise TypeError(f"JSON has no {type(value).__name__}")


def _write_row(begin: str, end: str, items: Any, put: Any, *, named: bool) -> None:
    put(begin)
    first = True
    for item in items:
        if not first:
            put(",")
        first = False
        if named:
            put(encode_basestring_ascii(item[0]))
            put(":")
            item = item[1]  # noqa: PLW2901 - the name is written, its value follows
        _write(item, put)
    put(end)
