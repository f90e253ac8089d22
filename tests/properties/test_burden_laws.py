"""Who has to go when bodies under way hold too much: laws over any clients and sizes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.web.burden import excess

HELD = st.lists(st.tuples(st.sampled_from("abcde"), st.integers(0, 1_000)), max_size=40)


def by_number(held):
    return dict(enumerate(held))


@given(HELD, st.integers(0, 10_000))
def test_what_stays_fits_and_nobody_goes_who_need_not(held, most):
    """The last one to go was still too much."""
    gone = excess(by_number(held), most)
    stays = [size for number, (_, size) in enumerate(held) if number not in gone]
    assert len(gone) == len(set(gone))
    assert sum(stays) <= most
    assert not gone or sum(stays) + held[gone[-1]][1] > most


@given(HELD, st.integers(0, 10_000))
def test_of_a_client_the_oldest_go_first(held, most):
    """The ones that stay came later."""
    gone = excess(by_number(held), most)
    for client in "abcde":
        numbers = [number for number, (owner, _) in enumerate(held) if owner == client]
        lost = [number for number in gone if number in numbers]
        assert numbers[: len(lost)] == lost


@given(HELD, st.integers(0, 10_000))
def test_at_each_moment_the_client_that_holds_most_loses(held, most):
    """Nobody who holds less goes before."""
    left = [list(each) for each in held]
    for number in excess(by_number(held), most):
        sums = {client: sum(size for owner, size in left if owner == client) for client, _ in held}
        assert sums[held[number][0]] == max(sums.values())
        left[number][1] = 0
