"""The walls of the design: who may import whom."""

import ast
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ALLOWED = {
    "app": {"app", "worker.contract", "worker.store", "worker.engine", "worker.lessons"},
    "worker.contract": {"worker.contract"},
    "worker.lessons": {"worker.lessons", "worker.contract"},
    "worker.store": {"worker.store", "worker.contract"},
    "worker.engine": {"worker.engine", "worker.store", "worker.contract"},
    "worker.core": {"worker.core", "worker.contract"},
    "worker.run": {"worker.core", "worker.contract"},
    "worker.lethe": {"worker.core", "worker.contract"},
    "worker.engine.compute": {
        "worker.run",
        "worker.contract",
        "worker.engine.unneeded",
        "worker.engine.wire",
    },
    "worker.cli": {"worker.cli"},
    "worker.cli.local": {"worker.cli.server", "worker.core", "worker.contract"},
    "worker.cli.server": {"worker.store", "worker.contract"},
    "worker.cli.local_study": {
        "worker.cli.local",
        "worker.run",
        "worker.engine.study",
        "worker.contract",
        "worker.core.models.cache",
    },
    "worker.cli.serving": {"worker.contract"},
    "worker.cli.doctor": {
        "worker.cli.doctor_plugins",
        "worker.cli.doctor_storage",
        "worker.cli.finding",
        "worker.core",
        "worker.contract",
    },
    "worker.cli.doctor_plugins": {"worker.cli.finding", "worker.contract"},
    "worker.cli.doctor_storage": {"worker.cli.finding", "worker.store", "worker.contract"},
    "worker.cli.looking": {
        "worker.cli.local",
        "worker.cli.specs",
        "worker.run",
        "worker.contract",
    },
    "worker.cli.specs": {"worker.contract"},
    "worker.cli.store": {"worker.store", "worker.contract"},
    "worker.cli.limits": {"worker.cli.store", "worker.store", "worker.contract"},
    "worker.cli.people": {"worker.cli.limits", "worker.cli.store", "worker.contract"},
    "worker.cli.projects": {"worker.cli.limits", "worker.cli.store", "worker.contract"},
    "worker.cli.workers": {"worker.cli.store", "worker.engine", "worker.contract"},
    "worker.cli.queue": {
        "worker.cli.store",
        "worker.cli.workers",
        "worker.engine",
        "worker.contract",
    },
    "worker.cli.models": {"worker.core.models", "worker.contract"},
    "worker.cli.lessons": {"worker.lessons", "worker.contract"},
    "worker.cli.backups": {"worker.store", "worker.contract"},
    "worker.cli.cleaning": {"worker.store", "worker.contract"},
    "worker.cli.bundles": {"worker.cli.local", "worker.engine", "worker.store", "worker.contract"},
    "worker.cli.examples": {
        "worker.cli.local",
        "worker.run",
        "worker.engine.examples",
        "worker.contract",
    },
    "worker.cli.main": {
        "worker.cli",
        "worker.run",
        "worker.engine",
        "worker.core.export",
        "worker.contract",
    },
}
METHOD_FOLDERS = ("localization", "unlearning", "evaluation", "explore")
SHARED_ROOMS = (
    "models",
    "facts",
    "texts",
    "patching",
    "asking",
    "training",
    "editing",
    "closed_form",
    "ahead",
)
TORCH_FREE = ("worker.contract", "worker.lessons", "worker.store", "worker.engine", "app")


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def sources() -> dict[str, Path]:
    files = [*ROOT.glob("app/**/*.py"), *ROOT.glob("worker/**/*.py")]
    return {module_name(path): path for path in files}


@cache
def imports(path: Path) -> set[str]:
    """Every module of ours or torch that a file imports anywhere, also inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found.add(node.module or "")
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def inside(name: str, room: str) -> bool:
    return name == room or name.startswith(f"{room}.")


def room_of(module: str) -> str:
    matches = [room for room in ALLOWED if inside(module, room)]
    return max(matches, key=len, default="")


def test_every_file_is_in_a_known_room() -> None:
    assert [m for m in sources() if m not in ("worker",) and not room_of(m)] == []


def test_no_import_crosses_a_wall() -> None:
    crossings = []
    for module, path in sources().items():
        room = room_of(module)
        for name in imports(path):
            if name.split(".")[0] not in ("app", "worker") or not room:
                continue
            if name == "worker":
                continue
            if not any(inside(name, allowed) for allowed in ALLOWED[room] | {room}):
                crossings.append(f"{module} imports {name}")
    assert crossings == []


def test_the_rooms_without_torch_name_no_library_of_the_computing_side() -> None:
    heavy = {"torch", "transformers", "transformer_lens", "peft", "sklearn", "accelerate"}
    found = [
        f"{module} imports {name}"
        for module, path in sources().items()
        if any(inside(module, room) for room in TORCH_FREE)
        for name in imports(path)
        if name.split(".")[0] in heavy
    ]
    assert found == []


def test_a_method_never_imports_another_method() -> None:
    found = []
    for module, path in sources().items():
        folder = next((f for f in METHOD_FOLDERS if inside(module, f"worker.core.{f}")), None)
        if folder is None:
            continue
        for name in imports(path):
            parts = name.split(".")
            if not inside(name, "worker.core") or len(parts) < 3 or parts[2] not in METHOD_FOLDERS:
                continue
            own = parts[2] == folder and (len(parts) == 3 or parts[3].startswith("_"))
            if not own and name != module:
                found.append(f"{module} imports {name}")
    assert found == []


def test_the_shared_rooms_of_core_import_no_method() -> None:
    """What methods share stands below them: a method is found by its registry."""
    found = [
        f"{module} imports {name}"
        for module, path in sources().items()
        for name in imports(path)
        if any(inside(module, f"worker.core.{room}") for room in SHARED_ROOMS)
        and any(inside(name, f"worker.core.{folder}") for folder in METHOD_FOLDERS)
    ]
    assert found == []


def test_an_underscore_file_is_used_in_its_own_folder_only() -> None:
    found = []
    for module, path in sources().items():
        room = module.rpartition(".")[0]
        for name in imports(path):
            parts = name.split(".")
            if parts[0] not in ("app", "worker"):
                continue
            for place, part in enumerate(parts):
                if part.startswith("_") and ".".join(parts[:place]) not in (room, module):
                    found.append(f"{module} imports {name}")
    assert found == []


def test_the_rooms_of_core_stand_on_each_other_in_no_circle() -> None:
    known = sources()
    below: dict[str, set[str]] = {}
    for module, path in known.items():
        if core_room(module):
            reached = {core_room(name) for name in imports(path) if name in known}
            below.setdefault(core_room(module), set()).update(reached - {"", core_room(module)})
    TopologicalSorter(below).prepare()


def core_room(module: str) -> str:
    """The room of core that a module is in; "" for the files beside the registry."""
    parts = module.split(".")
    return parts[2] if parts[:2] == ["worker", "core"] and len(parts) > 3 else ""


def test_modules_import_each_other_in_no_circle() -> None:
    known = sources()
    graph = {m: {n for n in imports(p) if n in known and n != m} for m, p in known.items()}
    done: set[str] = set()

    def walk(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join([*trail, module])
        if module in done:
            return
        for name in graph[module]:
            walk(name, (*trail, module))
        done.add(module)

    for module in graph:
        walk(module, ())


@pytest.mark.parametrize("module", ["app.main", "worker.engine.supervisor", "worker.engine.client"])
def test_importing_the_torch_free_side_loads_no_torch(module: str) -> None:
    code = (
        f"import sys, {module}; print([m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert answer.stdout.strip() == "[]"


def test_the_root_holds_only_the_agreed_names() -> None:
    agreed = {"pyproject.toml", "README.md", "app", "static", "templates", "worker", "tests"}
    agreed |= {"docker", "Makefile", "LICENSE", ".gitignore", ".ci"}
    tracked = subprocess.run(
        ["git", "ls-files"], capture_output=True, text=True, cwd=ROOT, check=True
    ).stdout.splitlines()
    assert {line.split("/")[0] for line in tracked} <= agreed


def test_an_init_file_is_empty_or_one_docstring() -> None:
    for path in [*ROOT.glob("app/**/__init__.py"), *ROOT.glob("worker/**/__init__.py")]:
        body = ast.parse(path.read_text(encoding="utf-8")).body
        assert len(body) <= 1, path
        assert all(isinstance(node, ast.Expr) for node in body), path


def test_facts_become_prompts_and_answers_in_one_place() -> None:
    """What follows a prompt is asked of `Fact.pair`, and put in tokens by `core.models.prompts`."""
    own = {"worker.contract.facts"}
    others = [
        f"{module}:{node.lineno}"
        for module, path in sources().items()
        if module not in own
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "follows"
    ]
    assert others == []


def test_no_cache_of_functools_keeps_a_model_alive() -> None:
    """What is known of a model goes with it: `core.kept.once_for_each`."""
    holds = [
        f"{module}:{node.lineno}"
        for module, path in sources().items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
        and any("cache" in ast.unparse(one) for one in node.decorator_list)
        and any(
            one.annotation is not None and ast.unparse(one.annotation) in ("Model", "nn.Module")
            for one in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
        )
    ]
    assert holds == []
