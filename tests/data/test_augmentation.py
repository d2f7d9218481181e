"""Steps between the stored pixels and the normalisation, and what is refused."""

import kornia.augmentation
import pytest
import torch
from omegaconf import OmegaConf

from src.config import assembly, composition
from src.data.augmentation import Augmentation
from src.errors import InputError
from src.protocols import Mix

WHITE = torch.full((16, 1, 8, 8), 255, dtype=torch.uint8)
NOISE = torch.randint(256, (16, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def moving(**settings) -> kornia.augmentation.RandomAffine:
    return kornia.augmentation.RandomAffine(**{"degrees": 0.0, "translate": [0.25, 0.25], "p": 1.0, **settings})


def test_steps_follow_one_another_on_values_from_0_to_1():
    images, changes = Augmentation(half=lambda images: images / 2, square=lambda images: images**2)(WHITE)
    assert torch.equal(images, torch.full(WHITE.shape, 255 / 4))
    assert not any(isinstance(change, Mix) for change in changes)


def test_without_a_step_pixels_are_what_they_were():
    assert torch.allclose(Augmentation()(NOISE)[0], NOISE.float(), atol=1e-4)
    assert torch.allclose(Augmentation()(NOISE.float())[0], NOISE.float(), atol=1e-4)


def test_what_comes_in_from_outside_is_black():
    torch.manual_seed(0)
    images, _ = Augmentation(crop=moving(resample="nearest"))(WHITE)
    assert set(images.unique().tolist()) == {0, 255}


def test_a_crop_moves_whole_pixels():
    """As conf/augmentation/standard.yaml has it: each picture is a crop of the picture with a border."""
    torch.manual_seed(0)
    images, _ = Augmentation(crop=moving(resample="nearest"))(NOISE)
    padded = torch.nn.functional.pad(NOISE.float(), (2, 2, 2, 2))
    offsets = set()
    for image, wide in zip(images, padded, strict=True):
        shifts = [(y, x) for y in range(5) for x in range(5) if torch.allclose(image, wide[:, y : y + 8, x : x + 8], atol=1e-3)]
        assert len(shifts) == 1
        offsets.add(shifts[0])
    assert len(offsets) > 5


def test_autocast_does_not_coarsen_coordinates():
    augment, results = Augmentation(turn=moving(degrees=20.0)), []
    for enabled in (False, True):
        torch.manual_seed(0)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            results.append(augment(NOISE)[0])
    assert torch.equal(*results)


def test_no_gradient_is_kept():
    pixels = NOISE.float().requires_grad_()
    assert not Augmentation(turn=moving())(pixels)[0].requires_grad


def test_examples_that_are_not_images_are_refused():
    with pytest.raises(InputError, match=r"expected images of shape \[channels, height, width\]; received .* \[12\]\."):
        Augmentation(turn=moving())(torch.zeros(4, 12))


def test_a_step_that_refuses_the_images_is_named():
    augment = Augmentation(turn=moving(), colour=kornia.augmentation.ColorJitter(hue=0.1, p=1.0))
    assert augment(NOISE)[0].shape == NOISE.shape
    message = r"augmentation\.colour: .* shape \[1, 8, 8\]; ColorJitter refuses them: .*3.*~augmentation\.colour"
    with pytest.raises(InputError, match=message):
        augment(WHITE)


def moved(maps: torch.Tensor, changes) -> torch.Tensor:
    for change in changes:
        maps = change.apply(maps)
    return maps


@pytest.mark.parametrize(
    "step",
    [
        kornia.augmentation.RandomHorizontalFlip(),
        kornia.augmentation.RandomVerticalFlip(),
        kornia.augmentation.RandomRotation90(times=(0, 1), resample="nearest", p=1.0),
        moving(resample="nearest"),
        moving(degrees=30.0, scale=[0.7, 1.2], resample="nearest", p=0.5),
        kornia.augmentation.RandomElasticTransform((9, 9), (2.0, 2.0), (3.0, 3.0), resample="nearest", p=0.7),
    ],
    ids=lambda step: type(step).__name__,
)
def test_maps_are_moved_as_their_pictures_are(step):
    """Where the picture is its own map, and is moved by the nearest value too, both stay one."""
    torch.manual_seed(0)
    images, changes = Augmentation(step=step)(NOISE)
    assert not torch.allclose(images, NOISE.float(), atol=1)
    assert torch.allclose(moved(NOISE.float(), changes), images, atol=1e-3)


def test_classes_are_moved_by_the_nearest_value_and_0_comes_in_from_outside():
    torch.manual_seed(0)
    turn = moving(degrees=45.0, scale=[0.6, 0.9])  # bilinear for the pictures
    images, changes = Augmentation(turn=turn)(WHITE)
    maps = moved(torch.full(WHITE.shape, 3.0), changes)
    assert set(maps.unique().tolist()) == {0, 3}
    assert (maps[images > 254] == 3).all()
    assert (maps[images < 1] == 0).all()


def test_no_class_comes_about_between_two_others():
    """By the elastic step as it ships, which bends pictures by interpolation."""
    torch.manual_seed(0)
    content = OmegaConf.to_container(composition.compose(["augmentation=elastic"]).augmentation)
    _, changes = assembly._with_steps(content, "augmentation")(torch.zeros(4, 1, 64, 64, dtype=torch.uint8))
    maps = torch.zeros(4, 1, 64, 64)
    maps[:, :, 16:48, 16:48] = 2
    bent = moved(maps, changes)
    assert not torch.equal(bent, maps)
    assert set(bent.unique().tolist()) == {0, 2}


def test_a_change_of_colours_leaves_maps_where_they_are():
    images, changes = Augmentation(colour=kornia.augmentation.ColorJitter(brightness=0.5, p=1.0))(NOISE)
    assert not torch.allclose(images, NOISE.float(), atol=1)
    assert torch.equal(moved(NOISE.float(), changes), NOISE.float())


def test_each_call_has_its_own_way_of_moving():
    torch.manual_seed(0)
    augment = Augmentation(mirror=kornia.augmentation.RandomHorizontalFlip(), shift=moving(resample="nearest"))
    results = [augment(NOISE) for _ in range(3)]
    for images, changes in results:
        assert torch.allclose(moved(NOISE.float(), changes), images, atol=1e-3)
    assert not torch.equal(results[0][0], results[1][0])


def test_a_step_that_does_not_say_how_it_moves_is_refused_for_maps_alone():
    images, changes = Augmentation(half=lambda images: images / 2)(WHITE)
    assert images.max() < 128
    with pytest.raises(InputError, match=r"augmentation\.half: expected a step that can move masks .*~augmentation\.half"):
        moved(WHITE.float(), changes)


@pytest.mark.parametrize("probability", [-0.1, 1.5])
def test_a_probability_outside_0_to_1_is_refused(probability):
    flip = kornia.augmentation.RandomHorizontalFlip(p=probability)
    with pytest.raises(ValueError, match=rf"expected a probability flip\.p from 0 to 1; received {probability}\."):
        Augmentation(flip=flip)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"turn": {"_target_": "kornia.augmentation.RandomRotation", "degrees": -10.0}}, r"augmentation\.turn: .*-10\.0"),
        (
            {"turn": {"_target_": "kornia.augmentation.RandomRotation", "angle": 3}},
            r"augmentation\.turn\.angle: expected a setting of",
        ),
        (
            {"turn": {"_target_": "kornia.augmentation.RandomRotate"}},
            r"augmentation\.turn\._target_: .*RandomRotate, but there is no",
        ),
        ({"turn": {"degrees": 3.0}}, r"augmentation: .*expected turn to have a _target_; received \{'degrees': 3\.0\}"),
        ({"turn": 3.0}, r"augmentation: .*expected turn to have a _target_; received 3\.0"),
        ({"mixup": {"_target_": "src.data.mixing.Mixup", "alpha": 0}}, r"augmentation\.mixup: .*alpha above 0; received 0"),
    ],
)
def test_a_configuration_that_is_wrong_names_its_step(node, message):
    content = OmegaConf.to_container(OmegaConf.create({"_target_": "src.data.augmentation.Augmentation", **node}))
    with pytest.raises(InputError, match=message):
        assembly._with_steps(content, "augmentation")
