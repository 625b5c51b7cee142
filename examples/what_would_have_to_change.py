"""What would have to change? For people in a census who are guessed to be poor, and for handwritten digits.

    python -m examples.what_would_have_to_change --data FOLDER --page FILE

FOLDER holds ``fairness-tabular`` (the census data Adult) and ``mnist-20k`` (digits of MNIST). A small network and boosted
trees are trained to guess who earns more than 50,000 dollars; of held-out people whom they guess to earn less it is asked
what would have to be different (after wachter2017counterfactual), with everything free to change and with less and less. Of
digits it is asked which pixels, which missing ones, which present ones and which regions decide. Prints the numbers, and
writes a page; takes some minutes.
"""

import argparse
from pathlib import Path

import torch
from examples.changes.story import page, picture, statements, tell


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder with both sets of data")
    parser.add_argument("--page", type=Path, default=Path("what-would-have-to-change.html"), help="where the page goes")
    parser.add_argument("--picture", type=Path, help="where the picture of the page goes too, as PNG")
    parser.add_argument("--people", type=int, default=8, help="how many people the network is asked about")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    story = tell(arguments.data, arguments.people, max(5, arguments.people // 2))
    print("\n".join(statements(story)))
    arguments.page.write_text(page(story), encoding="utf-8")
    if arguments.picture:
        picture(story).quantize(256).save(arguments.picture, optimize=True)


if __name__ == "__main__":
    main()
