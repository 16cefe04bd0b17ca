"""Every kind of mistake in a cluster file is found, at its line, in one sentence; the shipped have none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cluster_files import PROJECT, SHIPPED, edited, filled, space_with, told, values_of

from rewa.errors import UserError


@pytest.fixture(autouse=True)
def _at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user in the project's folder who has made the token, and has nothing else."""
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("0" * 64)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(PROJECT)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_file_is_right_once_it_is_filled_in(name: str, tmp_path: Path) -> None:
    assert told(tmp_path, filled(name)) == []


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("cluster.yaml", ["node_config.ImageId: FILL-IN", "setup_commands.1: FILL-IN"]),
        ("cluster.gcp.yaml", ["provider.project_id: FILL-IN", "setup_commands.1: FILL-IN"]),
        ("cluster.local.yaml", ["head_ip", "worker_ips", "worker_ips", "ssh_private_key"]),
    ],
)
def test_a_shipped_file_asks_for_what_only_the_user_knows_and_nothing_else(
    name: str, wanted: list[str], tmp_path: Path
) -> None:
    found = told(tmp_path, (PROJECT / name).read_text())
    assert len(found) == len(wanted), found
    assert all("error" in line and want in line for line, want in zip(found, wanted, strict=True)), found


@pytest.mark.parametrize("name", SHIPPED)
def test_ray_takes_what_a_check_finds_right(name: str) -> None:
    """Guards the two private functions of Ray that the check leans on."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared = prepare_config(values_of(filled(name)))
    validate_config(prepared)
    assert prepared["head_node_type"] in prepared["available_node_types"]
    with pytest.raises(Exception, match="typo"):
        validate_config({**prepared, "typo": 1})


AWS, GCP, LOCAL = SHIPPED
GPU_NUMBERS = "    max_workers: 8\n    resources: {CPU: 8, GPU: 1}"

# ruff: noqa: E501
MISTAKES = [
    # (file, what is replaced, by what, the start of what is said, words of what would be right)
    (AWS, "max_workers: 8  ", "max_wokers: 8  ", "error: unknown key 'max_wokers'", "max_workers"),
    (AWS, "max_workers: 8  ", "max_workers: many  ", "error: max_workers = 'many'", "integer"),
    (AWS, "    resources: {CPU: 0} ", "    resource: {CPU: 0} ", "error: unknown key", "resources"),
    (AWS, "head_node_type: head", "head_node_type: heed", "error: Ray refuses", "available_node_types"),
    (AWS, "type: aws", "type: asw", "error: provider.type = 'asw'", "aws"),
    (AWS, "cluster_name: rewa", "name: rewa", "error: missing key 'cluster_name'", ""),
    (AWS, "cluster_name: rewa", "cluster_name: rewa\nhead_node: {}", "error: unknown key 'head_node'", "node_types"),
    (AWS, "cluster_name: rewa", "min_workers: 1\ncluster_name: rewa", "error: min_workers = 1: Ray ignores", "node type"),
    (AWS, "  container_name: rewa\n", "", "error: Ray refuses", "container"),
    (AWS, "min_workers: 0 ", "min_workers: 9 ", "error: gpu.min_workers = 9: is more than its max_workers = 8", "lower"),
    (AWS, "min_workers: 0 ", "min_workers: 8 \n    priority: high ", "error: available_node_types.gpu.priority", "integer"),
    (AWS, "max_workers: 8  ", "max_workers: 4  ", "warning: gpu.max_workers = 8: never reached", "raise"),
    (AWS, GPU_NUMBERS, GPU_NUMBERS.replace("max_workers: 8", "max_workers: 0"), "error: no node type beside", ""),
    (AWS, "resources: {CPU: 0} ", "resources: {CPU: 4} ", "warning: head.resources.CPU = 4: the head would run", "0"),
    (AWS, "resources: {CPU: 0} ", "resources: {} ", "warning: head.resources has no CPU", "0"),
    (AWS, "InstanceType: m6i.xlarge", "InstanceTyp: m6i.xlarge", "error: unknown key", "InstanceType"),
    (AWS, "InstanceType: m6i.xlarge", "InstanceType: large", "error: InstanceType = 'large'", "m6i.xlarge"),
    (AWS, "MarketType: spot", "MarketTyp: spot", "error: unknown key", "MarketType"),
    (AWS, "MarketType: spot", "MarketType: sport", "error: available_node_types.gpu.node_config", "spot"),
    (AWS, "VolumeSize: 150, VolumeType: gp3}", "VolumeSize: big}", "error: available_node_types", "integer"),
    (AWS, "VolumeType: gp3,", "VolumeType: gp33,", "error: available_node_types", "gp3"),
    (AWS, "      ImageId: *image\n", "", "warning: available_node_types.gpu.node_config: has no ImageId", ""),
    (AWS, "      ImageId: *image\n", "      ImageId: *image\n      MinCount: 2\n", "error: available", "min_workers"),
    (AWS, "-py311-gpu", "-py311", "warning: docker.worker_image", "-gpu"),
    (AWS, "~/rewa/rewa: rewa", "~/rewa/rewa: rewer", "error: file_mounts.~/rewa/rewa = 'rewer': is not on", "correct"),
    (AWS, ": ~/.ray/auth_token", ": ~/none/auth_token", "error: file_mounts.~/.ray/auth_token", "get-auth-token"),
    (AWS, "  ssh_user: ubuntu", "  ssh_user: ubuntu\n  ssh_private_key: ~/k.pem", "error: auth.ssh_private_key", "keygen"),
    (AWS, "  ssh_user: ubuntu", "  ssh_user: ubuntu\n  ssh_private_key: ~/.ray/auth_token", "error: available", "KeyName"),
    (AWS, "host=127.0.0.1", "host=0.0.0.0", "error: head_start_ray_commands: --dashboard-host", "127.0.0.1"),
    (AWS, "RAY_AUTH_MODE=token ", "", "warning: RAY_AUTH_MODE=token is set nowhere", "setup_commands"),
    (AWS, "RAY_AUTH_MODE=token ", "RAY_AUTH_MODE=token X=AKIA" + "A" * 16 + " ", "error: setup_commands.1", "role"),
    (AWS, "RAY_AUTH_MODE=token ", "RAY_AUTH_MODE=token RAY_AUTH_TOKEN=abc ", "error: setup_commands.1", "Ray's token"),
    (AWS, "http://127.0.0.1:5000", "http://me:pw@127.0.0.1:5000", "error: setup_commands.1", "password"),
    (AWS, "region: us-west-2 ", "region: us-west-2\n  secret_access_key: x ", "error: provider.secret", "role"),
    (AWS, "head_start_ray_commands:", "head_setup_commands:", "error: missing key 'head_start_ray_commands'", "127.0.0.1"),
    (AWS, "--autoscaling-config", "--no-config", "error: head_start_ray_commands: no worker", "--autoscaling-config"),
    (GCP, "machineType: g2", "machinType: g2", "error: unknown key", "machineType"),
    (GCP, "SPOT ", "SPOTTY ", "error: available_node_types.gpu.node_config.scheduling", "SPOT"),
    (GCP, "automaticRestart: false", "automaticRestart: maybe", "error: available_node_types", "boolean"),
    (GCP, "diskSizeGb: 150\n", "diskSizeGB: 150\n", "error: unknown key", "diskSizeGb"),
    (GCP, "{CPU: 8, GPU: 1}", "{CPU: 8}", "error: gpu.resources has no GPU", "GPU: 1"),
    (GCP, "region: us-central1 ", "gcp_credentials: {type: service_account, credentials: x} ", "error: provider.gcp", ""),
    (LOCAL, "10.0.0.11, 10.0.0.12", "10.0.0.11, 10.0.0.11", "error: provider.worker_ips: '10.0.0.11' is given", "out"),
    (LOCAL, "10.0.0.11, 10.0.0.12", "10.0.0.10, 10.0.0.12", "error: provider.worker_ips: '10.0.0.10' is the head", ""),
    (LOCAL, "[10.0.0.11, 10.0.0.12]", "[]", "error: provider.worker_ips is empty", "addresses"),
    (LOCAL, "worker_ips:", "worker_ip:", "error: Ray refuses", "worker_ips"),
    (LOCAL, "min_workers: 2", "min_workers: 3", "error: min_workers = 3: is more than max_workers = 2", "lower"),
    (LOCAL, "min_workers: 2", "min_workers: 1", "warning: min_workers = 1: Ray starts 1 of the 2", "2"),
    (LOCAL, "\nmax_workers: 2", "\nmax_workers: 3", "warning: max_workers = 3: there are 2 worker_ips", "2"),
    (LOCAL, "--num-cpus=0 ", "", "warning: head_start_ray_commands", "--num-cpus=0"),
    (LOCAL, "export RAY_enable_autoscaler_v2=0; ", "", "warning: head_start_ray_commands", "RAY_enable_autoscaler_v2=0"),
    (LOCAL, "  ssh_user: ubuntu", "", "error: missing key 'auth.ssh_user'", ""),
]  # fmt: skip


@pytest.mark.parametrize(("name", "old", "new", "start", "right"), MISTAKES)
def test_a_mistake_is_found(name: str, old: str, new: str, start: str, right: str, tmp_path: Path) -> None:
    found = told(tmp_path, edited(name, (old, new)))
    hits = [line for line in found if line.split(" ", 1)[1].startswith(start) and right in line]
    assert hits, found
    assert all("\n" not in line and not line.endswith(".") for line in found)


def test_the_line_is_the_mistakes_own(tmp_path: Path) -> None:
    text = edited(AWS, ("MarketType: spot", "MarketTyp: spot"))
    line = next(i for i, words in enumerate(text.splitlines(), 1) if "MarketTyp:" in words)
    assert told(tmp_path, text)[0].startswith(f"{line} error: unknown key")


def test_all_mistakes_are_told_errors_first_in_the_files_order(tmp_path: Path) -> None:
    text = edited(
        AWS,
        ("resources: {CPU: 0} ", "resources: {CPU: 2} "),
        ("MarketType: spot", "MarketType: sport"),
        ("InstanceType: m6i.xlarge", "InstanceTyp: m6i.xlarge"),
        ("~/rewa/rewa: rewa", "~/rewa/rewa: rewer"),
    )
    found = told(tmp_path, text)
    kinds = [line.split(" ")[1] for line in found]
    assert kinds == sorted(kinds)  # error before warning
    lines = [int(line.split(" ")[0]) for line in found if " error:" in line]
    assert lines == sorted(lines)
    assert len(found) >= 5  # with the missing InstanceType


def test_both_forms_of_scheduling_are_right_on_gcp(tmp_path: Path) -> None:
    """Ray's own examples give a list of one where the API wants a mapping."""
    text = filled(GCP)
    start, end = text.index("        provisioningModel"), text.index("      # Workers write checkpoints")
    text = text[:start] + "        - {preemptible: true, onHostMaintenance: TERMINATE}\n" + text[end:]
    assert told(tmp_path, text) == []


def test_a_gpu_added_to_a_machine_needs_termination_at_maintenance(tmp_path: Path) -> None:
    card = "{acceleratorType: nvidia-tesla-t4, acceleratorCount: 1}"
    added = f"machineType: n1-standard-8\n      guestAccelerators: [{card}]"
    text = edited(
        GCP,
        ("machineType: g2-standard-8", added),
        ("provisioningModel: SPOT", "provisioningModel: STANDARD"),
        ("        onHostMaintenance: TERMINATE   # Google asks for it wherever there is a GPU\n", ""),
    )
    assert any("onHostMaintenance: TERMINATE" in line for line in told(tmp_path, text))


FITS = [
    (AWS, {"cpu": 8, "gpu": 1}, None),
    (AWS, {"cpu": 4, "gpu": 0.5}, None),
    (AWS, {"cpu": 1, "gpu": 1, "workers": 8}, None),
    (AWS, {"cpu": 1, "gpu": 1, "workers": 9}, "only 8 fit into all machines"),
    (AWS, {"cpu": 1, "gpu": 0.5, "workers": 17}, "only 16 fit into all machines"),
    (AWS, {"cpu": 9, "gpu": 1}, "the workers have gpu CPU 8, GPU 1"),
    (AWS, {"cpu": 1, "gpu": 2}, "the workers have gpu CPU 8, GPU 1"),
    (AWS, {"cpu": 1}, "asks for no GPU: those of the cluster would idle"),
    (LOCAL, {"cpu": 64, "gpu": 8}, None),  # Ray counts what own machines have
]


@pytest.mark.parametrize(("name", "resources", "wanted"), FITS)
def test_a_search_space_is_held_against_the_machines(
    name: str, resources: dict[str, float], wanted: str | None, tmp_path: Path
) -> None:
    found = told(tmp_path, filled(name), space_with(**resources))
    assert (wanted is None and not found) or (len(found) == 1 and str(wanted) in found[0]), found


def test_a_gpu_space_on_a_cpu_cluster_is_an_error(tmp_path: Path) -> None:
    text = edited(
        AWS, ("InstanceType: g6.2xlarge", "InstanceType: c7i.2xlarge"), ("{CPU: 8, GPU: 1}", "{CPU: 8}")
    )
    assert told(tmp_path, text) == []
    (found,) = told(tmp_path, text, space_with(gpu=1))
    assert "error: search space 'asking' asks for resources.gpu = 1, but no worker has a GPU" in found


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a: [", "not valid YAML"),
        ("a: 1\na: 2", "given twice"),
        ("- a", "must be a mapping"),
        ("", "must be a mapping"),
        ("a: &x [*x]", "too deeply nested"),
        ("a: !!python/object/apply:os.system [ls]", "not valid YAML"),
        ("cluster_name: rewa\n1: 2", "line 2: the key 1 must be text"),
        ("[" * 500, "not valid YAML"),
        ("a: \x00", "not valid YAML"),
    ],
)
def test_what_is_no_cluster_file_ends_in_one_sentence(text: str, wanted: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=wanted) as caught:
        told(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_aliases_that_multiply_are_refused(tmp_path: Path) -> None:
    layers = "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9))
    with pytest.raises(UserError, match="too large"):
        told(tmp_path, "a0: &a0 x\n" + layers)


def test_the_command_lists_all_and_says_what_comes_next(
    cli: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(filled(AWS))
    status, out, _ = cli("cluster", "check", str(file))
    assert status == 0
    assert out.splitlines() == [
        "cluster rewa (aws, us-west-2): head m6i.xlarge; workers: 0 to 8 g6.2xlarge on spot; at most 8 GPUs; "
        "nothing is wrong",
        f"next: ray up {file}",
    ]
    file.write_text(edited(AWS, ("MarketType: spot", "MarketType: sport"), ("{CPU: 0} ", "{CPU: 2} ")))
    status, out, _ = cli("cluster", "check", str(file), "--space", "cifar10")
    lines = out.splitlines()
    assert status == 2
    assert [line.split(": ")[1] for line in lines[:2]] == ["error", "warning"]
    assert lines[0].startswith(f"{file}, line ")
    assert lines[-2].endswith("1 error, 1 warning")
    assert lines[-1] == f"next: correct the file, then rewa cluster check {file} --space cifar10"


def test_warnings_alone_are_no_failure(cli: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(edited(AWS, ("{CPU: 0} ", "{CPU: 2} ")))
    status, out, _ = cli("cluster", "check", str(file))
    assert status == 0
    assert out.splitlines()[-1] == f"next: ray up {file}"


def test_a_missing_file_or_space_is_one_sentence(
    cli: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    status, _, err = cli("cluster", "check", str(tmp_path / "none.yaml"))
    assert status == 2
    assert "none.yaml: cannot be read" in err
    file = tmp_path / "mine.yaml"
    file.write_text(filled(AWS))
    status, _, err = cli("cluster", "check", str(file), "--space", "cifar11")
    assert status == 2
    assert "cifar10" in err
