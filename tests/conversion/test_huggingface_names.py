import json

import numpy as np
import pytest

from samjax import conversion
from samjax.conversion import checkpoint_file, convert, naming

transformers = pytest.importorskip("transformers", reason="compares with Hugging Face's SamModel")
torch = pytest.importorskip("torch", reason="compares with Hugging Face's SamModel")


@pytest.fixture(scope="module")
def hugging_face(tmp_path_factory):
    """Directory of a small random SamModel."""
    vision = transformers.SamVisionConfig(
        hidden_size=24,
        output_channels=32,
        num_hidden_layers=3,
        num_attention_heads=3,
        image_size=64,
        patch_size=8,
        window_size=3,
        global_attn_indexes=[1],
        mlp_dim=48,
        num_pos_feats=16,
    )
    prompt = transformers.SamPromptEncoderConfig(hidden_size=32, image_size=64, patch_size=8)
    decoder = transformers.SamMaskDecoderConfig(
        hidden_size=32, mlp_dim=40, num_attention_heads=4, iou_head_hidden_dim=20
    )
    config = transformers.SamConfig(
        vision_config=vision.to_dict(),
        prompt_encoder_config=prompt.to_dict(),
        mask_decoder_config=decoder.to_dict(),
    )
    path = tmp_path_factory.mktemp("hugging_face")
    transformers.SamModel(config).save_pretrained(path)
    return path


def test_every_key_is_loaded(hugging_face):
    model, report = conversion.from_torch(hugging_face)
    assert {entry.status for entry in report.entries} == {"loaded"}
    assert "vision_encoder.layers.0.attn.qkv.weight" in {entry.key for entry in report.entries}
    assert model.preprocessing == convert.SAM_PREPROCESSING
    assert model.config.decoder_heads == 4  # From config.json: the tensors do not tell.
    assert model.config.global_attn_indexes == (1,)
    found = checkpoint_file.read(hugging_face)
    ours = naming.state_dict(model.params)
    assert ours.keys() == found.tensors.keys()
    for name, tensor in found.tensors.items():
        np.testing.assert_array_equal(ours[name], tensor)


def test_the_file_alone_is_enough(hugging_face, tmp_path):
    """Converts a file with its configuration, or with the number of heads as an option."""
    whole = conversion.from_torch(hugging_face)[0].config
    assert conversion.from_torch(hugging_face / "model.safetensors")[0].config == whole
    alone = tmp_path / "model.safetensors"
    alone.write_bytes((hugging_face / "model.safetensors").read_bytes())
    with pytest.raises(ValueError, match=r"model\.safetensors: expected config\.json .*heads"):
        conversion.from_torch(alone)
    options = conversion.ConversionOptions(decoder_heads=4)
    assert conversion.from_torch(alone, options)[0].config == whole


def test_a_tied_copy_is_ignored_unless_it_differs(hugging_face, tmp_path):
    """Older files hold the position encoding twice."""
    save_file = pytest.importorskip("safetensors.numpy").save_file
    load_file = pytest.importorskip("safetensors.numpy").load_file
    tensors = load_file(hugging_face / "model.safetensors")
    kept = "prompt_encoder.shared_embedding.positional_embedding"  # First in the file.
    copy = "shared_image_embedding.positional_embedding"
    tensors[kept] = tensors[copy].copy()
    (tmp_path / "config.json").write_bytes((hugging_face / "config.json").read_bytes())
    save_file(tensors, tmp_path / "tied.safetensors")
    _, report = conversion.from_torch(tmp_path / "tied.safetensors")
    assert [entry.key for entry in report.entries if entry.status == "ignored"] == [copy]
    tensors[copy] += 1
    save_file(tensors, tmp_path / "split.safetensors")
    with pytest.raises(ValueError, match=r"split\.safetensors.*differ"):
        conversion.from_torch(tmp_path / "split.safetensors")


def test_a_broken_config_is_named(hugging_face, tmp_path):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((hugging_face / name).read_bytes())
    for broken in ("{", json.dumps([1])):
        (tmp_path / "config.json").write_text(broken)
        with pytest.raises(ValueError, match=r"config\.json"):
            conversion.from_torch(tmp_path)
