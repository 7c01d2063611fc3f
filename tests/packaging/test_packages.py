from itertools import chain

from packaging.requirements import Requirement

from tools.packages import discover, importable, needed

from .conftest import MakePackages, Spec


def test_the_meta_package_is_discovered_and_nothing_is_private() -> None:
    packages = discover()
    assert "snakemq" in packages
    assert not [name for name, package in packages.items() if package.private]


def test_a_module_may_need_an_extra(make_packages: MakePackages) -> None:
    packages = make_packages(
        {
            "top": Spec(
                {"snakemq/a/__init__.py": "", "snakemq/b/__init__.py": "", "snakemq/b/_x.py": ""},
                extras={"more": ["foreign"]},
                modules_of_extras={"snakemq.b": "more"},
            ),
            "meta": Spec(needs=["top"], extras={"all": ["top[more]"]}),
        }
    )
    assert importable(["meta"], packages) == {"snakemq.a"}
    assert importable(["meta[all]"], packages) == {"snakemq.a", "snakemq.b", "snakemq.b._x"}
    assert packages["top"].with_extras() == "top[more]"
    assert packages["meta"].with_extras() == "meta[all]"


def test_all_packages_have_one_version() -> None:
    assert len({package.version for package in discover().values()}) == 1


def test_a_package_takes_its_siblings_from_its_own_version_on() -> None:
    """They are tested together only, and `pip install -U snakemq` must bring all of them."""
    packages = discover()
    for package in packages.values():
        extras = chain.from_iterable(package.extras.values())
        for text in (*package.requirements, *extras):
            requirement = Requirement(text)
            if requirement.name in packages and requirement.name != package.name:
                assert str(requirement.specifier) == f"<3,>={package.version}", package.name


def test_requirements_are_followed_through_siblings(make_packages: MakePackages) -> None:
    packages = make_packages(
        {
            "top": Spec(needs=["middle>=2.0,<3"]),
            "middle": Spec(needs=["bottom", "Elsewhere>=1.5"]),
            "bottom": Spec(),
            "aside": Spec(needs=["other"]),
        }
    )
    assert needed(["top"], packages) == ({"top", "middle", "bottom"}, {"Elsewhere>=1.5"})


def test_an_extra_may_be_made_of_other_extras(make_packages: MakePackages) -> None:
    packages = make_packages(
        {
            "top": Spec(extras={"a": ["aside"], "b": ["foreign"], "all": ["top[a,b]"]}),
            "aside": Spec(),
        }
    )
    assert needed(["top"], packages) == ({"top"}, set())
    assert needed(["top[a]"], packages) == ({"top", "aside"}, set())
    assert needed(["top[all]"], packages) == ({"top", "aside"}, {"foreign"})
