"""Which port a name gets."""

import socket
from pathlib import Path

import pytest

from infra.local import ports
from infra.local.problem import Problem


def everything_is_free(port: int) -> bool:
    return True


def test_every_name_gets_a_port_of_its_own() -> None:
    chosen = ports.choose([f"part-{n}" for n in range(50)], free=everything_is_free)
    assert len(set(chosen.values())) == 50


def test_ports_stay_below_those_of_outgoing_connections() -> None:
    chosen = ports.choose(["a", "b", "c"], free=everything_is_free)
    assert all(ports.LOWEST <= port <= ports.HIGHEST for port in chosen.values())


def test_a_remembered_port_is_taken_again() -> None:
    chosen = ports.choose(["kafka"], remembered={"kafka": 23456}, free=everything_is_free)
    assert chosen == {"kafka": 23456}


def test_a_remembered_port_that_is_in_use_is_replaced() -> None:
    chosen = ports.choose(["kafka"], remembered={"kafka": 23456}, free=lambda port: port != 23456)
    assert chosen["kafka"] != 23456


def test_a_remembered_port_that_is_given_to_another_name_is_replaced() -> None:
    chosen = ports.choose(
        ["kafka"], remembered={"kafka": 8000}, taken=[8000], free=everything_is_free
    )
    assert chosen["kafka"] != 8000


def test_no_free_port_is_a_problem_for_a_person() -> None:
    with pytest.raises(Problem, match="No free port"):
        ports.choose(["kafka"], free=lambda port: False)


def test_a_port_in_use_is_named_with_the_way_out() -> None:
    with socket.socket() as listener:
        listener.bind((ports.HOST, 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert not ports.is_free(port)
        with pytest.raises(Problem, match=rf"Port {port} for the gateway is in use.*--port"):
            ports.require_free(port, "gateway")


def test_a_port_is_given_to_one_home_even_before_it_listens(tmp_path: Path) -> None:
    port = ports.choose(["kafka"])["kafka"]
    with ports.Reserved(tmp_path) as mine, ports.Reserved(tmp_path) as theirs:
        assert mine.take(port)
        assert not theirs.take(port)
        mine.close()
        assert theirs.take(port)


def test_a_port_that_somebody_listens_on_is_not_reserved(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind((ports.HOST, 0))
        listener.listen()
        port = listener.getsockname()[1]
        with ports.Reserved(tmp_path) as reserved:
            assert not reserved.take(port)
