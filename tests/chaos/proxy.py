"""A TCP proxy that delays, stops, and cuts connections at random bytes.

    proxy.py FOLDER SEED

It listens on the port that it prints, and connects to the port that FOLDER/port says.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.chaos.journal import Journal

RESET_AT_CLOSE = struct.pack("ii", 1, 0)


class Cut(Exception):
    """It is time to break this connection."""


class Fate:
    """What will become of one connection."""

    def __init__(self) -> None:
        self.bytes_left = int(random.choice((100, 1e4, 1e6, 1e7)) * random.random())
        self.is_slow = random.random() < 0.2
        self.stops = random.random() < 0.3
        """Does it go silent before it breaks?"""
        self.resets = random.random() < 0.5
        """Or does it end in order?"""


class Proxy:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._journal = Journal(folder / "cuts")

    async def serve(self) -> None:
        server = await asyncio.start_server(self._handle, "127.0.0.1", 0)
        print("port", server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fate = Fate()
        writers = [writer]
        try:
            port = int((self._folder / "port").read_text())
            there, back = await asyncio.open_connection("127.0.0.1", port)
            writers.append(back)
            ways = (self._pass(reader, back, fate), self._pass(there, writer, fate))
            tasks = [asyncio.ensure_future(way) for way in ways]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            if any(
                isinstance(e, Cut) for e in await asyncio.gather(*tasks, return_exceptions=True)
            ):
                self._journal.write("cut")
        except OSError:
            pass  # the receiver is dead at the moment
        finally:
            for end in writers:
                if fate.resets:
                    end.get_extra_info("socket").setsockopt(
                        socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE
                    )
                    end.transport.abort()
                else:
                    end.close()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, fate: Fate
    ) -> None:
        while data := await reader.read(64 * 1024):
            if fate.is_slow:
                await asyncio.sleep(random.uniform(0, 0.05))
            if fate.bytes_left < len(data):
                writer.write(data[: fate.bytes_left])
                if fate.stops:
                    await asyncio.sleep(random.uniform(0, 1))
                raise Cut
            fate.bytes_left -= len(data)
            writer.write(data)
            await writer.drain()


if __name__ == "__main__":
    random.seed(int(sys.argv[2]))
    asyncio.run(Proxy(Path(sys.argv[1])).serve())
