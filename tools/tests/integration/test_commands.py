"""The commands as a person meets them: processes, exit codes, sentences."""

import socket
import subprocess
import sys
from pathlib import Path

from infra.local.home import Home
from infra.local.ports import HOST
from tools.places import ROOT


def daygen(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tools.cli", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_up_on_a_used_port_says_so_and_exits_with_2(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen()
        port = listener.getsockname()[1]
        for flags in ([], ["--detach"]):
            result = daygen("up", "--home", str(tmp_path), "--port", str(port), *flags)
            assert result.returncode == 2
            assert result.stderr == (
                f"daygen: Port {port} for the gateway is in use: stop what listens there, "
                "or choose another one with --port.\n"
            )


def test_a_second_up_on_one_home_says_so_and_exits_with_2(tmp_path: Path) -> None:
    with Home(tmp_path).locked():
        result = daygen("up", "--home", str(tmp_path))
    assert result.returncode == 2
    assert "already runs" in result.stderr
    assert result.stderr.count("\n") == 1


def test_status_of_an_empty_home_is_not_ready(tmp_path: Path) -> None:
    result = daygen("status", "--home", str(tmp_path / "none"))
    assert result.returncode == 1
    assert "Nothing runs" in result.stdout


def test_down_of_an_empty_home_has_nothing_to_do(tmp_path: Path) -> None:
    result = daygen("down", "--home", str(tmp_path / "none"))
    assert result.returncode == 0
    assert "Nothing runs" in result.stdout


def test_logs_of_an_unknown_part_name_the_known_ones(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "kafka.log").write_text("one\ntwo\n")
    assert daygen("logs", "kafka", "-n", "1", "--home", str(tmp_path)).stdout == "two\n"
    result = daygen("logs", "cafka", "--home", str(tmp_path))
    assert result.returncode == 2
    assert result.stderr == "daygen: There is no log of cafka: choose one of kafka.\n"
