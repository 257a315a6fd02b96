"""Each source gives its file, or one clear reason; nothing here leaves this machine."""

import functools
import hashlib
import http.server
import io
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import threading
import zipfile

import pytest

from course_utils.data import packages
from course_utils.data.packages import DebianFile, PackageFile
from course_utils.data.sources import (
    InstalledFile,
    InstalledMember,
    SourceFailed,
    Staging,
    UrlFile,
    shorten,
)

CONTENT = b"a,b\n1,2\n"
METADATA = "Metadata-Version: 2.1\nName: letters\nVersion: 1.0\n"
BACKEND = f"""
from pathlib import Path

def prepare_metadata_for_build_wheel(folder, settings=None):
    info = Path(folder) / "letters-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text({METADATA!r})
    return info.name

def build_wheel(folder, settings=None, metadata=None):
    raise SystemExit("a download builds nothing")
"""


@pytest.fixture
def staging():
    with Staging(timeout=1) as place:
        yield place
    assert not place.folder.exists()


def sha256_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A folder of packages that pip uses in place of any index."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def wheel(shelf):
    path = shelf / "letters-1.0-py3-none-any.whl"
    tag = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    with zipfile.ZipFile(path, "w") as content:
        content.writestr("letters/a.csv", CONTENT)
        content.writestr("letters-1.0.dist-info/METADATA", METADATA)
        content.writestr("letters-1.0.dist-info/WHEEL", tag)
        content.writestr("letters-1.0.dist-info/RECORD", "")
    return path


def test_installed_file(tmp_path, staging):
    path = tmp_path / "a.csv"
    with pytest.raises(SourceFailed, match="not installed"):
        InstalledFile(str(path)).fetch(staging)
    path.write_bytes(CONTENT)
    assert InstalledFile(str(path)).fetch(staging) == path


def test_installed_member_is_found_without_import(tmp_path, staging, monkeypatch):
    package = tmp_path / "explosive_letters"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "a.csv").write_bytes(CONTENT)
    monkeypatch.syspath_prepend(tmp_path)
    found = InstalledMember("explosive_letters", "a.csv").fetch(staging)
    assert found.read_bytes() == CONTENT
    assert "explosive_letters" not in sys.modules
    with pytest.raises(SourceFailed, match=r"installed, but without b.csv"):
        InstalledMember("explosive_letters", "b.csv").fetch(staging)
    with pytest.raises(SourceFailed, match="not installed"):
        InstalledMember("no_such_letters", "a.csv").fetch(staging)


@pytest.fixture
def calls(monkeypatch):
    """Every command that is run, in order."""
    calls, run = [], packages.run_command
    monkeypatch.setattr(packages, "run_command", lambda *given: (calls.append(given), run(*given)))
    return calls


def test_member_of_a_wheel_downloaded_once(wheel, staging, capfd, calls):
    source = PackageFile("letters==1.0", sha256_of(wheel), "letters/a.csv")
    assert source.fetch(staging).read_bytes() == CONTENT
    assert source.fetch(staging).read_bytes() == CONTENT
    with pytest.raises(SourceFailed, match=r"letters-1.0-py3-none-any.whl has no readable b.csv"):
        PackageFile("letters==1.0", sha256_of(wheel), "b.csv").fetch(staging)
    assert len(calls) == 1
    assert capfd.readouterr() == ("", "")


def test_wheel_with_another_sha256_is_refused(wheel, staging):
    source = PackageFile("letters==1.0", "0" * 64, "letters/a.csv")
    with pytest.raises(SourceFailed, match=r"pip ended with 1: .*(?i:hash)"):
        source.fetch(staging)


def test_package_that_no_index_has(shelf, staging, calls):
    source = PackageFile("letters==2.0", "0" * 64, "letters/a.csv")
    for _ in range(2):  # The second answer is remembered.
        with pytest.raises(SourceFailed, match=r"No matching distribution found for letters==2.0"):
            source.fetch(staging)
    assert len(calls) == 1


def test_member_of_an_sdist(shelf, staging):
    path = shelf / "letters-1.0.tar.gz"
    project = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    files = {"pyproject.toml": project, "backend.py": BACKEND, "PKG-INFO": METADATA}
    with tarfile.open(path, "w:gz") as archive:
        for name, text in {**files, "data/a.csv": CONTENT.decode()}.items():
            entry = tarfile.TarInfo(f"letters-1.0/{name}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    source = PackageFile("letters==1.0", sha256_of(path), "letters-1.0/data/a.csv", sdist=True)
    assert source.fetch(staging).read_bytes() == CONTENT
    missing = PackageFile("letters==1.0", sha256_of(path), "letters-1.0/b.csv", sdist=True)
    with pytest.raises(SourceFailed, match=r"has no readable letters-1.0/b.csv"):
        missing.fetch(staging)


def test_python_without_pip(staging, monkeypatch, tmp_path):
    python = tmp_path / "no_such_python"
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(SourceFailed, match="pip cannot be started"):
        PackageFile("letters==1.0", "0" * 64, "a.csv").fetch(staging)


@pytest.fixture
def debian(tmp_path, monkeypatch):
    """A real Debian package, and an apt-get that hands it over."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("there is no dpkg-deb here; its packages belong to Debian")
    tree, programs = tmp_path / "tree", tmp_path / "programs"
    for folder in (tree / "DEBIAN", tree / "usr/share/letters", programs):
        folder.mkdir(parents=True)
    fields = {"Package": "letters", "Version": "1", "Architecture": "all"}
    fields |= {"Maintainer": "Nobody <nobody@example.org>", "Description": "letters"}
    control = "".join(f"{name}: {value}\n" for name, value in fields.items())
    (tree / "DEBIAN/control").write_text(control)
    (tree / "usr/share/letters/a.csv").write_bytes(CONTENT)
    archive = tmp_path / "letters_1_all.deb"
    command = ["dpkg-deb", "--root-owner-group", "-b", str(tree), str(archive)]
    subprocess.run(command, check=True, capture_output=True)
    script = programs / "apt-get"
    script.write_text(
        f'#!/bin/sh\ncase "$*" in *" download letters") cp {archive} . ;;\n'
        '*) echo "E: Unable to locate package" >&2; exit 100 ;; esac\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)


@pytest.mark.usefixtures("debian")
def test_member_of_a_debian_package(staging, capfd):
    member = "usr/share/letters/a.csv"
    assert DebianFile("letters", member).fetch(staging).read_bytes() == CONTENT
    with pytest.raises(SourceFailed, match=r"the package has no usr/b.csv"):
        DebianFile("letters", "usr/b.csv").fetch(staging)
    with pytest.raises(SourceFailed, match="apt-get ended with 100: E: Unable to locate package"):
        DebianFile("digits", member).fetch(staging)
    assert capfd.readouterr() == ("", "")


def test_machine_without_apt(staging, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceFailed, match="there is no apt-get here"):
        DebianFile("letters", "a.csv").fetch(staging)


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder in silence; hangs up at the first call for /moody.csv, and in mid-file."""

    moods = 0

    def do_GET(self):
        if self.path == "/moody.csv" and not Quiet.moods:
            Quiet.moods += 1
            self.close_connection = True
            return
        if self.path == "/half.csv":
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT[:3])
            self.close_connection = True
            return
        super().do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The address of a data set's home on this machine."""
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "a.csv").write_bytes(CONTENT)
    (folder / "moody.csv").write_bytes(CONTENT)
    (folder / "login.csv").write_bytes(b"<html>log in</html>")
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Quiet, "moods", 0)
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def md5():
    return "md5:" + hashlib.md5(CONTENT).hexdigest()


def test_url(home, staging, capfd):
    assert UrlFile(f"{home}/a.csv", md5()).fetch(staging).read_bytes() == CONTENT
    assert "Downloading" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("name", "known_hash", "words"),
    [
        ("login.csv", "md5:" + "0" * 32, "an HTML page instead of data"),
        ("a.csv", "md5:" + "0" * 32, "hash .* does not match"),
        ("absent.csv", "md5:" + "0" * 32, "404"),
        ("half.csv", "md5:" + "0" * 32, "the connection to 127.0.0.1 failed or fell silent"),
        ("moody.csv", "md5:" + "0" * 32, "the connection to 127.0.0.1 failed or fell silent"),
    ],
)
def test_url_that_gives_no_data(home, staging, name, known_hash, words):
    with pytest.raises(SourceFailed, match=words):
        UrlFile(f"{home}/{name}", known_hash).fetch(staging)


def test_patience_asks_again(home):
    with Staging(timeout=1, retries=1) as patient:
        assert UrlFile(f"{home}/moody.csv", md5()).fetch(patient).read_bytes() == CONTENT


def test_server_that_falls_silent(staging):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/a.csv"
        with pytest.raises(SourceFailed, match="failed or fell silent"):
            UrlFile(url, md5()).fetch(staging)


@pytest.mark.usefixtures("unplugged")
def test_unknown_name(staging, monkeypatch):
    monkeypatch.setattr("requests.utils.get_environ_proxies", lambda url: {})
    with pytest.raises(SourceFailed, match=r"no network, or an unknown name: .*no network in this"):
        UrlFile("http://example.org/a.csv", md5()).fetch(staging)


def test_name_service_that_does_not_answer(staging, monkeypatch):
    answered = threading.Event()
    monkeypatch.setattr("requests.utils.get_environ_proxies", lambda url: {})
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: answered.wait(30))
    try:
        with pytest.raises(SourceFailed, match="no answer within 1 s"):
            UrlFile("http://example.org/a.csv", md5()).fetch(staging)
    finally:
        answered.set()


def test_command_that_takes_too_long(staging, monkeypatch):
    def expire(command, **options):
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(subprocess, "run", expire)
    with pytest.raises(SourceFailed, match="apt-get was not done after 600 s"):
        packages.run_command(["apt-get", "download"], staging.folder, staging)


def test_shorten():
    assert shorten("one\n two") == "one two"
    assert shorten("x" * 300) == "x" * 197 + "..."
