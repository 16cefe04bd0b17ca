from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import chisquare, kstest
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from rewa.data.augment import Draws, apply, augment, augment_one, central_square, draw, evaluation_view
from rewa.data.loader import Transform


def noise(n, height, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, 3, height, width), dtype=torch.uint8, generator=generator)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def transform(augmentation, size=32, flip=True, resize=None):
    return Transform(size, size, resize or size, augmentation, flip)


def grey_levels_apart(a, b):
    return int((a.int() - b.int()).abs().max())


@pytest.mark.parametrize(("height", "width"), [(32, 32), (40, 64), (64, 37), (9, 13)])
@pytest.mark.parametrize("size", [16, 24, 50])
def test_resized_crops_are_torchvisions_on_the_same_boxes(height, width, size):
    images, recipe = noise(24, height, width), transform("resized_crop", size, flip=False)
    draws = draw(24, height, width, recipe, seeded())
    found = apply(images, recipe, draws)
    for image, box, view in zip(images, draws.boxes.tolist(), found, strict=True):
        reference = functional.resized_crop(image, *box, [size, size], antialias=True)
        assert grey_levels_apart(view, reference) <= 1
        if box[2] <= size and box[3] <= size:
            plain = functional.resized_crop(image, *box, [size, size], antialias=False)
            assert grey_levels_apart(view, plain) <= 1


def test_a_crop_larger_than_the_target_does_not_alias():
    stripes = torch.zeros(8, 3, 96, 96, dtype=torch.uint8)
    stripes[..., ::2] = 255  # finer than the target can show: it must come out grey
    recipe = transform("resized_crop", 16, flip=False)
    draws = draw(8, 96, 96, recipe, seeded(1))
    wide = draws.boxes[:, 3] > 64
    assert wide.any()
    inner = apply(stripes, recipe, draws)[wide][..., 1:-1].float()
    assert (inner - 127.5).abs().max() < 16


def test_one_large_image_is_cropped_as_many_are():
    images, recipe = noise(12, 60, 90), transform("resized_crop", 32)
    for seed, image in enumerate(images):
        many = augment(image[None], recipe, seeded(seed))[0]
        assert grey_levels_apart(augment_one(image, recipe, seeded(seed)), many) <= 1


@pytest.mark.parametrize(("height", "width"), [(32, 32), (100, 150)])
def test_boxes_have_the_distribution_of_torchvision(height, width):
    """Two samples of the same law: kstest at one in a thousand, fixed seeds."""
    draws = draw(2000, height, width, transform("resized_crop"), seeded()).boxes.numpy()
    torch.manual_seed(1)
    image = torch.empty(3, height, width)
    reference = np.array([_torchvision_box(image) for _ in range(2000)])
    for measure in (
        lambda b: b[:, 2] * b[:, 3],
        lambda b: b[:, 3] / b[:, 2],
        lambda b: b[:, 0] / np.maximum(height - b[:, 2], 1),
        lambda b: b[:, 1] / np.maximum(width - b[:, 3], 1),
    ):
        assert kstest(measure(draws), measure(reference)).pvalue > 1e-3


def _torchvision_box(image):
    params = v2.RandomResizedCrop(8).make_params([image])
    return [params[name] for name in ("top", "left", "height", "width")]


@pytest.mark.parametrize(("height", "width"), [(4, 400), (400, 4)])
def test_an_image_too_long_for_any_box_gives_the_central_one(height, width):
    found = draw(3, height, width, transform("resized_crop"), seeded()).boxes.tolist()
    assert found == [_torchvision_box(torch.empty(3, height, width))] * 3


def test_a_crop_is_a_window_of_the_reflected_image_half_of_them_mirrored():
    images, recipe = noise(4000, 16, 16), transform("crop", 16)
    draws = draw(4000, 16, 16, recipe, seeded())
    views = apply(images, recipe, draws).numpy()
    padded = np.pad(images.numpy(), ((0, 0), (0, 0), (2, 2), (2, 2)), mode="reflect")
    for view, image, (top, left, _, _), mirrored in zip(
        views, padded, draws.boxes.tolist(), draws.mirrored.tolist(), strict=True
    ):
        window = image[:, top : top + 16, left : left + 16]
        np.testing.assert_array_equal(view, window[..., ::-1] if mirrored else window)
    corners = np.zeros((5, 5))
    np.add.at(corners, tuple(draws.boxes[:, :2].T.numpy()), 1)
    assert chisquare(corners.ravel()).pvalue > 1e-3
    assert abs(draws.mirrored.float().mean() - 0.5) < 0.03


@pytest.mark.parametrize("augmentation", ["none", "crop", "resized_crop"])
def test_mirrored_views_are_the_others_mirrored(augmentation):
    images = noise(32, 40, 50)
    recipe = transform(augmentation, 24)
    draws = draw(32, 40, 50, recipe, seeded())
    views = apply(images, recipe, draws)
    plain = apply(images, recipe, Draws(draws.boxes, torch.zeros(32, dtype=torch.bool)))
    assert 0 < draws.mirrored.sum() < 32
    for view, unmirrored, mirrored in zip(views, plain, draws.mirrored, strict=True):
        assert torch.equal(view, unmirrored.flip(-1) if mirrored else unmirrored)
    assert not draw(99, 40, 50, transform(augmentation, 24, flip=False), seeded()).mirrored.any()


@pytest.mark.parametrize("augmentation", ["none", "crop", "resized_crop"])
@pytest.mark.parametrize("value", [0, 1, 254, 255])
def test_an_even_image_stays_even(augmentation, value):
    images = torch.full((16, 3, 30, 45), value, dtype=torch.uint8)
    views = augment(images, transform(augmentation, 32), seeded())
    assert views.shape == (16, 3, 32, 32)
    assert views.dtype == torch.uint8
    assert views.is_contiguous()
    assert (views == value).all()


@pytest.mark.parametrize("augmentation", ["none", "crop", "resized_crop"])
def test_views_depend_on_the_generator_only(augmentation):
    images, recipe = noise(16, 32, 32), transform(augmentation)
    before = images.clone()
    first = augment(images, recipe, seeded(5))
    torch.manual_seed(99)
    assert torch.equal(first, augment(images, recipe, seeded(5)))
    assert not torch.equal(first, augment(images, recipe, seeded(6)))
    assert torch.equal(images, before)


def test_without_augmentation_it_is_the_view_of_evaluation_at_the_training_resolution():
    images = noise(4, 60, 80)
    recipe = Transform(28, 56, 64, "none", flip=False)
    reference = functional.center_crop(functional.resize(images, [32], antialias=True), [28, 28])
    assert torch.equal(augment(images, recipe, seeded()), reference)
    assert torch.equal(evaluation_view(images, recipe, 28), reference)


@pytest.mark.parametrize(("height", "width"), [(30, 45), (300, 201), (64, 64), (256, 256), (71, 500)])
def test_evaluation_is_torchvisions_resize_and_centre_crop(height, width):
    image, recipe = noise(1, height, width)[0], Transform(32, 224, 256, "crop", flip=True)
    reference = v2.Compose([v2.Resize(256, antialias=True), v2.CenterCrop(224)])(image)
    assert torch.equal(evaluation_view(image, recipe), reference)


@pytest.mark.parametrize(("height", "width"), [(30, 45), (77, 50), (50, 50), (51, 90)])
@pytest.mark.parametrize("resolution", [40, 43, 50])
def test_stored_squares_give_the_view_of_the_whole_image(height, width, resolution):
    image, recipe = noise(1, height, width)[0], Transform(32, resolution, 50, "crop", flip=True)
    stored = central_square(image, 50)
    assert stored.shape == (3, 50, 50)
    assert torch.equal(evaluation_view(stored, recipe), evaluation_view(image, recipe))


def test_images_of_the_right_size_are_not_touched():
    images = noise(2, 32, 32)
    assert evaluation_view(images, transform("crop")) is images
    assert central_square(images, 32) is images


def test_the_draws_of_a_share_are_those_of_the_whole_batch():
    images, recipe = noise(11, 32, 32), transform("resized_crop")
    draws = draw(11, 32, 32, recipe, seeded())
    whole = apply(images, recipe, draws)
    assert torch.equal(apply(images[1::3], recipe, draws[1::3]), whole[1::3])
