"""The floor: FastAPI that reads the same request and does nothing."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel


class Request(BaseModel):
    """One customer."""

    customer_id: str
    features: dict[str, float | str | None]


app = FastAPI(openapi_url=None)


@app.post("/v1/score")
async def score(request: Request) -> dict[str, Any]:
    """Do nothing."""
    return {"customer_id": request.customer_id, "score": 0.5}
