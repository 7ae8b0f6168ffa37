"""Tell which SQL ends a transaction or changes what no transaction undoes. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

_OPENERS = re.compile(r"""--|/\*|'|"|(?<![\w$])\$(?:[^\W\d]\w*)?\$""")
_MYSQL_OPENERS = re.compile(r"""--(?=\s|$)|\#|/\*M?!\d*|/\*|\*/|'|"|`""")
_COMMENT = re.compile(r"/\*|\*/")
_BACKSLASHES = {
    quote: re.compile(rf"(?s)(?:\\.|[^\\{quote}])*{quote}") for quote in "'\""
}

_TO = r"(?:\s+(?:work|transaction))?\s+to\b"
_ENDS = re.compile(
    rf"(?:commit|end|abort|begin|start|call|do|prepare\s+transaction|rollback(?!{_TO}))\b"
    r"|copy\b.*\b(?:to|from)\s+(?:program\b|'')"
    r"|(?:vacuum|discard\s+all|(?:create|drop|alter)\s+(?:database|tablespace|system)"
    r"|(?:create|drop|reindex)\b.*\bconcurrently)\b",
    re.IGNORECASE | re.DOTALL,
)
"""What ends a transaction, what cannot run in one, what no transaction undoes."""

_MYSQL_MAY = re.compile(
    r"[(\s]*(?:select|insert|update|delete|replace|with|values|table|savepoint|release"
    rf"|rollback{_TO}|show|desc|describe|explain|set|use|handler"
    r"|create\s+(?:or\s+replace\s+)?temporary|drop\s+temporary)\b",
    re.IGNORECASE,
)
"""Whatever else there is commits what came before: `CREATE TABLE`, `LOCK TABLES`…"""

_MYSQL_MAY_NOT = re.compile(
    r"set\b.*\b(?:autocommit|global|persist|persist_only|password|statement|default\s+role)\b"
    r"|.*\binto\s+(?:outfile|dumpfile)\b",
    re.IGNORECASE | re.DOTALL,
)
_SAVEPOINT = re.compile(
    rf"(?:release|rollback{_TO})(?:\s+savepoint)?\s+(\w+)", re.IGNORECASE
)
_CHANGES = re.compile(r"(?:insert|update|delete|replace|with|merge)\b", re.IGNORECASE)
_READS = re.compile(
    r"[(\s]*(?:select|with|show|explain|values|table|desc|describe|declare|fetch|move"
    r"|close|begin|start|commit|end|rollback|savepoint|release|set|use|deallocate)\b",
    re.IGNORECASE,
)
_WRITES = re.compile(
    r"\b(?:insert|delete|merge|into|(?<!for )(?<!key )update)\b"
    r"|\b(?:global|persist|persist_only|password)\b",
    re.IGNORECASE,
)
_UNLOCKS = re.compile(r"read_only|read\s+write|query_only", re.IGNORECASE)


@lru_cache(maxsize=512)
def offence(
    sql: str,
    vendor: str,
    savepoints: frozenset[str] = frozenset(),
    tables: frozenset[str] = frozenset(),
) -> str:
    """The statement of a text that may not run inside a transaction to be undone.

    Args:
        sql: One statement or several.
        vendor: The database, as Django calls it.
        savepoints: Names that the text may neither release nor go back to.
        tables: Names of tables that have no transactions.

    Returns:
        The statement without its comments and literals, or an empty text.
    """
    return next(
        (one for one in split(sql, vendor) if _is_bad(one, vendor, savepoints, tables)),
        "",
    )


def _is_bad(
    statement: str, vendor: str, savepoints: frozenset[str], tables: frozenset[str]
) -> bool:
    if vendor == "mysql":
        may = _MYSQL_MAY.match(statement) and not _MYSQL_MAY_NOT.match(statement)
        if not may:
            return True
    elif _ENDS.match(statement):
        return True
    named = _SAVEPOINT.match(statement)
    if named and named[1].lower() in savepoints:
        return True
    if not tables or not _CHANGES.match(statement):
        return False
    return not tables.isdisjoint(re.findall(r"\w+", statement.lower()))


def leading_to(
    tables: frozenset[str], definitions: Iterable[tuple[str, str]]
) -> frozenset[str]:
    """The names of tables and views by which some tables are changed.

    Args:
        tables: Names, in lower case.
        definitions: The name of a view, or of a table that has a trigger, each with
            the SQL behind it.
    """
    return frozenset(
        name.lower()
        for name, sql in definitions
        if not tables.isdisjoint(re.findall(r"\w+", sql.lower()))
    )


@lru_cache(maxsize=512)
def change(sql: str, vendor: str) -> str:
    """The statement of a text that does more than read, or an empty text."""
    for one in split(sql, vendor):
        if not _READS.match(one) or _WRITES.search(one):
            return one
    return sql if _UNLOCKS.search(sql) else ""


def split(sql: str, vendor: str) -> list[str]:
    """The statements of a text: comments are gone, literals are empty."""
    text = "".join(_code(sql, vendor == "mysql"))
    return [one.strip() for one in text.split(";") if one.strip()]


def _code(sql: str, is_mysql: bool) -> Iterator[str]:
    openers = _MYSQL_OPENERS if is_mysql else _OPENERS
    place = 0
    while found := openers.search(sql, place):
        yield sql[place : found.start()]
        opener, place = found.group(), found.end()
        if opener in ("--", "#"):
            place = _after(sql, "\n", place)
            yield " "
        elif opener == "/*":
            place = _after(sql, "*/", place) if is_mysql else _after_nested(sql, place)
            yield " "
        elif opener.startswith(("/*", "*/")):
            # MySQL runs what is in a comment of this kind.
            yield " "
        elif opener == "`" or (opener == '"' and not is_mysql):
            end = _after(sql, opener, place)
            yield re.sub(r"\W", "_", sql[place : end - 1])
            place = end
        else:
            has_backslashes = is_mysql or re.search(
                r"(?<!\w)[eE]$", sql[: found.start()][-2:]
            )
            if has_backslashes and opener in _BACKSLASHES:
                end_of = _BACKSLASHES[opener].match(sql, place)
                place = end_of.end() if end_of else len(sql)
            else:
                place = _after(sql, opener, place)
            yield "''"
    yield sql[place:]


def _after(sql: str, end: str, place: int) -> int:
    found = sql.find(end, place)
    return len(sql) if found < 0 else found + len(end)


def _after_nested(sql: str, place: int) -> int:
    depth = 1
    while depth and (found := _COMMENT.search(sql, place)):
        depth += 1 if found.group() == "/*" else -1
        place = found.end()
    return len(sql) if depth else place
