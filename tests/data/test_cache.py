"""The cache: whole files only, whatever happens on the way."""

import errno
import gzip
import os
import subprocess
import sys

import pytest

from course_utils.data import cache as cache_module
from course_utils.data.cache import (
    CacheWarning,
    Damaged,
    DataFile,
    cache_directory,
    damage_of,
    is_writable,
    look_up,
    store,
)

CONTENT = b"many bytes " * 1000


@pytest.fixture
def found(tmp_path):
    """A file as a source would hand it over."""
    path = tmp_path / "found"
    path.write_bytes(CONTENT)
    return path


def left_over(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_directory_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    assert cache_directory() == tmp_path
    monkeypatch.setenv("COURSE_DATA", "  ")
    assert cache_directory().name == "deep-learning-course"
    monkeypatch.delenv("COURSE_DATA")
    assert cache_directory().name == "deep-learning-course"


def test_store_then_look_up(cache, found, describe):
    file = describe(CONTENT)
    assert look_up(file) == (None, "")
    assert store(found, file) == cache / file.path
    assert look_up(file) == (CONTENT, "")
    assert left_over(cache) == ["a.txt"]


def test_gzip_layer_is_taken_off_unless_wanted(cache, found, describe):
    zipped = gzip.compress(CONTENT)
    found.write_bytes(zipped)
    assert store(found, describe(CONTENT)).read_bytes() == CONTENT
    assert store(found, describe(zipped, path="b.gz")).read_bytes() == zipped


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (CONTENT[:-1], "truncated: 10,999 of 11,000 bytes"),
        (b"", "truncated: 0 of"),
        (b"x" + CONTENT[1:], r"sha256 is \w{12}\.\.\., expected"),
        (b"\n<!DOCTYPE html><html>log in</html>", "an HTML page instead of data"),
        (gzip.compress(CONTENT)[:-20], "truncated or damaged gzip file"),
        (gzip.compress(CONTENT)[:40] + bytes(60), "truncated or damaged gzip file"),
    ],
    ids=["short", "empty", "other", "page", "short gzip", "damaged gzip"],
)
def test_damaged_file_is_refused_and_nothing_left(cache, found, describe, content, words):
    found.write_bytes(content)
    with pytest.raises(Damaged, match=words):
        store(found, describe(CONTENT))
    assert left_over(cache) == []


def test_damage_in_the_cache_is_named(cache, found, describe):
    file = describe(CONTENT)
    path = store(found, file)
    path.write_bytes(CONTENT[:100])
    assert look_up(file) == (None, f"{path} is damaged: truncated: 100 of 11,000 bytes")
    path.unlink()
    path.mkdir()
    content, problem = look_up(file)
    assert content is None
    assert problem.startswith(f"{path} cannot be read")


def test_interrupt_before_rename_leaves_no_file(cache, found, describe, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        store(found, describe(CONTENT))
    assert left_over(cache) == []


def test_process_killed_before_rename(cache, found, describe):
    """What a killed process leaves is never taken for the file, and is swept in time."""
    file = describe(CONTENT)
    code = (
        "import os, sys; from pathlib import Path; from course_utils.data import cache\n"
        "os.replace = lambda *_: os._exit(9)\n"
        f"cache.store(Path(sys.argv[1]), cache.{file!r})"
    )
    done = subprocess.run([sys.executable, "-c", code, str(found)], check=False)
    assert done.returncode == 9
    (part,) = left_over(cache)
    assert part.endswith(".part")
    assert look_up(file) == (None, "")
    os.utime(cache / "letters" / part, (0, 0))
    store(found, file)
    assert left_over(cache) == ["a.txt"]


def in_the_way(folder):
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("a file where the folder should be")


def test_unwritable_cache_warns_once_and_goes_on(cache, found, describe):
    in_the_way(cache)
    assert not is_writable(cache)
    one, two = describe(CONTENT), describe(CONTENT, path="b.txt")
    with pytest.warns(CacheWarning, match="cannot be written.*Remedy: set.*COURSE_DATA"):
        path = store(found, one)
    assert cache not in path.parents
    store(found, two)  # A second warning would be an error here.
    assert look_up(one) == look_up(two) == (CONTENT, "")
    assert cache.read_text() == "a file where the folder should be"


def test_read_only_cache_can_still_be_read(cache, found, describe, monkeypatch):
    file, other = describe(CONTENT), describe(CONTENT, path="b.txt")
    store(found, file)
    monkeypatch.setattr(cache_module, "is_writable", lambda folder: False)
    assert look_up(file) == (CONTENT, "")
    with pytest.warns(CacheWarning, match="not a folder that you may write to"):
        store(found, other)
    assert look_up(file) == look_up(other) == (CONTENT, "")
    assert left_over(cache) == ["a.txt"]


def test_full_disk_goes_to_the_temporary_folder(cache, found, describe, monkeypatch):
    sync = os.fsync
    full = iter([True])

    def fail_once(number):
        if next(full, False):
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(number)

    monkeypatch.setattr(os, "fsync", fail_once)
    file = describe(CONTENT)
    with pytest.warns(CacheWarning, match="No space left on device"):
        store(found, file)
    assert look_up(file) == (CONTENT, "")
    assert left_over(cache) == []


def test_rename_refused_because_another_process_was_first(cache, found, describe, monkeypatch):
    """On Windows a file that is being read cannot be replaced."""
    file = describe(CONTENT)
    path = store(found, file)

    def refuse(*_):
        raise PermissionError(errno.EACCES, "in use")

    monkeypatch.setattr(os, "replace", refuse)
    assert store(found, file) == path
    path.write_bytes(b"something else")
    with pytest.warns(CacheWarning, match="in use"), pytest.raises(PermissionError):
        store(found, file)


def test_two_processes_at_once(cache, tmp_path):
    """Both are let go at the same moment, many times; both always see the whole file."""
    found = tmp_path / "found"
    found.write_bytes(CONTENT)
    code = (
        "import hashlib, sys; from pathlib import Path; from course_utils.data import cache\n"
        "found = Path(sys.argv[1]); content = found.read_bytes()\n"
        "sha256 = hashlib.sha256(content).hexdigest()\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "for number in range(100):\n"
        "    file = cache.DataFile(f'{number % 5}.txt', sha256, len(content))\n"
        "    cache.store(found, file)\n"
        "    assert cache.look_up(file) == (content, '')\n"
    )
    pair = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(found)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in pair:
        assert process.stdout.readline() == "ready\n"
    for process in pair:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in pair:
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, "")
    assert left_over(cache) == [f"{number}.txt" for number in range(5)]


def test_damage_of_whole_content_is_empty(describe):
    assert damage_of(CONTENT, describe(CONTENT)) == ""
    assert damage_of(b"", DataFile("x", "0" * 64, 0)).startswith("sha256 is e3b0c44298fc")
