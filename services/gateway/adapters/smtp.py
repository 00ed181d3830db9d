"""Mails over SMTP: `smtp://`, `smtp+starttls://` or `smtps://`, with a log-in or without.

`smtp` takes encryption where it is offered; `smtp+starttls` insists on it; `smtps` begins with it.
"""

from email.message import EmailMessage
from email.utils import formatdate
from typing import Final
from urllib.parse import unquote, urlsplit

import aiosmtplib
from pydantic import SecretStr

from services.gateway.ports import Letter, MailDelayedError, MailRefusedError

SECONDS: Final = 20.0  # for one mail, from connecting to its acceptance
_PORTS: Final = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}


class SmtpPost:
    """Hands each mail to one server, on a connection of its own."""

    def __init__(self, url: SecretStr, sender: str) -> None:
        at = urlsplit(url.get_secret_value())
        if at.scheme not in _PORTS or not at.hostname:
            raise ValueError("SMTP_URL must be like smtp+starttls://user:password@host:587")
        self._host, self._port = at.hostname, at.port or _PORTS[at.scheme]
        self._user = unquote(at.username) if at.username else None
        self._password = unquote(at.password) if at.password else None
        self._use_tls = at.scheme == "smtps"
        self._start_tls = {"smtp": None, "smtp+starttls": True, "smtps": False}[at.scheme]
        self._sender = sender

    async def send(self, letter: Letter) -> None:
        """Hand a mail over.

        Raises:
            MailDelayedError: the server does not take it now.
            MailRefusedError: it never will.
        """
        try:
            await aiosmtplib.send(
                self._message(letter),
                hostname=self._host,
                port=self._port,
                username=self._user,
                password=self._password,
                use_tls=self._use_tls,
                start_tls=self._start_tls,
                timeout=SECONDS,
            )
        except aiosmtplib.SMTPRecipientsRefused as error:
            _raise(max(each.code for each in error.recipients), error)
        except aiosmtplib.SMTPResponseException as error:
            # What is wrong with our log-in, an operator puts right; the mail is not to blame.
            is_ours = isinstance(error, aiosmtplib.SMTPAuthenticationError)
            _raise(0 if is_ours else error.code, error)
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            raise MailDelayedError(repr(error)) from error
        except ValueError as error:  # what cannot stand in a header
            raise MailRefusedError(repr(error)) from error

    def _message(self, letter: Letter) -> EmailMessage:
        message = EmailMessage()
        message["From"] = self._sender
        message["To"] = letter.to
        message["Subject"] = letter.subject
        message["Date"] = formatdate()
        # The same for every attempt, so that who gets it twice may know.
        message["Message-ID"] = f"<{letter.id}@{self._sender.rpartition('@')[2].rstrip('>')}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(letter.body)
        return message


def _raise(code: int, error: Exception) -> None:
    """Codes from 500 on are for ever, by RFC 5321, 4.2.1."""
    kind = MailRefusedError if code >= 500 else MailDelayedError
    raise kind(repr(error)) from error
