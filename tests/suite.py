"""`python -m tests.suite`: the whole test suite, with what it needs of the system set up first.

1. A browser: Debian's chromium or another that is there, else Playwright's own, else apt-get's.
   Debian's nginx, which a test starts in front of a server of its own.
2. A private Postgres on a socket and loopback port of its own, where its binaries are there or can
be installed; it ends with the suite. `LETHE_TEST_POSTGRES_URL` names another server instead.
3. pytest, on two processes more than there are cores, one thread each. What is given on the command
line goes on to pytest.

What cannot be had on this system is said in one sentence, with the command, before the tests start.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.browser.browsers import find_browser

ROOT = Path(__file__).resolve().parents[1]
POSTGRES_URL = "LETHE_TEST_POSTGRES_URL"


def main() -> int:
    """Set up, run pytest, tear down; the exit status is pytest's."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    ensure_browser()
    ensure_nginx()
    with postgres() as url:
        environment = dict(os.environ)
        if url:
            environment[POSTGRES_URL] = url
        # Two more than cores: while a test waits for a server or a worker, another one computes.
        processes = (os.cpu_count() or 1) + 2
        arguments = sys.argv[1:]
        if not any(one.startswith(("-n", "--numprocesses")) for one in arguments):
            arguments = ["-n", str(processes), "--dist", "loadfile", *arguments]
            # Several threads in each of as many processes only wait for each other.
            environment.setdefault("OMP_NUM_THREADS", "1")
        command = [sys.executable, "-m", "pytest", *arguments]
        return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


def ensure_browser() -> None:
    """Install a browser where there is none, or say how one is had."""
    if find_browser():
        return
    say("No browser found: installing one for the browser tests.")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "check": False}
    subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], **quiet)
    if not find_browser():
        apt_get("chromium")
    if not find_browser():
        say(
            "No browser could be installed, so the browser tests will fail: install one with "
            "`apt-get install chromium` or `python -m playwright install --with-deps chromium`."
        )


def ensure_nginx() -> None:
    """Install a reverse proxy where there is none, or say how one is had."""
    if nginx():
        return
    say("No nginx found: installing one for the test of a shared server behind it.")
    apt_get("nginx-light")
    if not nginx():
        say(
            "nginx could not be installed, so no test asks a server behind it: install it with "
            "`apt-get install nginx-light`."
        )


def nginx() -> str | None:
    """The proxy's program; Debian's lies where not everybody's PATH leads."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@contextmanager
def postgres() -> Iterator[str]:
    """Start a private server and give its URL; "" where there is none, or another one is named."""
    if os.environ.get(POSTGRES_URL):
        yield ""
        return
    if not (binaries := postgres_binaries()):
        say("No Postgres found: installing one for the engine's tests.")
        apt_get("postgresql")
        binaries = postgres_binaries()
    owner = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if binaries is None or (owner and not has_user("postgres")):
        say(
            "Postgres could not be installed, so the engine is tested on SQLite alone: install it "
            f"with `apt-get install postgresql`, or name a server's URL in {POSTGRES_URL}."
        )
        yield ""
        return
    folder = Path(tempfile.mkdtemp(prefix="lethe-postgres-"))
    try:
        if owner:
            shutil.chown(folder, "postgres")
        yield start(binaries, folder, owner)
    finally:
        stop = [*owner, str(binaries / "pg_ctl"), "-D", str(folder / "data"), "-m", "immediate"]
        subprocess.run([*stop, "stop"], capture_output=True, check=False)
        shutil.rmtree(folder, ignore_errors=True)


def start(binaries: Path, folder: Path, owner: list[str]) -> str:
    """Make a cluster without passwords that only this machine reaches, and give its URL."""
    data = folder / "data"
    make = [str(binaries / "initdb"), "-D", str(data), "-A", "trust", "-U", "lethe", "--no-sync"]
    subprocess.run([*owner, *make], check=True, stdout=subprocess.DEVNULL)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c max_connections=200"
    # What it holds need not outlive this machine's power, and every test makes a database.
    options += " -c fsync=off -c full_page_writes=off -c synchronous_commit=off"
    begin = [str(binaries / "pg_ctl"), "-D", str(data), "-w", "-l", str(folder / "log")]
    begin += ["-o", options, "start"]
    # The server outlives pg_ctl and would hold a pipe open.
    subprocess.run([*owner, *begin], check=True, stdout=subprocess.DEVNULL)
    return f"postgresql+psycopg://lethe@127.0.0.1:{port}/postgres"


def postgres_binaries() -> Path | None:
    """The folder of the newest server's programs on this machine."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
    if (found := shutil.which("initdb")) is not None:
        places.append(Path(found).resolve().parent)
    return next((p for p in reversed(places) if (p / "initdb").exists()), None)


def apt_get(package: str) -> None:
    """Install a Debian package where apt-get is there and this user may use it."""
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        return
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    install = ["install", "-y", "-q", "--no-install-recommends", package]
    for arguments in (["update", "-q"], install):
        subprocess.run(["apt-get", *arguments], env=environment, check=False)


def has_user(name: str) -> bool:
    """Whether this system has a user of that name."""
    return subprocess.run(["id", name], capture_output=True, check=False).returncode == 0


def say(sentence: str) -> None:
    """Tell whoever started the suite."""
    print(f"lethe tests: {sentence}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
