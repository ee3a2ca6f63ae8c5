"""The HTTP API's placements and capacities."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from pydantic_core import from_json

from collector.api.api_requests import ApiError, read_body
from collector.placement import joint
from collector.placement.placement import PlacementInputs, place
from linkweather import settings
from linkweather.errors import BadValueError
from linkweather.models.placements import Job, Jobs, PlacementAnswer, PlacementsAnswer
from linkweather.models.state import CapacityAnswer

JOBS_BYTES_MAX = 4_000_000
_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"description": 'A job, or {"jobs": [job, …]}'}}},
    }
}


def add_capacity(app: FastAPI, capacities: Callable[[], list[CapacityAnswer]]) -> None:
    """Add the answer about the sites' devices."""

    @app.get("/api/v1/capacity")
    async def capacity() -> list[CapacityAnswer]:
        """What each site last reported of its devices, by type; also what has expired."""
        return capacities()


def add_placements(
    app: FastAPI, inputs_now: Callable[[], PlacementInputs], log: Callable[[PlacementAnswer], None]
) -> None:
    """Add the answers to where jobs should run, from the inputs at each question; `log` gets every answer.

    The application has handlers for ApiError.
    """

    @app.post("/api/v1/placements", openapi_extra=_BODY)
    async def placements(request: Request) -> PlacementAnswer | PlacementsAnswer:
        """Where a job should run, or several jobs together: `{"jobs": [job, …]}`."""
        values = await _values(request)
        inputs = inputs_now()
        try:
            if "jobs" not in values:
                answer = place(settings.validate(values, Job, "").at_ids(inputs.mesh), inputs)
                log(answer)
                return answer
            jobs = settings.validate(values, Jobs, "").at_ids(inputs.mesh)
        except BadValueError as error:
            raise ApiError(422, error.sentence, error.key or None) from None
        answers = await _together(jobs, inputs)
        for answer in answers.placements:
            log(answer)
        return answers


async def _together(jobs: Sequence[Job], inputs: PlacementInputs) -> PlacementsAnswer:
    alone = []
    for answer in joint.alone(jobs, inputs):
        alone.append(answer)
        await asyncio.sleep(0)  # between two jobs others have their turn
    # Arithmetic for up to a few seconds; nothing else waits for it.
    return await asyncio.to_thread(joint.together, jobs, alone, inputs.at)


async def _values(request: Request) -> Mapping[str, Any]:
    body = await read_body(request, JOBS_BYTES_MAX, "jobs")
    try:
        values = from_json(body)
    except ValueError as error:
        raise ApiError(422, f"is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise ApiError(422, 'must be a job, or {"jobs": [job, …]}')
    return values
