"""Routes as Azure's clients call them: paths and keys in any case, bodies as JSON, answers in Azure's shape."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from batch_endpoints.errors import NotFound, SpecError
from batch_endpoints.ingress.documents import base_url, storable

WORKSPACE = (
    "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.MachineLearningServices"
    "/workspaces/{workspace}"
)


class Keys(Mapping[str, Any]):
    """An object of a body, whose keys are found in any case; those with null count as absent."""

    def __init__(self, given: Any, where: str = "the body") -> None:
        if not isinstance(given, Mapping):
            raise SpecError(f"{where} is no JSON object")
        self.given = {str(key): value for key, value in given.items() if value is not None}
        self._folded = {key.lower(): value for key, value in self.given.items()}

    def __getitem__(self, key: str) -> Any:
        return self._folded[key.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self.given)

    def __len__(self) -> int:
        return len(self.given)

    def object(self, key: str) -> Keys:
        """The object below a key; an empty one where there is none."""
        return Keys(self.get(key, {}), f"'{key}'")


class Call:
    """One request: the names in its path, its query and its body.

    Args:
        body: empty where the request has none.
    """

    def __init__(self, request: Request, body: Keys) -> None:
        self.request, self.body = request, body
        self._query = {key.lower(): value for key, value in request.query_params.items()}

    def name(self, key: str) -> str:
        """A name in the path."""
        return str(self.request.path_params[key])

    def query(self, key: str) -> str:
        """A parameter of the query, whose key may be in any case; "" where it is not given."""
        return self._query.get(key.lower(), "")

    @property
    def properties(self) -> Keys:
        """What the body has below ``properties``, as all of Azure's resources do."""
        return self.body.object("properties")

    @property
    def base(self) -> str:
        """The server as this client calls it, without a final slash."""
        return base_url(self.request)

    @property
    def workspace(self) -> str:
        """The id of the workspace that this client believes to be in; any name will do."""
        return WORKSPACE.format(**{key: self.name(key) for key in ("subscription", "group", "workspace")})


Handler = Callable[[Call], Any]


class Routes:
    """Collects routes; a handler returns a response, plain JSON data, or None for an answer without a body."""

    def __init__(self) -> None:
        self.all: list[BaseRoute] = []

    def add(self, methods: str, *paths: str) -> Callable[[Handler], Handler]:
        """Let a handler answer at these paths.

        Args:
            methods: such as "GET" or "PUT PATCH".
        """

        def added(handler: Handler) -> Handler:
            self.all += [AnyCase(path, _endpoint(handler), methods=methods.split()) for path in paths]
            return handler

        return added

    def close(self) -> None:
        """Name what is not here, below all that was added."""

        def nothing(call: Call) -> Response:
            path = call.request.url.path
            raise NotFound(
                f"{call.request.method} {path} is not served here",
                mend="docs/azure.md lists which parts of Azure Machine Learning this server has.",
            )

        methods = ["GET", "PUT", "POST", "PATCH", "DELETE"]
        for path in (WORKSPACE + "/{rest:path}", "/subscriptions/{rest:path}"):
            self.all.append(AnyCase(path, _endpoint(nothing), methods=methods))


class AnyCase(Route):
    """A route whose fixed parts are found in any case: ids come back from clients as they like to write them."""

    def __init__(self, path: str, endpoint: Callable[..., Any], methods: list[str]) -> None:
        super().__init__(path, endpoint, methods=methods, include_in_schema=False)
        self.path_regex = re.compile(self.path_regex.pattern, re.IGNORECASE)


def resource(
    id: str,
    name: str,
    kind: str,
    properties: Mapping[str, Any],
    *,
    tags: Mapping[str, str] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """One of Azure's resources."""
    answer = {
        "id": id,
        "name": name,
        "type": f"Microsoft.MachineLearningServices/workspaces/{kind}",
        "location": "local",
        "tags": dict(tags or {}),
        "properties": dict(properties),
        **more,
    }
    answer.setdefault("systemData", {"createdBy": "", "createdByType": "User"})
    return answer


def stored(answer: Any, created: bool) -> Response:
    """The answer to a PUT."""
    return JSONResponse(answer, status_code=201 if created else 200)


def finished(call: Call, answer: Any, created: bool) -> Response:
    """The answer to a PUT of what takes time on Azure, and is done here.

    All releases of the client ask at once for the operation, and then for the resource; without the header the older
    ones read the body twice, and lose a part of it.
    """
    response = stored(answer, created)
    response.headers["Azure-AsyncOperation"] = f"{call.base}{call.workspace}/operations/done?api-version=1"
    return response


def present(values: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is None: an absent object is absent on Azure, not null."""
    return {key: value for key, value in values.items() if value is not None}


def _endpoint(handler: Handler) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        if inspect.iscoroutinefunction(handler):
            return as_response(await handler(Call(request, Keys({}))))
        call = Call(request, Keys(_document(await request.body())))
        return as_response(await run_in_threadpool(handler, call))

    return endpoint


def as_response(answer: Any) -> Response:
    if isinstance(answer, Response):
        return answer
    return Response(status_code=200) if answer is None else JSONResponse(answer)


def _document(body: bytes) -> dict[str, Any]:
    if not body:
        return {}
    try:
        document = json.loads(body)
        if not isinstance(document, dict):
            raise SpecError("expected a JSON object as the body")
        return storable(document)
    except (ValueError, RecursionError) as error:
        raise SpecError(f"the body is not JSON: {error}") from None
