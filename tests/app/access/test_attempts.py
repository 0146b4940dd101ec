from app.access.attempts import FORGOTTEN, FREE, LONGEST, MOST, Attempts


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def tried(n: int, clock: Clock, address: str = "10.0.0.1") -> Attempts:
    attempts = Attempts(clock)
    for _ in range(n):
        attempts.failed(address)
    return attempts


def test_the_first_wrong_tokens_cost_nothing() -> None:
    assert tried(FREE - 1, Clock()).wait("10.0.0.1") == 0


def test_pauses_double_up_to_the_longest() -> None:
    waits = [tried(FREE + n, Clock()).wait("10.0.0.1") for n in range(10)]
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]
    assert tried(10_000, Clock()).wait("10.0.0.1") == LONGEST


def test_a_pause_passes() -> None:
    clock = Clock()
    attempts = tried(FREE + 2, clock)
    clock.now += 3.5
    assert attempts.wait("10.0.0.1") == 0.5
    clock.now += 0.5
    assert attempts.wait("10.0.0.1") == 0
    attempts.failed("10.0.0.1")
    assert attempts.wait("10.0.0.1") == 8


def test_another_address_is_not_held_up() -> None:
    attempts = tried(50, Clock())
    assert attempts.wait("10.0.0.2") == 0
    assert attempts.wait("") == 0


def test_a_right_token_and_an_hour_begin_anew() -> None:
    clock = Clock()
    attempts = tried(FREE + 3, clock)
    attempts.succeeded("10.0.0.1")
    assert attempts.wait("10.0.0.1") == 0
    attempts = tried(FREE + 3, clock)
    clock.now += FORGOTTEN + 1
    attempts.failed("10.0.0.1")
    assert attempts.wait("10.0.0.1") == 0


def test_one_persons_addresses_count_as_one() -> None:
    attempts = tried(FREE, Clock(), "2001:db8:1:2::1")
    assert attempts.wait("2001:db8:1:2:ffff::9") == 1
    assert attempts.wait("2001:db8:1:3::1") == 0
    attempts = tried(FREE, Clock(), "::ffff:10.0.0.1")
    assert attempts.wait("10.0.0.1") == 1


def test_what_is_remembered_is_bounded() -> None:
    attempts = tried(FREE, Clock(), "old")
    for n in range(MOST):
        attempts.failed(f"host-{n}")
    assert attempts.wait("old") == 0
    assert len(attempts._tried) == MOST
