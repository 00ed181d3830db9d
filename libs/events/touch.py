"""Whether a client of Kafka still hears of brokers that come and go."""

from aiokafka.client import AIOKafkaClient


def is_out_of_touch(client: AIOKafkaClient) -> bool:
    """Whether the task that looks after the brokers has died; nothing starts it again.

    An answer that is cut off at the wrong moment is enough. Whoever asks for fresh metadata then
    waits for ever, and a consumer falls out of its group without a word.
    """
    task = client._sync_task  # noqa: SLF001  # aiokafka says it nowhere else
    return task is not None and task.done()
