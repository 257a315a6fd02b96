"""A PostgreSQL server of a test's own, on a socket in a folder of its own."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from course_utils.grading.database import resolve_url

__all__ = ["new_database", "running_postgres"]

SECONDS = 60


@contextmanager
def running_postgres() -> Iterator[str]:
    """Start a server and yield the address of its first database.

    Skips the test where no server is installed, unless ``CI`` is set in the environment.
    """
    programs = _find_programs()
    if programs is None:
        if os.environ.get("CI"):
            pytest.fail("CI is set and no PostgreSQL server is installed")
        pytest.skip(
            "no PostgreSQL server; install Debian's package postgresql, or put initdb on PATH"
        )
    user = _unprivileged()
    # Not below pytest's folders, which no other user may enter; sockets want short paths too.
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    try:
        if user is not None:
            os.chown(folder, user.pw_uid, user.pw_gid)
        data = folder / "data"
        _run(
            programs / "initdb",
            "-D",
            data,
            "-U",
            "grader",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
            user=user,
        )
        options = f"-F -c listen_addresses='' -c unix_socket_directories='{folder}'"
        log = folder / "log"
        try:
            _run(
                programs / "pg_ctl", "-D", data, "-w", "-l", log, "-o", options, "start", user=user
            )
            yield f"postgresql://grader@/postgres?host={folder}"
        finally:
            _run(programs / "pg_ctl", "-D", data, "-w", "-m", "immediate", "stop", user=user)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def new_database(url: str, name: str) -> str:
    """Make an empty schema on a server and return its address: a database of one's own, fast."""
    from sqlalchemy import create_engine
    from sqlalchemy.schema import CreateSchema

    engine = create_engine(resolve_url(url))
    with engine.begin() as connection:
        connection.execute(CreateSchema(name))
    engine.dispose()
    return resolve_url(f"{url}&options=-csearch_path%3D{name}")


def _find_programs() -> Path | None:
    """Return the folder that holds initdb and pg_ctl, the newest where there are several."""
    on_path = shutil.which("initdb")
    candidates = [Path(on_path).resolve().parent] if on_path else []
    installed = Path("/usr/lib/postgresql").glob("*/bin")
    candidates += sorted(installed, key=lambda path: float(path.parent.name), reverse=True)
    return next((path for path in candidates if (path / "pg_ctl").exists()), None)


def _unprivileged() -> Any:
    """Return whom to run the server as: it refuses to run as root."""
    import pwd  # Unix only

    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    pytest.skip("PostgreSQL does not run as root, and there is no user postgres or nobody")


def _run(*command: object, user: Any) -> None:
    owner = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
    # The server inherits what pg_ctl writes to: a pipe would never be closed.
    with tempfile.TemporaryFile("w+") as said:
        done = subprocess.run(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            cwd="/",
            timeout=SECONDS,
            check=False,
            **owner,
        )
        said.seek(0)
        assert done.returncode == 0, said.read()
