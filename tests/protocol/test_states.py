from __future__ import annotations

from itertools import product

import pytest

from protocol.errors import ErrorCode, ProtocolError
from protocol.states import TRANSITIONS, Event, State, next_state


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)))
def test_what_is_not_in_the_table_is_an_error(state: State, event: Event) -> None:
    if (state, event) in TRANSITIONS:
        assert next_state(state, event) is TRANSITIONS[state, event]
        return
    with pytest.raises(ProtocolError, match=f"{event.name} is not allowed while") as caught:
        next_state(state, event, frame_id=7)
    assert caught.value.code is ErrorCode.UNEXPECTED_MESSAGE
    assert caught.value.frame_id == 7


def test_nothing_leads_out_of_closed() -> None:
    assert not any(state is State.CLOSED for state, _ in TRANSITIONS)
