"""One login role per service, and what it owns: its schema, and a shadow of it for rebuilds."""

from collections.abc import Mapping

import asyncpg

from libs.events.names import Service


def quoted(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


async def ensure_database(admin_dsn: str, name: str, *, template: str = "template1") -> None:
    connection = await asyncpg.connect(admin_dsn)
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
            await connection.execute(f"CREATE DATABASE {quoted(name)} TEMPLATE {quoted(template)}")
    finally:
        await connection.close()


async def drop_database(admin_dsn: str, name: str) -> None:
    connection = await asyncpg.connect(admin_dsn)
    try:
        await connection.execute(f"DROP DATABASE IF EXISTS {quoted(name)} WITH (FORCE)")
    finally:
        await connection.close()


async def ensure_roles(admin_dsn: str, passwords: Mapping[str, str]) -> None:
    """Make the login roles (they belong to the server, not to one database)."""
    connection = await asyncpg.connect(admin_dsn)
    try:
        known = {row["rolname"] for row in await connection.fetch("SELECT rolname FROM pg_roles")}
        for service in Service:
            verb = "ALTER" if service in known else "CREATE"
            role = quoted(service)
            password = _literal(passwords[service])
            await connection.execute(
                f"{verb} ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD {password}"
            )
            await connection.execute(f"ALTER ROLE {role} SET search_path = {role}")
    finally:
        await connection.close()


async def ensure_schemas(owner_dsn: str) -> None:
    """Give every role its schemas in this database and close everything else to it."""
    connection = await asyncpg.connect(owner_dsn)
    try:
        database = quoted(await connection.fetchval("SELECT current_database()"))
        statements = [
            f"REVOKE ALL ON DATABASE {database} FROM PUBLIC",
            "REVOKE ALL ON SCHEMA public FROM PUBLIC",
        ]
        for service in Service:
            role = quoted(service)
            statements.append(f"GRANT CONNECT, TEMPORARY ON DATABASE {database} TO {role}")
            # A service may not make schemas: what its rebuilds fill is there from the start.
            for schema in (role, quoted(f"{service}_shadow")):
                statements.append(f"CREATE SCHEMA IF NOT EXISTS {schema} AUTHORIZATION {role}")
                statements.append(f"REVOKE ALL ON SCHEMA {schema} FROM PUBLIC")
        await connection.execute("; ".join(statements))
    finally:
        await connection.close()
