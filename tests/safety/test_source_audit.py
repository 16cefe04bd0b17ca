"""What the source must not do, checked over every file of it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("rewa", "analysis", "benchmarks", "search_spaces")
FILES = {
    str(path.relative_to(ROOT)): path
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
}
TREES = {name: ast.parse(path.read_text()) for name, path in FILES.items()}

Call = tuple[str, str, ast.Call]


def calls(trees: dict[str, ast.Module]) -> Iterator[Call]:
    """All calls: file, what is called as written ("torch.load", ".read_text" for a method of anything)."""
    for name, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                yield name, called(node.func), node


def called(function: ast.expr) -> str:
    match function:
        case ast.Name(name):
            return name
        case ast.Attribute(ast.Name(module), name):
            return f"{module}.{name}"
        case ast.Attribute(_, name):
            return f".{name}"
    return ""


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((given.value for given in call.keywords if given.arg == name), None)


def is_constant(node: ast.expr | None, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def unsafe_loads(trees: dict[str, ast.Module]) -> list[str]:
    """Calls that could run code from what they read, or from a string."""
    found = []
    for name, what, call in calls(trees):
        bad = False
        last = what.rpartition(".")[2]
        if what in ("torch.load", "torch.jit.load", "torch.package.PackageImporter"):
            bad = not is_constant(keyword(call, "weights_only"), True)
        elif what in ("yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load"):
            loader = keyword(call, "Loader") or (call.args[1] if len(call.args) > 1 else None)
            bad = not (isinstance(loader, ast.Name) and loader.id == "SpaceLoader")
            bad = bad and not (isinstance(loader, ast.Attribute) and loader.attr == "SafeLoader")
        elif what in ("np.load", "numpy.load"):
            bad = keyword(call, "allow_pickle") is not None
        elif what in ("eval", "exec", "compile", "__import__"):
            bad = True
        elif what.partition(".")[0] in ("pickle", "cloudpickle", "joblib", "dill", "marshal", "shelve"):
            bad = last in ("load", "loads", "open", "Unpickler")
        elif last in ("read_pickle", "mktemp") or what in ("os.system", "os.popen"):
            bad = True
        elif what.startswith("subprocess."):
            bad = keyword(call, "shell") is not None and not is_constant(keyword(call, "shell"), False)
        if bad:
            found.append(f"{name}:{call.lineno} {what}")
    return found


def test_nothing_that_is_read_can_run_code() -> None:
    assert unsafe_loads(TREES) == []


SINS = [
    "torch.load(p)",
    "torch.load(p, weights_only=False)",
    "yaml.load(t, Loader=yaml.Loader)",
    "yaml.load(t, yaml.FullLoader)",
    "yaml.unsafe_load(t)",
    "np.load(p, allow_pickle=True)",
    "eval(t)",
    "exec(t)",
    "pickle.loads(b)",
    "pickle.Unpickler(f)",
    "cloudpickle.load(f)",
    "joblib.load(p)",
    "pd.read_pickle(p)",
    "tempfile.mktemp()",
    "os.system(c)",
    "subprocess.run(c, shell=True)",
]


@pytest.mark.parametrize("sin", SINS)
def test_the_audit_finds_what_it_looks_for(sin: str) -> None:
    assert unsafe_loads({"x.py": ast.parse(sin)}) != []


@pytest.mark.parametrize(
    "fine",
    [
        "torch.load(p, weights_only=True)",
        "yaml.load(t, Loader=SpaceLoader)",
        "yaml.load(t, Loader=yaml.SafeLoader)",
        "np.load(p)",
        "json.loads(t)",
        "model.eval()",
        "subprocess.run([c])",
    ],
)
def test_the_audit_lets_the_rest_be(fine: str) -> None:
    assert unsafe_loads({"x.py": ast.parse(fine)}) == []


def test_the_loader_of_search_spaces_builds_plain_data_only() -> None:
    import yaml

    from rewa.sweep.space_file import SpaceLoader

    assert issubclass(SpaceLoader, yaml.SafeLoader)
    assert set(SpaceLoader.yaml_constructors) == set(yaml.SafeLoader.yaml_constructors)
    assert not [tag for tag in SpaceLoader.yaml_multi_constructors if tag]


def test_pickles_are_imported_nowhere() -> None:
    banned = {"pickle", "cloudpickle", "joblib", "dill", "marshal", "shelve"}
    found = []
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            else:
                continue
            found += [f"{name}:{node.lineno}" for each in names if each.split(".")[0] in banned]
    assert found == []


def test_no_server_listens_to_other_machines_unless_told_to() -> None:
    speaks_of_it = {
        "rewa/cluster/safety_rules.py",
        "rewa/mlflow_process.py",
    }  # warns of it, and understands it
    found = [
        f"{name}:{node.lineno}"
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if name not in speaks_of_it
        and isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and "0.0.0.0" in node.value
    ]
    assert found == []


WRITERS = {
    ".write_text",
    ".write_bytes",
    ".to_csv",
    ".to_json",
    ".savefig",
    ".savez",
    "np.save",
    "np.savez",
    "torch.save",
}

MAY_WRITE = {
    "rewa/atomic.py": "is how files are written",
    "rewa/sealed_file.py": "into a file that rewa.atomic opened",
    "rewa/data/beton_writer.py": "a .partial file that write_beton renames",
    "rewa/data/sample_tree.py": "into a folder that is renamed",
    "rewa/storage.py": "a .partial file that replaces the old one",
    "rewa/sweep/heartbeat.py": "a .partial file that replaces the old one, without waiting for the disk",
    "rewa/tracking/artifacts.py": "artifacts of an MLflow run, which is found by its tags, not its files",
    "rewa/workloads/cifar.py": "an empty lock file",
    "rewa/sweep/folder.py": "an empty lock file",
    "analysis/theory.py": "a temporary file that replaces the old one",
}
"""Files of rewa/ and analysis/ that open something for writing themselves, each with the reason."""


def writers(trees: dict[str, ast.Module]) -> dict[str, list[str]]:
    """Calls that write a file under its own name, by source file."""
    found: dict[str, list[str]] = {}
    for name, what, call in calls(trees):
        last = f".{what.rpartition('.')[2]}"
        opens = last in (".open", ".fdopen", ".NamedTemporaryFile") and any(
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and set(node.value) & set("wax")
            and set(node.value) <= set("wabx+t")
            for node in [*call.args, *(given.value for given in call.keywords if given.arg == "mode")]
        )
        if opens or ((what in WRITERS or last in WRITERS) and what != "write_text"):
            if last == ".to_csv" and (not call.args and not keyword(call, "path_or_buf")):
                continue  # returns the text
            if last == ".savefig" and isinstance(call.args[0], ast.Name) and call.args[0].id == "buffer":
                continue
            found.setdefault(name, []).append(f"{call.lineno} {what}")
    return found


def test_files_that_others_read_are_written_whole_or_not_at_all() -> None:
    found = writers({name: tree for name, tree in TREES.items() if name.startswith(("rewa/", "analysis/"))})
    unexpected = {name: where for name, where in found.items() if name not in MAY_WRITE}
    assert unexpected == {}, "use rewa.atomic"


@pytest.mark.parametrize(
    ("code", "count"),
    [
        ("path.write_text(x)", 1),
        ("open(p, 'w')", 1),
        ("p.open('ab')", 1),
        ("os.fdopen(d, mode='wb')", 1),
        ("torch.save(x, p)", 1),
        ("table.to_csv(p)", 1),
        ("(a / b).write_bytes(x)", 1),
        ("write_text(path, x)", 0),
        ("open(p)", 0),
        ("p.open('rb')", 0),
        ("table.to_csv(index=False)", 0),
    ],
)
def test_the_audit_knows_writers(code: str, count: int) -> None:
    assert sum(map(len, writers({"x.py": ast.parse(code)}).values())) == count
