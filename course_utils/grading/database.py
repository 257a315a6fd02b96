"""The database behind nbgrader's gradebook: opened safely by many, its errors told plainly.

SQLite takes one writer at a time, and the others wait; PostgreSQL lets them race, and who
loses tries again. The tables are made here, in one transaction, since nbgrader's own way
fails where two processes open a new gradebook at once.
"""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

__all__ = [
    "COURSE",
    "GradebookError",
    "is_same_database",
    "open_database",
    "resolve_url",
    "safe_url",
    "transact",
]

COURSE = "default_course"  # nbgrader's name for the only course of a gradebook
BUSY_SECONDS = 60.0  # how long a writer waits for the others
TRIES = 8
SCHEMA_LOCK = 5_301_764  # any number, the same for all who make the tables
_T = TypeVar("_T")
# What the drivers say, and what it means to an instructor.
_CAUSES = {
    "locked": "another program has held it for too long; close what has the file open, then "
    "run this again",
    "is full": "the disk is full; make room, then run this again",
    "readonly": "it may not be written; check who owns the file and its folder",
    "unable to open": "the file cannot be opened; check that its folder exists and is yours",
    "not a database": "the file is no SQLite database; name another, or restore a backup",
    "malformed": "the file is damaged; restore a backup",
    "no such": "it has other tables than this nbgrader expects; make a backup, then run "
    "`nbgrader db upgrade` in the grading folder",
    "does not exist": "the server knows no such database or user; make it with `createdb` or "
    "`createuser`, or check the URL",
    "authentication failed": "the server refuses the password; check the URL, or ~/.pgpass",
    "connect": "the server does not answer; check that it runs, and the host and port in the URL",
}
_DEADLOCKS = ("40001", "40P01")  # PostgreSQL: serialization failure, deadlock


class GradebookError(RuntimeError):
    """The gradebook cannot be read or written, or does not fit the lab."""


def resolve_url(url: str) -> str:
    """Return the address of a gradebook as SQLAlchemy needs it, whole and unmistakable.

    A relative path becomes absolute; PostgreSQL gets the driver that is installed.

    Raises
    ------
    GradebookError
        If it is the address of nothing that can be a gradebook.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        parsed = None
    if parsed is not None and parsed.get_backend_name() in ("postgresql", "postgres"):
        driver = parsed.drivername.partition("+")[2] or _postgres_driver()
        parsed = parsed.set(drivername=f"postgresql+{driver}")
        return parsed.render_as_string(hide_password=False)
    if parsed is not None and parsed.get_backend_name() == "sqlite" and parsed.database:
        path = Path(parsed.database).absolute()
        return parsed.set(database=str(path)).render_as_string(hide_password=False)
    raise GradebookError(
        "expected a database such as sqlite:////path/to/gradebook.db or "
        f"postgresql://user@host/name, got {url.rpartition('@')[2]!r}"
    )


def safe_url(url: str) -> str:
    """Return an address without its password."""
    from sqlalchemy.engine import make_url

    return make_url(url).render_as_string(hide_password=True)


def is_same_database(one: str, other: str) -> bool:
    """Say whether two addresses name the same gradebook, with or without its password."""
    from sqlalchemy.engine import make_url

    first, second = (
        (url.drivername, url.username, url.host, url.port, url.database, url.query)
        for url in map(make_url, (one, other))
    )
    return first == second


def open_database(url: str) -> Any:
    """Open a gradebook, made if it is not there; returns an `nbgrader.api.Gradebook`.

    Raises
    ------
    GradebookError
        If it cannot be opened, with the remedy.
    """
    from sqlalchemy import create_engine
    from sqlalchemy.engine import make_url

    with _explained(url):
        from nbgrader import api

        address = make_url(url)
        if address.get_backend_name() == "sqlite":
            address = address.update_query_dict({"timeout": str(BUSY_SECONDS)})
        engine = create_engine(address)
        _begin_at_once(engine)
        try:
            _make_tables(engine)
        finally:
            engine.dispose()
        book = api.Gradebook(address.render_as_string(hide_password=False), COURSE)
        book.db.remove()
        book.engine.dispose()  # connections that were opened before the next line
        _begin_at_once(book.engine)
        return book


def transact(book: Any, work: Callable[[Any], _T]) -> _T:
    """Do some work in one transaction, all of it or nothing, and return what it returns.

    Work that loses a race is done again from its beginning; so it must have no effect
    outside the database.

    Raises
    ------
    GradebookError
        If the database cannot be read or written, with the remedy.
    """
    from sqlalchemy.exc import DBAPIError

    with _explained(book.engine.url.render_as_string(hide_password=False)):
        for attempt in range(TRIES):
            session = book.db()
            try:
                result = work(session)
                session.commit()
                return result
            except DBAPIError as error:
                session.rollback()
                if attempt == TRIES - 1 or not _may_pass(error):
                    raise
            finally:
                book.db.remove()
            time.sleep(random.uniform(0, 0.02 * 2**attempt))
    raise AssertionError("unreachable: the last try returns or raises")


def _postgres_driver() -> str:
    from importlib.util import find_spec

    for driver in ("psycopg2", "psycopg"):
        if find_spec(driver):
            return driver
    raise GradebookError(
        "a gradebook on PostgreSQL needs a driver: run `pip install psycopg2-binary`"
    )


def _begin_at_once(engine: Any) -> None:
    """Make SQLite take its write lock when a transaction begins.

    Otherwise two that have both read wait for each other, and one is thrown out.
    """
    from sqlalchemy import event

    if engine.dialect.name != "sqlite":
        return

    @event.listens_for(engine, "connect")
    def leave_transactions_to_us(connection: Any, _: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _make_tables(engine: Any) -> None:
    """Make nbgrader's tables unless they are there, and check that they are of its version."""
    from alembic.script import ScriptDirectory
    from nbgrader import api, dbutil
    from sqlalchemy import inspect, text

    newest = ScriptDirectory(dbutil.ALEMBIC_DIR).get_current_head()
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": SCHEMA_LOCK})
        tables = inspect(connection).get_table_names()
        if "alembic_version" in tables:
            found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        else:
            found = None
        if found == newest:
            return
        if found is not None or "student" in tables:
            raise GradebookError(
                f"the gradebook {engine.url} has tables of version {found}, this nbgrader expects "
                f"{newest}: make a backup, then run `nbgrader db upgrade` in the grading folder; "
                "or, where they are another program's tables, name a database of its own"
            )
        api.Base.metadata.create_all(connection)
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
        connection.execute(text("INSERT INTO alembic_version VALUES (:found)"), {"found": newest})
        connection.execute(api.Course.__table__.insert().values(id=COURSE))


def _may_pass(error: Any) -> bool:
    """Say whether the same work may succeed when it is tried again.

    A lock of SQLite does not count: it was waited for already.
    """
    from sqlalchemy.exc import IntegrityError

    code = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)
    is_race = isinstance(error, IntegrityError) or code in _DEADLOCKS
    return is_race or error.connection_invalidated


@contextmanager
def _explained(url: str) -> Iterator[None]:
    """Turn what the drivers raise into a GradebookError that says what to do."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except SQLAlchemyError as error:
        said = str(getattr(error, "orig", None) or error).strip()
        line = (said or type(error).__name__).splitlines()[0]
        remedy = next((text for word, text in _CAUSES.items() if word in said), "")
        raise GradebookError(
            f"the gradebook {safe_url(url)} cannot be used ({line})"
            + (f": {remedy}" if remedy else "; the work so far is kept, run this again")
        ) from error
