"""The tree's own rules, which no ready-made linter knows: sizes, places, leftovers, addresses."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[1]

FILE_LINES_SOFT, FILE_LINES_HARD, TEST_LINES_HARD = 250, 400, 600
FUNCTION_LINES_SOFT, FUNCTION_LINES_HARD = 30, 60
COLUMNS_MAX = 100

ROOT_FILES = frozenset({
    ".dockerignore", ".editorconfig", ".env.example", ".gitattributes", ".gitignore",
    "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md", "conftest.py",
    "daygen", "docker-compose.yml", "pyproject.toml",
})  # fmt: skip
SERVICES = frozenset({"gateway", "generation", "ledger", "gallery", "billing"})
SERVICE_PARTS = frozenset({
    "README.md", "__init__", "adapters", "api", "app", "consumers", "domain", "handlers",
    "migrations", "pages", "ports", "projections", "rebuild", "scheduler", "settings", "store",
    "tests", "worker",
})  # fmt: skip
TREE = {
    ".ci": frozenset({"run"}),
    "docs": None,
    "infra": frozenset({
        "__init__", "cloudflare", "docker", "grafana", "kafka", "local", "otel",
        "postgres", "prices", "prometheus", "simulators", "tests",
    }),
    "libs": frozenset({"__init__", "analysis", "events", "proofs", "runtime"}),
    "requirements": None,
    "services": SERVICES | {"__init__"},
    "tests": None,
    "tools": None,
}  # fmt: skip

# One letter of each stands in brackets, so that this file does not find itself.
LEFTOVERS = re.compile(r"\b(T[O]DO|FI[X]ME|X[X]X)\b")
REGISTRIES = re.compile(
    r"p[y]pi\.org|python[h]osted\.org|npm[j]s\.(org|com)|m[a]ven\.(org|apache)|repo1?\.m[a]ven"
    r"|proxy\.go[l]ang\.org|cr[a]tes\.io|deb\.deb[i]an\.org|registry-1\.d[o]cker"
)
MACHINE_PATHS = re.compile(r"(?<![\w.:/-])/(?:work|farm|root|home/\w+|Users/\w+)/")
SQL = re.compile(
    r"^\s*(SELECT\b.+\bFROM\b|INSERT\s+INTO\b|UPDATE\s+\S+\s+SET\b|DELETE\s+FROM\b"
    r"|WITH\s+\w+\s+AS\b|(CREATE|ALTER|DROP)\s+(TABLE|INDEX|SCHEMA|ROLE)\b)",
    re.DOTALL,
)
BINARY = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".ico", ".ttf", ".otf", ".woff2"})


@dataclass(frozen=True, slots=True)
class Finding:
    """One breach of one rule; a warning is shown and fails nothing."""

    path: str
    line: int
    text: str
    warning: bool = False

    def __str__(self) -> str:
        kind = "warning: " if self.warning else ""
        return f"{self.path}:{self.line}: {kind}{self.text}"


def main(flags: Sequence[str]) -> int:
    """Print the breaches, and with --warnings also where a soft ceiling is passed."""
    findings = sorted(check_tree(ROOT, tracked(ROOT)), key=lambda f: (f.path, f.line))
    warnings = [finding for finding in findings if finding.warning]
    breaches = [finding for finding in findings if not finding.warning]
    for finding in [*(warnings if "--warnings" in flags else []), *breaches]:
        print(finding)
    if warnings and "--warnings" not in flags:
        print(f"{len(warnings)} soft ceilings passed: python -m tools.tidy --warnings lists them")
    return 1 if breaches else 0


def tracked(root: Path) -> list[str]:
    """Files of the tree: what git knows or would take."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    return [name for name in sorted(set(listing.stdout.split("\0"))) if (root / name).is_file()]


def check_tree(root: Path, names: Iterable[str]) -> Iterator[Finding]:
    for name in names:
        yield from misplaced(name)
        if PurePosixPath(name).suffix in BINARY:
            continue
        text = (root / name).read_text(errors="replace")
        yield from forbidden_text(name, text)
        if name.endswith(".py"):
            yield from check_python(name, text)


def misplaced(name: str) -> Iterator[Finding]:
    """A file where the map of the tree has no place."""
    parts = PurePosixPath(name).parts
    if len(parts) == 1:
        if name not in ROOT_FILES:
            yield Finding(name, 1, "no such file belongs into the root")
        return
    top, second = parts[0], _stem(parts[1])
    if top not in TREE:
        yield Finding(name, 1, f"no folder {top}/ is on the map of the tree")
    elif (allowed := TREE[top]) is not None and second not in allowed:
        yield Finding(name, 1, f"{top}/{second} is not on the map of the tree")
    elif top == "services" and len(parts) > 2 and _stem(parts[2]) not in SERVICE_PARTS:
        yield Finding(name, 1, f"a service has no part called {_stem(parts[2])}")


def _stem(part: str) -> str:
    return part.removesuffix(".py")


def forbidden_text(name: str, text: str) -> Iterator[Finding]:
    for number, line in enumerate(text.splitlines(), start=1):
        if REGISTRIES.search(line):
            yield Finding(name, number, "names a package registry's host")
        if MACHINE_PATHS.search(line):
            yield Finding(name, number, "holds a path of one machine")
        if not name.endswith(".md") and LEFTOVERS.search(line):
            yield Finding(name, number, "holds a leftover marker: do it now or drop it")


def check_python(name: str, text: str) -> Iterator[Finding]:
    tree = ast.parse(text, name)
    yield from sizes(name, text, tree)
    if text.strip() and ast.get_docstring(tree) is None:
        yield Finding(name, 1, "the module's docstring is missing: say what belongs here")
    if holds_no_sql(name):
        yield from sql_literals(name, tree)


def sizes(name: str, text: str, tree: ast.Module) -> Iterator[Finding]:
    is_test = "tests" in PurePosixPath(name).parts
    lines = text.splitlines()
    hard = TEST_LINES_HARD if is_test else FILE_LINES_HARD
    if len(lines) > hard:
        yield Finding(name, 1, f"{len(lines)} lines, at most {hard}: split it by feature")
    elif len(lines) > FILE_LINES_SOFT and not is_test:
        yield Finding(name, 1, f"{len(lines)} lines, aim below {FILE_LINES_SOFT}", warning=True)
    for number, line in enumerate(lines, start=1):
        if len(line) > COLUMNS_MAX:
            yield Finding(name, number, f"{len(line)} columns, at most {COLUMNS_MAX}")
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from function_size(name, node)


def function_size(name: str, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Finding]:
    """Lines of code and signature; the docstring is free."""
    length = (node.end_lineno or node.lineno) - node.lineno + 1
    first = node.body[0]
    if ast.get_docstring(node) is not None:
        length -= (first.end_lineno or first.lineno) - first.lineno + 1
    if length > FUNCTION_LINES_HARD:
        text = f"{node.name} has {length} lines, at most {FUNCTION_LINES_HARD}"
        yield Finding(name, node.lineno, text)
    elif length > FUNCTION_LINES_SOFT:
        text = f"{node.name} has {length} lines, aim below {FUNCTION_LINES_SOFT}"
        yield Finding(name, node.lineno, text, warning=True)


def holds_no_sql(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return parts[0] == "services" and len(parts) > 2 and _stem(parts[2]) not in {"store", "tests"}


def sql_literals(name: str, tree: ast.Module) -> Iterator[Finding]:
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            continue
        if id(node) not in docstrings and SQL.search(node.value):
            yield Finding(name, node.lineno, "SQL belongs into the service's store")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
