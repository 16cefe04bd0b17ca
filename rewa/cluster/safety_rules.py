"""Rules that keep strangers out: secrets, what listens where, and Ray's token."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from rewa.cluster.document import ClusterDocument, walk
from rewa.cluster.problem import Problem, dotted, warning
from rewa.cluster.shape import commands, mapping, provider_of

SECRETS = {
    "an AWS access key": r"\b(AKIA|ASIA)[0-9A-Z]{16}\b",
    "an AWS secret": r"(?i)aws_(secret_access_key|session_token)\s*[=:]\s*['\"]?[^\s'\"$]",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY",
    "Ray's token": r"RAY_AUTH_TOKEN=['\"]?[^\s'\"$]",
    "a password in an address": r"://[^/\s:@$]+:[^/\s:@$]+@",
    "a GitHub or Hugging Face token": r"\b(gh[pousr]_[A-Za-z0-9]{20,}|hf_[A-Za-z0-9]{20,})",
    "a password": r"(?i)\b[A-Z_]*(PASSWORD|PASSWD|SECRET)[A-Z_]*=['\"]?[^\s'\"$]",
}
SECRET_KEY = re.compile(r"(?i)(password|passwd|secret|access_key|private_key_data|^token|_token$)")
OPEN_DASHBOARD = re.compile(r"--dashboard-host[= ]['\"]?(0\.0\.0\.0|::|\*)")
START_KEYS = ("head_start_ray_commands", "worker_start_ray_commands")


def safety_problems(document: ClusterDocument) -> Iterator[Problem]:
    """Yield secrets in the file, doors that stand open, and a missing token. Secrets are not repeated."""
    yield from _secrets(document)
    yield from _doors(document.values)


def _secrets(document: ClusterDocument) -> Iterator[Problem]:
    for location, value in walk(document.values):
        if not isinstance(value, str) or not value:
            continue
        named = next((what for what, pattern in SECRETS.items() if re.search(pattern, value)), None)
        if named is None and location[0] != "file_mounts" and SECRET_KEY.search(str(location[-1])):
            named = "a secret"
        if named is not None:
            yield Problem(
                location,
                f"{dotted(location)}: holds {named}; give machines a role, or mount a private file",
            )
    if "gcp_credentials" in mapping(document.values.get("provider")):
        yield Problem(
            ("provider", "gcp_credentials"),
            "provider.gcp_credentials: credentials in the file go to every machine; use "
            "`gcloud auth application-default login`",
        )


def _doors(values: dict[str, Any]) -> Iterator[Problem]:
    """Yield what anyone could reach, and the token's absence."""
    start = commands(values, "head_start_ray_commands")
    own = "head_start_ray_commands" in values
    if OPEN_DASHBOARD.search(start):
        yield Problem(
            ("head_start_ray_commands",),
            "head_start_ray_commands: --dashboard-host=0.0.0.0 lets whoever reaches the head run code there; "
            "make it 127.0.0.1 and look at it with `ray dashboard`",
        )
    elif not own and provider_of(values) in ("aws", "gcp"):
        yield Problem(
            (),
            "missing key 'head_start_ray_commands': Ray's own start with --dashboard-host=0.0.0.0; "
            "give them with 127.0.0.1",
        )
    text = "\n".join(value for _, value in walk(values) if isinstance(value, str))
    if "RAY_AUTH_MODE=token" not in text:
        yield warning(
            (),
            "RAY_AUTH_MODE=token is set nowhere: whoever reaches Ray's ports may run code; export it in "
            "setup_commands, on every machine, and mount ~/.ray/auth_token",
        )
    for key in START_KEYS:
        if own and key in values and "ray start" not in commands(values, key):
            yield Problem((key,), f"{key}: has no `ray start`, so Ray would not run there")
    if own and "ray start" in start and "--autoscaling-config" not in start:
        yield Problem(
            ("head_start_ray_commands",),
            "head_start_ray_commands: no worker would start without "
            "--autoscaling-config=~/ray_bootstrap_config.yaml",
        )
