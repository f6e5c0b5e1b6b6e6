# SPDX-License-Identifier: GPL-2.0-or-later
"""The manuals name what there is: every command, option, key and feature, and nothing else."""

import os
import re
import shutil
import subprocess

import pytest

from lab import paths

MANUALS = ("pagefold.1", "pagefold.conf.5", "pagefold-merging.7", "pagefoldd.8")


def manual(name):
    return (paths.TOP / "man" / name).read_text()


def section(text, title):
    """What stands between .Sh TITLE and the next one."""
    return re.search(rf"^\.Sh {re.escape(title)}\n(.*?)(?=^\.Sh |\Z)", text, re.M | re.S)[1]


def items(text, macro):
    """{NAME: text} of each .It MACRO NAME, up to the next of its kind."""
    parts = re.split(rf"^\.It {macro} (\S+).*\n", text, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2]))


def words(text):
    """The text without line ends and macros of its own line breaks."""
    return " ".join(text.split())


def run(program, *arguments):
    done = subprocess.run([paths.program(program), *arguments], capture_output=True, text=True,
                          check=True)
    return done.stdout


def commands():
    return [line.split("\t")[0] for line in run("pagefold", "--list-commands").splitlines()]


def options_of(help_text):
    return set(re.findall(r"(?<![\w-])(--?[a-z][a-z-]*)", help_text.split("Options:")[-1]
                          if "Options:" in help_text else help_text))


# ---- pagefold.1 ----

def command_sections():
    """{command: its part of COMMANDS}"""
    parts = re.split(r"^\.Ss pagefold (.*)\n", section(manual("pagefold.1"), "COMMANDS"), flags=re.M)
    names = [re.split(r" (?:Ar|Oo|Op|Fl|Ns)\b", title)[0] for title in parts[1::2]]
    return dict(zip(names, parts[2::2]))


def test_every_command_has_its_section_in_the_order_of_the_help():
    assert list(command_sections()) == commands()


def test_a_section_has_the_sentence_of_the_help():
    for name, text in command_sections().items():
        sentence = run("pagefold", *name.split(), "--help").split("\n")[2].removesuffix(".")
        assert sentence in words(text), name


def test_every_command_has_an_example_for_people_and_one_as_json():
    for name, text in command_sections().items():
        examples = re.findall(rf"^# pagefold {re.escape(name)}\b.*$", text, re.M)
        assert any("--json" not in example for example in examples), name
        assert any("--json" in example for example in examples), name


def test_every_option_of_pagefold_is_in_its_manual():
    there = {f"-{name}" for name in items(section(manual("pagefold.1"), "DESCRIPTION"), "Fl")}
    helps = [run("pagefold", "--help"),
             *(run("pagefold", *name.split(), "--help") for name in commands())]
    assert there == set().union(*map(options_of, helps))


def test_the_exit_codes_are_those_of_the_help():
    codes = re.findall(r"\b(\d) (?:done|failed|usage|daemon)", run("pagefold", "--help"))
    assert list(items(section(manual("pagefold.1"), "EXIT STATUS"), "")) == []
    assert re.findall(r"^\.It (\d)$", section(manual("pagefold.1"), "EXIT STATUS"), re.M) == codes


# ---- pagefoldd.8 ----

def test_every_option_of_pagefoldd_is_in_its_manual():
    lines = re.findall(r"^\.It (Fl .*)$", manual("pagefoldd.8"), re.M)
    there = {f"-{name}" for line in lines for name in re.findall(r"Fl (\S+)", line)}
    told = set(re.findall(r"^ +(?:(-\w), )?(--[a-z-]+)", run("pagefoldd", "--help"), re.M))
    assert there == {option for pair in told for option in pair if option}


def test_every_feature_is_in_the_manual():
    text = run("pagefoldd", "--help")
    names = re.search(r"One of:\n +(.*)\n", text)[1].split()
    features = re.search(r"^\.Ss Features\n(.*?)^\.Ss ", manual("pagefoldd.8"), re.M | re.S)[1]
    assert list(items(features, "Li")) == names


def test_every_path_of_the_api_is_in_the_manual():
    source = (paths.TOP / "daemon/api_routes.c").read_text()
    routes = re.findall(r'^\t\{ "([^"]+)", (.*)\},?$', source, re.M)
    assert routes
    text = manual("pagefoldd.8")
    for path, handlers in routes:
        path = "/" + path.replace("*", "NAME")
        for method, handler in re.findall(r"\.(get|put|post) = (\w+)", handlers):
            wanted = path if handler == "get_later" else f".It Li {method.upper()} {path}\n"
            assert wanted in text, f"{method} {path}"


# ---- pagefold.conf.5 ----

def config_keys():
    source = (paths.TOP / "daemon/config.c").read_text()
    return re.findall(r'^\t\{ "([a-z-]+)", set_\w+ \},$', source, re.M)


def shipped_defaults():
    """{key: default} of the commented lines in pagefold.conf."""
    text = (paths.TOP / "daemon/pagefold.conf").read_text()
    return dict(re.findall(r"^#([a-z-]+) =[ ]?(.*)$", text, re.M))


def test_every_key_of_the_configuration_is_in_the_manual():
    there = list(items(section(manual("pagefold.conf.5"), "CONFIGURATION"), "Ic"))
    assert config_keys() and there == config_keys()


def test_every_key_is_in_the_shipped_file():
    assert list(shipped_defaults()) == config_keys()


def test_the_manual_tells_the_default_of_each_key():
    described = items(section(manual("pagefold.conf.5"), "CONFIGURATION"), "Ic")
    for key, default in shipped_defaults().items():
        text = words(described[key])
        assert "efault" in text, key
        assert re.search(rf"(?<![\w-]){re.escape(default)}(?![\w-])", text), key


def test_the_shipped_file_with_every_default_spelt_out_is_valid(tmp_path):
    text = (paths.TOP / "daemon/pagefold.conf").read_text()
    text = re.sub(r"^#([a-z-]+ =)", r"\1", text, flags=re.M)
    text = re.sub(r"^policy-dir = .*$", f"policy-dir = {tmp_path}/policy.d", text, flags=re.M)
    (tmp_path / "pagefold.conf").write_text(text)
    assert "is fine" in run("pagefold", "config", "check", tmp_path / "pagefold.conf")


def test_every_key_of_a_policy_is_in_the_manual():
    source = (paths.TOP / "daemon/policy.c").read_text()
    keys = set(re.findall(r'strcmp\(key, "([a-z]+)"\)', source))
    there = items(section(manual("pagefold.conf.5"), "POLICY FILES"), "Ic")
    assert keys and set(there) == keys | {"match"}


def test_every_kind_of_match_is_in_the_manual():
    source = (paths.TOP / "daemon/policy_file.c").read_text()
    kinds = re.findall(r'\{ "([a-z]+:)", MATCH_\w+ \}', source)
    there = items(section(manual("pagefold.conf.5"), "POLICY FILES"), "Li")
    assert kinds and [name for name in there if name.endswith(":")] == kinds


def test_the_examples_of_the_configuration_are_valid(tmp_path):
    examples = re.findall(r"^\.Bd -literal -offset indent\n# (\S+)\n(.*?)^\.Ed",
                          section(manual("pagefold.conf.5"), "EXAMPLES"), re.M | re.S)
    (tmp_path / "policy.d").mkdir()
    configuration = "[pagefold]\n"
    for path, text in examples:
        if "policy.d" in path:
            (tmp_path / "policy.d" / os.path.basename(path)).write_text(text)
        else:
            configuration = text
    (tmp_path / "pagefold.conf").write_text(f"{configuration}policy-dir = {tmp_path}/policy.d\n")
    assert len(examples) == 2
    assert "is fine; 3 policies" in run("pagefold", "config", "check", tmp_path / "pagefold.conf")


# ---- all of them ----

@pytest.mark.parametrize("name", MANUALS)
def test_a_manual_is_set_without_a_warning(name):
    if not shutil.which("man"):
        pytest.skip("no man here (package man-db)")
    done = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z",
                           paths.TOP / "man" / name], capture_output=True, text=True, check=False,
                          env={**os.environ, "LC_ALL": "C.UTF-8"})
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


@pytest.mark.parametrize("name", MANUALS)
def test_a_manual_refers_to_manuals_that_are_there(name):
    ours = {tuple(manual_name.rsplit(".", 1)) for manual_name in MANUALS}
    for page, number in re.findall(r"^\.Xr (\S+) (\d)", manual(name), re.M):
        assert not page.startswith("pagefold") or (page, number) in ours, f"{page}({number})"


def make_targets():
    done = subprocess.run(["make", "-npRrq", "no-such-target"], cwd=paths.TOP, capture_output=True,
                          text=True, check=False)
    return set(re.findall(r"^([a-z][a-z-]*):", done.stdout, re.M))


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_the_make_commands_of_a_text_are_targets(name):
    text = (paths.TOP / name).read_text()
    told = re.findall(r"^ {4}make +([a-z-]+)", text, re.M) + re.findall(r"`make ([a-z-]+)`", text)
    assert told and not set(told) - make_targets()


def test_the_ci_runs_the_test_command_of_the_readme():
    assert re.search(r"^ {4}make check$", (paths.TOP / "README.md").read_text(), re.M)
    assert re.search(r"\bmake check$", (paths.TOP / ".ci/run").read_text(), re.M)


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_the_links_of_a_text_lead_somewhere(name):
    for target in re.findall(r"\]\(([^):]+)\)", (paths.TOP / name).read_text()):
        assert (paths.TOP / target).exists(), target
