"""The import contract of a strategy, checked on its text: nothing of the file is run.

A result can only be repeated if a strategy decides by what its hooks are handed, and by nothing else. What is
looked at is the syntax; who wants to get around it can, and is then alone with the result.
"""

import ast
import inspect
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Final, NamedTuple, TypeGuard

import pm_sim
from pm_sim.strategy import Strategy

_OUTSIDE: Final = frozenset({
    "aiohttp", "anyio", "asyncio", "bz2", "codecs", "concurrent", "ctypes", "curses", "dbm", "fcntl", "fileinput",
    "ftplib", "getpass", "glob", "gzip", "http", "httpx", "httpx2", "imaplib", "io", "linecache", "locale", "logging",
    "lzma", "mmap", "multiprocessing", "nt", "os", "pathlib", "pickle", "platform", "poplib", "posix", "pty",
    "requests", "resource", "select", "selectors", "shelve", "shutil", "signal", "smtplib", "socket", "socketserver",
    "sqlite3", "ssl", "subprocess", "sys", "tarfile", "telnetlib", "tempfile", "threading", "trio", "urllib",
    "urllib3", "webbrowser", "websockets", "xmlrpc", "zipfile",
})  # fmt: skip
_CLOCKS: Final = frozenset({"sched", "time", "timeit"})
_CHANCE: Final = frozenset({"secrets", "uuid"})
_MACHINE: Final = frozenset({"builtins", "gc", "importlib", "inspect", "pdb", "pkgutil", "runpy"})
_CALLS: Final = {
    "open": ("outside", "files are read before the simulation, and given as parameters"),
    "input": ("outside", "a simulation asks nobody"),
    "breakpoint": ("outside", "a simulation asks nobody"),
    "print": ("outside", "what is printed gets between the lines of the result"),
    "eval": ("dynamic", "what it runs cannot be checked"),
    "exec": ("dynamic", "what it runs cannot be checked"),
    "compile": ("dynamic", "what it makes cannot be checked"),
    "__import__": ("dynamic", "what it imports cannot be checked"),
    "globals": ("dynamic", "it makes state outside of the strategy"),
    "vars": ("dynamic", "it reaches what a strategy is not handed"),
    "setattr": ("state", "what is handed over is read-only; write `self.name = …`"),
    "delattr": ("state", "what is handed over is read-only"),
    "hash": ("chance", "the hash of a text differs from process to process"),
    "id": ("chance", "an address differs from process to process"),
}
_NOW: Final = frozenset({"now", "utcnow", "today"})
_MUTATORS: Final = frozenset({
    "add", "append", "clear", "discard", "extend", "insert", "pop", "popitem", "remove", "reverse", "setdefault",
    "sort", "update",
})  # fmt: skip
_CONTAINERS: Final = frozenset({"list", "dict", "set", "defaultdict", "deque", "Counter"})
_SHARED: Final = "all lenses share it; keep state on self"
_ASKED: Final = ("on_", "sees_token")
_HOOKS: Final[dict[str, int]] = {
    name: len(inspect.signature(getattr(Strategy, name)).parameters)
    for name in dir(Strategy)
    if name.startswith(_ASKED)
}


class Finding(NamedTuple):
    """A place that breaks the contract; lines and columns from 1."""

    line: int
    column: int
    rule: str  # outside, clock, chance, internals, dynamic, state, shared, hook, syntax
    message: str


def lint(source: str | bytes) -> list[Finding]:
    """Return what breaks the contract, in the order of the text; a text that is no Python is one finding."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        line, column = getattr(error, "lineno", None), getattr(error, "offset", None)
        return [Finding(line or 1, column or 1, "syntax", str(getattr(error, "msg", error)))]
    checker = _Checker()
    checker.visit(tree)
    if not checker.has_strategy:
        checker.found.append(Finding(1, 1, "hook", "no class here is derived from Strategy"))
    return sorted(set(checker.found))


class _Checker(ast.NodeVisitor):
    def __init__(self) -> None:
        self.found: list[Finding] = []
        self.has_strategy = False
        self._modules: dict[str, str] = {}  # what a name stands for: module, or module.name
        self._handed: set[str] = set()  # names of what a hook was handed, in the function we are in
        self._strategies: set[str] = {"Strategy"}
        self._is_inside = False  # a function
        self._global: set[str] = set()  # names that the file itself gives to what all lenses share

    def _add(self, node: ast.AST, rule: str, message: str) -> None:
        line, column = getattr(node, "lineno", 1), getattr(node, "col_offset", 0)
        self.found.append(Finding(line, column + 1, rule, message))

    def visit_Module(self, node: ast.Module) -> None:
        """Note what the file names outside of functions, before these are looked at."""
        for one in node.body:
            if isinstance(one, ast.ClassDef):
                self._global.add(one.name)
            elif isinstance(one, ast.Assign | ast.AnnAssign):
                targets = one.targets if isinstance(one, ast.Assign) else [one.target]
                self._global |= {each.id for each in targets if isinstance(each, ast.Name)}
        self.generic_visit(node)

    # -- imports --------------------------------------------------------------------------------

    def visit_Import(self, node: ast.Import) -> None:
        for one in node.names:
            self._imported(node, one.name)
            self._modules[one.asname or one.name.partition(".")[0]] = (
                one.name if one.asname else one.name.partition(".")[0]
            )

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = node.module or ""
        if node.level:
            self._add(node, "internals", "a strategy is one file: relative imports have no package")
            return
        if module == "pm_sim":
            for one in node.names:
                if one.name != "*" and one.name not in pm_sim.__all__:
                    self._add(node, "internals", f"pm_sim has no public name {one.name!r}")
                elif one.name == "Strategy":
                    self._strategies.add(one.asname or one.name)
        else:
            self._imported(node, module)
        for one in node.names:
            name = f"{module}.{one.name}"
            self._modules[one.asname or one.name] = name
            self._chance(node, name)
            if name == "numpy.random":
                self._add(node, "chance", "numpy.random is seeded by the machine; use ctx.random")

    def _imported(self, node: ast.AST, name: str) -> None:
        top = name.partition(".")[0]
        if top in _OUTSIDE:
            self._add(
                node,
                "outside",
                f"{name}: a strategy reaches nothing outside; its hooks are told all",
            )
        elif top in _CLOCKS:
            self._add(node, "clock", f"{name}: the time is ctx.now_ns")
        elif top in _CHANCE:
            self._add(node, "chance", f"{name}: draws that cannot be repeated; use ctx.random")
        elif top in _MACHINE or (top.startswith("_") and top != "__future__"):
            self._add(node, "dynamic", f"{name}: it reaches what a strategy is not handed")
        elif top.startswith("pm_") and name != "pm_sim":
            self._add(
                node, "internals", f"{name}: only what `import pm_sim` gives is for strategies"
            )
        elif name.startswith("numpy.random"):
            self._add(node, "chance", f"{name}: seeded by the machine; use ctx.random")

    def _chance(self, node: ast.AST, name: str) -> None:
        module, _, attribute = name.rpartition(".")
        if module == "random" and attribute != "Random":
            self._add(node, "chance", f"{name} is seeded by the machine; use ctx.random")

    # -- calls and attributes -------------------------------------------------------------------

    def visit_Call(self, node: ast.Call) -> None:
        function = node.func
        name = self._meaning(function)
        if isinstance(function, ast.Name) and function.id in _CALLS and name == function.id:
            rule, why = _CALLS[name]
            self._add(node, rule, f"{name}(): {why}")
        if name == "getattr" and len(node.args) > 1 and _is_internal(node.args[1]):
            self._add(node, "internals", "getattr(): names with an underscore belong to others")
        if name == "random.Random" and not (node.args or node.keywords):
            self._add(node, "chance", "Random() without a seed; use ctx.random, or give one")
        if isinstance(function, ast.Attribute):
            if function.attr in _NOW and (name or "").startswith("datetime"):
                self._add(node, "clock", f"{name}(): the time is ctx.now_ns")
            if function.attr in _MUTATORS and self._is_handed(function.value):
                self._add(
                    node, "state", f".{function.attr}(): what is handed over is read-only; copy it"
                )
            elif function.attr in _MUTATORS and self._is_shared(function.value):
                self._add(node, "shared", f".{function.attr}(): {_SHARED}")
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        name = self._meaning(node) or ""
        self._chance(node, name)
        if name.startswith("numpy.random"):
            self._add(node, "chance", f"{name} is seeded by the machine; use ctx.random")
        if name.startswith("pm_sim.") and name.split(".")[1] not in pm_sim.__all__:
            self._add(
                node, "internals", f"{name}: only the public names of pm_sim are for strategies"
            )
        own = isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}
        is_super = isinstance(node.value, ast.Call) and self._meaning(node.value.func) == "super"
        if node.attr.startswith("_") and not own and not is_super:
            self._add(node, "internals", f".{node.attr}: names with an underscore belong to others")
        self.generic_visit(node)

    def _meaning(self, node: ast.expr) -> str | None:
        """Return the dotted name that an expression stands for, as far as imports say."""
        if isinstance(node, ast.Name):
            return self._modules.get(node.id, node.id)
        if isinstance(node, ast.Attribute):
            of = self._meaning(node.value)
            return None if of is None else f"{of}.{node.attr}"
        return None

    # -- state ----------------------------------------------------------------------------------

    def visit_Assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            self._written(target, node.value)
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self._written(node.target, node.value)
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._written(node.target, None)
        self.generic_visit(node)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self._written(node.target, node.value)
        self.generic_visit(node)

    def visit_For(self, node: ast.For) -> None:
        self._written(node.target, node.iter)
        self.generic_visit(node)

    def visit_Delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            self._written(target, None)
        self.generic_visit(node)

    def visit_Global(self, node: ast.Global) -> None:
        self._add(node, "shared", "global: every lens has its own strategy; keep state on self")

    def _written(self, target: ast.expr, value: ast.expr | None) -> None:
        if isinstance(target, ast.Tuple | ast.List):
            values = value.elts if isinstance(value, ast.Tuple | ast.List) else None
            for at, one in enumerate(target.elts):
                self._written(one, values[at] if values and at < len(values) else value)
        elif isinstance(target, ast.Name):
            # Another name of the same thing is as read-only as the thing.
            if value is not None and self._is_handed(value):
                self._handed.add(target.id)
            else:
                self._handed.discard(target.id)
        elif isinstance(target, ast.Attribute | ast.Subscript) and self._is_handed(target.value):
            self._add(target, "state", f"{ast.unparse(target)}: what is handed over is read-only")
        elif isinstance(target, ast.Attribute | ast.Subscript) and self._is_shared(target.value):
            self._add(target, "shared", f"{ast.unparse(target)}: {_SHARED}")

    def _is_handed(self, node: ast.expr) -> bool:
        while isinstance(node, ast.Attribute | ast.Subscript | ast.Starred):
            node = node.value
        return isinstance(node, ast.Name) and node.id in self._handed

    def _is_shared(self, node: ast.expr) -> bool:
        """Say whether something is of the file or of a class, and not of one strategy, inside a function."""
        while isinstance(node, ast.Attribute | ast.Subscript):
            if isinstance(node, ast.Attribute) and node.attr == "__class__":
                return True
            node = node.value
        if isinstance(node, ast.Call):
            return self._meaning(node.func) == "type"
        return isinstance(node, ast.Name) and node.id in self._global and self._is_inside

    # -- classes and hooks ----------------------------------------------------------------------

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        bases = {
            base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "")
            for base in node.bases
        }
        is_strategy = not self._strategies.isdisjoint(bases)
        if is_strategy:
            self.has_strategy = True
            self._strategies.add(node.name)
            for one in node.body:
                self._class_state(one)
                if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef):
                    self._hook(one)
        self.generic_visit(node)

    def _class_state(self, node: ast.stmt) -> None:
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
        made = isinstance(
            value, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp
        )
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
            made = value.func.id in _CONTAINERS
        if made:
            self._add(node, "shared", "all lenses share what a class holds; make it in on_start")

    def _hook(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        if isinstance(node, ast.AsyncFunctionDef):
            self._add(node, "hook", f"{node.name} is async; hooks are generators or plain methods")
        if not (node.name.startswith("on_") or get_close_matches(node.name, _ASKED, 1, 0.8)):
            return
        if node.name not in _HOOKS:
            near = get_close_matches(node.name, _HOOKS, 1)
            meant = f"; is {near[0]} meant?" if near else ""
            self._add(node, "hook", f"{node.name} is no hook and never called{meant}")
            return
        given = node.args
        count = len(given.posonlyargs) + len(given.args)
        least = count - len(given.defaults)
        if not (least <= _HOOKS[node.name] and (given.vararg or count >= _HOOKS[node.name])):
            self._add(
                node,
                "hook",
                f"{node.name} takes {_HOOKS[node.name]} arguments with self, not {count}",
            )

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._function(node, node.args)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._function(node, node.args)

    def _function(self, node: ast.AST, given: ast.arguments) -> None:
        names = [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
        before = self._handed, self._is_inside, self._global
        # A name that is given in the function is its own.
        own = {one.id for one in ast.walk(node) if _is_given(one)}
        self._is_inside, self._global = True, self._global - own - set(names)
        is_hook = str(getattr(node, "name", "")).startswith(_ASKED)
        # In other methods the context is known by its name.
        self._handed = self._handed | (
            {one for one in names if one != "self"} if is_hook else {"ctx"} & set(names)
        )
        self.generic_visit(node)
        self._handed, self._is_inside, self._global = before


def _is_internal(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and str(node.value).startswith("_")


def _is_given(node: ast.AST) -> TypeGuard[ast.Name]:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)


def lines(path: str, findings: list[Finding]) -> Iterator[str]:
    """Yield a line for people for each finding."""
    for one in findings:
        yield f"{path}:{one.line}:{one.column}: {one.rule}: {one.message}"
