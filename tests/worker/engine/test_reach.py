"""Where a worker listens, where others find it, and what is said where they do not."""

import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from app.main import create_app
from tests.worker.engine import fake_door
from tests.worker.engine.conftest import DATABASES
from worker.contract.inputs import AskPreflight, Inputs
from worker.contract.records import LaneAddress
from worker.contract.selection import FactsSpec
from worker.contract.settings import Settings
from worker.contract.spec import LocalizeSpec
from worker.engine.client import Engine, Unreachable
from worker.engine.facing import Place, listen
from worker.engine.lane import Lane
from worker.engine.reach import look

NO_SLOT: Any = None


@pytest.fixture
def lanes(engine: Engine, tmp_path: Path) -> Iterator[Engine]:
    """Two workers' rows; the lane of `near` listens where it says, that of `far` elsewhere."""
    with ExitStack() as opened:
        for name, bind, told in (
            ("near", "127.0.0.1", "127.0.0.1"),
            ("far", "127.0.0.1", "127.0.0.2"),
        ):
            lane = Lane(engine.store, NO_SLOT, Place(bind, told), 60.0)
            opened.callback(lane.close)
            lane.keep_up()
            engine.store.claim_worker(name, name, {}, name, 60.0, lambda holder: False)
            said = fake_door.menu(Settings(data=tmp_path, device=name))
            engine.store.announce(name, name, said)
            engine.store.beat(name, name, address=lane.address, token=lane.token)
        yield engine


def test_a_lane_that_is_not_where_its_worker_says_is_named_with_the_cure(lanes: Engine) -> None:
    [(worker, words)] = lanes.reach.troubles().items()
    assert worker == "far"
    assert "nobody answers at http://127.0.0.2:" in words
    assert "set LETHE_WORKER_HOST" in words


def test_health_says_that_a_worker_is_not_reached_and_counts_it_not_as_ready(
    lanes: Engine, chosen: Settings
) -> None:
    with TestClient(create_app(chosen, lanes), base_url="http://127.0.0.1") as browser:
        found = browser.get("/healthz").json()
    assert (found["status"], found["workers"], found["workers_ready"]) == ("unreachable", 2, 1)
    [problem] = found["problems"]
    assert problem.startswith("far: this server cannot reach it")
    assert "LETHE_WORKER_HOST" in problem
    assert "127.0.0.2" not in problem, "a stranger reads no address"


def test_somebody_else_at_a_lanes_address_counts_as_unreachable(lanes: Engine) -> None:
    [near] = [lane for lane in lanes.store.lanes() if lane.id == "near"]
    assert look(near) == ""
    wrong = LaneAddress(id="near", address=near.address, token="another's")
    assert "somebody else answers, who does not know its token" in look(wrong)
    lanes.store.beat("near", "near", token="another's")
    question = AskPreflight(spec=_spec(), inputs=Inputs(out=""))
    with pytest.raises(
        Unreachable, match=r"nobody answers.*does not know its token|token.*nobody answers"
    ):
        lanes.ask(question)


def _spec() -> LocalizeSpec:
    return LocalizeSpec(facts=FactsSpec(set="tiny"), method="fake")


class Forwarder:
    """Passes TCP connections at one address on to another, as a router to the database would."""

    def __init__(self, host: str, to: tuple[str, int]) -> None:
        self._listening, self._to = listen(host), to
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            far = socket.create_connection(self._to)
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._copy, args=(one, other), daemon=True).start()

    @staticmethod
    def _copy(source: socket.socket, sink: socket.socket) -> None:
        with source, sink:
            try:
                while data := source.recv(65536):
                    sink.sendall(data)
            except OSError:
                return

    def close(self) -> None:
        self._listening.close()


HERE, THERE = "10.213.77.1", "10.213.77.2"


@pytest.fixture
def second_host() -> Iterator[tuple[str, ...]]:
    """A network namespace that is joined to this one by a cable: the command to be within it."""
    name = "lethe-second-host"
    steps = [
        f"ip netns add {name}",
        f"ip link add lethe-here type veth peer name lethe-there netns {name}",
        f"ip addr add {HERE}/30 dev lethe-here",
        "ip link set lethe-here up",
        f"ip netns exec {name} ip addr add {THERE}/30 dev lethe-there",
        f"ip netns exec {name} ip link set lethe-there up",
        f"ip netns exec {name} ip link set lo up",
    ]
    try:
        for step in steps:
            try:
                subprocess.run(step.split(), check=True, capture_output=True, text=True)
            except (OSError, subprocess.CalledProcessError) as error:
                why = str(getattr(error, "stderr", "") or error).strip()
                pytest.skip(
                    f"no network namespace can be made here ({why}); would have shown that a "
                    f"worker on a second host is found, and one that hides is named"
                )
        yield ("ip", "netns", "exec", name)
    finally:
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("chosen", DATABASES[1:], indirect=True)
def test_a_worker_on_a_second_host_is_found_without_a_setting_and_one_that_hides_is_named(
    fleet: Any, chosen: Settings, second_host: tuple[str, ...]
) -> None:
    url = sa.make_url(chosen.database_url)
    with closing(Forwarder(HERE, (str(url.host), int(url.port or 5432)))) as way:
        there = url.set(host=HERE, port=way.port).render_as_string(hide_password=False)
        database = {"LETHE_DATABASE_URL": there}
        worker = fleet.start("w1", within=second_host, settings=database)
        [lane] = fleet.store.lanes()
        assert lane.address.startswith(f"http://{THERE}:")
        question = AskPreflight(spec=fleet.spec(), inputs=Inputs(out=""))
        assert fleet.engine.ask(question, 60)["notes"] == ["w1"]
        assert fleet.state(fleet.submit(), "done").worker == "w1"
        assert fleet.engine.reach.troubles() == {}
        worker.terminate()
        worker.wait()
        hidden = database | {"LETHE_WORKER_HOST": "127.0.0.1"}
        fleet.start("w2", within=second_host, settings=hidden)
        assert fleet.state(fleet.submit(), "done").worker == "w2", "runs come by the database"
        with pytest.raises(Unreachable, match="worker w2 cannot be reached"):
            fleet.engine.ask(question, 60)
        with TestClient(create_app(chosen, fleet.engine), base_url="http://127.0.0.1") as browser:
            fleet.wait(lambda: browser.get("/healthz").json()["status"] == "unreachable")
            assert "w2: this server cannot reach it" in browser.get("/healthz").text
        fleet.stop()
