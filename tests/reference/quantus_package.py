"""quantus 0.6.0, imported without torchvision, which it needs only through zennit's canonizers of torchvision's models."""

import sys
import types
import warnings

# The stand-in goes again at once: others look whether torchvision is there.
_STAND_INS = ("torchvision", "torchvision.models", "torchvision.models.resnet")
_missing = [name for name in _STAND_INS if name not in sys.modules]
for _name in _missing:
    sys.modules[_name] = types.ModuleType(_name)
for _block in ("Bottleneck", "BasicBlock"):
    if not hasattr(sys.modules["torchvision.models.resnet"], _block):
        setattr(sys.modules["torchvision.models.resnet"], _block, type(_block, (), {}))

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import quantus

for _name in _missing:
    del sys.modules[_name]

__all__ = ["quantus"]
