"""What every process needs to run: database, streams, HTTP, auth, logs."""
