from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from rpc_peers import RawServer, called

from snakemq.rpc import RemoteMethod, RpcInstProxy


def test_a_method_is_always_the_same_object(proxy: RpcInstProxy) -> None:
    assert proxy.method is proxy.method
    assert isinstance(proxy.method, RemoteMethod)
    assert proxy.method is not proxy.other


def test_names_with_an_underscore_are_not_methods(proxy: RpcInstProxy) -> None:
    assert hasattr(proxy, "method")
    for name in ("_private", "__len__", "__wrapped__", "_repr_html_"):
        assert not hasattr(proxy, name)
        with pytest.raises(AttributeError, match=name):
            getattr(proxy, name)


def test_a_proxy_can_be_shown_anywhere(proxy: RpcInstProxy) -> None:
    assert "object" in repr(proxy)
    assert "server" in repr(proxy)
    assert "method" in repr(proxy.method)
    assert str(proxy) == repr(proxy)


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy])
def test_a_copy_of_a_proxy_has_settings_of_its_own(proxy: RpcInstProxy, make: Any) -> None:
    proxy.method.set_timeout(5)
    other = make(proxy)
    assert other.method.call_timeout == 5
    assert other.method.iproxy is other
    other.method.set_timeout(6)
    assert proxy.method.call_timeout == 5


def test_a_proxy_is_not_pickled(proxy: RpcInstProxy) -> None:
    for something in (proxy, proxy.method):
        with pytest.raises(TypeError, match="pickle"):
            pickle.dumps(something)


def test_a_clone_is_independent(proxy: RpcInstProxy) -> None:
    proxy.method.set_timeout(5)
    proxy.method.as_signal(6)
    clone = proxy.method.clone()
    assert (clone.name, clone.call_timeout, clone.signal_timeout) == ("method", 5, 6)
    assert clone.iproxy is proxy
    clone.set_timeout(7)
    clone.as_signal(None)
    assert (proxy.method.call_timeout, proxy.method.signal_timeout) == (5, 6)


NAMES = ("self", "args", "kwargs", "name", "request", "timeout", "ident", "method", "iproxy")


@pytest.mark.parametrize("way", ["call", "future", "signal"])
def test_keyword_arguments_may_have_any_name(
    proxy: RpcInstProxy, server: RawServer, way: str
) -> None:
    given = {name: number for number, name in enumerate(NAMES)}
    if way == "signal":
        proxy.method.as_signal(10)
    called(server, proxy.method.future if way == "future" else proxy.method, **given)
    server.until(lambda: server.requests)
    assert server.requests[0]["kwargs"] == given
