"""Why is this three not a nine? Relevance names the strokes, and changing them shows whether it was right.

    python -m examples.three_versus_nine --data FOLDER --page FILE

FOLDER holds the digits of MNIST as for scripts/train_mnist.py. Relevance for 9 is negative on the strokes of a three that
speak against a nine (after bach2015pixel): the window that holds most of it is erased, and the score of nine must rise more
than when random windows are. Which rules and which size of window, was chosen on training threes (``--choose``, some
minutes), and is judged on 500 threes of the test set. Prints the numbers, and writes a page on which a visitor can erase
and draw while the network answers.
"""

import argparse
from pathlib import Path

import torch
from examples.digits.page import page, picture, statements
from examples.digits.story import choices, tell
from scripts.train_mnist import held_out_digits, training_digits

import pellucid as pl


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder with the digits")
    parser.add_argument("--page", type=Path, default=Path("three-versus-nine.html"), help="where the page goes")
    parser.add_argument("--picture", type=Path, help="where the picture of the page goes too, as PNG")
    parser.add_argument("--choose", action="store_true", help="only repeat the choice of rules and size")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    subject = pl.load("mnist-cnn")
    if arguments.choose:
        for how, (method, side) in choices(subject, *training_digits(arguments.data)).items():
            print(f"{how}: {method}, {side} × {side} pixels")
        return
    story = tell(subject, *held_out_digits(arguments.data))
    print("\n".join(statements(story)))
    arguments.page.write_text(page(story), encoding="utf-8")
    if arguments.picture:
        picture(story.shown[0]).quantize(64).save(arguments.picture, optimize=True)


if __name__ == "__main__":
    main()
