"""A demo from start to end: the lab, the collector, a probe per site, the display. It leaves no process behind."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from linkweather import atomicfile
from linkweather.client import Client
from linkweather.demo import plan
from linkweather.demo.children import DemoProcess, run_once
from linkweather.demo.display import DemoDisplay, DemoScene
from linkweather.demo.plan import BEGIN_S, StagedAct, staged_day
from linkweather.errors import CollectorUnavailableError, NoPathError, OperatorError
from linkweather.lab.lab import Lab
from linkweather.lab.labfile import LabFile
from linkweather.lab.protocol import LabEngineName
from linkweather.models.ledger import LedgerAnswer
from linkweather.models.routes import Objective, RouteAnswer
from linkweather.models.state import LinkAnswer, SiteAnswer

REFRESH_S = 1.0
CAPACITIES_S = 1200.0
FAILED_PAUSE_S = 1.0
OBJECTIVES: tuple[Objective, ...] = ("latency", "goodput")  # completion depends on the size of the data
READY_LIMIT_S = 60.0
PAGE_PORT = 8420
SOCKET_PATH_MAX_BYTES = 107  # sockaddr_un.sun_path, less its closing NUL (unix(7))
_PROGRAM = (sys.executable, "-P", "-m", "linkweather")


@dataclass(frozen=True, slots=True)
class DemoOrder:
    """What to show: `for_s` None means until Ctrl-C; `quiet` leaves the links alone."""

    lab: LabFile
    data_dir: Path
    api_port: int
    for_s: float | None
    engine: LabEngineName | None = None
    seed: int = 1
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class DemoOutcome:
    """The collector's answers at the end."""

    scene: DemoScene
    links: Sequence[LinkAnswer]
    sites: Sequence[SiteAnswer]
    relayed: Sequence[RouteAnswer]
    ledger: LedgerAnswer | None = None


async def run(order: DemoOrder, display: DemoDisplay) -> DemoOutcome:
    """Run the demo until its time is over or a signal ends it. Raises OperatorError when it cannot start."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with Lab(order.lab, data_dir=order.data_dir, seed=order.seed, engine=order.engine) as lab:
        with _places(order) as places, Client(places.api) as client:
            atomicfile.replace(places.settings, plan.collector_toml(places))
            atomicfile.replace(places.mesh, plan.mesh_toml(order.lab, lab.addresses))
            scene = _scene(order, lab, places)
            display.begin(scene)
            try:
                async with _processes(lab, places, order.lab), _staged(order, lab, client, display):
                    return await _watch(scene, client, display, stop, order.for_s)
            finally:
                display.end()


@contextlib.contextmanager
def _places(order: DemoOrder) -> Iterator[plan.DemoPlaces]:
    """Free places to listen at. A data folder too long for a socket's path has its socket in a temporary one."""
    _check_free(order.api_port)
    with contextlib.ExitStack() as stack:
        socket_ = order.data_dir / "mqtt"
        if len(os.fsencode(socket_)) > SOCKET_PATH_MAX_BYTES:
            socket_ = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="linkweather-"))) / "mqtt"
        yield plan.DemoPlaces(order.data_dir, socket_, _free_port(), order.api_port, _page_port())


def _scene(order: DemoOrder, lab: Lab, places: plan.DemoPlaces) -> DemoScene:
    links = sum(1 for _ in order.lab.behaviours())
    return DemoScene(order.lab.name, len(order.lab.sites), links, lab.engine, lab.note, places.api, str(order.data_dir))


@contextlib.asynccontextmanager
async def _processes(lab: Lab, places: plan.DemoPlaces, file: LabFile) -> AsyncIterator[None]:
    """The collector and the probes while the block runs; the probes end first, so that their last status arrives."""
    logs = places.data_dir / "logs"
    logs.mkdir(mode=0o700, exist_ok=True)
    collector = DemoProcess("collector", plan.collector_command(_PROGRAM, places), logs / "collector.log")
    probes = [
        DemoProcess(
            f"probe {site}",
            lab.command(site, plan.probe_command(_PROGRAM, places, site, address)),
            logs / f"probe-{site}.log",
        )
        for site, address in lab.addresses.items()
    ]
    async with asyncio.TaskGroup() as group:
        last = group.create_task(collector.run(), name=collector.name)
        first = [group.create_task(probe.run(), name=probe.name) for probe in probes]
        commands = list(plan.capacity_commands(_PROGRAM, places, file))
        first.append(group.create_task(_report_capacities(commands, logs / "capacity.log"), name="capacities"))
        yield
        for task in first:
            task.cancel()
        await asyncio.wait(first)
        last.cancel()


@contextlib.asynccontextmanager
async def _staged(order: DemoOrder, lab: Lab, client: Client, display: DemoDisplay) -> AsyncIterator[None]:
    """The staged day while the block runs, in a lab whose links are emulated."""
    async with asyncio.TaskGroup() as group:
        acts = () if order.quiet or not lab.emulated else tuple(staged_day(order.lab))
        stage = group.create_task(_stage(acts, lab, client, display), name="staged day")
        yield
        stage.cancel()


async def _stage(acts: Sequence[StagedAct], lab: Lab, client: Client, display: DemoDisplay) -> None:
    """Change the links again and again, from the first figures on."""
    if acts:
        await _first_figures(client)
        await asyncio.sleep(BEGIN_S)
    for act in itertools.cycle(acts):
        try:
            await lab.change(act.src, act.dst, loss_ratio=act.loss_ratio, cut=act.cut)
        except OperatorError as refused:
            display.note(str(refused))
        else:
            display.announce(act.sentence)
        await asyncio.sleep(act.pause_s)


async def _first_figures(client: Client) -> None:
    while True:
        with contextlib.suppress(CollectorUnavailableError, OperatorError):
            if any(link.rtt_p50_s is not None for link in await asyncio.to_thread(client.links)):
                return
        await asyncio.sleep(REFRESH_S)


async def _report_capacities(commands: Sequence[Sequence[str]], log: Path) -> None:
    """Report what the sites have for jobs, one after the other, and again before these reports expire.

    What no collector confirmed in time is reported again at once: at the start of a busy machine it may not run yet.
    """
    while True:
        waiting = list(commands)
        while waiting := [one for one in waiting if await run_once(one, log) != 0]:  # noqa: ASYNC110 – no polling
            await asyncio.sleep(FAILED_PAUSE_S)
        await asyncio.sleep(CAPACITIES_S)


async def _watch(
    scene: DemoScene, client: Client, display: DemoDisplay, stop: asyncio.Event, for_s: float | None
) -> DemoOutcome:
    """Show the mesh until `stop` is set or `for_s` is over, counted from the first answer of the collector."""
    if not await _ready(client, stop):
        return DemoOutcome(scene, (), (), ())
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(for_s):
            while not stop.is_set():
                await _refresh(client, display)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(REFRESH_S):
                        await stop.wait()
    try:
        links, sites = await asyncio.to_thread(client.links), await asyncio.to_thread(client.sites)
        relayed = await asyncio.to_thread(_relayed, client)
        return DemoOutcome(scene, links, sites, relayed, await asyncio.to_thread(client.ledger))
    except CollectorUnavailableError as away:
        raise OperatorError(str(away)) from None


async def _ready(client: Client, stop: asyncio.Event) -> bool:
    """Wait for the collector; false if `stop` was set before it answered."""
    deadline = asyncio.get_running_loop().time() + READY_LIMIT_S
    while not stop.is_set():
        try:
            await asyncio.to_thread(client.mesh)
        except (CollectorUnavailableError, OperatorError):
            if asyncio.get_running_loop().time() > deadline:
                raise OperatorError(f"the collector does not answer within {READY_LIMIT_S:g} s") from None
            await asyncio.sleep(0.1)
        else:
            return True
    return False


async def _refresh(client: Client, display: DemoDisplay) -> None:
    try:
        display.show(await asyncio.to_thread(client.links), await asyncio.to_thread(_relayed, client))
    except CollectorUnavailableError as away:
        display.note(str(away))


def _relayed(client: Client) -> list[RouteAnswer]:
    """The active routes through a relay, by RTT and by goodput."""
    relayed = [(objective, one) for objective in OBJECTIVES for one in client.routes(objective).routes if one.relays]
    answers = []
    for objective, one in relayed:
        with contextlib.suppress(NoPathError):  # it was lost meanwhile
            answers.append(client.route(one.src, one.dst, objective=objective))
    return answers


def _page_port() -> int:
    """The page's usual port, or a free one where it is taken: the API's / leads there."""
    with contextlib.suppress(OperatorError):
        _check_free(PAGE_PORT)
        return PAGE_PORT
    return _free_port()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise OperatorError(f"--port {port}: {os.strerror(error.errno or 0)}: choose another") from None
