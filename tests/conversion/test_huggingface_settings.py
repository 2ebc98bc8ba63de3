"""Settings in Hugging Face's configuration: used, or an error."""

import json

import numpy as np
import pytest
import safetensors.numpy
from small import random_params

from samjax import conversion, models
from samjax.conversion import convert, naming
from samjax.data.inputs import Preprocessing

# A network whose tensors do not tell the decoder's heads.
CONFIG = models.tiny(image_size=64, embed_dim=32, mask_in_chans=16, peft=models.PeftConfig("none"))
SECTIONS = {
    "vision_config": {
        "hidden_size": 32,
        "output_channels": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 64,
        "patch_size": 8,
        "window_size": 3,
        "global_attn_indexes": [1],
    },
    "prompt_encoder_config": {"hidden_size": 32, "image_size": 64, "patch_size": 8},
    "mask_decoder_config": {
        "hidden_size": 32,
        "mlp_dim": 32,
        "num_attention_heads": 2,
        "iou_head_hidden_dim": 32,
    },
}
PROCESSOR = {
    "image_processor_type": "SamImageProcessor",
    "do_resize": True,
    "size": {"longest_edge": 64},
    "resample": 2,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
    "do_pad": True,
    "pad_size": {"height": 64, "width": 64},
    "do_convert_rgb": True,
}


def _their_name(name):
    """Returns Hugging Face's name of a tensor where the rules would mistake ours."""
    name = name.replace("image_encoder.blocks.", "image_encoder.layers.").replace(
        "image_encoder.", "vision_encoder.", 1
    )
    for ours, theirs in (
        (".layers.0.", ".proj_in."),
        (".layers.1.", ".layers.0."),
        (".layers.2.", ".proj_out."),
    ):
        if "_head.layers" in name or "_mlps." in name:
            found = name.replace(ours, theirs)
            if found != name:
                return found
    return name


@pytest.fixture(scope="module")
def weights():
    tensors = naming.state_dict(random_params(CONFIG))
    return {_their_name(name): np.ascontiguousarray(tensor) for name, tensor in tensors.items()}


@pytest.fixture
def folder(tmp_path, weights):
    safetensors.numpy.save_file(weights, tmp_path / "model.safetensors")
    return tmp_path


def _configure(folder, processor=None, **changes):
    config = {"model_type": "sam"} | {name: dict(SECTIONS[name]) for name in SECTIONS}
    for place, value in changes.items():
        section, _, field = place.partition("__")
        if field:
            config[section][field] = value
        else:
            config[section] = value
    (folder / "config.json").write_text(json.dumps(config))
    if processor is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(processor))


def test_the_configuration_beside_the_file_is_read(folder):
    _configure(folder, PROCESSOR)
    for path in (folder, folder / "model.safetensors"):
        model, report = conversion.from_torch(path)
        assert model.config == conversion.from_torch(folder)[0].config
        assert model.config.decoder_heads == 2 and model.config.window_size == 3
        assert model.preprocessing == convert.SAM_PREPROCESSING
        assert not report.is_guess and "preprocessor_config.json" in report.table()


def test_without_it_an_error_names_the_missing_file(folder):
    with pytest.raises(ValueError, match=r"model\.safetensors: expected config\.json beside it"):
        conversion.load_or_convert(folder / "model.safetensors")


def test_without_a_preprocessor_the_family_is_a_guess(folder):
    _configure(folder)
    model, report = conversion.from_torch(folder)
    assert model.preprocessing == convert.SAM_PREPROCESSING and report.is_guess


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("vision_config__hidden_act", "relu", r"expected 'gelu', found 'relu'"),
        ("vision_config__layer_norm_eps", 1e-5, r"expected 1e-06, found 1e-05"),
        ("vision_config__qkv_bias", False, "expected True, found False"),
        ("vision_config__use_rel_pos", False, "expected True"),
        ("vision_config__num_attention_heads", 4, "expected 2, as the tensors have it, found 4"),
        ("vision_config__window_size", 5, "expected 3, as the tensors have it, found 5"),
        ("vision_config__global_attn_indexes", [0], r"expected \(1,\), as the tensors"),
        ("vision_config__image_size", 128, "expected 64, as the tensors|expected 128 as in"),
        ("vision_config__num_hidden_layers", "2", "expected what 12 is, found '2'"),
        ("prompt_encoder_config__image_size", 128, "expected 64 as in vision_config.image_size"),
        ("prompt_encoder_config__hidden_act", "relu", "expected 'gelu'"),
        ("mask_decoder_config__hidden_act", "gelu", "expected 'relu'"),
        ("mask_decoder_config__layer_norm_eps", 1e-3, "expected 1e-06 or 1e-05"),
        ("mask_decoder_config__attention_downsample_rate", 1, "expected 2"),
        ("mask_decoder_config__num_multimask_outputs", 4, "expected 3, as the tensors"),
        ("model_type", "sam_hq", "expected 'sam', found 'sam_hq'"),
        ("mask_decoder_config", 7, "expected fields"),
    ],
)
def test_unknown_and_contradicting_settings(folder, place, value, message):
    _configure(folder, **{place: value})
    field = place.replace("__", r"\.")
    with pytest.raises(ValueError, match=rf"config\.json: .*{message}") as caught:
        conversion.from_torch(folder)
    if "image_size" not in place:
        assert field.replace("\\", "") in str(caught.value)


def test_invalid_decoder_heads(folder):
    _configure(folder, mask_decoder_config__num_attention_heads=5)
    with pytest.raises(ValueError, match=r"config\.json: prompt_dim: .*decoder_heads"):
        conversion.from_torch(folder)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.25, 1.0]},
            {"mean": (127.5, 127.5, 127.5), "std": (127.5, 63.75, 255.0)},
        ),
        ({"do_normalize": False}, {"mean": (0.0, 0.0, 0.0), "std": (255.0, 255.0, 255.0)}),
        ({"do_rescale": False, "do_normalize": False}, {"mean": (0.0,) * 3, "std": (1.0,) * 3}),
        ({"size": {"height": 64, "width": 64}, "do_pad": False}, {"resize": "stretch"}),
    ],
)
def test_the_preprocessor_is_used(folder, changes, expected):
    _configure(folder, PROCESSOR | changes)
    found = conversion.load_or_convert(folder).preprocessing
    usual = vars(convert.SAM_PREPROCESSING)
    assert found == Preprocessing(**{**usual, **expected})


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"do_resize": False}, "do_resize"),
        ({"size": {"longest_edge": 512}}, "size"),
        ({"resample": 3}, "resample"),
        ({"do_pad": False}, "do_pad"),
        ({"do_center_crop": True}, "do_center_crop"),
        ({"image_processor_type": "ViTImageProcessor"}, "image_processor_type"),
        ({"image_std": [0.0, 1.0, 1.0]}, "image_std"),
        ({"image_mean": ["a"]}, "image_mean"),
    ],
)
def test_unsupported_settings_of_the_preprocessor(folder, changes, field):
    _configure(folder, PROCESSOR | changes)
    with pytest.raises(ValueError, match=rf"preprocessor_config\.json: .*{field}"):
        conversion.load_or_convert(folder)


def test_the_section_in_the_file_of_the_processor(folder):
    _configure(folder)
    section = PROCESSOR | {"image_mean": [0.0, 0.0, 0.0]}
    (folder / "processor_config.json").write_text(json.dumps({"image_processor": section}))
    assert conversion.load_or_convert(folder).preprocessing.mean == (0, 0, 0)
