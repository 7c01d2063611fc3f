from tools.layers import violations
from tools.packages import discover

from .conftest import MakePackages, Spec


def test_the_packages_keep_to_the_layer_rule() -> None:
    assert list(violations(discover())) == []


def check(make_packages: MakePackages, code: str) -> list[str]:
    """The violations of a middle layer that consists of this code."""
    packages = make_packages(
        {
            "snakemq": Spec({"snakemq/__init__.py": "", "snakemq/storage/__init__.py": ""}),
            "top": Spec({"snakemq/rpc/__init__.py": "", "snakemq/storage/sql/__init__.py": ""}),
            "middle": Spec(
                {"snakemq/message/__init__.py": "", "snakemq/message/_message.py": code},
                needs=["low>=2.0", "SQLAlchemy"],
            ),
            "low": Spec({"snakemq/queues/__init__.py": ""}, needs=["bottom", "pymongo"]),
            "bottom": Spec({"snakemq/link/__init__.py": "", "snakemq/link/_link.py": ""}),
        }
    )
    place = "packages/middle/src/snakemq/message/_message.py:1: middle imports "
    return [line.removeprefix(place) for line in violations(packages)]


def test_what_is_declared_may_be_imported(make_packages: MakePackages) -> None:
    code = """\
import os.path, sqlalchemy.orm
import snakemq.link._link
from collections.abc import Iterator
from snakemq import link, queues
from snakemq.link import Link
from . import _message
from ._message import Message
from .. import link
from ..link import Link
"""
    assert check(make_packages, code) == []


def test_a_layer_above_must_not_be_imported(make_packages: MakePackages) -> None:
    expected = ["snakemq.rpc, which is part of top"]
    assert check(make_packages, "import snakemq.rpc") == expected


def test_it_does_not_matter_how_it_is_imported(make_packages: MakePackages) -> None:
    code = "def f():\n    if 0: from ..storage.sql import Storage"
    (line,) = check(make_packages, code)
    assert line.endswith("imports snakemq.storage.sql.Storage, which is part of top")


def test_a_module_may_hide_behind_the_namespace(make_packages: MakePackages) -> None:
    expected = ["snakemq.rpc, which is part of top"]
    assert check(make_packages, "from snakemq import rpc") == expected


def test_the_meta_package_is_above_all(make_packages: MakePackages) -> None:
    expected = ["snakemq.init_logging, which is part of snakemq"]
    assert check(make_packages, "from snakemq import init_logging") == expected


def test_what_comes_from_elsewhere_must_be_declared(make_packages: MakePackages) -> None:
    # pymongo is declared, but by another package.
    expected = ["pymongo, which it does not declare"]
    assert check(make_packages, "import pymongo") == expected


def test_only_the_modules_of_an_extra_import_what_it_brings(make_packages: MakePackages) -> None:
    code = "import sqlalchemy"
    packages = make_packages(
        {
            "sql": Spec(
                {"snakemq/plain/__init__.py": code, "snakemq/sqla/_x.py": code},
                extras={"sqlalchemy": ["SQLAlchemy"]},
                modules_of_extras={"snakemq.sqla": "sqlalchemy"},
            )
        }
    )
    place = "packages/sql/src/snakemq/plain/__init__.py:1"
    expected = f"{place}: sql imports sqlalchemy, which it does not declare"
    assert list(violations(packages)) == [expected]
