from tools.packages import discover
from tools.wings import violations

from .conftest import MakePackages, Spec

PLAN = {"snakemq.house": (("__init__", "_face"), ("_left", "_right"), ("_cellar",))}


def test_the_packages_keep_to_their_floors_and_have_no_circles() -> None:
    assert list(violations(discover())) == []


def check(make_packages: MakePackages, **code: str) -> list[str]:
    """The violations of a package whose files consist of this code, ``a___b`` being ``a/b.py``."""
    wings = ("_left____init__", "_left___a", "_right____init__", "_right___b")
    names = ("__init__", "_face", *wings, "_cellar____init__", "_cellar___c", "_ground", "_soil")
    files = {f"snakemq/house/{name.replace('___', '/_')}.py": code.get(name, "") for name in names}
    packages = make_packages({"house": Spec(files)})
    return [line.split(": ", 1)[1] for line in violations(packages, PLAN)]


def test_imports_may_go_down(make_packages: MakePackages) -> None:
    code = {
        "__init__": "from ._face import x",
        "_face": "from ._left._a import x\nfrom ._right import _b\nfrom . import _ground",
        "_left___a": "from .._cellar._c import x",
        "_cellar___c": "from .._ground import x",
    }
    assert check(make_packages, **code) == []


def test_no_import_goes_up(make_packages: MakePackages) -> None:
    expected = ["snakemq.house._cellar._c must not import snakemq.house._left._a"]
    assert check(make_packages, _cellar___c="from .._left._a import x") == expected


def test_the_ground_imports_nothing_from_above(make_packages: MakePackages) -> None:
    expected = ["snakemq.house._ground must not import snakemq.house._cellar._c"]
    assert check(make_packages, _ground="from ._cellar import _c") == expected


def test_wings_on_one_floor_do_not_know_each_other(make_packages: MakePackages) -> None:
    expected = ["snakemq.house._left._a must not import snakemq.house._right._b"]
    assert check(make_packages, _left___a="def f():\n    from .._right._b import x") == expected


def test_files_on_one_floor_may_know_each_other(make_packages: MakePackages) -> None:
    assert check(make_packages, __init__="from . import _face") == []


def test_no_import_goes_in_a_circle(make_packages: MakePackages) -> None:
    (line,) = check(make_packages, _ground="from . import _soil", _soil="from ._ground import x")
    assert line.startswith("a circle of imports: ")
    assert line.count("_ground") + line.count("_soil") == 3
