"""What the gateway refuses of outgoing webhooks.

BadRequest          WebhookUrlRefused
NotFound            WebhookNotFound, DeliveryNotFound
Conflict            TooManyWebhooks, OrdersAreSigned, DeliveryUnderWay
"""

from libs.runtime.errors import BadRequest, Conflict, NotFound


class WebhookUrlRefused(BadRequest):
    """`why` is a clause about the address."""

    code = "webhook_url_refused"

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field} is no address that we call: {why}", details={"field": field})


class WebhookNotFound(NotFound):
    code = "webhook_not_found"

    def __init__(self) -> None:
        super().__init__("You have no such webhook")


class DeliveryNotFound(NotFound):
    code = "delivery_not_found"

    def __init__(self) -> None:
        super().__init__("This webhook was told no such thing, or long ago")


class TooManyWebhooks(Conflict):
    code = "too_many_webhooks"

    def __init__(self, most: int) -> None:
        super().__init__(
            f"You have {most} webhooks, which is as many as anybody may: remove one first"
        )


class OrdersAreSigned(Conflict):
    code = "orders_are_signed"

    def __init__(self) -> None:
        super().__init__(
            "What signs for the addresses of your orders is there already: "
            "rotate it to see a new secret"
        )


class DeliveryUnderWay(Conflict):
    code = "delivery_under_way"

    def __init__(self) -> None:
        super().__init__("This is being sent just now: look at what becomes of it")
