"""What a server's answers mean: JSON, a refusal, or nothing that MLflow would say."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from mlporter.errors import AccessDeniedError, UnreachableError
from mlporter.redaction import redact
from mlporter.stores.rest.hints import is_of_others, log_in_hint, page_hint, what_is_there

if TYPE_CHECKING:
    import requests

__all__ = ["ApiError", "LostAnswerError", "MissingEndpointError", "TransientError", "json_of"]
__all__ += ["REFUSED", "RETRIED", "DeniedError", "check", "parsed", "reason_of", "refusal"]

RETRIED = frozenset({408, 429, 500, 502, 503, 504})
"""Status codes that may be another one next time."""
NOT_DONE = frozenset({429, 503})
"""Of these, the ones that say that the request was not carried out."""
_BUSY = re.compile(
    r"database is locked|QueuePool limit|deadlock|could not serialize|Lock wait timeout|"
    r"too many (clients|connections)|sqlalche\.me/e/20/3o7r",
    re.IGNORECASE,
)
"""What MLflow says of a database that is busy, at times as if the request were wrong (400)."""
_LONGEST = 500


class ApiError(UnreachableError):
    """The server answered, and refused: what it said is the message.

    Attributes:
        status: The HTTP status.
        code: MLflow's error code, such as ``RESOURCE_DOES_NOT_EXIST``; "" if it gave none.
    """

    def __init__(self, message: str, *, status: int, code: str = "", subject: str) -> None:
        super().__init__(message, subject=subject)
        self.status = status
        self.code = code


class MissingEndpointError(ApiError):
    """The server has no such endpoint: it is older, or does not offer this."""


class DeniedError(AccessDeniedError):
    """The server knows who asks, and does not allow this one thing (HTTP 403)."""


REFUSED = (ApiError, DeniedError)
"""What a server says of one request, while others may go on."""


def reason_of(error: UnreachableError) -> str:
    """The slug of a refusal, as `mlporter.errors.LeftOut` has it."""
    return "denied" if isinstance(error, AccessDeniedError) else "refused"


class LostAnswerError(UnreachableError):
    """A request that must not be sent twice may or may not have been carried out."""


class TransientError(UnreachableError):
    """It may work next time.

    Attributes:
        done: Whether the request may have been carried out all the same.
        after: Seconds to wait as the server asked, or None.
        failure: What to raise if it goes on, where MLflow itself says that it failed (and no
            proxy): that is a defect more often than a bad moment, and not tried for long.
    """

    def __init__(  # noqa: PLR0913 -- by keyword
        self,
        message: str,
        *,
        subject: str,
        done: bool,
        after: float | None = None,
        hint: str | None = None,
        failure: ApiError | None = None,
    ) -> None:
        super().__init__(message, subject=subject, hint=hint)
        self.done = done
        self.after = after
        self.failure = failure


def check(response: requests.Response, subject: str) -> None:
    """Raise what a status other than success means; see `refusal`."""
    if response.status_code >= 300:  # noqa: PLR2004 -- where success ends
        raise refusal(response, subject)


def refusal(response: requests.Response, subject: str) -> UnreachableError:
    """The error that an answer without success is; `subject` names server and endpoint."""
    status = response.status_code
    code, said = _said(response)
    message = f"HTTP {status}: {said}"
    if status in (401, 407) or code == "UNAUTHENTICATED":
        return AccessDeniedError(message, subject=subject, hint=log_in_hint(response))
    if status == 403 or code == "PERMISSION_DENIED":  # noqa: PLR2004 -- known, and not allowed
        return _denied(response, message, subject)
    if elsewhere := what_is_there(response, said):
        return UnreachableError(message, subject=subject, hint=elsewhere)
    if status in RETRIED or _BUSY.search(said):
        after = _seconds(response.headers.get("Retry-After"))
        # Of MLflow, and not of a proxy.
        own = status == 500 and code and not _BUSY.search(said)  # noqa: PLR2004 -- as above
        failure = ApiError(message, status=status, code=code, subject=subject) if own else None
        done = status not in NOT_DONE
        return TransientError(message, subject=subject, done=done, after=after, failure=failure)
    if status in (404, 405, 501) and (not code or code == "ENDPOINT_NOT_FOUND"):
        return MissingEndpointError(message, status=status, subject=subject)
    return ApiError(message, status=status, code=code, subject=subject)


def _denied(response: requests.Response, message: str, subject: str) -> UnreachableError:
    """A 403 of MLflow, which is about one thing; or of something before it, which is about all."""
    other = is_of_others(response)
    if other:
        return AccessDeniedError(message, subject=subject, hint=other)
    hint = "ask for permission, or leave this out of the selection"
    return DeniedError(message, subject=subject, hint=hint)


def json_of(response: requests.Response, subject: str) -> dict[str, Any]:
    """The JSON object of a good answer; an empty one for an empty body.

    Raises:
        TransientError: it is cut short.
        UnreachableError: it is no JSON: a login page, another web server.
    """
    body = response.content
    value = parsed(body)
    if value is not None:
        return value
    if body.lstrip()[:1] == b"{":
        raise TransientError(
            "its answer is incomplete", subject=subject, done=True, hint="a proxy may truncate it"
        )
    raise not_mlflow(response, subject)


def parsed(body: bytes) -> dict[str, Any] | None:
    """The JSON object that a body is; an empty one for an empty body; None if it is none."""
    if not body.strip():
        return {}
    try:
        value = json.loads(body)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def not_mlflow(response: requests.Response, subject: str) -> UnreachableError:
    """An answer that MLflow would not give."""
    kind = response.headers.get("Content-Type", "something")
    what = "an HTML page" if "html" in kind else kind.partition(";")[0]
    return UnreachableError(
        f"answered with {what} and not with JSON: {shortened(_plain(response.text))}",
        subject=subject,
        hint=page_hint(response),
    )


def _said(response: requests.Response) -> tuple[str, str]:
    """MLflow's error code ("" if there is none) and message, of an answer without success."""
    try:
        value = response.json()
    except ValueError:
        value = None
    if isinstance(value, dict):
        said = value.get("message") or value.get("detail") or value.get("error") or ""
        return str(value.get("error_code", "")), shortened(str(said) or response.reason or "")
    return "", shortened(_plain(response.text)) or str(response.reason)


def _plain(text: str) -> str:
    """The title of an HTML page, or the text itself."""
    lowered = text.lower()
    start, end = lowered.find("<title>"), lowered.find("</title>")
    return text[start + len("<title>") : end] if 0 <= start < end else text


def shortened(text: str) -> str:
    """A text on one line, of bounded length, without credentials."""
    line = redact(" ".join(text.split()))
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"


def _seconds(value: str | None) -> float | None:
    """What `Retry-After` says: seconds, or a date."""
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=timezone.utc)
    return max(0.0, (when - datetime.now(timezone.utc)).total_seconds())
