"""Where a worker listens, and under which address others find it."""

import pytest
import sqlalchemy as sa

from worker.contract.errors import UserError
from worker.engine.facing import Place, address_of, check_host, facing, listen, place


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:////tmp/a.sqlite", "127.0.0.1"),
        ("postgresql+psycopg://u:p@127.0.0.1:5433/lethe", "127.0.0.1"),
        ("postgresql+psycopg://u:p@localhost/lethe", "127.0.0.1"),
        ("postgresql+psycopg:///lethe?host=/var/run/postgresql", "127.0.0.1"),
        ("postgresql+psycopg://u@/lethe?host=127.0.0.1:5433&host=elsewhere.invalid", "127.0.0.1"),
    ],
)
def test_a_database_on_this_host_is_faced_by_the_loopback_address(url: str, expected: str) -> None:
    assert facing(sa.make_url(url)) in (expected, "::1" if "localhost" in url else expected)


def test_a_database_without_a_way_to_it_asks_for_the_setting() -> None:
    with pytest.raises(UserError, match=r"'no\.host\.invalid'.*LETHE_WORKER_HOST"):
        facing(sa.make_url("postgresql+psycopg://u@no.host.invalid/lethe"))


def test_the_setting_counts_and_one_for_all_addresses_tells_the_one_that_faces_the_database() -> (
    None
):
    url = sa.make_url("postgresql+psycopg://u@127.0.0.1/lethe")
    assert place("", url) == Place("127.0.0.1", "127.0.0.1")
    assert place("127.0.0.2", url) == Place("127.0.0.2", "127.0.0.2")
    assert place("0.0.0.0", url) == Place("0.0.0.0", "127.0.0.1")
    assert address_of("127.0.0.2", 80) == "http://127.0.0.2:80"
    assert address_of("::1", 80) == "http://[::1]:80"


@pytest.mark.parametrize("host", ["192.0.2.7", "no.host.invalid"])
def test_an_address_that_is_not_this_machines_is_refused_in_words(host: str) -> None:
    with pytest.raises(UserError, match=r"LETHE_WORKER_HOST is .*expected an address"):
        check_host(host)
    check_host("127.0.0.2")
    check_host("")


def test_it_listens_at_a_free_port_of_either_kind_of_address() -> None:
    for host in ("127.0.0.1", "localhost"):
        with listen(host) as one, listen(host) as other:
            assert one.getsockname()[1] != other.getsockname()[1] != 0
    assert place("::", sa.make_url("sqlite:////a")) == Place("::", "127.0.0.1")


def test_every_host_of_the_database_is_tried_in_turn() -> None:
    url = "postgresql+psycopg://u@/lethe?host=no.host.invalid&host=127.0.0.1"
    assert facing(sa.make_url(url)) == "127.0.0.1"
    both = "postgresql+psycopg://u@/lethe?host=/run/postgresql,no.host.invalid"
    with pytest.raises(UserError, match=r"no way to the database's host 'no\.host\.invalid'"):
        facing(sa.make_url(both))
    assert facing(sa.make_url("postgresql+psycopg://u@/lethe")) == "127.0.0.1"
