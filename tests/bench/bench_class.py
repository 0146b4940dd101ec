"""Let a class begin lessons together: students with sessions of their own, on one server.

Each student reads the list of lessons, goes through the first steps of *Where does a model keep a
fact?*, every other begins *Take it out*, and in the end all press its button at the same moment;
they begin spread over `--within` seconds.
Prints a markdown table: errors, places that are not the student's own, how long interactive steps
take (aim: p95 under 3 s), the runs that the button queued (aim: three, however many press it), and
the worker's processor seconds of the class beside those of one student alone: equal experiments are
computed once, so that they are about the same.

    python tests/bench/bench_class.py
    python tests/bench/bench_class.py --students 30 --within 60
"""

import argparse
import re
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import httpx
import psutil

from tests.browser.conftest import Served, serve

PATIENCE = 120.0
"""Seconds after which a request is an error."""
ANSWERED = (1, 3, 4)
"""Steps of the first lesson that a student answers by a choice; the others between are read."""


@dataclass
class Student:
    """One browser's session, what it met and how long that took."""

    number: int
    client: httpx.Client
    seconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    is_misplaced: bool = False
    at: str = ""
    """The path of the last page."""

    def learn(self, address: str, begin: float) -> None:
        """Begin after some seconds, and go through the first steps of both lessons."""
        time.sleep(begin)
        page = self._ask("GET", address)
        found = re.search(r'"X-CSRF-Token": "([^"]+)"', page)
        assert found, "the first page has no token to answer with"
        self.client.headers["X-CSRF-Token"] = found[1]
        self._ask("GET", "/lessons")
        for step in range(1, max(ANSWERED) + 1):
            self._ask("GET", f"/lessons/where/{step}?now=1")
            if step in ANSWERED:
                self._ask("POST", f"/lessons/where/{step}", str(self.number % 2))
                self._ask("GET", f"/lessons/where/{step}?now=1")
        if self.number % 2 == 0:
            self._ask("GET", "/lessons/take/1?now=1")
            self._ask("POST", "/lessons/take/1", str(self.number % 4))

    def press(self) -> None:
        """Press the button of the third lesson, and look where the list of lessons leads."""
        self._ask("GET", "/lessons/take/2")
        self._ask("POST", "/lessons/take/2/make")
        # A click was asked in step 2 of the first, and no odd student has answered in the third.
        wanted = ["/lessons/where/2", "/lessons/take/1" if self.number % 2 else "/lessons/take/3"]
        self.is_misplaced = [self._place(name) for name in ("where", "take")] != wanted

    def _place(self, lesson: str) -> str:
        """Where one who comes back to a lesson is led."""
        self._ask("GET", f"/lessons/{lesson}")
        return self.at

    def _ask(self, method: str, path: str, answer: str = "") -> str:
        begun = time.perf_counter()
        try:
            data = {"answer": answer} if answer else None
            reply = self.client.request(method, path, data=data)
        except httpx.HTTPError as error:
            self.errors.append(f"{method} {path}: {error!r}")
            return ""
        self.seconds.append(time.perf_counter() - begun)
        self.at = reply.url.path
        if reply.status_code >= 400:
            self.errors.append(f"{method} {path}: {reply.status_code}")
        return reply.text


def computed(served: Served) -> tuple[float, float]:
    """Processor seconds of the web server, and of the worker with the process that computes."""
    assert served.worker is not None and served.web is not None
    worker, web = psutil.Process(served.worker.pid), psutil.Process(served.web.pid)
    times = [one.cpu_times() for one in (web, worker, *worker.children(recursive=True))]
    web_seconds, *others = [one.user + one.system for one in times]
    return web_seconds, sum(others)


def teach(
    folder: Path, students: int, within: float
) -> tuple[list[Student], int, tuple[float, float]]:
    """Let students learn on a fresh server: they, the edits queued, and what it took to begin.

    Edits are cancelled: how long they take is measured elsewhere.
    """
    served = serve(folder)
    clients = [
        httpx.Client(
            base_url=served.base,
            follow_redirects=True,
            timeout=PATIENCE,
            headers={"Origin": served.base},
        )
        for _ in range(students)
    ]
    try:
        before = computed(served)
        found = [Student(number, client) for number, client in enumerate(clients)]
        begins = [one.number * within / students for one in found]
        with ThreadPoolExecutor(students) as pool:
            list(pool.map(lambda one, at: one.learn(served.address, at), found, begins))
            after = computed(served)
            list(pool.map(Student.press, found))
        runs = served.api("/api/runs?kind=unlearn")["runs"]
        for run in runs:
            served.api(f"/api/runs/{run['id']}/cancel", {})
        return found, len(runs), (after[0] - before[0], after[1] - before[1])
    finally:
        for client in clients:
            client.close()
        served.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--students", type=int, default=30)
    parser.add_argument("--within", type=float, default=60.0, help="seconds in which all begin")
    args = parser.parse_args()
    print(f"load average before: {psutil.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        alone, _, (_, of_one) = teach(Path(folder) / "alone", 1, 0.0)
        found, n_runs, (of_web, of_class) = teach(
            Path(folder) / "class", args.students, args.within
        )
    errors = [error for one in (*alone, *found) for error in one.errors]
    seconds = sorted(second for one in found for second in one.seconds)
    p95 = seconds[min(len(seconds) - 1, int(0.95 * len(seconds)))]
    print("\n| What | Figure | Of which |\n|-|-|-|")
    print(f"| Errors | {len(errors)} | {'; '.join(errors[:3]) or 'none'} |")
    misplaced = sum(one.is_misplaced for one in found)
    print(f"| Students at another's place | {misplaced} | of {len(found)} |")
    print(f"| Interactive step, median | {statistics.median(seconds):.2f} s | of {len(seconds)} |")
    print(f"| Interactive step, p95 | {p95:.2f} s | aim: < 3 s; longest {seconds[-1]:.2f} s |")
    print(f"| Edits queued | {n_runs} | aim: 3, by {len(found)} who pressed the button |")
    print(f"| Web server computed | {of_web:.1f} s | all began in {args.within:.0f} s |")
    print(f"| Worker computed | {of_class:.1f} s | one student alone: {of_one:.1f} s |")


if __name__ == "__main__":
    main()
