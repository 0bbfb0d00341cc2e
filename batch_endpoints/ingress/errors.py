"""Errors over HTTP: a status for each class, one shape for all, and never a stack trace."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from batch_endpoints import errors
from batch_endpoints.specs.limits import quoted, shortened

logger = logging.getLogger(__name__)

STATUSES: dict[type[errors.BatchEndpointError], int] = {
    errors.SpecError: 400,
    errors.InvocationError: 400,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.OutputFailed: 409,  # of what a job has committed so far
    errors.Refused: 403,
    errors.NotAuthenticated: 401,
    errors.ServerError: 503,  # the database is away
    errors.StoreUnavailable: 503,
}
_LONGEST_MESSAGE = 8192  # characters: it may quote what was sent
_CODES = {400: "BadRequest", 404: "NotFound", 405: "MethodNotAllowed", 413: "TooLarge"}


def error_response(
    status: int, code: str, message: str, details: Sequence[Any] = (), headers: dict[str, str] | None = None
) -> JSONResponse:
    message = shortened(message, _LONGEST_MESSAGE)
    message = message.encode(errors="replace").decode()  # half of a surrogate pair, quoted from a body, is no UTF-8
    body = {"error": {"code": code, "message": message, "details": list(details)}}
    return JSONResponse(body, status_code=status, headers=headers)


def add_error_handlers(app: FastAPI) -> None:
    """Answer every error in the one shape."""

    @app.exception_handler(errors.BatchEndpointError)
    def ours(request: Request, error: errors.BatchEndpointError) -> JSONResponse:
        for kind in type(error).__mro__:
            if status := STATUSES.get(kind):
                if status >= 500:
                    logger.error("request failed", exc_info=error, extra={"path": request.url.path})
                return error_response(status, error.code, str(error))
        return unexpected(request, error)

    @app.exception_handler(RequestValidationError)
    def not_readable(request: Request, error: RequestValidationError) -> JSONResponse:
        problems = [_problem(dict(e), request) for e in error.errors()]
        return error_response(400, errors.SpecError.code, "\n".join(dict.fromkeys(problems)))

    @app.exception_handler(HTTPException)
    def by_status(request: Request, error: HTTPException) -> JSONResponse:
        message = {
            404: f"there is nothing at {request.method} {request.url.path}\nSee /docs for what there is.",
            405: f"{request.method} is not possible at {request.url.path}\nSee /docs for what is.",
        }.get(error.status_code, str(error.detail))
        code = _CODES.get(error.status_code, "Error")
        return error_response(error.status_code, code, message, headers=dict(error.headers or {}))

    @app.exception_handler(Exception)
    def unexpected(request: Request, error: Exception) -> JSONResponse:
        logger.error(
            "request failed unexpectedly",
            exc_info=error,
            extra={"method": request.method, "path": request.url.path},
        )
        return error_response(500, "InternalError", "the server failed unexpectedly; its log has the cause")


def _problem(error: dict[str, Any], request: Request) -> str:
    """One of FastAPI's findings as a person would tell it."""
    loc = [str(part) for part in error["loc"]]
    if error["type"] == "json_invalid":
        return f"the body is not JSON: {error.get('ctx', {}).get('error', error['msg'])}, at character {loc[-1]}"
    if error["type"] == "value_error":
        return f"the body has {error['ctx']['error']}"
    if loc[0] == "body":
        kind = request.headers.get("content-type", "")
        if "json" not in kind.lower():
            sent = f"says '{kind}'" if kind else "is missing"
            return (
                f"the body is not taken as JSON: the header content-type {sent}\nSend content-type: application/json."
            )
        return "the body is missing" if error["type"] == "missing" else "expected a JSON object as the body"
    message = str(error["msg"]).replace("Input should be", "expected")
    return f"'{loc[-1]}' ({loc[0]}): {message}, found {quoted(error.get('input'))}"
