"""Generation's HTTP routes: its dead letters, for administrators. All else it does over events."""

from fastapi import APIRouter

from libs.runtime import deadletters_http
from libs.runtime.auth import RequirePrincipal
from libs.runtime.deadletters import DeadLetters


def create_router(letters: DeadLetters, authenticate: RequirePrincipal) -> APIRouter:
    """The routes of `/internal/parked`."""
    return deadletters_http.create_router(letters, authenticate)
