from __future__ import annotations

from snakemq.link.testing import MemoryConnector, MemoryLink, MemoryNetwork


def connected(link: MemoryLink) -> bool:
    return len(link.connections) == 1


def make(network: MemoryNetwork) -> tuple[MemoryLink, MemoryLink, MemoryConnector]:
    a, b = network.link("a"), network.link("b")
    return a, b, network.keep_connected(a, "b")


def test_it_dials_at_once() -> None:
    network = MemoryNetwork()
    a, b, connector = make(network)
    network.run_until_idle()
    assert a.connections == (connector.conn_id,)
    assert connected(b)


def test_it_dials_again_when_the_connection_is_gone() -> None:
    network = MemoryNetwork()
    a, b, connector = make(network)
    network.run_until_idle()
    network.disconnect(a.connections[0])
    network.run_until_idle()
    assert not a.connections
    network.advance(1)
    assert connected(a)
    assert connected(b)
    assert connector.attempts == 2


def test_it_dials_until_a_link_has_that_name() -> None:
    network = MemoryNetwork()
    a = network.link("a")
    connector = network.keep_connected(a, "b", 0.5)
    network.advance(2)
    assert connector.attempts == 5
    network.link("b")
    network.advance(0.5)
    assert connected(a)


def test_it_finds_a_process_that_was_restarted() -> None:
    network = MemoryNetwork()
    a, b, _ = make(network)
    network.run_until_idle()
    network.crash(b)
    successor = network.link("b")
    network.advance(1)
    assert connected(a)
    assert connected(successor)


def test_it_gets_through_when_a_partition_is_healed() -> None:
    network = MemoryNetwork()
    a, b = network.link("a"), network.link("b")
    network.partition(a, b, 3.5)
    network.keep_connected(a, "b")
    network.advance(3)
    assert not a.connections
    network.advance(1)
    assert connected(a)


def test_a_connection_that_broke_before_it_was_announced_is_dialled_again() -> None:
    network = MemoryNetwork()
    a, _, connector = make(network)
    assert connector.conn_id is not None
    network.disconnect(connector.conn_id)
    network.advance(1)
    assert connected(a)


def test_nothing_is_planned_while_the_connection_stands() -> None:
    network = MemoryNetwork()
    make(network)
    network.advance(1)
    before = len(network.trace)
    network.advance(1000)
    assert len(network.trace) == before


def test_it_can_be_closed() -> None:
    network = MemoryNetwork()
    a, _, connector = make(network)
    network.run_until_idle()
    connector.close()
    assert connected(a)
    network.disconnect(a.connections[0])
    network.advance(10)
    assert not a.connections


def test_intervals_are_drawn_from_the_seed() -> None:
    def moments(seed: int) -> list[float]:
        network = MemoryNetwork(seed)
        network.keep_connected(network.link("a"), "b", (0.1, 1.0))
        network.advance(10)
        return [event.time for event in network.trace]

    assert moments(1) == moments(1) != moments(2)


def test_passes_can_be_run_one_by_one() -> None:
    network = MemoryNetwork()
    make(network)
    assert network.run_passes(1) == 1
    assert network.run_passes(100) > 0
    assert network.run_passes(100) == 0
    assert network.clock.time() == 0
