"""Every error of a suite file is reported at once, with its place and the nearest valid name."""

import pytest

from asapbench.errors import SuiteError
from asapbench.suite.load import load, parse

BROKEN = """\
[suite]
name = "two words"
title = 3
author = "me"
tables = [7]

[defaults]
dataset = "cifr10"
epoch = 3
epochs = 0

[[grid]]
model = [{ name = "resnet18", widht = 3 }, "alexnt", { width = 3 }, 5]
lr = { bp = 3e-2, asup = 1, fa = "x", dfa = -1 }
seeds = [0, -1]
optimizer = { name = "sgd", momentum = "x" }
precision = "float16"

[extra]
"""


def problems(text: str) -> list[str]:
    with pytest.raises(SuiteError) as caught:
        parse(text, source="s.toml")
    return str(caught.value).splitlines()


def test_all_errors_of_a_file_are_reported_together_with_their_places() -> None:
    found = problems(BROKEN)
    expected = [
        ("2:8", "name must be"),
        ("3:9", "title must be a string"),
        ("4:1", 'unknown key "author"'),
        ("5:10", "tables must be"),
        ("8:11", 'unknown dataset "cifr10"; did you mean "cifar10"?'),
        ("9:1", 'unknown key "epoch"; did you mean "epochs"?'),
        ("10:10", "epochs must be at least 1, not 0"),
        ("13:39", 'resnet18 has no option "widht"'),
        ("13:44", 'unknown model "alexnt"; did you mean "alexnet"?'),
        ("13:54", 'a table needs name = "..."'),
        ("13:69", "not 5"),
        ("14:26", 'unknown rule "asup"; did you mean "asap"?'),
        ("14:34", "a learning rate must be a number, not 'x'"),
        ("14:45", "a learning rate must be greater than 0, not -1"),
        ("15:13", "a seed must be a whole number"),
        ("16:40", "momentum must be a number, not 'x'"),
        ("17:13", "precision must be one of float32, tf32, bf16, not 'float16'"),
        ("19:2", 'unknown table "extra"'),
    ]
    lines = {line.split(" ", 1)[0].removeprefix("s.toml:").removesuffix(":"): line for line in found}
    for place, text in expected:
        assert place in lines, (place, text, found)
        assert text in lines[place], (place, text, lines[place])
    assert len(found) == len(expected)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[suite\n", "s.toml:1:7: not valid TOML"),
        ('[suite]\nname = "a"\nname = "b"\n', "s.toml:3:"),
        ('[suite]\nname = "a', "s.toml:2:"),
        ("x = " + "[" * 5000, "s.toml:1:"),
    ],
)
def test_text_that_is_not_toml_is_one_error_with_its_place(text: str, place: str) -> None:
    (line,) = problems(text)
    assert line.startswith(place)
    assert "not valid TOML" in line


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("", "the suite has no [[grid]]"),
        ('[grid]\nmodel = "mlp"', "write [[grid]], with two brackets"),
        ('[[grid]]\nmodel = "mlp"\nlr = 1', "no dataset is named"),
        ('[[grid]]\ndataset = "mnist"\nmodel = "mlp"\nrule = "bp"', "no learning rate"),
        (
            '[[grid]]\ndataset = "mnist"\nmodel = "mlp"\nrule = ["bp", "fa"]\nlr = { bp = 1 }',
            'no learning rate for the rule "fa"',
        ),
        ('[[grid]]\ndataset = "mnist"\nmodel = "mlp"\nrule = "bp"\nlr = 1\nbatch_size = 59999', "a last batch of one"),
        ('[[grid]]\ndataset = "mnist"\nmodel = "mlp"\nrule = "bp"\nlr = 1\nvalidation = 60000', "leaves 0"),
        ('[[grid]]\ndataset = "mnist"\nmodel = "mlp"\nrule = "bp"\nlr = 1\nbatch_size = 1', "at least 2"),
        (
            '[[grid]]\ndataset = "mnist"\nmodel = "mlp"\nlr = 1\nbatch_size = 9\n'
            'rule = { name = "bp", micro_batches = [2, 5] }',
            "8:43: bp: micro_batches 5 leave parts of one example of a batch of 9: take at most 4",
        ),
        ('[[grid]]\ndataset = "mnist"\nmodel = "mlp"\nrule = []\nlr = 1', "the suite has no cells"),
        (
            '[[grid]]\ndataset = "mnist"\nmodel = { name = "mlp", nonlinear = 1 }\nrule = "bp"\nlr = 1',
            "nonlinear must be true or false, not 1",
        ),
        (
            '[[grid]]\ndataset = "mnist"\nmodel = "mlp"\nrule = "bp"\nlr = inf',
            "a learning rate must be finite, not inf; numbers end at 1.79e308",
        ),
        *(
            (f'[[grid]]\ndataset = "mnist"\nmodel = "mlp"\nrule = "bp"\n{line}', says)
            for line, says in {
                "lr = nan": "a learning rate must be finite, not nan",
                "lr = 1e400": "a learning rate must be finite, not inf; numbers end at 1.79e308",
                "lr = -inf": "a learning rate must be finite, not -inf",
                f"lr = 1{'0' * 400}": "a learning rate must be finite, not a number of more than 18 digits",
                "lr = 1e301": "a learning rate must be at most 1e+300, not 1e+301",
                "lr = 0.0": "a learning rate must be greater than 0, not 0.0",
                'lr = 1\noptimizer = { name = "adam", eps = 1e400 }': "eps must be finite, not inf",
                f'lr = 1\noptimizer = {{ name = "adam", eps = 1{"0" * 400} }}': "eps must be finite, not a number of",
                "lr = 1\nepochs = inf": "epochs must be a whole number, not inf",
                "lr = 1\nseeds = nan": "a seed must be a whole number from 0 to 2^63 - 1, not nan",
            }.items()
        ),
    ],
)
def test_what_a_grid_lacks_is_said(body: str, says: str) -> None:
    assert any(says in line for line in problems(f'[suite]\nname = "a"\n{body}\n'))


def test_a_fault_in_the_defaults_is_said_once_however_many_grids_use_them() -> None:
    grid = '[[grid]]\nmodel = "mlp"\nrule = "bp"\nlr = 1\n'
    found = problems(f'[suite]\nname = "a"\n[defaults]\ndataset = "minst"\n{grid}{grid}')
    assert found == [
        's.toml:4:11: unknown dataset "minst"; did you mean "mnist"? (there are: '
        "cifar10, cifar100, digits, imagefolder, mnist, npz, svhn, tiny_imagenet)"
    ]


def test_columns_count_characters_not_bytes() -> None:
    (line,) = problems(
        '[suite]\nname = "a"\ntitle = "äöü"\nx = 1\n[[grid]]\ndataset = "mnist"\nmodel = "mlp"\nrule = "bp"\nlr = 1\n'
    )
    assert line.startswith("s.toml:4:1:")
    inline = (
        '[suite]\nname = "a"\n[[grid]]\ndataset = "mnist"\nmodel = { "näme" = 1, name = "mlp" }\nrule = "bp"\nlr = 1\n'
    )
    (line,) = problems(inline)
    assert line.startswith("s.toml:5:20:")


def test_an_unknown_suite_names_the_nearest(tmp_path) -> None:
    with pytest.raises(SuiteError, match='did you mean "cifar10"'):
        load("cifr10")
    with pytest.raises(SuiteError, match="this is a directory"):
        load(str(tmp_path))
    unreadable = tmp_path / "x.toml"
    unreadable.write_bytes(b"\xff\xfe")
    with pytest.raises(SuiteError, match="not UTF-8"):
        load(str(unreadable))


SCHEDULED = """\
[suite]
name = "a"
[[grid]]
dataset = "digits"
model = "mlp"
rule = "bp"
lr = 0.1
epochs = 20
warmup = [2, 20]
schedule = [{ name = "step", milestones = ["10", "60 120", "9 5", "x"] }, "cosin"]
"""


def test_a_schedule_that_cannot_be_trained_is_reported_with_its_place() -> None:
    found = problems(SCHEDULED)
    assert [line.split(" ", 1)[0] for line in found] == ["s.toml:10:60:", "s.toml:10:67:", "s.toml:10:75:"]
    sound = SCHEDULED.replace(', "9 5", "x"', "").replace(', "cosin"', "")
    assert problems(sound) == [
        "s.toml:9:14: warmup 20 leaves no epoch of 20 behind it: choose less",
        "s.toml:10:50: step: the first milestone, 60, leaves no epoch of 20 behind it: choose milestones below 20",
    ]


def test_a_key_of_a_suite_at_the_top_of_the_file_is_pointed_to_its_place() -> None:
    text = (
        'plugins = ["a.py"]\n[suite]\nname = "a"\n[[grid]]\ndataset = "digits"\nmodel = "mlp"\nrule = "bp"\nlr = 0.1\n'
    )
    assert problems(text) == ['s.toml:1:1: "plugins" belongs under [suite]']
