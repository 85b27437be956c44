from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from upscaler.service.schedule import Estimate, RoundRobin


def drain(queue: RoundRobin[str, int]) -> list[int]:
    items = []
    while (item := queue.take()) is not None:
        items.append(item)
    return items


def test_clients_take_turns_and_each_keeps_its_order() -> None:
    queue: RoundRobin[str, int] = RoundRobin()
    for item in (1, 2, 3, 4):
        queue.add("busy", item)
    queue.add("other", 10)
    queue.add("third", 20)
    queue.add("other", 11)
    assert drain(queue) == [1, 10, 20, 2, 11, 3, 4]


def test_a_client_that_leaves_takes_its_items_along() -> None:
    queue: RoundRobin[str, int] = RoundRobin()
    for client, item in (("a", 1), ("b", 2), ("a", 3)):
        queue.add(client, item)
    assert queue.discard("a") == [1, 3]
    assert queue.discard("nobody") == []
    assert drain(queue) == [2]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=60))
def test_nobody_waits_for_more_than_one_item_of_each_other_client(
    steps: list[tuple[str, bool]],
) -> None:
    queue: RoundRobin[str, tuple[str, int]] = RoundRobin()
    waiting_since: dict[str, int] = {}
    taken = 0
    held: list[tuple[str, int]] = []
    for number, (client, take) in enumerate(steps):
        queue.add(client, (client, number))
        held.append((client, number))
        waiting_since.setdefault(client, taken)
        if take:
            item = queue.take()
            assert item is not None
            assert item == next(each for each in held if each[0] == item[0])
            held.remove(item)
            assert taken - waiting_since.pop(item[0]) <= 2
            taken += 1
            if any(each[0] == item[0] for each in held):
                waiting_since[item[0]] = taken
        assert len(queue) == len(held)


def test_the_latest_replaces_its_clients_items_and_keeps_the_turn() -> None:
    queue: RoundRobin[str, int] = RoundRobin()
    assert queue.add("a", 1, latest=True) == []
    queue.add("b", 10)
    assert queue.add("a", 2, latest=True) == [1]
    assert queue.add("b", 11) == []
    assert [queue.take() for _ in range(4)] == [2, 10, 11, None]


def test_an_estimate_covers_most_frames_and_follows_a_change() -> None:
    estimate = Estimate()
    assert not estimate.misses(1, 0)  # nothing is known yet
    for taken in (10_000, 11_000, 9_000, 10_500) * 10:
        estimate.add(taken)
    assert 10_500 < estimate.ns < 14_000
    assert estimate.misses(10_000, 0)
    assert not estimate.misses(14_000, 0)
    assert not estimate.misses(0, 0)  # no deadline
    for _ in range(40):
        estimate.add(30_000)
    assert 29_000 < estimate.ns < 33_000


def test_one_slow_moment_is_forgotten_without_being_tried() -> None:
    estimate = Estimate()
    for taken in (10_000, 10_000, 10_000, 900_000):
        estimate.add(taken)
    deadline_ns, now_ns, relaxed = 16_000, 10**9, 0
    while estimate.misses(deadline_ns, 0):
        estimate.relax(now_ns)
        now_ns += 16_000_000
        relaxed += 1
        assert relaxed < 600  # ten seconds at 60 a second
    assert relaxed > 10


def test_hopeless_deadlines_do_not_talk_an_estimate_down() -> None:
    estimate = Estimate()
    for _ in range(20):
        estimate.add(30_000_000)
    believed_ns = estimate.ns
    for call in range(1000):  # a thousand frames within one frame's time
        estimate.relax(10**9 + call)
    assert estimate.ns > 0.98 * believed_ns


def test_who_was_served_stands_behind_who_came_meanwhile() -> None:
    queue: RoundRobin[str, int] = RoundRobin()
    for item in range(3):
        queue.add("flood", item)
    assert queue.take() == 0
    queue.add("other", 10)
    assert drain(queue) == [10, 1, 2]
