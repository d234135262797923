"""Puts the API together: its routes behind the token, its errors as JSON, its description as OpenAPI."""

from collections.abc import Sequence
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from postroom import __version__
from postroom.admin.refusal import Refused
from postroom.mail.trouble import StoreUnavailable
from postroom.web.api.access import Guarded, read_token

PREFIX = "/api/v1"


def make_api(routes: Sequence[APIRouter], token: bytes) -> Guarded:
    """The API, to be mounted under ``PREFIX``. Every answer that is no success is ``{"error": …}``, with ``remedy`` or
    ``detail`` where there is more to say. ``openapi.json`` describes it.
    """
    api = FastAPI(title="Postroom", version=__version__, docs_url=None, redoc_url=None, openapi_url="/openapi.json")
    for router in routes:
        api.include_router(router)

    @api.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> JSONResponse:
        return _error(400, error.what, remedy=error.remedy)

    @api.exception_handler(StoreUnavailable)
    async def unavailable(_: Request, error: StoreUnavailable) -> JSONResponse:
        return _error(503, f"the store cannot be used: {error}")

    @api.exception_handler(HTTPException)
    async def failed(_: Request, error: HTTPException) -> JSONResponse:
        return _error(error.status_code, str(error.detail))

    @api.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        found = [{"where": [str(part) for part in one["loc"]], "what": str(one["msg"])} for one in error.errors()]
        return _error(422, "the request is not understood", detail=found)

    return Guarded(api, token)


def open_api(token_file: Path | None, *routes: APIRouter) -> Guarded | None:
    """The API of the settings; None without a token. Raises OSError and ValueError for a token that cannot be used."""
    return None if token_file is None else make_api(routes, read_token(token_file))


def _error(status: int, error: str, **more: object) -> JSONResponse:
    said = {name: value for name, value in more.items() if value}
    return JSONResponse({"error": error, **said}, status_code=status)
