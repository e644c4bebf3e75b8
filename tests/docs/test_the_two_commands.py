"""README's two commands are the ones that `.ci/run` uses."""

from __future__ import annotations

import re

from documentation import README, ROOT, blocks

CI = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
FAST = "not slow and not faults and not gpu"
COMMANDS = [line for block in blocks(README, "sh") for line in block.splitlines() if "pip install" in line]


def test_there_are_two_and_both_install_what_was_tested_together() -> None:
    assert len(COMMANDS) == 2
    assert all("pip install -c constraints.txt" in command for command in COMMANDS)
    assert (ROOT / "constraints.txt").is_file()


def test_ci_takes_the_test_command_out_of_readme() -> None:
    pattern = re.search(r"grep -m1 '([^']+)' README\.md", CI)[1]
    found = [line for line in README.read_text(encoding="utf-8").splitlines() if re.search(pattern, line)]
    assert found == [COMMANDS[1]]
    assert found[0].endswith(f'pytest -n auto -m "{FAST}"')
    assert 'bash -euo pipefail -c "$command"' in CI


def test_ci_and_the_justfile_run_what_that_command_leaves_out() -> None:
    assert '-m "slow or faults or gpu"' in CI
    justfile = (ROOT / "justfile").read_text(encoding="utf-8")
    assert f'pytest -n auto -m "{FAST}"' in justfile
    assert 'pytest -n auto -m "slow or faults or gpu"' in justfile


def test_ci_runs_the_suite_and_the_report_of_the_first_command() -> None:
    assert "asapbench run suites/quickstart.toml && .venv/bin/asapbench report --suite quickstart" in COMMANDS[0]
    assert (ROOT / "suites" / "quickstart.toml").is_file()
    assert "asapbench report --suite quickstart" in CI
    script = (ROOT / ".ci" / "kill_and_resume.py").read_text(encoding="utf-8")
    assert '"asapbench", "run", "quickstart"' in script
    assert ".ci/kill_and_resume.py" in CI


def test_ci_installs_what_the_slow_tests_use_before_them() -> None:
    """Sphinx is among it: the tests of `test_site.py` build the documentation."""
    extras, slow = CI.index('-e ".[peers,docs]"'), CI.index('-m "slow or faults or gpu"')
    assert extras < slow
    assert "sphinx-build -W" in (ROOT / "justfile").read_text(encoding="utf-8")
