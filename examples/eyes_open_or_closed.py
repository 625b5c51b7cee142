"""Eyes open or closed? A network learns it from the raw EEG of one person, and relevance says where it looks.

    python -m examples.eyes_open_or_closed --data FOLDER --page FILE

FOLDER holds recordings of subject 1 of the EEG Motor Movement/Imagery database (schalk2004bci2000): ``S001R01.edf`` with
open and ``S001R02.edf`` with closed eyes, a minute each, and six runs of a task with open eyes. The network gets no hint:
no filter, no choice of electrodes. What must come out is in every textbook: closing the eyes starts a rhythm of 8 to 12 Hz
at the back of the head. After sturm2016interpretable. Takes a minute; prints what it found, and writes it to a page.
"""

import argparse
from pathlib import Path

import torch
from examples.eyes.edf import read_edf
from examples.eyes.evidence import Evidence, gather
from examples.eyes.page import page, picture, statements
from torch import Tensor

RUNS = ("S001R01.edf", "S001R02.edf")
TASKS = tuple(f"S001R{number:02}.edf" for number in (3, 4, 7, 8, 11, 12))


def tell(folder: Path) -> Evidence:
    """Everything that the recordings of this folder have to say."""
    opened = read_edf(folder / RUNS[0])
    tasks = {name.removesuffix(".edf"): _signal(folder / name) for name in TASKS}
    return gather([_signal(folder / name) for name in RUNS], opened.names, tasks)


def _signal(path: Path) -> Tensor:
    """Microvolts [samples, electrodes]."""
    return torch.from_numpy(read_edf(path).signals.T).float()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder with the recordings")
    parser.add_argument("--page", type=Path, default=Path("eyes-open-or-closed.html"), help="where the page goes")
    parser.add_argument("--picture", type=Path, help="where the picture of the page goes too, as PNG")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found = tell(arguments.data)
    print("\n".join(statements(found)))
    arguments.page.write_text(page(found), encoding="utf-8")
    if arguments.picture:
        picture(found).quantize(64).save(arguments.picture, optimize=True)


if __name__ == "__main__":
    main()
