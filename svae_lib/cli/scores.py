"""``svae evaluate``, ``svae report`` and ``svae fid``: runs and folders of pictures, scored."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro
from torch import Tensor

from .. import data, fid
from ..data import ImageSets
from ..data.decoding import SUFFIXES
from ..data.folder import Pictures
from ..experiments.evaluation import Features, evaluate
from ..experiments.report import Subject, contents, format_table, score_table, write_report
from ..experiments.runs import Run
from ..experiments.scoring import PROTOCOLS, Evaluation, Scoring
from ..fid.distance import FEWEST
from ..support.checks import InputError
from ..support.devices import find_device
from ..support.files import check_writable
from ..support.progress import counter


@dataclass(kw_only=True)
class _Scored:
    """What the commands that score runs have in common."""

    scoring: Annotated[Scoring, tyro.conf.arg(name="")] = field(default_factory=Scoring)
    weights: Path | None = None
    """File with the feature network's weights, in place of its own."""
    root: Path | None = None
    """Folder with the data set's files."""
    device: str | None = None
    """cuda, cpu, ..."""
    overwrite: bool = False
    """Replace what an earlier call has written."""

    def _network(self) -> fid.FeatureNetwork:
        return fid.network(self.scoring.features, self.weights, self.device)

    def _score(self, run: Run, sets: ImageSets) -> Evaluation:
        """Scores of a run; ``how`` tells how far it was trained."""
        model = run.load_model(find_device(self.device))
        run.check_trained_on(sets.train)
        network = None if self.weights is None else self._network()
        result = evaluate(model, sets, self.scoring, network=network)
        steps = {"steps_taken": run.steps_taken(), "steps": run.train_config.steps}
        return dataclasses.replace(result, made=result.made | steps)


@dataclass(kw_only=True)
class Evaluate(_Scored):
    """Score a trained run: FID, KID, precision and recall of its images, and its statistics."""

    run: tyro.conf.Positional[Path]
    """Folder that svae train made."""

    def __call__(self) -> None:
        run = Run.open(self.run)
        protocol, weights = self.scoring.protocol, self._network().weights
        path = run.evaluation_path(protocol, weights, self.scoring.reference)
        check_writable(path, overwrite=self.overwrite)  # before minutes are spent on it
        result = self._score(run, data.load(run.data, self.root))
        run.save_evaluation(result, overwrite=self.overwrite)
        print(format_table(*result.table()))
        print(f"protocol {protocol}: {PROTOCOLS[protocol]}")
        print(f"mixture: {result.scoring.mixture_components} Gaussians")
        print(f"steps taken: {result.how['steps_taken']} of {result.how['steps']}")
        print(result.rows[-1].fid, result.latent, sep="\n")
        if result.split is not None:
            print(f"split: {result.split}")
        if result.likelihood is not None:
            print(result.likelihood)
        print(f"scores: {path}")


@dataclass(kw_only=True)
class Report(_Scored):
    """Score trained runs of one data set and show them on one page: pictures, scores, curves."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Folders that svae train made."""
    out: Path
    """HTML file."""

    def __call__(self) -> None:
        check_writable(self.out, overwrite=self.overwrite)  # before minutes are spent on it
        runs = [Run.open(folder) for folder in self.runs]
        if len({run.data for run in runs}) != 1 or len(set(self.runs)) < len(runs):
            raise InputError("name one run, or several of one data set, each once.")
        self._network()
        sets = data.load(runs[0].data, self.root)
        subjects = [
            Subject(f"{run.kind} ({run.folder})", run, self._score(run, sets)) for run in runs
        ]
        title = f"Trained on {runs[0].data}"
        page = contents(subjects, sets)
        write_report(self.out, title=title, overwrite=self.overwrite, **page)
        print(format_table(*score_table(subjects)))
        print(f"page: {self.out}")


@dataclass
class Fid:
    """Score a folder of pictures against another: FID and KID. The pictures may differ in size."""

    pictures: tyro.conf.Positional[Path]
    """Folder of the pictures to score, folders in it included."""
    reference: tyro.conf.Positional[Path]
    """Folder that they are compared with."""
    features: str = "inception"
    """Feature network, such as inception, efficientnet-lite0 or lenet-mnist; svae info lists
    them. It resizes each picture to its own input; nothing is cropped."""
    weights: Path | None = None
    """File with the feature network's weights, in place of its own."""
    seed: int = 0
    """Seeds the choice of the pictures for KID, and its subsets."""
    device: str | None = None
    """cuda, cpu, ..."""

    def __call__(self) -> None:
        folders = [Pictures(folder, seed=self.seed) for folder in (self.pictures, self.reference)]
        for pictures in folders:
            if len(pictures) < FEWEST:
                raise InputError(
                    f"{pictures.folder} holds {len(pictures)} pictures: scores need at least "
                    f"{FEWEST}. (Known are the endings {', '.join(sorted(SUFFIXES))}.)"
                )
        network = fid.network(self.features, self.weights, self.device)  # may be a download
        found, reference = (Features.of(_counted(p, network.channels), network) for p in folders)
        name = str(self.reference)
        print(fid.fid(found.statistics, reference.statistics, network, reference_name=name))
        print(fid.kid(found.kept, reference.kept, network, reference_name=name, seed=self.seed))


def _counted(pictures: Pictures, channels: int) -> Iterator[Tensor]:
    with counter(len(pictures), str(pictures.folder), "picture") as bar:
        for batch in pictures.batches(channels):
            yield batch
            bar.update(len(batch))
