"""
Run the code blocks of a documentation page.

The page is a session in one folder, read from top to bottom:

- a block with a caption is a file of that name; ``, at the end`` after the name adds
  to the file, and a version of Django in parentheses says for which one it is;
- a ``sh`` block is run, and the ``text`` block after it is what it has to print, in
  that order, where a line ``...`` stands for anything. A command that does not end by
  itself gets Ctrl-C once it has printed that;
- a ``sh`` block of the class ``background`` goes on until the page ends, and each
  ``text`` block of that class is what it prints next; when it also has the class
  ``ends``, it has to end by itself, and with ``foreign`` it may end as it likes;
- a ``python`` block is run as a script of the project.

Commands that need another machine, or would install something, are only parsed.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import django

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"

DEADLINE = 20
"""Seconds within which a command has to print what it has to print."""

UNRUN = (
    "apt-get",
    "docker",
    "python3 -m venv",
    ". .venv/bin/activate",
    "pip install",
    "sudo",
    "systemctl",
    "journalctl",
    "supervisorctl",
)
"""Beginnings of the commands that are only parsed."""

ENDLESS = re.compile(
    r"run_functions(?!.*--(?:once|help))|yourlabs\.runner |runserver|uvicorn"
)
"""Commands that do not end by themselves."""

SETUP = "import django; django.setup()\n"


@dataclass(frozen=True)
class Block:
    """One ``code-block`` of a page."""

    page: str
    line: int
    language: str
    content: str
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def caption(self) -> str:
        """What the page calls the block; empty when it is no file."""
        return self.options.get("caption", "")

    @property
    def classes(self) -> list[str]:
        """The classes of the block."""
        return self.options.get("class", "").split()

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    """Yield the code blocks of `page` in order."""
    lines = page.read_text().splitlines()
    for number, line in enumerate(lines):
        found = re.match(r"( *)\.\. code-block:: (\S+)$", line)
        if not found:
            continue
        indent = len(found[1])
        body = []
        for following in lines[number + 1 :]:
            if following.strip() and len(following) - len(following.lstrip()) <= indent:
                break
            body.append(following)
        text = textwrap.dedent("\n".join(body)).strip("\n")
        options = {}
        while option := re.match(r":(\w+): ?(.*)(?:\n|$)", text):
            options[option[1]] = option[2]
            text = text[option.end() :]
        text = text.strip("\n") + "\n"
        name = str(page.relative_to(DOCS.parent))
        yield Block(name, number + 1, found[2], text, options)


def free_port(_: object = None) -> str:
    """Return a port that nobody listens on: those of the pages may be taken."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])


class Command:
    """A running command and what it has printed so far."""

    def __init__(self, argv: list[str], session: Session, block: Block) -> None:
        self.block = block
        self.argv = argv
        self.output: list[str] = []
        self._seen = 0
        self._ended = False
        self._changed = threading.Condition()
        self._process = subprocess.Popen(
            argv,
            cwd=session.folder,
            env=session.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                with self._changed:
                    self.output.append(line.rstrip())
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def expect(self, printed: str) -> None:
        """Wait until every line of `printed` came, in that order."""
        wanted = [line.strip() for line in printed.splitlines()]
        for line in wanted:
            if line not in ("", "..."):
                with self._changed:
                    self._changed.wait_for(partial(self._came, line), DEADLINE)
                    found = self._find(line)
                assert found, self.explain(line)
                self._seen = found

    def _came(self, line: str) -> bool:
        return bool(self._find(line)) or self._ended

    def _find(self, line: str) -> int:
        """Return how many lines have come up to the next one with `line`, or 0."""
        for number, shown in enumerate(self.output[self._seen :], self._seen + 1):
            if line in shown:
                return number
        return 0

    def interrupt(self) -> None:
        """Send what Ctrl-C in a terminal sends: SIGINT to the whole group."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGINT)

    def end(self) -> None:
        """Wait until the command has ended, which it has to do well."""
        try:
            status = self._process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            status = self._process.wait()
        self._reader.join(DEADLINE)
        is_ours = "foreign" not in self.block.classes
        assert status == 0 or not is_ours, self.explain(f"exit 0, but {status}")

    def explain(self, missing: str) -> str:
        """Say what did not come, and what came instead."""
        shown = "\n".join(self.output[-60:])
        return f"{self.block}: no {missing!r} from {shlex.join(self.argv)}\n{shown}"


class Session:
    """A folder in which the blocks of a page are run one after the other."""

    def __init__(self, folder: Path, *, settings: str = "mysite.settings") -> None:
        self.folder = folder
        self.environ = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": settings,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]),
            "PYTHONUNBUFFERED": "1",
        }
        for name in ("RUN_ROOT", "RUNNER_AUTOSTART", "TZ"):
            self.environ.pop(name, None)
        self.background: Command | None = None

    def run_page(self, page: Path) -> None:
        """Run every block of `page`."""
        session = list(blocks(page))
        try:
            for block, following in zip(session, [*session[1:], None], strict=True):
                printed = ""
                if following and following.language == "text":
                    printed = following.content
                self.run(block, printed)
        finally:
            if self.background:
                if "ends" not in self.background.block.classes:
                    self.background.interrupt()
                self.background.end()

    def run(self, block: Block, printed: str = "") -> None:
        """Run one block, which has to print `printed`."""
        if block.language == "text":
            if "background" in block.classes and self.background:
                self.background.expect(block.content)
        elif block.caption:
            self.write(block)
        elif block.language == "sh":
            self.shell(block, printed)
        elif block.language == "python":
            self.execute([sys.executable, "-c", SETUP + block.content], block, printed)
        else:
            msg = f"{block}: a {block.language!r} block needs a caption to be checked."
            raise AssertionError(msg)

    def write(self, block: Block) -> None:
        """Write the file that the caption names, when it is for this Django."""
        found = re.fullmatch(
            r"(\S+?)(, at the end)?(?: \(Django ([^)]+)\))?", block.caption
        )
        assert found, f"{block}: {block.caption!r} names no file."
        name, addition, versions = found.groups()
        if versions and "{}.{}".format(*django.VERSION[:2]) not in versions:
            return
        if block.language == "python":
            compile(block.content, str(block), "exec")
        path = self.folder / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a" if addition else "w") as file:
            file.write(("\n" if addition else "") + block.content)
        # No reader edits twice in a second: Python may not see another text of the
        # same length.
        shutil.rmtree(path.parent / "__pycache__", ignore_errors=True)

    def shell(self, block: Block, printed: str) -> None:
        """Run those commands of a ``sh`` block that can be run here."""
        subprocess.run(["bash", "-n", "-c", block.content], check=True)
        commands = re.sub(r" \\\n *", " ", block.content).splitlines()
        runnable = [
            re.sub(r"\b80\d\d\b", free_port, re.sub(r"(?<!\S)\.venv/bin/", "", command))
            for command in commands
            if command.strip() and not command.startswith((*UNRUN, "#"))
        ]
        if not runnable:
            return
        argv = ["bash", "-c", "\n".join(["set -e", *runnable])]
        if "background" in block.classes:
            assert not self.background, f"{block}: one command in the background"
            self.background = Command(argv, self, block)
        else:
            self.execute(argv, block, printed)

    def execute(self, argv: list[str], block: Block, printed: str) -> None:
        """Run `argv` until it ends, or until it has printed `printed`."""
        command = Command(argv, self, block)
        try:
            command.expect(printed)
        finally:
            if ENDLESS.search(argv[-1]):
                command.interrupt()
            command.end()
