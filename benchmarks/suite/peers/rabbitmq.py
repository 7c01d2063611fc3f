"""RabbitMQ by pika: a queue in memory for messages, a quorum queue for durable ones."""

from __future__ import annotations

import time
import uuid
from typing import Any

import pika

from benchmarks.suite.harness.role import Role

PREFETCH = 500


def receive(role: Role, queue: dict[str, object], auto_ack: bool) -> None:
    channel = pika.BlockingConnection(pika.URLParameters(role.service)).channel()
    name = uuid.uuid4().hex
    channel.queue_declare(name, **queue)
    channel.basic_qos(prefetch_count=PREFETCH)
    left = role.count

    def on_message(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        nonlocal left
        if not auto_ack:
            channel.basic_ack(method.delivery_tag)
        left -= 1
        if not left:
            role.finish()
            channel.queue_delete(name)

    channel.basic_consume(name, on_message, auto_ack=auto_ack)
    role.ready(name)
    role.meet()
    channel.start_consuming()


def messages_receiver(role: Role) -> None:
    receive(role, {"exclusive": False, "auto_delete": True}, auto_ack=True)


def messages_sender(role: Role) -> None:
    channel = pika.BlockingConnection(pika.URLParameters(role.service)).channel()
    data = role.payload
    role.meet()
    for _ in range(role.count):
        channel.basic_publish("", role.address, data)
    channel.connection.process_data_events(0)
    role.stay()


def durable_receiver(role: Role) -> None:
    queue = {"durable": True, "arguments": {"x-queue-type": "quorum"}}
    receive(role, queue, auto_ack=False)


def durable_sender(role: Role) -> None:
    """A batch is published, then its confirmations are waited for; then the next one."""
    properties = pika.BasicProperties(delivery_mode=2)
    data = role.payload
    left, unconfirmed, began = role.count, 0, 0.0

    def publish(channel: Any) -> None:
        nonlocal left, unconfirmed
        unconfirmed = min(left, role.in_flight)
        left -= unconfirmed
        for _ in range(unconfirmed):
            channel.basic_publish("", role.address, data, properties)

    confirmed_to = 0

    def on_confirmation(frame: Any) -> None:
        nonlocal unconfirmed, confirmed_to
        assert isinstance(frame.method, pika.spec.Basic.Ack), frame
        tag = frame.method.delivery_tag
        unconfirmed -= tag - confirmed_to if frame.method.multiple else 1
        confirmed_to = max(confirmed_to, tag)
        if not unconfirmed and left:
            publish(channel)
        elif not unconfirmed:
            role.tell("accepted", time.perf_counter() - began)

    channel: Any = None

    def on_channel(opened: Any) -> None:
        nonlocal channel
        channel = opened
        channel.confirm_delivery(on_confirmation, callback=on_confirming)

    def on_confirming(frame: Any) -> None:
        nonlocal began
        role.meet()
        began = time.perf_counter()
        publish(channel)

    connection = pika.SelectConnection(
        pika.URLParameters(role.service),
        on_open_callback=lambda connection: connection.channel(on_open_callback=on_channel),
    )
    connection.ioloop.start()
