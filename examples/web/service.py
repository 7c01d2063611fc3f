"""A web service in front of devices: it calls them by name, and pushes their events to a page.

    pip install fastapi uvicorn
    python service.py [PORT] [URL]

Serves http://127.0.0.1:PORT (8000 by default; 0 is any free one), and waits for devices (device.py)
at URL (tcp://127.0.0.1:4000 by default). / is a page that shows who is online and what happens, GET
/devices lists who is online, POST /devices/device-1/switch?state=on calls a device, and /events has
the events (server-sent events). Ends on SIGTERM or Ctrl-C. Needs snakemq[rpc].
"""

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from fastapi import FastAPI, HTTPException
from fastapi.responses import FileResponse, StreamingResponse

from snakemq.aio import Peer
from snakemq.rpc import Error, NotConnected

SECONDS_TO_ANSWER = 5.0
SECONDS_OF_SILENCE = 1.0
MOST_UNREAD = 100
"""Events. A page that reads too slowly misses some."""


def make_app(url: str, is_ending: Callable[[], bool]) -> FastAPI:
    """``is_ending``: is the server waiting for the streams of events to end?"""
    peer = Peer("web")
    pages: set[asyncio.Queue[str]] = set()

    def push(kind: str, what: object) -> None:
        for page in pages:
            if not page.full():
                page.put_nowait(f"event: {kind}\ndata: {json.dumps(what)}\n\n")

    def push_who_is_online(conn_id: str, ident: str) -> None:
        push("online", sorted(peer.peers()))

    async def push_events() -> None:
        async for message in peer.messages():
            push("news", {"device": message.sender.ident, "event": message.content})

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with peer, asyncio.TaskGroup() as tasks:
            peer.messaging.on_admitted.add(push_who_is_online)
            peer.messaging.on_disconnect.add(push_who_is_online)
            events = tasks.create_task(push_events())
            print("listening on", peer.listen(url), flush=True)
            yield
            events.cancel()
        print("bye")

    app = FastAPI(lifespan=lifespan)

    @app.get("/")
    async def page() -> FileResponse:
        return FileResponse(Path(__file__).with_name("page.html"))

    @app.get("/devices")
    async def devices() -> dict[str, str]:
        return {ident: f"{it.since:%H:%M:%S}" for ident, it in sorted(peer.peers().items())}

    @app.post("/devices/{ident}/switch")
    async def switch(ident: str, state: str, timeout: float = SECONDS_TO_ANSWER) -> str:
        lamp = peer.remote(ident, "lamp", if_away="fail")
        try:
            async with asyncio.timeout(timeout):
                return str(await lamp.switch(state))
        except NotConnected:
            raise HTTPException(404, f"{ident} is not online") from None
        except TimeoutError:
            raise HTTPException(504, f"no answer in {timeout:g} s") from None
        except (ValueError, Error) as exc:
            raise HTTPException(400, str(exc)) from exc

    @app.get("/events")
    async def events() -> StreamingResponse:
        async def stream() -> AsyncIterator[str]:
            page: asyncio.Queue[str] = asyncio.Queue(MOST_UNREAD)
            pages.add(page)
            try:
                yield f"event: online\ndata: {json.dumps(sorted(peer.peers()))}\n\n"
                while not is_ending():
                    try:
                        async with asyncio.timeout(SECONDS_OF_SILENCE):
                            event = await page.get()
                    except TimeoutError:
                        event = ": nothing new\n\n"  # so that no proxy ends the stream
                    yield event
            finally:
                pages.discard(page)

        return StreamingResponse(stream(), media_type="text/event-stream")

    return app


def main(port: int | str = 8000, url: str = "tcp://127.0.0.1:4000") -> None:
    app = make_app(url, lambda: server.should_exit)
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=10)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", int(port))) as listener:
        print("open", f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        server.run(sockets=[listener])


if __name__ == "__main__":
    main(*sys.argv[1:])
