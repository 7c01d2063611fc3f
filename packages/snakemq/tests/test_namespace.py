import importlib.metadata
import subprocess
import sys
from pathlib import Path

import snakemq
import snakemq.peer
import snakemq.queues
import snakemq.storage


def test_the_version_is_the_one_of_the_distribution() -> None:
    assert snakemq.__version__ == importlib.metadata.version("snakemq")


def test_report_names_every_package_and_every_extra() -> None:
    command = [sys.executable, "-m", "snakemq"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for name in ("snakemq-link", "snakemq-messaging", "snakemq-peer"):
        assert f"\n  {name} " in printed
    for extra in importlib.metadata.metadata("snakemq").get_all("Provides-Extra") or ():
        assert extra == "all" or f"\n  snakemq[{extra}] " in printed


def test_peer_is_at_the_front_door() -> None:
    assert snakemq.Peer is snakemq.peer.Peer
    assert "Peer" in dir(snakemq)


def test_the_storage_module_has_the_contract_and_the_memory_storage() -> None:
    assert snakemq.storage.QueuesStorageBase is snakemq.queues.QueuesStorageBase
    assert snakemq.storage.MemoryQueuesStorage is snakemq.queues.MemoryQueuesStorage


def test_portions_are_found_wherever_they_are_installed(tmp_path: Path) -> None:
    # As with editable installations: every distribution in a folder of its own.
    for portion in ("snakemq/extension", "snakemq/storage/extension"):
        (tmp_path / portion).mkdir(parents=True)
        (tmp_path / portion / "__init__.py").touch()
    code = (
        f"import sys; sys.path.append({str(tmp_path)!r});"
        "import snakemq.extension, snakemq.storage.extension, snakemq.link"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
