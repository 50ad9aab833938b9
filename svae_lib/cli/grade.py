"""``svae grade``: marks for a folder of handed-in notebooks."""

import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from ..course.marking import Limits, grade, pages, protections, read_folder, without_notebook
from ..support.checks import check_positive, check_seed


@dataclass(kw_only=True)
class Grade:
    """Grade handed-in notebooks: their functions are checked, what they print counts for nothing.

    Each runs in a process of its own, with limits, without your environment. The table has a line
    for each notebook; beside it a folder holds a page for each student.
    """

    folder: tyro.conf.Positional[Path]
    """With the notebooks: one for each student, or a folder for each."""
    out: Path
    """CSV file for the marks."""
    pages: Path | None = None
    """Folder for the students' pages; by default beside the table, with its name."""
    quick: bool = False
    """Run only what the exercises' functions need, not each notebook from top to bottom."""
    limits: Annotated[Limits, tyro.conf.arg(name="")] = field(default_factory=Limits)
    seed: int | None = None
    """Of the random inputs, to repeat a grading."""
    overwrite: bool = False
    """Replace the table and the pages of an earlier call."""

    def __call__(self) -> None:
        check_positive(**vars(self.limits))
        seed = secrets.randbits(32) if self.seed is None else self.seed
        check_seed(seed)
        handed_in = read_folder(self.folder)
        folder = self.pages or self.out.parent / f"{self.out.stem}_pages"
        students = dict.fromkeys(each.student for each in handed_in)
        pages.check_free(self.out, folder, students, overwrite=self.overwrite)
        print(protections(), flush=True)
        if others := without_notebook(self.folder, handed_in):
            print(f"no notebook (.ipynb) in: {', '.join(others)}", flush=True)
        graded = []
        try:
            for each in handed_in:
                marked = grade(each, self.limits, seed, whole=not self.quick)
                graded.append(marked)
                remark = f" ({'; '.join(marked.remarks)})" if marked.remarks else ""
                print(f"{each.file}: {marked.total} of {len(marked.marks)}{remark}", flush=True)
        finally:  # if it is stopped, the marks so far are kept
            if graded:
                n = len(handed_in)
                at, folder = pages.write(self.out, folder, graded, n, overwrite=self.overwrite)
                print(f"marks: {at} ({len(graded)} of {n} notebooks)\npages: {folder}\nseed {seed}")
