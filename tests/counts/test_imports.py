"""What the import of a layer brings along: a process pays for all of it when it starts."""

from __future__ import annotations

import subprocess
import sys

import pytest

LAYERS = ["snakemq.messaging", "snakemq.rpc", "snakemq.peer", "snakemq.storage.sqlite"]

DEAR = {
    # Milliseconds beside snakemq.messaging, which takes 22 (CPython 3.11, 2.6 GHz EPYC).
    "asyncio": 15,
    "ctypes": 1,
    "dataclasses": 4,
    "importlib.metadata": 14,
    "inspect": 3,
    "multiprocessing": 1,
    "pickletools": 0.5,
    "random": 0.5,
    "snakemq.link.testing": 3,
    "sqlalchemy": 100,
    "ssl": 4,
    "subprocess": 1.5,
    "unittest": 8,
    "uuid": 1.5,
}
"""Modules that we import only where we use them, and milliseconds that they take."""

IMPORT = """
import sys
before = set(sys.modules)
import {}
print(*sys.modules.keys() - before)
"""

COMPILING = """
import builtins, sys

real = builtins.compile

def noting(source, filename, mode, *args, **kwargs):
    frame = sys._getframe(1)
    if mode == "eval":  # else it is a module
        while frame.f_back and not frame.f_globals["__name__"].startswith("snakemq."):
            frame = frame.f_back
        print(frame.f_globals["__name__"])
    return real(source, filename, mode, *args, **kwargs)

builtins.compile = noting
import {}
"""
"""Prints the modules that compile something when they are imported."""


def output(script: str) -> list[str]:
    """The words that a new process prints."""
    command = [sys.executable, "-c", script]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()


@pytest.mark.parametrize("layer", LAYERS)
def test_nothing_dear_is_imported_that_a_start_can_do_without(layer: str) -> None:
    imported = output(IMPORT.format(layer))
    assert layer in imported
    assert [name for name in imported if name in DEAR] == []


@pytest.mark.parametrize("layer", LAYERS)
def test_no_annotation_is_compiled(layer: str) -> None:
    """``NamedTuple`` and ``TypedDict`` compile annotations that are strings, and the first call of
    ``compile`` takes 0.7 ms. So modules with such classes do not import ``annotations`` from
    ``__future__``, which would make strings of all of them."""
    assert output(COMPILING.format(layer)) == []
