"""The arrows of the design: who may import whom, and what may not be there at all."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("streamgauge", "schemas", "services")
SERVICES = ("edge_node", "aggregator", "api", "replay", "plant")
TOGETHER = {
    "services.backtest",
    "services.cli",
    "services.demo",
    "services.doctor",
    "services.doctor_keys",
    "services.reference",
}
"""What puts services together, and so may import all of them."""
PURE = {"asyncio", "socket", "http", "urllib", "requests", "httpx", "kafka", "sqlalchemy", "sqlite3", "pydantic"}
PURE |= {"pydantic_settings", "time", "logging", "structlog", "prometheus_client", "threading", "subprocess"}
UNSAFE = {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle"}


class Import(NamedTuple):
    module: str
    """Module that imports."""
    target: str
    """Dotted name of what is imported; of `from a import b` it is ``a.b``."""
    level: str
    """``module`` runs at import, ``function`` later, ``typing`` never."""


@dataclass(frozen=True)
class Source:
    """A file of Python."""

    path: Path

    @property
    def module(self) -> str:
        return ".".join(self.path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, str(self.path))


@cache
def sources(package: str) -> list[Source]:
    return [Source(path) for path in sorted((ROOT / package).rglob("*.py"))]


def imports_of(module: str, node: ast.AST, level: str = "module") -> Iterator[Import]:
    for child in statements(node):
        if isinstance(child, ast.Import):
            yield from (Import(module, alias.name, level) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"{module}: relative import in line {child.lineno}"
            yield from (Import(module, f"{child.module}.{alias.name}", level) for alias in child.names)
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for part in child.body:
                yield from imports_of(module, ast.Module([part], []), "typing")
            for part in child.orelse:
                yield from imports_of(module, ast.Module([part], []), level)
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from imports_of(module, child, "typing" if level == "typing" else "function")
        else:
            yield from imports_of(module, child, level)


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """The blocks of a statement; no expression holds an import, so none is looked into."""
    for block in ("body", "handlers", "cases", "orelse", "finalbody"):
        yield from getattr(node, block, ())


@cache
def all_imports(package: str) -> list[Import]:
    return [found for source in sources(package) for found in imports_of(source.module, source.tree)]


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def layer(name: str) -> str:
    """The service of a module, ``runtime``, or the module itself beside the services."""
    return ".".join(name.split(".")[:2])


def test_this_test_sees_what_it_forbids() -> None:
    code = "import a\nif TYPE_CHECKING:\n    import b\ndef f():\n    from c import d\nclass E:\n    import e\n"
    code += "try:\n    import f\nexcept E:\n    import g\nelse:\n    import h\nfinally:\n    import i\n"
    code += "match f:\n    case 1:\n        with f as x:\n            import j"
    found = [(i.target, i.level) for i in imports_of("m", ast.parse(code))]
    assert found[:4] == [("a", "module"), ("b", "typing"), ("c.d", "function"), ("e", "module")]
    assert found[4:] == [(name, "module") for name in "fghij"]
    assert {source.module for source in sources("services")} >= {
        f"services.{service}.main" for service in SERVICES
    }


def test_schemas_import_pydantic_and_the_standard_library_only() -> None:
    allowed = {"pydantic", "schemas", *sys.stdlib_module_names}
    assert [i for i in all_imports("schemas") if i.target.partition(".")[0] not in allowed] == []


def test_the_library_imports_neither_services_nor_messages() -> None:
    upward = [i for i in all_imports("streamgauge") if within(i.target, "services") or within(i.target, "schemas")]
    assert upward == []


def test_the_library_knows_no_clock_network_database_or_environment() -> None:
    assert [i for i in all_imports("streamgauge") if i.target.partition(".")[0] in PURE] == []
    impure = {"os.environ", "os.getenv", "datetime.now", "datetime.utcnow", "datetime.today", "date.today"}
    impure |= {"np.random.seed", "np.random.rand", "np.random.normal", "random.random", "torch.manual_seed"}
    ends = {name.rpartition(".")[2] for name in impure}
    found = [
        (source.module, ast.unparse(node), node.lineno)
        for source in sources("streamgauge")
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Attribute) and node.attr in ends and ast.unparse(node) in impure
    ]
    assert found == []


def test_the_library_imports_torch_only_inside_functions() -> None:
    early = [i for i in all_imports("streamgauge") if within(i.target, "torch") and i.level == "module"]
    assert early == []


def test_only_the_edge_node_imports_torch() -> None:
    others = [i for i in all_imports("services") if within(i.target, "torch") and i.level != "typing"]
    assert {layer(i.module) for i in others} <= {"services.edge_node"}


def test_the_runtime_imports_no_service() -> None:
    runtime = [i for i in all_imports("services") if within(i.module, "services.runtime")]
    found = [i for i in runtime if within(i.target, "services")]
    assert found
    assert [i for i in found if not within(i.target, "services.runtime")] == []


def test_services_never_import_one_another() -> None:
    foreign = [
        i
        for i in all_imports("services")
        if within(i.target, "services")
        and layer(i.target) not in (layer(i.module), "services.runtime")
        and layer(i.module) not in TOGETHER
    ]
    assert foreign == []


SUSPECT = re.compile(rf"(?m)\b(?:{'|'.join(UNSAFE)}|eval|exec|load|save|system|allow_pickle|shell)\b|^\s*from \.")
"""Without one of these words a file cannot do what is forbidden, and need not be parsed."""


@pytest.mark.parametrize("package", [*PACKAGES, "tests"])
def test_nothing_is_pickled_and_no_foreign_bytes_are_run(package: str) -> None:
    suspects = [source for source in sources(package) if SUSPECT.search(source.text)]
    imported = [found for source in suspects for found in imports_of(source.module, source.tree)]
    assert [i for i in imported if i.target.partition(".")[0] in UNSAFE] == []
    calls = [node for source in suspects for node in ast.walk(source.tree) if isinstance(node, ast.Call)]
    named = [call.func for call in calls if isinstance(call.func, ast.Name)]
    dotted = [call.func for call in calls if isinstance(call.func, ast.Attribute)]
    assert not {"eval", "exec"} & {function.id for function in named}
    loads = [ast.unparse(function) for function in dotted if function.attr in ("load", "save", "system")]
    assert not {"torch.load", "torch.save", "yaml.load", "os.system"} & set(loads)
    assert not [c for c in calls for k in c.keywords if k.arg in ("allow_pickle", "shell") and ast.unparse(c)]
