"""What do units of a deep belief net and of a stacked denoising autoencoder look for, layer by layer?

    python -m examples.what_units_look_for --data FOLDER --pictures FOLDER

After erhan2009visualizing, on three kinds of pictures: digits of 8 × 8 pixels, those of MNIST (FOLDER holds them as for
scripts/train_mnist.py; without it they are left out), and patches of photographs. Both nets are trained here, three layers
each, in some minutes. Of every layer it prints how far nine starts of activation maximisation agree, whether their optimum
excites the unit at least as much as every picture brought to the same norm, and how it compares with the mean of samples
drawn while the unit is on and with the sum of filters below; and it draws one picture.
"""

import argparse
from pathlib import Path

import torch
from examples.units.answers import answers
from examples.units.data import mnist, patches, small_digits
from examples.units.nets import trained
from examples.units.picture import picture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the folder with the digits of MNIST")
    parser.add_argument("--only", choices=("digits", "mnist", "patches"), help="one kind of pictures")
    parser.add_argument("--sampled", type=int, default=24, help="how many units of a layer are sampled from")
    parser.add_argument("--pictures", type=Path, default=Path("units"), help="the folder where pictures go")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.pictures.mkdir(parents=True, exist_ok=True)
    kinds = {"digits": small_digits, "patches": patches}
    if arguments.data:
        kinds["mnist"] = lambda: mnist(arguments.data)
    for name, read in kinds.items():
        if arguments.only not in (None, name):
            continue
        data = read()
        for kind, subject in trained(name, data).items():
            for layer in range(3):
                found = answers(subject, data, layer, arguments.sampled)
                told = "; ".join(f"{what} {value:.3g}" for what, value in found.measured.items())
                print(f"{name}, {kind}, layer {layer + 1}: {told}", flush=True)
                shown = picture(f"{name}, {kind}, layer {layer + 1}", found)
                shown.save(arguments.pictures / f"{name}-{kind.replace(' ', '-')}-{layer + 1}.png")


if __name__ == "__main__":
    main()
