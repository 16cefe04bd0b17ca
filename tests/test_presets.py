"""The paper's settings by name: complete, valid, and trainable on real images."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rewa.data.sample_tree import write_digits_tree
from rewa.errors import UserError
from rewa.methods import GradientMethod, get_method
from rewa.presets import COEFFICIENTS, PRESETS, Preset, get_preset
from rewa.theory import decay_budget
from rewa.workloads import Workload, get_workload

GRID = ("1e-5", "3e-5", "1e-4", "3e-4", "1e-3")
TINY = {"batch_size": 2, "epochs": 1, "calibration_images": 2, "workers": 0}


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_every_preset_is_valid(preset: Preset) -> None:
    """Its method and workload take its settings, and it leaves only Adam's own to the defaults."""
    method = get_method(preset.method)
    config = method.from_values(preset.config).config
    get_workload(preset.workload).Config.parse(preset.workload_settings, preset.name)
    assert set(type(config).model_fields) - set(preset.config) <= {"beta1", "beta2", "eps"}
    assert PRESETS[preset.name] is preset
    assert preset.source


def test_the_names_are_the_papers_settings() -> None:
    """Written out once more, so that a generated name cannot change unnoticed."""
    ablations = ("rewa", "rewa_no_M_eps", "rewa_eps", "rewa_eps_wd1e-5", "rewa_no_wd_M_eps", "rewa_no_wd")
    expected = {f"figure3a/{name}" for name in (*ablations, "rewa_K2.25_M1.25", "dense")}
    for kind in ("sgd_l1", "spred_balanced", "spred_original"):
        expected |= {f"figure3a/{kind}_{value}" for value in GRID}
    for M in (0, 2):
        for stabiliser in ("0", "1e-5", "1e-4", "1e-3"):
            expected |= {f"figure3b/rewa_{decay}_eps{stabiliser}_M{M}" for decay in ("wd5e-5", "no_wd")}
        expected.add(f"figure3b/rewa_wd5e-5_eps1e-6_M{M}")
    expected |= {"figure3b/sgd", "figure3b/sgd_l1"}
    expected |= {f"table1/rewa_adamw_{name}" for name in ("M0", "M2", "M2_wd1e-4")}
    assert set(PRESETS) == expected


def test_names_say_what_the_configs_hold() -> None:
    for text, value in zip(GRID, COEFFICIENTS, strict=True):
        assert float(text) == value
        assert PRESETS[f"figure3a/sgd_l1_{text}"].config["l1"] == value
        for init in ("balanced", "original"):
            config = PRESETS[f"figure3a/spred_{init}_{text}"].config
            assert (config["weight_decay"], config["init"]) == (value, init)
    for name, preset in PRESETS.items():
        if name.startswith("figure3b/rewa"):
            decay, stabiliser, M = name.removeprefix("figure3b/rewa_").replace("no_wd", "wd0").split("_")
            config = preset.config
            assert config["weight_decay"] == float(decay.removeprefix("wd"))
            assert 3 * config["epsilon"] == pytest.approx(float(stabiliser.removeprefix("eps")))
            assert config["M"] == int(M[1:])


def test_the_legible_values_of_the_paper() -> None:
    """Appendices D.2, D.3 and D.7, by hand."""
    best = PRESETS["figure3a/rewa"].config
    assert best == {"lr": 0.256, "momentum": 0.875, "K": 9, "M": 2, "epsilon": 0.0, "weight_decay": 1e-4}
    assert PRESETS["figure3b/sgd"].config == {"lr": 1.7, "momentum": 0.9, "weight_decay": 1e-4}
    assert PRESETS["figure3b/sgd_l1"].config == {"lr": 1.7, "momentum": 0.9, "l1": 2e-6}
    for preset in PRESETS.values():
        settings = preset.workload_settings
        recipe = (settings["epochs"], settings["batch_size"])
        assert recipe == ((100, 256) if preset.workload == "cifar10" else (88, 512))
        assert (preset.workload == "cifar10") == (settings.get("variant") == "parity")


def test_adamw_spends_the_decay_budget_of_plain_rewa() -> None:
    plain, adamw = PRESETS["figure3a/rewa"].config, PRESETS["table1/rewa_adamw_M0"].config
    spent = decay_budget(9, plain["weight_decay"], plain["lr"], plain["momentum"], 1000.0)
    assert decay_budget(9, adamw["weight_decay"], adamw["lr"], 0.0, 1000.0) == pytest.approx(spent)


@pytest.mark.parametrize("words", ["illegible", "chosen"])
def test_what_was_chosen_is_said(words: str) -> None:
    for name in ("figure3a/rewa_eps", "table1/rewa_adamw_M0", "table1/rewa_adamw_M2"):
        assert words in PRESETS[name].note


def test_an_unknown_preset_is_corrected() -> None:
    assert get_preset("figure3a/rewa").method == "rewa"
    with pytest.raises(UserError, match=r"unknown preset 'figure3a/reva': did you mean 'figure3a/rewa'"):
        get_preset("figure3a/reva")


@pytest.fixture(scope="module")
def workloads(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Workload]:
    """The presets' workloads at their own resolution and architecture, on fifty digits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    tree = str(write_digits_tree(tmp_path_factory.mktemp("presets") / "digits", per_class=5))
    cpu, cifar, imagenet = torch.device("cpu"), PRESETS["figure3a/rewa"], PRESETS["figure3b/sgd"]
    built = {
        "cifar10": {**cifar.workload_settings, **TINY, "folder": tree},
        "imagenet": {**imagenet.workload_settings, **TINY, "root": tree, "precision": "fp32"},
    }
    torch.set_num_threads(threads)
    return {name: get_workload(name).from_values(values, cpu) for name, values in built.items()}


@pytest.mark.slow
@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_every_preset_takes_two_steps(preset: Preset, workloads: dict[str, Workload]) -> None:
    workload = workloads[preset.workload]
    method = get_method(preset.method).from_values(preset.config)
    assert isinstance(method, GradientMethod)
    torch.manual_seed(0)
    model = workload.build_model()
    before = next(model.parameters()).detach().clone()
    optimizer = method.prepare(model)
    batches = workload.batches(torch.Generator().manual_seed(0))
    for _ in range(2):
        loss = workload.loss(model, next(batches))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert torch.isfinite(loss)
    first = next(method.dense_copy(model).parameters())
    assert torch.isfinite(first).all()
    assert not torch.equal(first, before)


def test_the_sample_tree_holds_the_digits(tmp_path: Path) -> None:
    """At 8 pixels the files are scikit-learn's values in steps of 255 / 16, every image once."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    tree = write_digits_tree(tmp_path / "tree", size=8, per_class=23)
    for digit in range(10):
        files = sorted(tree.glob(f"*/{digit}/*.png"), key=lambda path: path.name)
        own = images[labels == digit][:23]
        assert len(files) == len(own)
        assert len(list((tree / "test" / str(digit)).iterdir())) == len(own) // 5
        for path, image in zip(files, own, strict=True):
            pixels = np.asarray(Image.open(path))
            assert pixels.shape == (8, 8, 3)
            np.testing.assert_allclose(pixels[..., 1].ravel() * (16 / 255), image, atol=0.04)
    again = write_digits_tree(tmp_path / "tree")
    assert again == tree
