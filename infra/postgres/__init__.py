"""Schemas and roles of the services, for any Postgres server."""
