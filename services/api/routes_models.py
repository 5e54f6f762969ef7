"""/models, /models/{version}, /models/{version}/weights and /releases."""

from __future__ import annotations

from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, HTTPException, Path, Query, Request, Response

from schemas import Release
from services.api.answers import ModelInfo, ModelPage, Problem, ReleasePage
from services.api.examples import RELEASE, dump, json_example
from services.api.questions import FederationQuestion, ReleaseQuestion, join_cursor
from services.api.store import Rows, Store

router = APIRouter(tags=["models"])

Version = Annotated[str, Path(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]+$", examples=["1.4"])]
Found = Annotated[FederationQuestion, Query()]
_SAFETENSORS = "application/vnd.safetensors"
_MISSING: dict[int | str, dict[str, Any]] = {
    404: {"model": Problem, "description": "Unknown version, or its weights are not kept here."},
    409: {"model": Problem, "description": "Several federations have this version: say which."},
}


def _info(row: sa.Row[Any]) -> ModelInfo:
    release = Release.read(row.body)
    known = release.model_dump(exclude={"schema_version", "kind", "previous_release_seq"})
    return ModelInfo(**known, in_force=row.in_force, available=row.available)


def _cursor(rows: Rows, limit: int) -> str | None:
    last = rows[min(limit, len(rows)) - 1] if rows else None
    return join_cursor(last.release_seq, last.federation) if last and len(rows) > limit else None


def _one(store: Store, version: str, federation: str | None) -> sa.Row[Any]:
    rows = store.versions(version, federation)
    federations = sorted({row.federation for row in rows})
    if not rows:
        raise HTTPException(404, f"no model has the version {version!r}; see /models")
    if len(federations) > 1:
        raise HTTPException(409, f"several federations have it, add ?federation= one of {', '.join(federations)}")
    return rows[0]


_EXAMPLE = dump(
    ModelInfo(
        **RELEASE.model_dump(exclude={"schema_version", "kind", "previous_release_seq"}),
        in_force=True,
        available=True,
    )
)


@router.get(
    "/models", responses=json_example({"items": [_EXAMPLE], "next_cursor": None}, "One page of model versions.")
)
def list_models(request: Request, question: Annotated[ReleaseQuestion, Query()]) -> ModelPage:
    """Model versions, newest first."""
    store: Store = request.app.state.store
    rows = store.releases(question, kind="release")
    return ModelPage(items=tuple(map(_info, rows[: question.limit])), next_cursor=_cursor(rows, question.limit))


@router.get("/models/{version}", responses={**json_example(_EXAMPLE, "The model."), **_MISSING})
def get_model(request: Request, version: Version, question: Found) -> ModelInfo:
    """One model version."""
    return _info(_one(request.app.state.store, version, question.federation))


@router.get(
    "/models/{version}/weights",
    response_class=Response,
    responses={
        **_MISSING,
        200: {
            "description": "The weights with the scaler's moments, as safetensors; the ETag is their SHA-256.",
            "content": {_SAFETENSORS: {"schema": {"type": "string", "format": "binary"}}},
        },
    },
)
def get_weights(request: Request, version: Version, question: Found) -> Response:
    """The weights of a model version, byte for byte as they were released."""
    store: Store = request.app.state.store
    release = Release.read(_one(store, version, question.federation).body)
    digest = release.weights.sha256
    data = store.weights(release.federation, digest)
    if data is None:
        raise HTTPException(404, f"the weights {digest} are not kept here (anymore); raise keep_artefacts")
    name = f"attachment; filename={digest[:16]}.safetensors"
    return Response(data, media_type=_SAFETENSORS, headers={"ETag": f'"{digest}"', "Content-Disposition": name})


@router.get(
    "/releases", responses=json_example({"items": [dump(RELEASE)], "next_cursor": None}, "One page of releases.")
)
def list_releases(request: Request, question: Annotated[ReleaseQuestion, Query()]) -> ReleasePage:
    """Releases and rollbacks, newest first."""
    store: Store = request.app.state.store
    rows = store.releases(question)
    items = tuple(Release.read(row.body) for row in rows[: question.limit])
    return ReleasePage(items=items, next_cursor=_cursor(rows, question.limit))
