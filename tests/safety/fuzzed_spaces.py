"""Malformed search spaces by the thousand, each decided by one number: a failing one can be made again."""

from __future__ import annotations

import random
from typing import Any

import yaml
from fuzz_words import BOMB, LAUGHS, NAMES, SCALARS, TEXTS


def mutated(seed: int) -> str:
    """A space that comes with rewa after one to four edits."""
    rng = random.Random(seed)
    text = rng.choice(TEXTS)
    for _ in range(rng.randint(1, 4)):
        text = _edited(text, rng)
    return text


def _edited(text: str, rng: random.Random) -> str:
    lines = text.split("\n")
    at = rng.randrange(len(lines))
    line = lines[at]
    match rng.randrange(12):
        case 0:
            del lines[at]
        case 1:
            lines.insert(rng.randrange(len(lines) + 1), line)
        case 2:
            other = rng.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        case 3:
            lines[at] = rng.choice([" ", "  ", "\t", "- ", "? "]) + line
        case 4:
            lines[at] = line[rng.randint(1, 3) :]
        case 5 | 6 | 7:  # the value of a key, or one entry of a list
            lines[at] = _with_value(line, rng.choice(SCALARS), rng)
        case 8:
            words = line.split(" ")
            words[rng.randrange(len(words))] = rng.choice(SCALARS + NAMES)
            lines[at] = " ".join(words)
        case 9:
            lines[at] = line.replace(
                rng.choice(":,[]{}#-&*"), rng.choice(["", ":", ",", "[", "}", "&a ", "*a"]), 1
            )
        case 10:
            place = rng.randrange(len(line) + 1)
            lines[at] = (
                line[:place]
                + rng.choice(["\x00", "\x1b", "😀", "é", "\u2028", "\ud83d", "%", "\t", "\r"])
                + line[place:]
            )
        case _:
            lines.insert(
                at, rng.choice([BOMB, "---", "...", "%YAML 9.9", "<<: *x", "x: &x {y: *x}", f"z: {LAUGHS}"])
            )
    return "\n".join(lines)


def _with_value(line: str, value: str, rng: random.Random) -> str:
    """The line with something after one of its colons, commas or brackets replaced."""
    places = [i + 1 for i, c in enumerate(line) if c in ":,[{"]
    if not places:
        return line + " " + value
    start = rng.choice(places)
    stop = next((i for i in range(start, len(line)) if line[i] in ",]}#"), len(line))
    return line[:start] + " " + value + line[stop:]


def grown(seed: int) -> str:
    """One or two methods of a space that comes with rewa, with up to four branches or leaves replaced."""
    rng = random.Random(seed)
    values = yaml.safe_load(rng.choice(TEXTS))
    kept = rng.sample(list(values["methods"]), rng.randint(1, 2))
    values["methods"] = {name: values["methods"][name] for name in kept}
    for _ in range(rng.randint(0, 4)):
        _regrow(values, rng)
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=rng.random() < 0.5)


def _regrow(tree: Any, rng: random.Random) -> None:
    """Change one place of a tree, deep ones as likely as shallow ones."""
    while True:
        keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
        if not keys:
            return
        key = rng.choice(keys)
        if isinstance(tree[key], (dict, list)) and tree[key] and rng.random() < 0.85:
            tree = tree[key]
            continue
        break
    match rng.randrange(8):
        case 0:
            del tree[key]
        case 1 if isinstance(tree, dict):
            tree[rng.choice(NAMES)] = tree[key]
        case 2 if isinstance(tree, dict):
            tree[rng.choice(NAMES)] = _distribution(rng)
        case 3:
            tree[key] = _distribution(rng)
        case 4:
            tree[key] = _value(rng)
        case 5 if isinstance(tree, dict):
            tree["when"] = {rng.choice(["K", "p", "init", "lr"]): [_scalar(rng)]}
        case _:
            tree[key] = _scalar(rng)


def _distribution(rng: random.Random) -> Any:
    kind = rng.choice(["uniform", "log_uniform", "int", "choice"])
    if kind == "choice":
        return {kind: [_scalar(rng) for _ in range(rng.randint(1, 4))]}
    return {kind: sorted((_number(rng), _number(rng)), key=float)}


def _number(rng: random.Random) -> Any:
    common = [0, 1, 2, 3, 5, 9, 0.5, 0.9, 1.5, 10, 100, 0.01, 1e-4]
    return rng.choice(
        common if rng.random() < 0.7 else [5e-324, 1e-300, 1e308, -1e308, 10**9, 10**18, 10**30, -1]
    )


def _scalar(rng: random.Random) -> Any:
    return (
        _number(rng)
        if rng.random() < 0.8
        else rng.choice(["a", "balanced", "bf16", True, False, "1e-3", "9", ""])
    )


def _value(rng: random.Random) -> Any:
    return rng.choice(
        [
            None,
            "x\0",
            "😀",
            float("nan"),
            float("inf"),
            -(10**40),
            [],
            {},
            [[1]],
            {"a": 1},
            [1, 2],
            10**4000,
            "~nobody/x",
        ]
    )


def noise(seed: int) -> bytes:
    """Random bytes, or a space with some of its bytes changed."""
    rng = random.Random(seed)
    if rng.random() < 0.3:
        return rng.randbytes(rng.choice([0, 1, 3, 20, 300]))
    data = bytearray(rng.choice(TEXTS).encode())
    for _ in range(rng.randint(1, 6)):
        match rng.randrange(3):
            case 0:
                data[rng.randrange(len(data))] = rng.randrange(256)
            case 1:
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            case _:
                del data[rng.randrange(len(data)) :]
                data = data or bytearray(b"x")
    return bytes(data)
