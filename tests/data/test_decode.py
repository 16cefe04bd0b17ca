from __future__ import annotations

import multiprocessing

import numpy as np
import pytest
import torch
from PIL import Image

import rewa.data.decode
from rewa.data.decode import decode, decode_batches, encode_paths
from rewa.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore:The image decoding:DeprecationWarning")


@pytest.fixture(params=["torchvision", "Pillow"], autouse=True)
def decoder(request, monkeypatch):
    """Every test holds with torchvision's decoder and without it."""
    if request.param == "Pillow":
        monkeypatch.setattr(rewa.data.decode, "decode_image", None)
    return request.param


def pixels(height=12, width=17, channels=3, seed=0):
    shape = (height, width, channels) if channels else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def save(path, array_or_image, **options):
    image = array_or_image if isinstance(array_or_image, Image.Image) else Image.fromarray(array_or_image)
    image.save(path, **options)
    return path


def as_pillow(path):
    return torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".ppm", ".tif", ".webp", ".jpg"])
def test_colour_images_of_every_format_are_what_pillow_reads(tmp_path, suffix):
    path = save(tmp_path / f"image{suffix}", pixels())
    found = decode(path)
    assert found.dtype == torch.uint8
    assert found.shape == (3, 12, 17)
    assert (found.int() - as_pillow(path).int()).abs().max() <= (4 if suffix == ".jpg" else 0)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1"])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_grey_transparent_and_palette_images_become_rgb(tmp_path, mode, suffix):
    path = save(tmp_path / f"image{suffix}", Image.fromarray(pixels()).convert(mode))
    assert Image.open(path).mode == mode
    assert torch.equal(decode(path), as_pillow(path))


def test_transparency_is_left_out(tmp_path):
    colours = pixels(channels=4)
    assert torch.equal(
        decode(save(tmp_path / "image.png", colours)), torch.from_numpy(colours[..., :3]).permute(2, 0, 1)
    )


@pytest.mark.parametrize("suffix", [".jpg"])
@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_print_jpegs_become_rgb(tmp_path, suffix, mode):
    smooth = Image.fromarray(pixels(3, 4)).resize((40, 30), Image.Resampling.BICUBIC)
    path = save(tmp_path / f"image{suffix}", smooth.convert(mode), quality=95)
    found = decode(path)
    assert found.shape == (3, 30, 40)
    assert (found.int() - as_pillow(path).int()).abs().float().mean() < 3


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_are_scaled_not_cut_off(tmp_path, suffix):
    deep = np.arange(0, 65536, 655, dtype=np.uint16)[:100].reshape(10, 10)
    found = decode(save(tmp_path / f"image{suffix}", deep))
    assert found.dtype == torch.uint8
    expected = torch.from_numpy(deep / 65535 * 255)
    assert (found - expected).abs().max() <= 1
    assert torch.equal(found[0], found[2])


def test_a_file_of_another_format_than_its_name_says_is_decoded(tmp_path):
    path = save(tmp_path / "image.jpg", pixels(), format="PNG")
    assert torch.equal(decode(path), as_pillow(path))
    frames = [Image.fromarray(pixels(seed=i)).convert("P") for i in range(2)]
    frames[0].save(tmp_path / "moving.jpg", format="GIF", save_all=True, append_images=frames[1:])
    assert torch.equal(decode(tmp_path / "moving.jpg"), as_pillow(tmp_path / "moving.jpg"))


@pytest.mark.parametrize("damage", ["empty", "text", "cut"])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp"])
def test_a_damaged_file_is_named(tmp_path, damage, suffix):
    path = save(tmp_path / f"image{suffix}", pixels(50, 60))
    whole = path.read_bytes()
    path.write_bytes(
        {"empty": b"", "text": b"<html>not found</html>", "cut": whole[: len(whole) // 2]}[damage]
    )
    with pytest.raises(UserError, match="damaged or no image") as caught:
        decode(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"gone\.png cannot be decoded \(No such file or directory\)"):
        decode(tmp_path / "gone.png")


def whole(image, index):
    return image


def planted(folder, count):
    return [save(folder / f"{i:02d}.png", pixels(seed=i)) for i in range(count)]


def chunks(*sizes):
    return list(torch.split(torch.randperm(sum(sizes), generator=torch.Generator().manual_seed(1)), sizes))


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_come_in_order_whatever_the_workers(tmp_path, workers):
    files, batches = planted(tmp_path, 9), chunks(4, 3, 2)
    found = list(decode_batches(encode_paths(files), batches, whole, workers))
    for batch, images in zip(batches, found, strict=True):
        assert torch.equal(images, torch.stack([as_pillow(files[i]) for i in batch]))
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_file_ends_the_pass_with_its_name_and_without_processes(tmp_path, workers):
    files = planted(tmp_path, 8)
    files[5].write_bytes(b"nothing")
    batches = [torch.tensor([0, 1]), torch.tensor([4, 5]), torch.tensor([6, 7])]
    found = decode_batches(encode_paths(files), batches, whole, workers)
    assert len(next(found)) == 2
    with pytest.raises(UserError, match=r"05\.png cannot be decoded") as caught:
        next(found)
    assert "\n" not in str(caught.value)
    assert not multiprocessing.active_children()


def test_stopping_early_ends_the_workers(tmp_path):
    found = decode_batches(encode_paths(planted(tmp_path, 8)), chunks(2, 2, 2, 2), whole, workers=2)
    next(found)
    assert len(multiprocessing.active_children()) == 2
    found.close()
    assert not multiprocessing.active_children()


def test_a_pass_leaves_the_global_random_numbers_alone(tmp_path):
    files = planted(tmp_path, 2)
    state = torch.random.get_rng_state()
    list(decode_batches(encode_paths(files), chunks(2), whole, workers=0))
    list(decode_batches(encode_paths(files), chunks(2), whole, workers=1))
    assert torch.equal(torch.random.get_rng_state(), state)
