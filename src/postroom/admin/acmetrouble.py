"""What went wrong with an ACME authority, in words for the operator, whatever the libraries raise."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import requests
    from acme import messages

REQUEST_TIMEOUT = 30
"""Seconds that one request may take to connect, and then to be answered."""

_LONGEST_REASON = 500  # characters; an authority's problem documents may be of any length


class AcmeTrouble(Exception):
    """No certificate. The text is for the operator; ``wait`` is how long the authority asks us to wait, seconds."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason[:_LONGEST_REASON])
        self.wait = wait


class Abandoned(Exception):
    """The server ends, and the order with it."""


class Waits:
    """What the authority asked for with its last refusal (RFC 8555 §6.6)."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def note(self, response: "requests.Response", *_: object, **__: object) -> "requests.Response":
        """Called by requests for each response."""
        from acme.client import ClientV2

        self.seconds = 0.0
        if response.status_code >= 400 and "Retry-After" in response.headers:
            moment = ClientV2.retry_after(response, 0)
            now = datetime.now()  # noqa: DTZ005 - the library's moments are local ones
            self.seconds = max((moment - now).total_seconds(), 0.0)
        return response


@contextmanager
def explaining(directory: str, waits: Waits) -> Iterator[None]:
    """Turn what the libraries raise in here into an AcmeTrouble that says who failed and how."""
    try:
        import acme.client  # noqa: F401 - whether it is there
    except ImportError as error:
        raise AcmeTrouble("the library for ACME is not installed: install postroom[acme]") from error
    try:
        yield
    except (AcmeTrouble, Abandoned):
        raise
    except Exception as error:
        reason = _explain(error, urlsplit(directory).netloc or directory)
        if not reason:
            raise
        raise AcmeTrouble(reason, waits.seconds) from error


def _explain(error: Exception, host: str) -> str:
    """In words; ``""`` for what is no fault of the authority, the network or the disk."""
    import josepy
    import requests
    from acme import errors, messages

    match error:
        case errors.IssuanceError():
            return f"{host} did not issue the certificate: {_problem(error.error)}"
        case messages.Error():
            return f"{host} refused: {_problem(error)}"
        case requests.exceptions.SSLError():
            what = f"the certificate of {host} is not trusted ({_innermost(error)})"
            return f"{what}: correct directory in [acme], or name its authority in ca_file"
        case requests.exceptions.Timeout():
            return f"{host} did not answer within {REQUEST_TIMEOUT} seconds"
        case requests.exceptions.ConnectionError():
            return f"{host} cannot be reached: {_innermost(error)}"
        case errors.ClientError() | requests.exceptions.RequestException() | josepy.errors.Error():
            return _strange(error, host)
        case errors.Error() | KeyError() | AttributeError() | TypeError():
            return _strange(error, host)
        case OSError() | ValueError():
            return str(error) or type(error).__name__
        case _:
            return ""


def _strange(error: Exception, host: str) -> str:
    what = f"{host} does not speak ACME as expected ({type(error).__name__}: {error})"
    return f"{what}: directory in [acme] must be the URL of an authority's directory"


def why(authorization: "messages.AuthorizationResource") -> str:
    """What the challenges of an authorization failed of."""
    found = [_problem(each.error) for each in authorization.body.challenges if each.error is not None]
    return "; ".join(found) or f"it is {authorization.body.status.name}"


def _problem(error: "messages.Error") -> str:
    """An authority's problem document (RFC 8555 §6.7) on one line."""
    texts = [error.detail or error.title or error.description or error.typ]
    texts += [_problem(each) for each in error.subproblems or ()]
    return f"{'; '.join(texts)} ({error.code or error.typ})"


def _innermost(error: BaseException) -> str:
    """The operating system's or OpenSSL's own words, from under all the wrapping."""
    seen: object = error
    for _ in range(10):
        if isinstance(seen, OSError) and seen.strerror:
            return seen.strerror
        inner = getattr(seen, "reason", None) or getattr(seen, "__cause__", None) or getattr(seen, "__context__", None)
        if inner is None and isinstance(seen, Exception) and seen.args and isinstance(seen.args[0], BaseException):
            inner = seen.args[0]
        if inner is None:
            break
        seen = inner
    return str(seen)
