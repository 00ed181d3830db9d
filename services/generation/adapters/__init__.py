"""The providers, one module each, and nothing that knows about jobs, queues or money."""
