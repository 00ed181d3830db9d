"""Refusals of streams."""

from typing import Final

from libs.runtime.errors import BadRequest, Conflict, NotFound, TooManyRequests, Unauthorized

RETRY_SECONDS: Final = 10.0


class BadTicket(Unauthorized):
    """Never given out, for another stream, or over: one answer for all."""

    code = "bad_ticket"

    def __init__(self) -> None:
        super().__init__(
            "Unauthorized: this ticket does not open this stream; "
            "ask POST /api/stream-tickets for another one"
        )


class TooManyStreams(TooManyRequests):
    code = "too_many_streams"

    def __init__(self, streams_max: int) -> None:
        super().__init__(
            f"You have {streams_max} streams open here, which is as many as anybody may: "
            "close one first",
            retry_after_seconds=RETRY_SECONDS,
        )


class BadMessage(BadRequest):
    """`why` says what to do, or what does not fit."""

    code = "bad_message"

    def __init__(self, why: str) -> None:
        super().__init__(f"This message is not understood: {why}")


class NoSuchChannel(NotFound):
    code = "no_such_channel"

    def __init__(self, channel: str) -> None:
        text = "There is no such channel here: name user, or job:<id> of a job of yours"
        super().__init__(text, details={"channel": channel})


class AlreadySubscribed(Conflict):
    code = "already_subscribed"

    def __init__(self, channel: str) -> None:
        text = "This channel is open already: unsubscribe first"
        super().__init__(text, details={"channel": channel})


class TooManyChannels(Conflict):
    code = "too_many_channels"

    def __init__(self, channels_max: int) -> None:
        super().__init__(
            f"This socket has {channels_max} channels open, which is as many as there may be: "
            "unsubscribe from one first"
        )
