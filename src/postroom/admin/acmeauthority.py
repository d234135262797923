"""One order at an ACME authority (RFC 8555), by the library ``acme``: blocking, for a thread, given up when told to.

The library is an extra (``postroom[acme]``), so it is imported when it is needed.
"""

import base64
import os
import ssl
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from postroom import __version__
from postroom.admin.acmeanswers import Answers
from postroom.admin.acmeshelf import Account, Shelf
from postroom.admin.acmetrouble import REQUEST_TIMEOUT, Abandoned, AcmeTrouble, Waits, explaining, why
from postroom.config.certificates import AcmeSettings

if TYPE_CHECKING:
    from acme import client, messages

VALIDATION_PATIENCE = 180.0  # seconds: Let's Encrypt looks from several places, and is done within one minute
ISSUE_PATIENCE = 180.0
_POLL = 1.0
_LONGEST_POLL = 10.0  # seconds, whatever Retry-After says: the order's own patience bounds it


@dataclass(frozen=True, slots=True)
class Issued:
    """A new key, and the chain for it."""

    key_pem: bytes
    chain_pem: bytes

    def __repr__(self) -> str:
        return "Issued(…)"


@dataclass(frozen=True, slots=True)
class Suggestion:
    """When the authority would like a certificate renewed (None: no wish), and in how many seconds to ask again."""

    renew_at: float | None
    ask_again_in: float


class AcmeAuthority:
    """The authority of the settings. One call at a time, in a thread; each ends within some minutes."""

    def __init__(self, settings: AcmeSettings, shelf: Shelf, answers: Answers) -> None:
        self._settings = settings
        self._shelf = shelf
        self._answers = answers
        self._eab_key = _read_eab_key(settings)
        with suppress(ImportError):  # what Python loads on first use may be out of reach once root has been given up
            import acme.client
            import acme.crypto_util  # noqa: F401

    def order(self, names: tuple[str, ...], abandoned: threading.Event) -> Issued:
        """A certificate for ``names``. Raises AcmeTrouble; Abandoned soon after the event is set."""
        waits = Waits()
        with explaining(self._settings.directory, waits):
            order = _Order(self._settings, self._shelf, self._answers, waits, abandoned)
            order.eab_key = self._eab_key
            return order.run(names)

    def suggestion(self, chain_pem: bytes) -> Suggestion:
        """The authority's wish for a certificate (RFC 9773 §4.1). Raises AcmeTrouble."""
        waits = Waits()
        with explaining(self._settings.directory, waits):
            from acme import errors

            key = ec.generate_private_key(ec.SECP256R1())  # nothing is signed: the question is open to anyone
            session = _open_session(self._settings, key, waits)
            try:
                moment, again = session.renewal_time(chain_pem)
            except errors.ARIError as error:
                raise AcmeTrouble(f"no renewal information: {error.__cause__ or error}") from error
            seconds = (again - datetime.now()).total_seconds()  # noqa: DTZ005 - the library's moments are local ones
            return Suggestion(None if moment is None else moment.timestamp(), min(max(seconds, 60.0), 86400.0))


class _Order:
    """The steps of one order."""

    def __init__(
        self, settings: AcmeSettings, shelf: Shelf, answers: Answers, waits: Waits, abandoned: threading.Event
    ) -> None:
        self._settings = settings
        self._shelf = shelf
        self._answers = answers
        self._waits = waits
        self._abandoned = abandoned
        self.eab_key: str | AcmeTrouble = ""

    def run(self, names: tuple[str, ...]) -> Issued:
        """Account, order, challenges, certificate: RFC 8555 §7.1."""
        from acme import crypto_util, messages

        account = self._account()
        session = self._session(account)
        # RFC 7671 §8.1: a key that stays, or one that was made known before, keeps TLSA records right
        kept = self._shelf.kept_key() if self._settings.keep_key else None
        key_pem = kept or self._shelf.next_key()
        csr = crypto_util.make_csr(key_pem, domains=list(names))
        try:
            order = session.new_order(csr)
        except messages.Error as error:
            if error.code != "accountDoesNotExist":
                raise
            session = self._session(replace(account, uri=""))  # the authority has forgotten us: the same key, anew
            order = session.new_order(csr)
        with ExitStack() as undo:
            waiting = self._answer(session, order, undo)
            self._await_validation(session, waiting)
            chain = self._await_certificate(session, order)
        return Issued(key_pem, chain)

    # -- account (RFC 8555 §7.3) -------------------------------------------------------------------------------------

    def _account(self) -> Account:
        """Ours, with a key that is on the disk before the authority hears of it."""
        directory = self._settings.directory
        account = self._shelf.account(directory)
        if account is None:
            account = Account(directory, _pem(ec.generate_private_key(ec.SECP256R1())).decode())
            self._shelf.keep_account(account)
        return account

    def _session(self, account: Account) -> "client.ClientV2":
        """A session in the name of the account, which is registered, or told of a new contact, where it has to be."""
        from acme import errors, messages

        key = serialization.load_pem_private_key(account.key_pem.encode(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise AcmeTrouble("the account's key in data/acme is not an EC key: remove the account file")
        session = _open_session(self._settings, key, self._waits)
        contact = self._settings.contact
        if not account.uri:
            try:
                uri = session.new_account(self._registration(session)).uri
            except errors.ConflictError as known:  # RFC 8555 §7.3.1: the key has an account already
                uri = known.location
            account = replace(account, uri=uri, contact=contact)
            self._shelf.keep_account(account)
        resource = messages.RegistrationResource(uri=account.uri, body=messages.Registration())
        session.net.account = resource
        if account.contact != contact:  # RFC 8555 §7.3.2
            session.update_registration(resource, messages.Registration.from_data(email=contact or None, contact=()))
            self._shelf.keep_account(replace(account, contact=contact))
        return session

    def _registration(self, session: "client.ClientV2") -> "messages.NewRegistration":
        from acme import messages

        settings = self._settings
        binding = None
        if settings.eab_kid:  # RFC 8555 §7.3.4
            key = session.net.key
            assert key is not None  # noqa: S101 - _open_session gives one
            if isinstance(self.eab_key, AcmeTrouble):
                raise self.eab_key
            binding = messages.ExternalAccountBinding.from_data(
                key.public_key(), settings.eab_kid, self.eab_key, session.directory
            )
        elif session.external_account_required():
            raise AcmeTrouble(
                "the authority asks for an external account binding: set eab_kid and eab_key_file in [acme] to what it "
                "gave you"
            )
        return messages.NewRegistration.from_data(
            email=settings.contact or None, external_account_binding=binding, terms_of_service_agreed=settings.agree
        )

    # -- challenges (RFC 8555 §7.5.1, §8.3) --------------------------------------------------------------------------

    def _answer(
        self, session: "client.ClientV2", order: "messages.OrderResource", undo: ExitStack
    ) -> "list[messages.AuthorizationResource]":
        """Lay the answers out, then say so; the authorizations that are to be waited for."""
        from acme import challenges, messages

        key = session.net.key
        assert key is not None  # noqa: S101 - _open_session gives one
        chosen = []
        for authorization in order.authorizations:
            if authorization.body.status == messages.STATUS_VALID:  # RFC 8555 §7.1.3: an earlier one is used again
                continue
            offered = [each for each in authorization.body.challenges if isinstance(each.chall, challenges.HTTP01)]
            if not offered:
                name = authorization.body.identifier.value
                raise AcmeTrouble(f"the authority offers no HTTP-01 challenge for {name}")
            token = offered[0].chall.encode("token")
            self._answers.add(token, offered[0].chall.validation(key))
            undo.callback(self._answers.remove, token)
            chosen.append((authorization, offered[0]))
        for _, challenge in chosen:
            session.answer_challenge(challenge, challenge.response(key))
        return [authorization for authorization, _ in chosen]

    def _await_validation(self, session: "client.ClientV2", waiting: "list[messages.AuthorizationResource]") -> None:
        from acme import messages

        deadline = time.monotonic() + VALIDATION_PATIENCE
        for authorization in waiting:
            name = authorization.body.identifier.value
            while True:
                found, response = session.poll(authorization)
                if found.body.status == messages.STATUS_VALID:
                    break
                if found.body.status not in (messages.STATUS_PENDING, messages.STATUS_PROCESSING):
                    raise AcmeTrouble(f"the authority could not confirm {name}: {why(found)}")
                if time.monotonic() > deadline:
                    raise AcmeTrouble(f"the authority did not look at {name} within {VALIDATION_PATIENCE:.0f} seconds")
                again = (session.retry_after(response, 1) - datetime.now()).total_seconds()  # noqa: DTZ005 - as above
                self._pause(min(max(again, _POLL), _LONGEST_POLL))

    def _await_certificate(self, session: "client.ClientV2", order: "messages.OrderResource") -> bytes:
        """Finalize (RFC 8555 §7.4), poll, download."""
        from acme import errors, messages

        try:
            order = session.begin_finalization(order)
        except messages.Error as error:
            if error.code != "orderNotReady":
                raise
        deadline = time.monotonic() + ISSUE_PATIENCE
        while time.monotonic() < deadline:
            try:
                soon = datetime.now() + timedelta(seconds=2 * _POLL)  # noqa: DTZ005 - as above
                return session.poll_finalization(order, soon).fullchain_pem.encode()
            except errors.TimeoutError:
                self._pause(_POLL)
        raise AcmeTrouble(f"the authority did not issue the certificate within {ISSUE_PATIENCE:.0f} seconds")

    def _pause(self, seconds: float) -> None:
        if self._abandoned.wait(seconds):
            raise Abandoned


def _open_session(settings: AcmeSettings, key: ec.EllipticCurvePrivateKey, waits: Waits) -> "client.ClientV2":
    from acme import client
    from josepy.jwa import ES256
    from josepy.jwk import JWKEC

    agent = f"postroom/{__version__}"
    net = client.ClientNetwork(JWKEC(key=key), alg=ES256, user_agent=agent, timeout=REQUEST_TIMEOUT)
    net.verify_ssl = _trusted(settings)  # type: ignore[assignment] # handed to requests, which takes a path as well
    net.session.hooks["response"].append(waits.note)
    return client.ClientV2(client.ClientV2.get_directory(settings.directory, net), net)


def _read_eab_key(settings: AcmeSettings) -> str | AcmeTrouble:
    """The key, or what an order that needs it is to say; read at start, as the file may be for root alone."""
    file = settings.eab_key_file
    if file is None:
        return AcmeTrouble("eab_kid without eab_key_file: add it to [acme]")
    try:
        text = file.read_text("ascii").strip().rstrip("=")
        if not base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True):
            raise ValueError("empty")
    except OSError as error:
        return AcmeTrouble(f"{file} cannot be read: {error.strerror}")
    except ValueError:
        return AcmeTrouble(f"{file} is not a key in base64url: store it as the authority gave it")
    return text


def _trusted(settings: AcmeSettings) -> str | bool:
    """Whom to trust for HTTPS: the file of the settings, else the system's authorities, else the library's own."""
    if settings.ca_file is not None:
        return str(settings.ca_file)
    paths = ssl.get_default_verify_paths()
    if paths.cafile:
        return paths.cafile
    return paths.capath if paths.capath and os.listdir(paths.capath) else True


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
