"""The Python calls of DVC that the fan-out makes, in one typed place: DVC ships no types."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from dvc.exceptions import DvcException as DvcError
from dvc.repo import Repo, lock_repo
from dvc.repo.reproduce import collect_stages, get_active_graph, plan_repro
from dvc.stage.cache import RunCacheNotFoundError

__all__ = ["DvcError", "DvcStage", "cache_folder", "open_graph", "write_lock_entries"]


@dataclass(frozen=True)
class DvcStage:
    """A stage of dvc.yaml; those of a matrix are one each.

    Attributes:
        name: as DVC addresses it: `prepare`, `train_baseline@100-0`.
        command: the command line that dvc.yaml states; empty where it states several.
        upstream: names of the stages whose outs it reads.
        root: folder of the repository.
        is_in_root: whether the command runs there.
    """

    name: str
    command: str
    upstream: frozenset[str]
    root: str
    is_in_root: bool
    _stage: Any = field(repr=False, compare=False)

    def is_stale(self) -> bool:
        """Whether dvc.lock does not describe the stage as it is now."""
        return bool(self._stage.changed())

    def inputs_changed(self) -> bool:
        """Whether a dep is not what it was when `restore` was called."""
        return bool(self._stage.changed_deps())

    def outs(self) -> dict[str, str]:
        """md5 by path of what the stage wrote, once it is up to date."""
        return {out.def_path: f"{out.hash_info.value}" for out in self._stage.outs}

    def reads(self) -> dict[str, str]:
        """The deps by path, params.yaml among them, with a digest of what `restore` found there."""
        return {dep.def_path: f"{dep.hash_info.value}" for dep in self._stage.deps if dep.exists}

    def writes(self) -> tuple[str, ...]:
        """Paths of the outs."""
        return tuple(out.def_path for out in self._stage.outs)

    def reproduce(self) -> bool:
        """Does what `dvc repro` does with the stage; whether it had to run.

        Raises:
            DvcError: the stage failed.
        """
        return self._stage.reproduce() is not None

    def restore(self) -> bool:
        """Takes the outs from DVC's run cache, if it has them; else they are removed, as before every run."""
        self._stage.remove_outs()
        try:
            self._stage.repo.stage_cache.restore(self._stage)
        except RunCacheNotFoundError:
            self._stage.save_deps()
            return False
        self.commit()
        return True

    def commit(self) -> None:
        """Does what DVC does after a run: hashes, run cache, cache.

        Raises:
            DvcError: an out is missing, or the cache refuses it.
        """
        self._stage.save()
        self._stage.commit()


@contextmanager
def open_graph(targets: Sequence[str]) -> Iterator[list[DvcStage]]:
    """What `targets` need, in the order of a serial run, while this process holds DVC's lock of the repository.

    For a few targets DVC's own order varies from process to process.

    Raises:
        DvcError: another process holds the lock, dvc.yaml is wrong, or there is no such target.
    """
    with Repo() as repo, lock_repo(repo), repo.scm_context():
        graph = get_active_graph(repo.index.graph)
        yield [
            DvcStage(
                name=stage.addressing,
                command=stage.cmd if isinstance(stage.cmd, str) else "",
                upstream=frozenset(other.addressing for other in graph.successors(stage)),
                root=repo.root_dir,
                is_in_root=stage.wdir == repo.root_dir,
                _stage=stage,
            )
            for stage in plan_repro(graph, collect_stages(repo, targets))
        ]


def cache_folder() -> str:
    """The absolute path of the repository's cache."""
    with Repo() as repo:
        return str(repo.cache.local_cache_dir)  # above files/md5, and beside the run cache


def write_lock_entries(stages: Sequence[DvcStage]) -> None:
    """Enters `stages`, of which there is one at least, in dvc.lock, which DVC rewrites in place."""
    entries = [stage._stage for stage in stages]
    entries[0].dvcfile.dump_stages(entries, update_pipeline=False)
