"""The states of a session and the one table of what moves them.

    NEW ──hello──▶ OPENING ──welcome──▶ OPEN ──bye──▶ CLOSED
     ▲                │
     └────refused─────┘

HELLO says what the client wants; the service compiles it, which may take seconds, and answers
WELCOME, or ERROR, after which the client may ask for something else. While OPEN, each FRAME
spends a credit and each RESULT, or ERROR with that frame's id, gives it back. An error changes no
state: a bad message costs its sender an ERROR and nothing more.
"""

from __future__ import annotations

from enum import IntEnum

from protocol.errors import ErrorCode, ProtocolError


class State(IntEnum):
    """Where a session stands."""

    NEW = 1
    OPENING = 2
    OPEN = 3
    CLOSED = 4


class Event(IntEnum):
    """What moves a session."""

    HELLO = 1
    WELCOME = 2
    REFUSED = 3
    FRAME = 4
    RESULT = 5
    BYE = 6


TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.NEW, Event.HELLO): State.OPENING,
    (State.NEW, Event.BYE): State.CLOSED,
    (State.OPENING, Event.WELCOME): State.OPEN,
    (State.OPENING, Event.REFUSED): State.NEW,
    (State.OPENING, Event.BYE): State.CLOSED,
    (State.OPEN, Event.FRAME): State.OPEN,
    (State.OPEN, Event.RESULT): State.OPEN,
    (State.OPEN, Event.BYE): State.CLOSED,
}


def next_state(state: State, event: Event, *, frame_id: int = 0) -> State:
    """Return where `event` leads; raises ProtocolError (UNEXPECTED_MESSAGE) where it may not be."""
    try:
        return TRANSITIONS[state, event]
    except KeyError as error:
        remedy = " Send HELLO and wait for WELCOME first." if state is State.NEW else ""
        msg = f"{event.name} is not allowed while the session is {state.name.lower()}.{remedy}"
        raise ProtocolError(
            msg.rstrip("."), code=ErrorCode.UNEXPECTED_MESSAGE, frame_id=frame_id
        ) from error
