"""gRPC: unary calls with grpc.aio. The arguments are pickled, which takes no longer than a message
of protobuf of this size."""

from __future__ import annotations

import pickle

import grpc
import grpc.aio

from benchmarks.suite.harness.event_loop import play, stay, time_awaited_calls
from benchmarks.suite.harness.role import Role

OPTIONS = (("grpc.enable_http_proxy", 0),)


def calls_server(role: Role) -> None:
    play(role, serve)


async def serve(role: Role) -> None:
    async def add(arguments: tuple[int, int], context: object) -> int:
        a, b = arguments
        return a + b

    method = grpc.unary_unary_rpc_method_handler(
        add, request_deserializer=pickle.loads, response_serializer=pickle.dumps
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("Calculator", {"add": method})]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    role.ready(f"127.0.0.1:{port}")
    await stay()


def calls_client(role: Role) -> None:
    play(role, call)


async def call(role: Role) -> None:
    channel = grpc.aio.insecure_channel(role.address, options=OPTIONS)
    method = channel.unary_unary(
        "/Calculator/add", request_serializer=pickle.dumps, response_deserializer=pickle.loads
    )

    async def add(a: int, b: int) -> int:
        result: int = await method((a, b))
        return result

    await time_awaited_calls(role, add)
    await stay()
