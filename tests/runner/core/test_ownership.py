"""A record is read as it was written, and whatever is not whole is no record."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yourlabs.runner.chain.task import Chain, Task, make_chain
from yourlabs.runner.exceptions import ChainNameTaken
from yourlabs.runner.ownership.record import (
    BLOCK,
    COMMAND,
    HOSTED,
    MAX_PID,
    MAX_TASK,
    MAX_TOKEN,
    Identity,
    OwnerRecord,
    Request,
    RunMark,
    check_functions,
    describe_owner,
    digest_of,
    encode_block,
    encode_head,
    encode_request,
    fit,
    parse_record,
    parse_request,
    pid_of,
)

RECORD = OwnerRecord(
    owner=Identity(4_711, 12_345, "6a2f", 4_026_531_836, "web1", HOSTED),
    seq=7,
    since=1_770_000_000.5,
    functions=("tasks.send_mail", "tasks.retry_deferred"),
)


def encoded(record: OwnerRecord) -> bytes:
    """The block that an owner writes."""
    return encode_block(encode_head(record), record.run, released=record.released)


def raw(first: object = 4_711, /, **changes: Any) -> bytes:
    """A record with some of its values changed; one that is None is left out."""
    values = json.loads(encoded(RECORD).split(b"\n")[1])
    for key, value in changes.items():
        if value is LEFT_OUT:
            del values[key]
        else:
            values[key] = value
    return f"{first}\n{json.dumps(values)}\n".encode()


LEFT_OUT: Any = object()

PRINTABLE = st.characters(exclude_categories=["C", "Z"], include_characters=" ")
TEXTS = st.text(PRINTABLE)
NAMES = st.text(PRINTABLE, max_size=16)

IDENTITIES = st.builds(
    Identity,
    pid=st.integers(1, MAX_PID),
    start=st.none() | st.integers(0, 2**63),
    boot=NAMES,
    pidns=st.integers(0, 2**63),
    host=NAMES,
    kind=st.sampled_from([HOSTED, COMMAND]),
)

RECORDS = st.builds(
    OwnerRecord,
    owner=IDENTITIES,
    seq=st.integers(1, MAX_TOKEN),
    since=st.integers(0, 10**11).map(lambda thousandths: thousandths / 1_000),
    functions=st.lists(TEXTS, min_size=1).map(tuple),
    released=st.booleans(),
)


@settings(max_examples=50)
@given(record=RECORDS)
def test_round_trip(record: OwnerRecord) -> None:
    """Every record is read as it was written, with the pid on the first line."""
    block = encoded(record)
    found = parse_record(block)

    assert len(block) == BLOCK
    assert pid_of(block) == record.owner.pid
    assert block.count(b"\n") == 2
    assert found is not None
    assert found.digest == digest_of(record.functions)
    first = found.functions
    assert record.functions[: len(first)] == first
    assert replace(found, digest="", functions=record.functions) == record


@settings(max_examples=50)
@given(record=RECORDS, since=st.integers(0, 10**11))
def test_round_trip_of_a_run(record: OwnerRecord, since: int) -> None:
    """The mark of a run is read as it was written."""
    for index, path in enumerate(record.functions):
        mark = RunMark(path, float(since), index)

        found = parse_record(encoded(replace(record, run=mark)))

        assert found is not None
        assert found.run == mark._replace(task=fit(path, MAX_TASK))


@pytest.mark.parametrize("letter", ["a", '"', "é", "\U0001f600", "\0", "\ud800"])
def test_bounded(letter: str) -> None:
    """Whatever the functions and the host are called, the record is one block."""
    name, functions = letter * 500, [letter * length for length in range(1, 2_000, 99)]
    functions.reverse()
    owner = Identity(MAX_PID, 2**63, name, 2**63, name, COMMAND)
    mark = RunMark(functions[0], 253_402_300_799.999, 2**31)
    record = OwnerRecord(owner, MAX_TOKEN, 253_402_300_799.999, tuple(functions))

    assert len(encode_block(encode_head(record), mark)) == BLOCK
    assert len(encode_request(Request(32 * "f", owner))) == BLOCK


def test_request() -> None:
    """A request is read as it was written, and nothing that is not whole is one."""
    request = Request("5f", RECORD.owner)
    block = encode_request(request)

    assert parse_request(block) == request
    assert parse_request(encode_request(Request("", RECORD.owner))) is None
    for length in range(len(block.rstrip())):
        assert parse_request(block[:length]) is None
    assert parse_request(block.replace(b"4711", b"4712", 1)) is None
    assert parse_request(encoded(RECORD)) is None


@pytest.mark.parametrize("text", ["a\x1b[31m", "a\u202eb", "a\u200bb", "a\nb"])
def test_text_that_is_not_what_it_seems(text: str) -> None:
    """Nothing that turns a line around, or hides in it, comes from a record."""
    assert parse_record(raw(host=text)) is None
    assert parse_record(raw(functions=[text])) is None


def test_overwritten() -> None:
    """What stood in the file before, blanked out, does not matter."""
    assert parse_record(encoded(RECORD).ljust(5_000)) == parse_record(encoded(RECORD))


def test_truncated() -> None:
    """A record that was written in part is none."""
    block = encoded(RECORD)

    for length in range(len(block.rstrip())):
        assert parse_record(block[:length]) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"\n\n",
        b"4711",
        b"4711\n",
        b"4711\n[]\n",
        b"4711\nnull\n",
        b"4711\n{}\n",
        b"4711\n" + b"[" * 100_000,
        b"\0" * 1_000,
        b"\xff\xfe\n\xff\xfe\n",
        raw(4_712),
        raw("x"),
        raw(version=2),
        raw(version=LEFT_OUT),
        raw(pid=0),
        raw(pid=-1),
        raw(pid=True),
        raw(pid=4_711.0),
        raw(pid="4711"),
        raw(MAX_PID + 1, pid=MAX_PID + 1),
        raw(start="12345"),
        raw(start=-1),
        raw(boot=None),
        raw(pidns=None),
        raw(pidns=2**64),
        raw(host=5),
        raw(kind="other"),
        raw(kind=[]),
        raw(seq=0),
        raw(seq=MAX_TOKEN + 1),
        raw(seq=10**400),
        raw(since=None),
        raw(since=[]),
        raw(since="yesterday"),
        raw(since=float("nan")),
        raw(since=float("inf")),
        raw(since=-1),
        raw(since=1e300),
        raw(since=10**400),
        raw(functions=None),
        raw(functions=[1]),
        raw(functions="tasks.send_mail"),
        raw(functions={"tasks.send_mail": 1}),
        raw(released=LEFT_OUT),
        raw(run=5),
        raw(run=[]),
        raw(run={"task": "tasks.send_mail"}),
        raw(run={"task": 5, "since": 1}),
        raw(run={"task": "tasks.send_mail", "since": float("nan")}),
        raw(run={"task": "tasks.send_mail", "since": 1e300}),
        raw(run={"task": "tasks.send_mail", "since": -1e300}),
        raw(run={"task": "tasks.send_mail", "since": 10**400}),
    ],
    ids=lambda content: repr(content[:12] + b"..." + content[-60:]),
)
def test_strange(content: bytes) -> None:
    """What no owner can have written is no record."""
    assert parse_record(content) is None


@settings(max_examples=50)
@given(content=st.binary() | st.binary().map(lambda end: b"4711\n" + end))
def test_any_bytes(content: bytes) -> None:
    """Reading never raises."""
    assert parse_record(content) is None
    pid = pid_of(content)
    assert pid is None or 1 <= pid <= MAX_PID


@settings(max_examples=50)
@given(
    position=st.integers(0, len(encoded(RECORD)) - 1),
    byte=st.integers(0, 255),
)
def test_flipped_byte(position: int, byte: int) -> None:
    """A damaged record is none, or one of sane values."""
    block = bytearray(encoded(RECORD))
    block[position] = byte

    record = parse_record(bytes(block))

    if record is not None:
        assert 1 <= record.owner.pid <= MAX_PID
        assert record.since >= 0


@settings(max_examples=50)
@given(
    key=st.sampled_from(
        [
            "version",
            "pid",
            "start",
            "boot",
            "pidns",
            "host",
            "kind",
            "seq",
            "since",
            "functions",
            "released",
            "run",
        ]
    ),
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=5,
    ),
)
def test_any_value(key: str, value: Any) -> None:
    """Whatever stands in a field, reading does not raise, and types are kept."""
    record = parse_record(raw(**{key: value}))

    if record is not None:
        assert record.run is None or isinstance(record.run, RunMark)
        assert all(isinstance(path, str) for path in record.functions)


@pytest.mark.parametrize(
    ("content", "pid"),
    [
        (b"13698", 13_698),
        (b"13698\n", 13_698),
        (b" 13698 \nmore", 13_698),
        (str(MAX_PID).encode(), MAX_PID),
        (str(MAX_PID + 1).encode(), None),
        (b"", None),
        (b"0", None),
        (b"-1", None),
        (b"1.5", None),
        (b"1e3", None),
        (b"9" * 5_000, None),
        ("\N{ARABIC-INDIC DIGIT ONE}".encode(), None),
        (b"\xff\x00", None),
    ],
)
def test_pid_of(content: bytes, pid: int | None) -> None:
    """The first line is a pid, or nothing."""
    assert pid_of(content) == pid


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "process 4711 on web1 (hosted)"),
        (
            {"run": RunMark("tasks.send_mail", 970.0)},
            "process 4711 on web1 (hosted, in tasks.send_mail for 30 s)",
        ),
        (
            {"run": RunMark("tasks.send_mail", 5_000.0)},
            "process 4711 on web1 (hosted, in tasks.send_mail for 0 s)",
        ),
        (
            {"owner": replace(RECORD.owner, kind=COMMAND)},
            "process 4711 on web1 (run_functions)",
        ),
    ],
)
def test_describe_owner(changes: dict[str, Any], text: str) -> None:
    """An owner is described by what a person needs to find it."""
    assert describe_owner(replace(RECORD, **changes), 1_000.0) == text


def test_describe_nobody() -> None:
    """An owner whose pidfile cannot be read is said to be unknown."""
    assert "cannot be read" in describe_owner(None, 1_000.0)


def test_many_functions() -> None:
    """Chains that differ in a function that the record has no room for differ."""
    paths = [f"tasks.number_{number}" for number in range(600)]
    other = [*paths[:-1], "tasks.another"]
    record = parse_record(encoded(replace(RECORD, functions=tuple(paths))))
    assert record is not None
    assert len(record.functions) < 100

    def chain(paths: list[str]) -> Chain:
        return make_chain([Task(print, path, "x") for path in paths], name="many")

    check_functions(chain(paths), record, 1_000.0)
    with pytest.raises(ChainNameTaken):
        check_functions(chain(other), record, 1_000.0)


def test_check_functions() -> None:
    """Other functions under the name are an error that names both and the remedy."""
    tasks = [Task(print, path, "x") for path in RECORD.functions]

    check_functions(make_chain(tasks, name="mailing"), RECORD, 1_000.0)
    with pytest.raises(ChainNameTaken, match="name mailing is taken") as caught:
        check_functions(make_chain(tasks[:1], name="mailing"), RECORD, 1_000.0)

    text = str(caught.value)
    assert "runs tasks.send_mail, tasks.retry_deferred under it" in text
    assert "a chain of tasks.send_mail." in text
    assert "--name" in text
