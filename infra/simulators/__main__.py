"""`python -m infra.simulators --port N ...`: all simulators, on loopback alone."""

import argparse
from pathlib import Path

import uvicorn

from infra.simulators.app import create_app
from infra.simulators.mail import MailSink


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--mail-port", type=int, required=True)
    parser.add_argument("--mails", type=Path, required=True, help="where mails are kept")
    arguments = parser.parse_args()
    uvicorn.run(
        create_app(MailSink(arguments.mails), arguments.mail_port),
        host="127.0.0.1",
        port=arguments.port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=2,
    )


if __name__ == "__main__":
    main()
