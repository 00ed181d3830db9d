"""Who is told that the server wants to stop."""

from libs.runtime.http.connections import Connection


def test_what_begins_before_a_stop_is_told_of_it() -> None:
    told: list[str] = []
    connection = Connection(lambda: None)
    connection.at_shutdown(lambda: told.append("stop"))
    assert not told
    connection.stop()
    assert told == ["stop"]


def test_what_begins_while_the_server_stops_is_told_at_once() -> None:
    told: list[str] = []
    connection = Connection(lambda: None)
    connection.stop()
    connection.at_shutdown(lambda: told.append("stop"))
    assert told == ["stop"]
