"""Tests of what is known of SQL before it is sent."""

from __future__ import annotations

import pytest

from yourlabs.smoke.isolation.statements import change, leading_to, offence, split

POSTGRESQL_BAD = [
    "COMMIT",
    "  commit work",
    "/* x */ COMMIT",
    "/* /* */ x */ COMMIT",
    "-- x\nCOMMIT",
    ";COMMIT",
    "SELECT 1; COMMIT",
    "SELECT ';--'; COMMIT",
    "SELECT 'it''s'; COMMIT",
    r"SELECT '\'; COMMIT; --'",
    r"SELECT E'\''; COMMIT; --'",
    "SELECT $$;$$; COMMIT",
    "SELECT $a$ $$ $a$; END",
    'SELECT ";"; COMMIT',
    "ABORT",
    "ROLLBACK",
    "ROLLBACK AND CHAIN",
    "BEGIN",
    "START TRANSACTION",
    "PREPARE TRANSACTION 'x'",
    "COMMIT PREPARED 'x'",
    "CALL f()",
    "DO $$ BEGIN COMMIT; END $$",
    "COPY t TO PROGRAM 'sh'",
    "COPY t TO '/tmp/x'",
    "RELEASE SAVEPOINT outer_1",
    'ROLLBACK TO SAVEPOINT "outer_1"',
    "rollback transaction to outer_1",
    "VACUUM ANALYZE t",
    "DISCARD ALL",
    "CREATE DATABASE x",
    "DROP TABLESPACE x",
    "ALTER SYSTEM SET work_mem = '4MB'",
    "CREATE UNIQUE INDEX CONCURRENTLY x ON t (y)",
    "REINDEX TABLE CONCURRENTLY t",
]
POSTGRESQL_GOOD = [
    "",
    "SELECT 1",
    "SELECT 'COMMIT; COMMIT'",
    "SELECT $$; COMMIT$$",
    r"SELECT E'\'; COMMIT; --'",
    "-- COMMIT\nSELECT 1",
    "/* ; COMMIT */ SELECT 1",
    'SELECT "commit" FROM t',
    "INSERT INTO t VALUES ('; COMMIT')",
    "CREATE TABLE t (x int)",
    "CREATE INDEX x ON t (y)",
    "REFRESH MATERIALIZED VIEW CONCURRENTLY v",
    "DISCARD TEMP",
    "SAVEPOINT s1",
    "RELEASE SAVEPOINT s1",
    "ROLLBACK TO SAVEPOINT s1",
    "ROLLBACK WORK TO s1",
    "COPY t FROM STDIN",
    "SELECT commit FROM t; SELECT a$b$c FROM t",
]
MYSQL_BAD = [
    "COMMIT",
    "# x\nCOMMIT",
    "-- x\nCOMMIT",
    "/*!COMMIT*/",
    "/*!50000 COMMIT */",
    "/*M!100100 COMMIT */",
    "SELECT 1; COMMIT",
    r"SELECT '\''; COMMIT; -- '",
    r'SELECT "\""; COMMIT; -- "',
    "SELECT `;`; COMMIT",
    "SET autocommit=1",
    "SET @@session.autocommit = 1",
    "SET GLOBAL max_connections = 1",
    "SET DEFAULT ROLE x FOR y",
    "SET STATEMENT max_statement_time=1 FOR COMMIT",
    "CREATE TABLE t (x INT)",
    "DROP TABLE t",
    "ALTER TABLE t ADD y INT",
    "TRUNCATE t",
    "LOCK TABLES t WRITE",
    "EXECUTE IMMEDIATE 'COMMIT'",
    "PREPARE x FROM 'COMMIT'",
    "XA COMMIT 'x'",
    "BEGIN NOT ATOMIC COMMIT; END",
    "SELECT 1 INTO OUTFILE '/tmp/x'",
    "INSERT INTO `no_transactions` VALUES (1)",
    "UPDATE x.No_Transactions SET y = 1",
    "INSERT INTO t SELECT * FROM no_transactions",
]
MYSQL_GOOD = [
    "SELECT 1",
    "(SELECT 1) UNION (SELECT 2)",
    "SELECT 1--2; SELECT 3",
    "INSERT INTO t VALUES ('no_transactions')",
    "SELECT * FROM no_transactions",
    "SET foreign_key_checks = 0",
    "SET @x = 1",
    "SAVEPOINT s1",
    "RELEASE SAVEPOINT `s1`",
    "ROLLBACK TO SAVEPOINT `s1`",
    "CREATE TEMPORARY TABLE t (x INT)",
    "WITH x AS (SELECT 1) SELECT * FROM x",
    "SHOW FULL TABLES",
    "/* COMMIT */ DELETE FROM t",
]
WRITES = [
    "INSERT INTO t VALUES (1)",
    "WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x",
    "EXPLAIN ANALYZE DELETE FROM t",
    "SELECT 1; DROP TABLE t",
    "SELECT * INTO t2 FROM t",
    "CALL f()",
    "SET default_transaction_read_only = off",
    "SELECT set_config('transaction_read_only', 'off', true)",
    "BEGIN READ  WRITE",
    "SET SESSION TRANSACTION READ WRITE",
]
READS = [
    "SELECT 'INSERT INTO t'",
    "SELECT last_update FROM t WHERE x = 'delete'",
    "SELECT * FROM t FOR UPDATE",
    "SELECT * FROM t FOR NO KEY UPDATE",
    "BEGIN",
    "COMMIT",
    "SET TIME ZONE 'UTC'",
    "SHOW TABLES",
]


@pytest.mark.parametrize(
    ("vendor", "sql"),
    [("postgresql", sql) for sql in POSTGRESQL_BAD]
    + [("mysql", sql) for sql in MYSQL_BAD],
)
def test_what_ends_the_transaction_is_known(vendor: str, sql: str) -> None:
    """Comments, literals and further statements hide nothing."""
    guarded = frozenset({"outer_1"}), frozenset({"no_transactions"})

    assert offence(sql, vendor, *guarded)


@pytest.mark.parametrize(
    ("vendor", "sql"),
    [("postgresql", sql) for sql in POSTGRESQL_GOOD]
    + [("mysql", sql) for sql in MYSQL_GOOD],
)
def test_other_statements_are_let_through(vendor: str, sql: str) -> None:
    """What only looks like it is no reason to refuse anything."""
    guarded = frozenset({"outer_1"}), frozenset({"no_transactions"})

    assert "" == offence(sql, vendor, *guarded)


@pytest.mark.parametrize("vendor", ["postgresql", "mysql"])
def test_changes_are_told_from_questions(vendor: str) -> None:
    """Beside the transaction of a request only questions are let through."""
    assert [] == [sql for sql in WRITES if not change(sql, vendor)]
    assert [] == [sql for sql in READS if change(sql, vendor)]


def test_what_leads_to_a_table_is_known() -> None:
    """A view of a table, and a table whose trigger names it, are as that table is."""
    definitions = [
        ("Seen", "select `d`.`Plain`.`x` AS `x` from `d`.`Plain`"),
        ("triggering", "BEGIN INSERT INTO plain VALUES (NEW.x); END"),
        ("other", "select `d`.`plainer`.`x` from `d`.`plainer`"),
    ]

    assert {"seen", "triggering"} == leading_to(frozenset({"plain"}), definitions)


@pytest.mark.parametrize("sql", ["SELECT 'x", 'SELECT "x', "/* x", "$$ x", "'\\"])
def test_text_without_an_end_is_one_statement(sql: str) -> None:
    """What the server would refuse anyway breaks nothing."""
    for vendor in ("postgresql", "mysql"):
        assert 1 >= len(split(sql, vendor))
