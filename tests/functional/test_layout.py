# SPDX-License-Identifier: GPL-2.0-or-later
"""The walls between the directories: who may include whom, and who may say something."""

import re
import subprocess

import pytest

from lab import paths

SOURCES = (".c", ".h")
# The longest prefix that fits a file counts.
MAY_INCLUDE = {
    "common/": ("common/",),
    "hashing/": ("hashing/", "common/"),
    "hypervisor-glue/": ("hypervisor-glue/", "common/"),
    "hypervisor-glue/attach/": ("hypervisor-glue/attach/", "common/"),
    "daemon/": ("daemon/", "hashing/", "hypervisor-glue/", "common/"),
    "tools/pagefold/": ("tools/pagefold/", "daemon/", "hashing/", "hypervisor-glue/", "common/"),
}
# What speaks to a person; libraries return errors, and the daemon says them.
WRITES_TO_PEOPLE = re.compile(r"\b(v?f?printf|puts|fputs|perror|v?syslog|sd_journal_\w+)\s*\(")


def sources(directory):
    return sorted(path for path in (paths.TOP / directory).rglob("*") if path.suffix in SOURCES)


def name_of(path):
    return path.relative_to(paths.TOP).as_posix()


def includes_of(path):
    """[(line, header)] of what is included with quotes."""
    return [(number, match[1])
            for number, line in enumerate(path.read_text().splitlines(), 1)
            if (match := re.match(r'\s*#\s*include\s+"([^"]+)"', line))]


def allowed_for(path):
    name = name_of(path)
    return MAY_INCLUDE[max((prefix for prefix in MAY_INCLUDE if name.startswith(prefix)), key=len)]


@pytest.mark.parametrize("directory", ["common", "hashing", "hypervisor-glue", "daemon",
                                       "tools/pagefold"])
def test_a_directory_includes_only_what_it_may(directory):
    assert sources(directory)
    wrong = [f"{name_of(path)}:{line} includes {header}"
             for path in sources(directory) for line, header in includes_of(path)
             if not header.startswith(allowed_for(path))]
    assert wrong == []


def test_includes_are_written_from_the_top():
    wrong = [f"{name_of(path)}:{line} includes {header}"
             for directory in ("common", "hashing", "hypervisor-glue", "daemon", "tools", "tests")
             for path in sources(directory) for line, header in includes_of(path)
             if not (paths.TOP / header).is_file()]
    assert wrong == []


def test_the_command_line_tool_links_only_the_modules_of_the_daemon_that_the_makefile_lists():
    makefile = (paths.TOP / "Makefile").read_text()
    listed = set(re.search(r"^CLI_DAEMON_MODULES := (.*)$", makefile, re.M)[1].split())
    wrong = [f"{name_of(path)}:{line} includes {header}"
             for path in sources("tools/pagefold") for line, header in includes_of(path)
             if header.startswith("daemon/")
             and header.removeprefix("daemon/").removesuffix(".h") not in listed]
    assert wrong == []


@pytest.mark.parametrize("directory", ["common", "hashing", "hypervisor-glue"])
def test_libraries_write_to_nobody(directory):
    # main.c of the attach helper has a usage text, and is no library.
    wrong = [f"{name_of(path)}:{number}: {line.strip()}"
             for path in sources(directory) if path.name != "main.c"
             for number, line in enumerate(path.read_text().splitlines(), 1)
             if WRITES_TO_PEOPLE.search(line.split("/*")[0].split("//")[0])
             and not line.lstrip().startswith("*")]
    assert wrong == []


def tracked_files():
    done = subprocess.run(["git", "ls-files", "-z"], cwd=paths.TOP, capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        pytest.skip("no git repository here")
    return [paths.TOP / name for name in done.stdout.split("\0") if name]


def test_every_source_names_its_licence():
    def is_source(path):
        return path.suffix in (*SOURCES, ".py", ".mk") or path.name == "Makefile"

    wrong = [name_of(path) for path in tracked_files()
             if path.is_file() and is_source(path) and path.stat().st_size
             and "SPDX-License-Identifier: GPL-2.0-or-later"
             not in "".join(path.read_text().splitlines(True)[:2])]
    assert wrong == []
