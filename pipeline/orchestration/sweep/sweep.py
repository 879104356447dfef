"""The whole graph for every setting of a sweep, and one comparison of them all."""

from pathlib import Path

import typer

from pipeline.evaluation.result import Result
from pipeline.files import write_json
from pipeline.orchestration.sweep.compare import compare, setting_params
from pipeline.orchestration.sweep.report import to_text, write_sweep
from pipeline.orchestration.sweep.runs import experiment_name, one_sweep_at_a_time, remove_trees, run_setting
from pipeline.params.compose import compose_params, params_text, read_choices
from pipeline.params.load import PARAMS_FILE, load_all_params, parse_params
from pipeline.params.schema import Params
from pipeline.params.yaml12 import YAMLError, parse_yaml
from pipeline.runtime.errors import UserError
from pipeline.tracking.execution import sweep_name

RESULTS = Path("results")
SOURCES = "synthesize.sources"  # `gan`, or sets by their paths


def sweep_params_file(choice: str, jobs: int) -> None:
    """Runs the settings that `choice` or params.yaml name, upon the values of params.yaml."""
    run_sweep(choose_settings(load_all_params(), choice), read_choices(PARAMS_FILE), jobs)


def run_experiment(choices: list[str], jobs: int) -> None:
    """Runs the settings of what `choices` compose; params.yaml stays as it is.

    Raises:
        UserError: they name no experiment with settings.
    """
    params = parse_params(compose_params(choices))
    if not params.sweep.settings:
        raise UserError(
            f"run {' '.join(choices)}: names no experiment with settings, such as experiment=where_it_pays; to run one "
            "set of values: synthmix configure, with these words, then synthmix run"
        )
    run_sweep(params, choices, jobs)


def run_sweep(params: Params, choices: list[str], jobs: int) -> None:
    """Runs every setting of the block `sweep`, one after the other; writes results/<name>.{json,csv,svg,md}.

    results/<name>/ gets each setting's own ablation.json as it comes.

    Args:
        params: what the settings have in common, with that block.
        choices: what `params` were composed from, for the header of each params.yaml.
        jobs: GANs and cells at once.
    """
    name, whole = params.sweep.name, sweep_name(params.model_dump())
    trees = {setting: experiment_name(name, setting) for setting in params.sweep.settings}
    results: dict[str, Result] = {}
    with one_sweep_at_a_time():
        for number, (setting, tree) in enumerate(trees.items(), start=1):
            typer.echo(f"{name}: {setting} ({number} of {len(trees)})")
            text = params_text(setting_params(params, setting).model_dump(), choices)
            results[setting] = run_setting(tree, experiment_name(whole, setting), text, jobs)
            write_json(RESULTS / name / f"{setting}.json", results[setting].model_dump())
        remove_trees(list(trees.values()))
    sweep = compare(params, results)
    write_sweep(RESULTS, sweep)
    typer.echo(f"\n{to_text(sweep)}\n\nThe report: {RESULTS / name}.md; each setting: dvc exp show")


def choose_settings(params: Params, choice: str) -> Params:
    """`params`, with a setting for every value that `choice` names, if it names any.

    Values of `synthesize.sources` are `gan` and paths of sets: which generator's images are worth more?

    Raises:
        UserError: neither names settings, or a value does not fit.
    """
    if not choice:
        if params.sweep.name:
            return params
        raise UserError("params.yaml: sweep.settings is empty; set it, or say: synthmix sweep key=value,value")
    key, _, values = choice.partition("=")
    try:
        named = [(experiment_name(value) or "empty", value) for value in parse_yaml(f"[{values}]")]
    except (YAMLError, ValueError):
        raise UserError(f"sweep: {choice!r} is not key=value,value") from None
    if key == SOURCES:
        settings = {_source_name(f"{value}"): _source(params, f"{value}") for _, value in named}
    else:
        settings = {name: {key: value} for name, value in named}
    if len(settings) < max(2, len(named)):
        raise UserError(f"sweep: {choice}: name two or more values, none twice")
    content = params.model_dump()
    content["sweep"] = {"name": experiment_name(key), "settings": settings, "setting": ""}
    return parse_params(content)


def _source_name(source: str) -> str:
    """What the setting of a source is called: `gan`, or the name of its folder or file."""
    return experiment_name(Path(source).stem) or "set"


def _source(params: Params, source: str) -> dict[str, object]:
    """What the setting of a source changes: nothing for the GAN of `params`, else where the set is.

    Raises:
        UserError: there is no such set, or `params` have no GAN.
    """
    if source == "gan":
        if params.synthesize.source != "gan":
            raise UserError(f"sweep: {SOURCES}: params.yaml has no GAN; configure it with a gan.recipe first")
        return {}
    path = Path(source).expanduser().resolve()
    if not path.exists():
        raise UserError(f"sweep: {SOURCES}: {source}: no such folder or Parquet file, and not gan")
    is_parquet = path.is_file() or any(path.rglob("*.parquet"))
    return {
        "gan.recipe": "none",
        "synthesize.source": "parquet" if is_parquet else "folder",
        "synthesize.path": str(path),
    }
