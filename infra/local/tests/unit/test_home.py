"""The files of a home: secrets, lock, state."""

import os
import stat
from pathlib import Path

import pytest

from infra.local.home import Home, load_secrets, read_json, write_json
from infra.local.problem import Problem

ROLES = ("postgres", "ledger")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.make()
    return home


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_secrets_are_their_owners_alone(home: Home) -> None:
    load_secrets(home, ROLES)
    assert mode(home.secrets_file) == 0o600
    assert mode(home.admin_password_file) == 0o600


def test_secrets_stay_the_same_and_differ_between_homes(home: Home, tmp_path: Path) -> None:
    other = Home(tmp_path / "other")
    other.make()
    first = load_secrets(home, ROLES)
    assert load_secrets(home, ROLES) == first
    assert load_secrets(other, ROLES).jwt != first.jwt
    assert load_secrets(other, ROLES).postgres != first.postgres


def test_a_new_role_gets_a_password_and_the_others_keep_theirs(home: Home) -> None:
    before = load_secrets(home, ROLES).postgres
    after = load_secrets(home, (*ROLES, "gallery")).postgres
    assert {role: after[role] for role in ROLES} == before
    assert after["gallery"]


def test_an_admin_password_that_a_person_has_set_is_kept(home: Home) -> None:
    home.admin_password_file.write_text("mine\n")
    load_secrets(home, ROLES)
    assert home.admin_password_file.read_text() == "mine\n"


def test_a_home_in_use_is_refused_with_the_way_out(home: Home) -> None:
    assert not home.is_locked()
    with home.locked():
        assert home.is_locked()
        assert home.supervisor_pid() == os.getpid()
        with pytest.raises(Problem, match=r"already runs.*down"), home.locked():
            pass
    assert not home.is_locked()
    assert home.supervisor_pid() is None


def test_a_home_that_cannot_be_made_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Problem, match=r"cannot be made.*--home"):
        Home(tmp_path / "file" / "home").make()


def test_a_missing_file_reads_as_empty(home: Home) -> None:
    assert read_json(home.state_file) == {}


def test_a_broken_file_is_named(home: Home) -> None:
    home.state_file.write_text("{")
    with pytest.raises(Problem, match=r"state\.json is not readable"):
        read_json(home.state_file)


def test_a_written_file_is_private_and_leaves_no_draft(home: Home) -> None:
    write_json(home.state_file, {"ready": True})
    assert read_json(home.state_file) == {"ready": True}
    assert mode(home.state_file) == 0o600
    assert [file.name for file in home.root.iterdir() if file.is_file()] == ["state.json"]
