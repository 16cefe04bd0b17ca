"""What malformed search spaces are made of."""

from __future__ import annotations

from rewa.methods import REGISTRY as METHODS
from rewa.methods import get_method
from rewa.sweep.space_file import spaces_folder
from rewa.workloads import REGISTRY as WORKLOADS

TEXTS = [path.read_text() for path in sorted(spaces_folder().glob("*.yaml"))]

LAUGHS = "&a [1,1,1,1,1,1,1,1,1]"
BOMB = "\n".join(
    [f"b0: {LAUGHS}"]
    + [f"b{i}: &{'abcdefghijklm'[i]} [{', '.join(['*' + 'abcdefghijklm'[i - 1]] * 9)}]" for i in range(1, 12)]
)

SCALARS = [
    *(".nan", ".inf", "-.inf", "null", "~", "", "true", "no", "-1", "0", "-0.0", "1e400", "1e-400", "5e-324"),
    *("1.7e308", "9" * 25, "9" * 400, "-" + "9" * 30, "9" * 5000, "0b" + "1" * 20000, "0x" + "f" * 6000),
    *(
        "10_0",
        "0o17",
        "017",
        "190:20:30",
        "1:1:1.5",
        "2026-02-30",
        "2026-02-28",
        "2001-12-14t21:59:43.10-05:00",
    ),
    *(
        "[]",
        "{}",
        "[[1, [2, [3]]]]",
        "{a: {b: {c: 1}}}",
        "[1, 2]",
        "[2, 1]",
        "[1, 1, 1]",
        "&x 1",
        "*x",
        "&r [*r]",
    ),
    *(
        "&r {r: *r}",
        "😀",
        '"\\ud83d"',
        "'\U0001f600'",
        '"\\0"',
        '"\\x00"',
        "\x00",
        "\x07",
        "\ufeff",
        "\u2028",
        "\x85",
    ),
    *("!!python/object:os.system 1", "!!python/object/apply:os.system ['true']", "!!python/name:os.system x"),
    *(
        "!!binary aGk=",
        "!!binary '%'",
        "!!set {a, b}",
        "!!omap [a: 1]",
        "!!pairs [a: 1]",
        "!!int x",
        "!!float ''",
    ),
    *(
        "!!bool maybe",
        "!!null 3",
        "!!str 3",
        "!!timestamp x",
        "!!map 3",
        "!!seq {}",
        "!own 3",
        "! 3",
        "!!merge x",
    ),
    *(
        "{<<: {name: x}}",
        "{<<: 3}",
        "{<<: [1]}",
        "<<",
        "=",
        "{? [1]: 2}",
        "{[1]: 2}",
        "{{a: 1}: 2}",
        "? x",
        "- x",
    ),
    *(
        "|",
        ">-\n  text",
        "'",
        '"',
        "@x",
        "`x",
        "%x",
        "#x",
        "os:system",
        ".a:B",
        "a..b:C",
        ":",
        "x:",
        "this is: bad",
    ),
    *(
        "antigravity:x",
        "json:JSONDecoder",
        "x" * 3000,
        "../../etc/passwd",
        "/",
        ".",
        "a/b",
        "-x",
        "10" + "0" * 17,
    ),
    *(
        "[0, 1.0e+308]",
        "[-1.7e308, 1.7e308]",
        "[5e-324, 1.7e308]",
        "[1, 99999999999999999999]",
        "[0.5, 1]",
        "[true, 2]",
    ),
    *(
        "[-9223372036854775809, 3]",
        "[a, 1, 1.0, true, null]",
        "[3, 3.0]",
        "[1, 2, 3, 4, 5, 6, 7, 8, 9]",
        "{K: [9]}",
    ),
    *("[" * 60 + "]" * 60, "[" * 2000, "{a: " * 100 + "1" + "}" * 100, "- " * 300 + "x"),
]

NAMES = sorted(
    {
        "p",
        "effective_step",
        "decay_budget",
        "name",
        "workload",
        "objective",
        "trials",
        "seed",
        "confirm",
        "resources",
    }
    | {
        "methods",
        "criterion",
        "max_compression",
        "reference",
        "recalibrated",
        "settings",
        "seeds",
        "cpu",
        "gpu",
    }
    | {
        "workers",
        "pack",
        "timeout",
        "concurrent",
        "coordinates",
        "weight_scale",
        "sample",
        "fixed",
        "known",
        "when",
    }
    | {
        "uniform",
        "log_uniform",
        "int",
        "choice",
        "epochs",
        "batch_size",
        "warmup",
        "precision",
        "d",
        "k",
        "n",
    }
    | {field for name in METHODS for field in get_method(name).Config.model_fields}
    | {*METHODS, *WORKLOADS}
)
